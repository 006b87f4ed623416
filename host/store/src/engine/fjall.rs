//! The default engine: fjall, a log-structured merge tree in Rust.
//!
//! A synced batch is one `fdatasync` of fjall's journal, and fjall shows a batch to
//! readers only after that. fjall locks its folder, so a second process is refused.
//!
//! Some of its habits are met here. A batch must not hold a key twice (both writes would
//! share a sequence number). And a keyspace that lies idle, or that compaction has left
//! empty, pins every later journal file on disk (fjall issue 288): [`Engine::tend`]
//! writes a marker to each keyspace and, once journals pile up, has all of them
//! flushed. Markers are hidden from readers. And fjall syncs what is in a new keyspace's
//! folder, not the folder that it is in: [`Fjall::open_keyspace`] does, before anything
//! is written to it.

mod open;
mod prefill;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use fjall::config::{BlockSizePolicy, CompressionPolicy, PinningPolicy};
use fjall::{
    CompressionType, Database, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Readable, Slice,
};

use self::open::Open;
use self::prefill::Prefill;
use super::{
    Batch, Disk, Durability, Engine, EngineError, Guarantees, Keyspace, Order, Profile, Rows,
    Snapshot, Span, folder,
};

const NAME: &str = "fjall";

/// Where fjall keeps a folder for each keyspace.
const KEYSPACES: &str = "keyspaces";

/// Above every key of the store: numbers and hashes that begin one take at most 16
/// bytes, a work's code is small, and names are UTF-8, which has no such byte.
const MARKER: [u8; 20] = [0xff; 20];

const MIB: u64 = 1024 * 1024;

/// Blocks and filters kept in memory.
const CACHE_BYTES: u64 = 64 * MIB;

/// Journals on disk before fjall itself flushes what pins the oldest.
const JOURNALS_BYTES_MAX: u64 = 512 * MIB;

/// What fjall may write without another batch: all that stands in journals once more as
/// tables, and a journal file that was begun. Merges of tables come on top, and give back
/// what they have read.
pub const WRITES_BY_ITSELF_BYTES_MAX: u64 = JOURNALS_BYTES_MAX + 64 * MIB;

/// Journal files, 64 MB each, from which [`Engine::tend`] flushes every keyspace.
const JOURNALS_TENDED: usize = 4;

/// Threads that flush and merge. Of several, fjall keeps the first for flushes, and that
/// one hands a merge that nobody is free for back to the queue and takes it out again
/// without a pause: a whole core, as long as another merges.
const WORKERS: usize = 1;

type Table = Arc<Vec<Option<Arc<Open>>>>;

/// An open fjall database.
pub struct Fjall {
    database: Database,
    keyspaces_dir: PathBuf,
    /// By [`Keyspace`] index; none once dropped.
    table: RwLock<Table>,
    /// Held by everything that writes to the journal.
    prefill: Mutex<Prefill>,
}

/// Opens the database in that folder, or creates both.
pub fn open(dir: &Path) -> Result<Fjall, EngineError> {
    super::refuse_foreign(dir, NAME)?;
    folder::create(dir).map_err(not_made)?;
    let database = Database::builder(dir)
        .cache_size(CACHE_BYTES)
        .worker_threads(WORKERS)
        .max_journaling_size(JOURNALS_BYTES_MAX)
        // Bodies are compressed in the background, not between a batch and its sync.
        .journal_compression(CompressionType::None)
        .manual_journal_persist(true)
        .open()
        .map_err(|error| match error {
            fjall::Error::Locked => EngineError::Locked {
                dir: dir.to_owned(),
            },
            other => failed("open its folder")(other),
        })?;
    Ok(Fjall {
        database,
        keyspaces_dir: dir.join(KEYSPACES),
        table: RwLock::default(),
        prefill: Mutex::new(Prefill::new(dir)),
    })
}

fn not_made(error: std::io::Error) -> EngineError {
    failed("make its folder stay")(error.into())
}

fn failed(doing: &'static str) -> impl Fn(fjall::Error) -> EngineError {
    move |error| EngineError::Failed {
        engine: NAME,
        doing,
        source: Box::new(error),
    }
}

/// What a keyspace's memtable may hold.
const fn memtable_max(profile: Profile) -> u64 {
    match profile {
        Profile::Sequence => 32 * MIB,
        Profile::Lookup | Profile::State => 16 * MIB,
        Profile::Churn => 8 * MIB,
    }
}

fn options(profile: Profile) -> KeyspaceCreateOptions {
    let options = Open::options();
    match profile {
        // Runs that never overlap are moved down unread, so they are compressed when
        // they are first written, in blocks that hold a few events.
        Profile::Sequence => options
            .data_block_size_policy(BlockSizePolicy::all(16 * 1024))
            .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4)),
        // A look-up that finds nothing must not leave memory.
        Profile::Lookup => options
            .filter_block_pinning_policy(PinningPolicy::all(true))
            .data_block_compression_policy(CompressionPolicy::disabled()),
        Profile::State | Profile::Churn => options,
    }
}

impl Fjall {
    fn table(&self) -> Table {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn writing(&self) -> MutexGuard<'_, Prefill> {
        self.prefill.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_table(&self, change: impl FnOnce(&mut Vec<Option<Arc<Open>>>)) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::clone(&table);
        change(&mut changed);
        *table = Arc::new(changed);
    }
}

fn find(table: &Table, keyspace: Keyspace) -> Result<&Open, EngineError> {
    table
        .get(keyspace.index())
        .and_then(Option::as_deref)
        .ok_or(EngineError::NoKeyspace {
            index: keyspace.index(),
        })
}

impl fmt::Debug for Fjall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fjall")
            .field("keyspaces", &self.database.keyspace_count())
            .finish_non_exhaustive()
    }
}

impl Engine for Fjall {
    fn name(&self) -> &'static str {
        NAME
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees {
            survives_power_loss: true,
            snapshot_isolation: true,
            drop_returns_space: true,
        }
    }

    fn keyspaces(&self) -> Result<Vec<String>, EngineError> {
        let names = self.database.list_keyspace_names();
        Ok(names.iter().map(|name| name.as_ref().to_owned()).collect())
    }

    fn open_keyspace(&self, name: &str, profile: Profile) -> Result<Keyspace, EngineError> {
        let _writing = self.writing();
        let opened = self
            .database
            .keyspace(name, || options(profile))
            .map_err(failed("open a keyspace"))?;
        // Cheap where nothing is new, and keyspaces are opened seldom.
        folder::sync(&self.keyspaces_dir).map_err(not_made)?;
        // One entry a keyspace: tending must not write its marker twice in a batch.
        let known = self
            .table()
            .iter()
            .position(|entry| entry.as_ref().is_some_and(|open| open.handle == opened));
        if let Some(index) = known {
            return Ok(Keyspace::at(index));
        }
        let mut index = 0;
        self.change_table(|table| {
            index = table.len();
            table.push(Some(Arc::new(Open::new(opened, memtable_max(profile)))));
        });
        Ok(Keyspace::at(index))
    }

    fn drop_keyspace(&self, keyspace: Keyspace) -> Result<(), EngineError> {
        let handle = find(&self.table(), keyspace)?.handle.clone();
        let _writing = self.writing();
        self.change_table(|table| {
            if let Some(entry) = table.get_mut(keyspace.index()) {
                *entry = None;
            }
        });
        self.database
            .delete_keyspace(handle)
            .map_err(failed("drop a keyspace"))
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let mut writing = self.writing();
        writing.make_room(&batch);
        let table = self.table();
        let mode = match durability {
            Durability::Synced => PersistMode::SyncData,
            Durability::Buffered => PersistMode::Buffer,
        };
        let mut writes = OwnedWriteBatch::with_capacity(self.database.clone(), batch.len())
            .durability(Some(mode));
        for write in batch.into_writes() {
            let keyspace = find(&table, write.keyspace)?;
            match write.value {
                Some(value) => writes.insert(&keyspace.handle, write.key, value),
                None => writes.remove(&keyspace.handle, write.key),
            }
        }
        writes.commit().map_err(failed("write a batch"))?;
        for keyspace in table.iter().flatten() {
            keyspace.make_room();
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        // The table first: a keyspace opened in between is merely not seen.
        let table = self.table();
        Ok(Arc::new(View {
            table,
            snapshot: self.database.snapshot(),
        }))
    }

    fn disk(&self) -> Result<Disk, EngineError> {
        let journal_bytes = self
            .database
            .journal_disk_space()
            .map_err(failed("measure its journals"))?;
        let bytes = self
            .database
            .disk_space()
            .map_err(failed("measure its files"))?;
        Ok(Disk {
            bytes,
            journal_bytes,
        })
    }

    fn tend(&self) -> Result<(), EngineError> {
        let _writing = self.writing();
        let table = self.table();
        let mut markers = self.database.batch().durability(Some(PersistMode::Buffer));
        for keyspace in table.iter().flatten() {
            markers.insert(&keyspace.handle, MARKER, []);
        }
        markers.commit().map_err(failed("write its markers"))?;
        if self.database.journal_count() >= JOURNALS_TENDED {
            for keyspace in table.iter().flatten() {
                keyspace.begin_memtable();
            }
        }
        Ok(())
    }
}

/// A snapshot with the keyspaces as they were open then.
struct View {
    table: Table,
    snapshot: fjall::Snapshot,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("seqno", &self.snapshot.seqno())
            .finish_non_exhaustive()
    }
}

fn bytes(slice: Slice) -> Bytes {
    Bytes::from_owner(slice)
}

impl Snapshot for View {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let keyspace = find(&self.table, keyspace)?;
        let value = self
            .snapshot
            .get(&keyspace.handle, key)
            .map_err(failed("read a key"))?;
        Ok(value.map(bytes))
    }

    fn range(
        &self,
        keyspace: Keyspace,
        span: Span<'_>,
        order: Order,
    ) -> Result<Rows<'_>, EngineError> {
        let keyspace = find(&self.table, keyspace)?;
        let until = span.until.unwrap_or(&MARKER);
        if span.from >= until {
            return Ok(Box::new(std::iter::empty()));
        }
        let rows = self.snapshot.range(&keyspace.handle, span.from..until);
        let read = |row: fjall::Guard| {
            let (key, value) = row.into_inner().map_err(failed("read a range"))?;
            Ok((bytes(key), bytes(value)))
        };
        Ok(match order {
            Order::Ascending => Box::new(rows.map(read)),
            Order::Descending => Box::new(rows.rev().map(read)),
        })
    }
}
