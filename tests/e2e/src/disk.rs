//! A site whose disk is watched: everything that its hosts do to it is recorded, it can
//! run full, a sync can fail, and the power can be cut.
//!
//! The disk is a folder with the store's folder in it, so that what the host owes the
//! folder around its store is checked too.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::time::{ClockId, clock_gettime};
use tidegate_disk::control::{Control, variables};
use tidegate_disk::{Disk, Rules, image};

use crate::follow::seq_and_entity;
use crate::host::{self, Operator, Options, Site, Storage};
use crate::requests::entity_id;

/// Longest wait until a host that was started again has mapped what was pending.
const MAPPED_WITHIN: Duration = Duration::from_mins(1);

/// Longest log of one host: the rebuilding of an image reads it whole.
const LOG_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The store's folder, in the site's.
pub const STORE: &str = "disk/tidegate-data";

/// A site on a disk of its own.
#[derive(Debug)]
pub struct WatchedSite {
    /// The site.
    pub site: Site,
    /// What can be made to go wrong.
    pub control: Control,
    folder: PathBuf,
}

impl WatchedSite {
    /// Lays it out in that folder, which must exist and be empty.
    pub fn new(folder: &Path, options: Options, storage: Storage) -> anyhow::Result<Self> {
        let folder = folder.canonicalize()?;
        let site = Site::storing(&folder, options, storage)?;
        fs::create_dir(folder.join("disk"))?;
        let control = Control::create(&folder.join("control"))?;
        let mut watched = Self {
            site,
            control,
            folder,
        };
        watched.record()?;
        Ok(watched)
    }

    fn disk(&self) -> PathBuf {
        self.folder.join("disk")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("disk-log")
    }

    fn base(&self) -> PathBuf {
        self.folder.join("base")
    }

    /// From now on hosts are recorded, on the disk as it is.
    pub fn record(&mut self) -> anyhow::Result<()> {
        remove(&self.base())?;
        image::copy_folder(&self.disk(), &self.base())?;
        fs::write(self.log(), [])?;
        self.site.set_environment(vec![
            ("LD_PRELOAD", host::preload()?),
            (variables::FOLDER, self.disk()),
            (variables::LOG, self.log()),
            (variables::CONTROL, self.folder.join("control")),
        ]);
        Ok(())
    }

    /// From now on hosts are not recorded; what is to go wrong still does.
    pub fn record_no_more(&mut self) -> anyhow::Result<()> {
        self.site.set_environment(vec![
            ("LD_PRELOAD", host::preload()?),
            (variables::FOLDER, self.disk()),
            (variables::CONTROL, self.folder.join("control")),
        ]);
        Ok(())
    }

    /// From now on hosts are on their own.
    pub fn leave_alone(&mut self) {
        self.site.set_environment(Vec::new());
    }

    /// Puts in place what the disk held at that time of the last host that was recorded.
    /// What others did to it since is gone.
    pub fn cut_power(&self, at: Moment, rules: &Rules) -> anyhow::Result<()> {
        let bytes = fs::metadata(self.log())?.len();
        ensure!(bytes < LOG_BYTES_MAX, "{bytes} bytes of log are too many");
        let log = fs::read(self.log())?;
        ensure!(!log.is_empty(), "nothing was recorded");
        let left = Disk::at(&log, at.0)?.image(rules);
        remove(&self.disk())?;
        image::lay_out(&left, &self.base(), &log, &self.disk())?;
        Ok(())
    }

    /// Bytes of what was recorded since the last start of recording.
    pub fn log_bytes(&self) -> anyhow::Result<u64> {
        Ok(fs::metadata(self.log())?.len())
    }

    /// Bytes that the disk's files take.
    pub fn used(&self) -> anyhow::Result<u64> {
        fn below(folder: &Path) -> std::io::Result<u64> {
            let mut blocks = 0;
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                // A host may be deleting what was just listed.
                let Ok(found) = entry.metadata() else {
                    continue;
                };
                blocks += std::os::unix::fs::MetadataExt::blocks(&found) * 512;
                if found.is_dir() {
                    blocks += below(&entry.path())?;
                }
            }
            Ok(blocks)
        }
        Ok(below(&self.disk())?)
    }
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    Ok(())
}

/// An instant on the clock of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// After everything.
    pub const END: Self = Self(u64::MAX);
}

/// Tells instants as moments, never too early: an answer that counts as given before a
/// power cut was given before it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    instant: Instant,
    moment: u64,
}

impl Clock {
    /// Reads both clocks.
    pub fn now() -> Self {
        let instant = Instant::now();
        let now = clock_gettime(ClockId::Monotonic);
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        let moment = u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + nanos;
        Self { instant, moment }
    }

    /// The moment of an instant that is not before this clock was read.
    pub fn moment(&self, instant: Instant) -> Moment {
        let since = instant.saturating_duration_since(self.instant).as_nanos();
        Moment(
            self.moment
                .saturating_add(u64::try_from(since).unwrap_or(0)),
        )
    }
}

/// What a host answers that was started on what a fault has left.
#[derive(Debug)]
pub struct Kept {
    by_place: HashMap<u64, String>,
    by_entity: HashMap<String, usize>,
}

impl Kept {
    /// Waits until all is mapped, and asks.
    pub fn read(operator: &Operator) -> anyhow::Result<Self> {
        operator.wait_until_mapped(MAPPED_WITHIN)?;
        let mut kept = Self {
            by_place: HashMap::new(),
            by_entity: HashMap::new(),
        };
        for change in operator.changes()? {
            let (seq, entity) = seq_and_entity(&change)?;
            *kept.by_entity.entry(entity.clone()).or_default() += 1;
            kept.by_place.insert(seq, entity);
        }
        Ok(kept)
    }

    /// Which of these events' changes are not there.
    pub fn missing<'a>(&self, events: impl IntoIterator<Item = &'a usize>) -> Vec<usize> {
        let events = events.into_iter().copied();
        events
            .filter(|event| !self.by_entity.contains_key(&entity_id(*event)))
            .collect()
    }

    /// How many entities changed more than once.
    pub fn twice(&self) -> usize {
        self.by_entity.values().filter(|times| **times > 1).count()
    }

    /// Whether that entity's change still stands at that place.
    pub fn holds(&self, seq: u64, entity: &str) -> bool {
        self.by_place.get(&seq).is_some_and(|there| there == entity)
    }

    /// Nothing acknowledged is missing, and nothing is there twice.
    pub fn check(&self, answered: &HashSet<usize>) -> anyhow::Result<()> {
        let missing = self.missing(answered);
        ensure!(
            missing.is_empty(),
            "of {} events answered 200, {} are missing: {missing:?}",
            answered.len(),
            missing.len()
        );
        ensure!(self.twice() == 0, "{} changed twice", self.twice());
        Ok(())
    }
}
