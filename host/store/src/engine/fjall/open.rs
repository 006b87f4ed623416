//! An open keyspace, and when its memtable is full.
//!
//! fjall notices a full memtable itself, and asks its workers to begin another one: once
//! for each batch until they have come to it. While they merge, such wishes fill their
//! queue, and a worker that then has to put a wish of its own there waits for itself for
//! ever (fjall pull request 323). So fjall is told that no memtable is ever full, and what
//! is written is counted here; a new memtable is one wish.

use std::sync::atomic::{AtomicU64, Ordering};

use byteview::ByteView;
use fjall::KeyspaceCreateOptions;

use super::super::Write;

/// What fjall counts for an entry beside its key and value.
const ENTRY_OVERHEAD: usize = 64;

/// A size of a memtable that none has.
const NEVER_FULL: u64 = u64::MAX;

/// An open keyspace.
pub(super) struct Open {
    pub(super) handle: fjall::Keyspace,
    /// What its memtable may hold.
    memtable_max: u64,
    /// What it holds. It begins with nothing at each opening, when what was read back from
    /// the journal is in it already.
    held: AtomicU64,
}

impl Open {
    pub(super) fn new(handle: fjall::Keyspace, memtable_max: u64) -> Self {
        Self {
            handle,
            memtable_max,
            held: AtomicU64::new(0),
        }
    }

    /// Options for a keyspace of which fjall leaves the memtable alone.
    pub(super) fn options() -> KeyspaceCreateOptions {
        KeyspaceCreateOptions::default()
            .manual_journal_persist(true)
            .max_memtable_size(NEVER_FULL)
    }

    /// Counts one write.
    pub(super) fn count(&self, write: &Write) {
        let value = write.value.as_ref().map_or(0, ByteView::len);
        let bytes = write.key.len() + value + ENTRY_OVERHEAD;
        self.held.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Begins a new memtable where this one is full, after a batch.
    pub(super) fn make_room(&self) {
        if self.held.load(Ordering::Relaxed) >= self.memtable_max {
            self.begin_memtable();
        }
    }

    /// Begins a new memtable; the one before is flushed by a worker.
    pub(super) fn begin_memtable(&self) {
        match self.handle.rotate_memtable() {
            Ok(_) => self.held.store(0, Ordering::Relaxed),
            // The batch stands, and the next one tries again.
            Err(error) => tracing::warn!(
                keyspace = self.handle.name().as_ref() as &str,
                error = &error as &dyn std::error::Error,
                "could not begin a memtable"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::engine::Keyspace;

    const MAX: u64 = 64 * 1024;

    #[test]
    fn a_memtable_is_flushed_once_it_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let database = fjall::Database::builder(dir.path()).open().unwrap();
        let handle = database.keyspace("a", Open::options).unwrap();
        let open = Open::new(handle, MAX);
        let value = vec![7; 1024];
        let mut full = 0;
        for number in 0..100_u64 {
            let write = Write {
                keyspace: Keyspace::at(0),
                key: number.to_be_bytes().into(),
                value: Some(value.clone().into()),
            };
            open.handle.insert(write.key.clone(), &value).unwrap();
            open.count(&write);
            open.make_room();
            full += usize::from(open.held.load(Ordering::Relaxed) == 0);
        }
        assert_eq!(full, 1, "100 of 1,096 bytes each");
        let patience = Instant::now() + Duration::from_secs(20);
        while open.handle.table_count() == 0 {
            assert!(Instant::now() < patience, "nothing was flushed");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
