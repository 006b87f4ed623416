//! The log, replayed: what was durable at a moment.
//!
//! Pure. Whatever the log tells that the rules have no word for is an error, so that no
//! run passes because something went unseen.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::image::{Image, ImageFile, Step};
use crate::names::{Listing, Tree};
use crate::record::{Entry, Header, Kind, ROOT, Records, entries};

/// Unsynced bytes survive or not in pieces of this size.
const SECTOR: u64 = 4096;

/// Deepest folder that is followed.
const DEPTH_MAX: usize = 32;

/// Which names are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Those in directories that were synced: POSIX and nothing more.
    Strict,
    /// Those that came before some fsync, in order: ext4 and XFS.
    Journaled,
}

/// What survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which names.
    pub names: Names,
    /// Whether unsynced bytes are partly there, as this seed has it.
    pub torn: Option<u64>,
    /// Whether `sync_file_range` is taken for a sync.
    pub range_syncs_count: bool,
}

impl Rules {
    /// POSIX and nothing more.
    pub const STRICT: Self = Self {
        names: Names::Strict,
        torn: None,
        range_syncs_count: false,
    };
}

/// The process did something that the model does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recorded process changed a file in a way that is not modelled: {what}")]
pub struct Unmodelled {
    /// What it did.
    pub what: String,
}

#[derive(Clone, Debug, Default)]
struct Content {
    base: Option<PathBuf>,
    mode: u32,
    is_directory: bool,
    steps: Vec<Step>,
    /// Steps that a failed sync has lost.
    lost: Vec<Range<usize>>,
    /// How many steps are durable.
    durable: usize,
}

#[derive(Clone, Debug)]
struct Pending {
    steps: usize,
    calls: usize,
    listing: Option<Listing>,
}

/// A disk, as the log tells of it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    nodes: HashMap<u64, Content>,
    tree: Tree,
    pending: HashMap<u64, Pending>,
}

impl Disk {
    /// The disk at that time of the log, which its last record is no later than.
    pub fn at(log: &[u8], time: u64) -> Result<Self, Unmodelled> {
        let mut disk = Self::default();
        for (header, bytes) in Records::of(log) {
            if header.time > time {
                break;
            }
            disk.record(&header, bytes, log)?;
        }
        Ok(disk)
    }

    fn record(
        &mut self,
        header: &Header,
        bytes: Range<usize>,
        log: &[u8],
    ) -> Result<(), Unmodelled> {
        let body = log.get(bytes.clone()).unwrap_or_default();
        match header.kind {
            Kind::Found => self.found(header, entries(body)),
            Kind::Created => {
                let content = self.nodes.entry(header.node).or_default();
                content.set_mode(header.value);
                let entries = entries(body).into_iter();
                self.tree
                    .change(entries.map(|entry| (entry, Some(header.node))));
            }
            Kind::Written => self.step(
                header.node,
                Step::Write {
                    offset: header.value,
                    bytes,
                },
            ),
            Kind::Resized => self.step(header.node, Step::Resize(header.value)),
            Kind::SyncBegan => self.sync_began(header, entries(body))?,
            Kind::Synced => self.synced(header),
            Kind::SyncFailed => {
                if let Some(pending) = self.pending.remove(&header.value) {
                    let content = self.nodes.entry(header.node).or_default();
                    content.lose(pending.steps);
                }
            }
            Kind::RangeSynced => {
                let content = self.nodes.entry(header.node).or_default();
                content.steps.push(RANGE_SYNC);
            }
            Kind::Named => {
                // The old name and the new one, in this order.
                let mut entries = entries(body).into_iter();
                let old = entries.next().map(|old| (old, None));
                let new = entries.next().map(|new| (new, Some(header.node)));
                self.tree.change(old.into_iter().chain(new));
            }
            Kind::Unnamed => {
                let gone = entries(body).into_iter().map(|entry| (entry, None));
                self.tree.change(gone);
            }
            Kind::Unseen => {
                return Err(Unmodelled {
                    what: String::from_utf8_lossy(body).into_owned(),
                });
            }
        }
        Ok(())
    }

    /// It was there before: wholly durable.
    fn found(&mut self, header: &Header, entries: Vec<Entry>) {
        for entry in entries {
            let parent = self.nodes.get(&entry.node);
            let parent = parent.and_then(|parent| parent.base.clone());
            let content = self.nodes.entry(header.node).or_default();
            content.set_mode(header.value);
            content.base = Some(parent.unwrap_or_default().join(&entry.name));
            self.tree.find(&entry, header.node);
        }
    }

    fn step(&mut self, node: u64, step: Step) {
        self.nodes.entry(node).or_default().steps.push(step);
    }

    fn sync_began(&mut self, header: &Header, entries: Vec<Entry>) -> Result<(), Unmodelled> {
        let content = self.nodes.entry(header.node).or_default();
        let is_directory = content.is_directory || header.node == ROOT;
        let held = || entries.into_iter().map(|entry| (entry.name, entry.node));
        let listing: Option<Listing> = is_directory.then(|| held().collect());
        if let Some(listing) = &listing
            && !self.tree.agrees(header.node, listing)
        {
            let names: Vec<_> = listing.keys().collect();
            return Err(Unmodelled {
                what: format!("a directory holds other names than it was given: {names:?}"),
            });
        }
        let pending = Pending {
            steps: content.steps.len(),
            calls: self.tree.calls(),
            listing,
        };
        self.pending.insert(header.value, pending);
        Ok(())
    }

    fn synced(&mut self, header: &Header) {
        let Some(pending) = self.pending.remove(&header.value) else {
            return;
        };
        let content = self.nodes.entry(header.node).or_default();
        content.durable = content.durable.max(pending.steps);
        if let Some(listing) = pending.listing {
            self.tree.sync(header.node, listing);
        }
        // An fdatasync may leave the journal alone.
        if header.value & 1 == 1 {
            self.tree.commit(pending.calls);
        }
    }

    /// What survives by those rules.
    pub fn image(&self, rules: &Rules) -> Image {
        let mut chance = rules.torn.map(Chance);
        let listings = match rules.names {
            Names::Strict => self.tree.strict(),
            Names::Journaled => {
                let open = u64::try_from(self.tree.uncommitted()).unwrap_or(0);
                let more = chance.as_mut().map_or(0, |chance| chance.below(open + 1));
                self.tree.journaled(usize::try_from(more).unwrap_or(0))
            }
        };
        let mut image = Image::default();
        let mut open = vec![(ROOT, PathBuf::new())];
        while let Some((directory, path)) = open.pop() {
            for (name, node) in listings.get(&directory).into_iter().flatten() {
                let path = path.join(name);
                let Some(content) = self.nodes.get(node) else {
                    continue;
                };
                if !content.is_directory {
                    let file = content.survivor(path, rules, chance.as_mut());
                    image.files.push(file);
                } else if path.components().count() <= DEPTH_MAX {
                    image.directories.push(path.clone());
                    open.push((*node, path));
                }
            }
        }
        image
    }
}

/// A mark among the steps, of no effect on the content.
const RANGE_SYNC: Step = Step::Write {
    offset: 0,
    bytes: 0..0,
};

impl Content {
    fn set_mode(&mut self, mode: u64) {
        const KIND: u64 = 0o170_000;
        const DIRECTORY: u64 = 0o040_000;
        self.is_directory = mode & KIND == DIRECTORY;
        self.mode = u32::try_from(mode & 0o777).unwrap_or(0o600);
    }

    fn lose(&mut self, until: usize) {
        self.lost.push(self.durable..until);
    }

    fn survivor(&self, path: PathBuf, rules: &Rules, mut chance: Option<&mut Chance>) -> ImageFile {
        let mut durable = self.durable;
        if rules.range_syncs_count {
            let last = self.steps.iter().rposition(|step| *step == RANGE_SYNC);
            durable = durable.max(last.map_or(0, |last| last + 1));
        }
        let mut steps = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            if *step == RANGE_SYNC || self.lost.iter().any(|lost| lost.contains(&number)) {
                continue;
            }
            match &mut chance {
                _ if number < durable => steps.push(step.clone()),
                Some(chance) => steps.extend(torn(step, chance)),
                None => break,
            }
        }
        ImageFile {
            path,
            base: self.base.as_deref().map(Path::to_owned),
            mode: self.mode,
            steps,
        }
    }
}

/// The sectors of an unsynced step that chance lets survive.
fn torn(step: &Step, chance: &mut Chance) -> Vec<Step> {
    let Step::Write { offset, bytes } = step else {
        // A size goes through the journal with all before it, or not at all.
        return if chance.below(2) == 0 {
            Vec::new()
        } else {
            vec![step.clone()]
        };
    };
    let mut kept = Vec::new();
    let (mut offset, mut start) = (*offset, bytes.start);
    while start < bytes.end {
        let room = usize::try_from(SECTOR - offset % SECTOR).unwrap_or(1);
        let end = bytes.end.min(start.saturating_add(room));
        if chance.below(2) == 1 {
            kept.push(Step::Write {
                offset,
                bytes: start..end,
            });
        }
        offset += u64::try_from(end - start).unwrap_or(0);
        start = end;
    }
    kept
}

/// `SplitMix64`.
#[derive(Clone, Copy, Debug)]
struct Chance(u64);

impl Chance {
    const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[cfg(test)]
mod tests;
