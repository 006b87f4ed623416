//! Which names are durable: the tree of directories, as two rules of durability see it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;

use crate::record::Entry;

/// What one directory holds.
pub(crate) type Listing = BTreeMap<OsString, u64>;

/// One change of a name.
#[derive(Clone, Debug)]
struct Change {
    directory: u64,
    name: OsString,
    /// The node that it stands for from now on; none where it went.
    node: Option<u64>,
    /// Which call it is part of: a rename is two changes that are never torn apart.
    call: usize,
}

impl Change {
    fn apply(&self, listings: &mut HashMap<u64, Listing>) {
        let listing = listings.entry(self.directory).or_default();
        match self.node {
            Some(node) => {
                listing.insert(self.name.clone(), node);
            }
            None => {
                listing.remove(&self.name);
            }
        }
    }
}

/// Names as they were found, as they changed, and as directories were synced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    found: HashMap<u64, Listing>,
    /// As a running process sees them.
    seen: HashMap<u64, Listing>,
    synced: HashMap<u64, Listing>,
    changes: Vec<Change>,
    calls: usize,
    /// Calls that an fsync has committed, on a file system that journals names.
    committed: usize,
}

impl Tree {
    pub(crate) fn find(&mut self, entry: &Entry, node: u64) {
        for listings in [&mut self.found, &mut self.seen, &mut self.synced] {
            let listing = listings.entry(entry.node).or_default();
            listing.insert(entry.name.clone(), node);
        }
    }

    /// One call, which changed these entries.
    pub(crate) fn change(&mut self, entries: impl IntoIterator<Item = (Entry, Option<u64>)>) {
        for (entry, node) in entries {
            let change = Change {
                directory: entry.node,
                name: entry.name,
                node,
                call: self.calls,
            };
            change.apply(&mut self.seen);
            self.changes.push(change);
        }
        self.calls += 1;
    }

    /// Whether a directory holds what the calls so far make it hold.
    pub(crate) fn agrees(&self, directory: u64, listing: &Listing) -> bool {
        match self.seen.get(&directory) {
            Some(seen) => seen == listing,
            None => listing.is_empty(),
        }
    }

    /// How many calls there were so far.
    pub(crate) const fn calls(&self) -> usize {
        self.calls
    }

    /// What a directory held when the sync began that has now succeeded.
    pub(crate) fn sync(&mut self, directory: u64, listing: Listing) {
        self.synced.insert(directory, listing);
    }

    /// An fsync that began after so many calls has succeeded.
    pub(crate) fn commit(&mut self, calls: usize) {
        self.committed = self.committed.max(calls);
    }

    /// By POSIX alone.
    pub(crate) fn strict(&self) -> HashMap<u64, Listing> {
        self.synced.clone()
    }

    /// With a journal: what an fsync has committed, and `more` calls that it wrote anyway.
    pub(crate) fn journaled(&self, more: usize) -> HashMap<u64, Listing> {
        let mut listings = self.found.clone();
        let until = self.committed.saturating_add(more);
        for change in self.changes.iter().take_while(|change| change.call < until) {
            change.apply(&mut listings);
        }
        listings
    }

    /// Calls that nothing has committed.
    pub(crate) fn uncommitted(&self) -> usize {
        self.calls.saturating_sub(self.committed)
    }
}
