//! An open keyspace, and when its memtable is full.
//!
//! fjall notices a full memtable itself, and asks its workers to begin another one: once
//! for each batch until they have come to it. While they merge, such wishes fill their
//! queue, and a worker that then has to put a wish of its own there waits for itself for
//! ever (fjall pull request 323). So fjall is told that no memtable is ever full, and each
//! is looked at here after a batch; a new memtable is one wish.

use fjall::{AbstractTree, KeyspaceCreateOptions};

/// A size of a memtable that none has.
const NEVER_FULL: u64 = u64::MAX;

/// An open keyspace.
pub(super) struct Open {
    pub(super) handle: fjall::Keyspace,
    /// What its memtable may hold, what was read back from the journal included.
    memtable_max: u64,
}

impl Open {
    pub(super) fn new(handle: fjall::Keyspace, memtable_max: u64) -> Self {
        Self {
            handle,
            memtable_max,
        }
    }

    /// Options for a keyspace of which fjall leaves the memtable alone.
    pub(super) fn options() -> KeyspaceCreateOptions {
        KeyspaceCreateOptions::default()
            .manual_journal_persist(true)
            .max_memtable_size(NEVER_FULL)
    }

    /// Begins a new memtable where this one is full, after a batch.
    pub(super) fn make_room(&self) {
        if self.handle.tree.active_memtable().size() >= self.memtable_max {
            self.begin_memtable();
        }
    }

    /// Begins a new memtable; the one before is flushed by a worker.
    pub(super) fn begin_memtable(&self) {
        if let Err(error) = self.handle.rotate_memtable() {
            // The batch stands, and the next one tries again.
            tracing::warn!(
                keyspace = self.handle.name().as_ref() as &str,
                error = &error as &dyn std::error::Error,
                "could not begin a memtable"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;

    const MAX: u64 = 64 * 1024;

    fn open(dir: &Path) -> (fjall::Database, Open) {
        let database = fjall::Database::builder(dir).open().unwrap();
        let handle = database.keyspace("a", Open::options).unwrap();
        (database, Open::new(handle, MAX))
    }

    /// Writes as many KiB; how many memtables were begun meanwhile.
    fn write(open: &Open, kib: u64) -> usize {
        let mut begun = 0;
        for number in 0..kib {
            open.handle.insert(number.to_be_bytes(), [7; 1024]).unwrap();
            open.make_room();
            begun += usize::from(open.handle.tree.active_memtable().is_empty());
        }
        begun
    }

    #[track_caller]
    fn wait_flushed(open: &Open) {
        let patience = Instant::now() + Duration::from_secs(20);
        while open.handle.table_count() == 0 {
            assert!(Instant::now() < patience, "nothing was flushed");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_memtable_is_flushed_once_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let (_database, open) = open(dir.path());
        assert_eq!(write(&open, 40), 0);
        assert_eq!(write(&open, 40), 1);
        wait_flushed(&open);
    }

    /// Else a host that is killed often reads more back at each start.
    #[test]
    fn what_was_read_back_counts() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        for (kib, begun) in [(30, 0), (20, 0), (20, 1)] {
            let (database, open) = open(dir.path());
            assert_eq!(write(&open, kib), begun, "{kib}");
            database.persist(fjall::PersistMode::SyncAll).unwrap();
        }
    }
}
