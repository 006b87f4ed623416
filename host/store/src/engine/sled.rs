//! The selectable engine: sled 0.34.
//!
//! Two promises it cannot keep, and [`Guarantees`] says so: its flush reaches the
//! kernel but on Linux never asks the disk (`sync_file_range`, no `fsync`), so a loss
//! of power may take synced batches; and space of deleted rows stays in its files. It
//! has no snapshots either: a view shows what is written while it is read.
//!
//! All keyspaces share one tree, each under a number as prefix, which makes a batch
//! over several of them atomic. Numbers are never given out twice, so a keyspace whose
//! drop was cut short is not found in a later one: its name went first.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sled::{IVec, Mode, Tree};

use super::{
    Batch, Disk, Durability, Engine, EngineError, Guarantees, Keyspace, Order, Profile, Rows,
    Snapshot, Span, folder,
};

const NAME: &str = "sled";

/// Pages kept in memory.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// The prefix under which names of keyspaces stand.
const NAMES: u32 = 0;

/// Rows removed at a time where a keyspace is dropped.
const DROP_CHUNK: usize = 1_024;

/// What sled says of a lock that another holds.
const HELD: &str = "could not acquire lock";

/// How long the lock is waited for, and how long between two looks.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// An open sled database.
pub struct Sled {
    database: sled::Db,
    rows: Tree,
    names: Mutex<BTreeMap<String, u32>>,
}

/// Opens the database in that folder, or creates both.
pub fn open(dir: &Path) -> Result<Sled, EngineError> {
    super::refuse_foreign(dir, NAME)?;
    folder::create(dir).map_err(|error| failed("make its folder stay")(error.into()))?;
    let database = unlocked(dir)?;
    let rows = database
        .open_tree("rows")
        .map_err(failed("open its tree"))?;
    let mut names = BTreeMap::new();
    for row in rows.scan_prefix(NAMES.to_be_bytes()) {
        let (key, number) = row.map_err(failed("list its keyspaces"))?;
        let name = key
            .get(4..)
            .map(String::from_utf8_lossy)
            .unwrap_or_default();
        let number = <[u8; 4]>::try_from(number.as_ref());
        if let (false, Ok(number)) = (name.is_empty(), number) {
            names.insert(name.into_owned(), u32::from_be_bytes(number));
        }
    }
    Ok(Sled {
        database,
        rows,
        names: Mutex::new(names),
    })
}

/// Opens the files. What closed them last in this process may hold their lock a little
/// longer: sled gives it back from a thread of its own.
fn unlocked(dir: &Path) -> Result<sled::Db, EngineError> {
    let files = sled::Config::new()
        .path(dir)
        .cache_capacity(CACHE_BYTES)
        .mode(Mode::HighThroughput)
        // Every batch that matters is flushed by the store.
        .flush_every_ms(None);
    let patience = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match files.open() {
            Ok(database) => return Ok(database),
            Err(sled::Error::Io(error)) if error.to_string().contains(HELD) => {
                if Instant::now() >= patience {
                    let dir = dir.to_owned();
                    return Err(EngineError::Locked { dir });
                }
                thread::sleep(LOCK_WAIT);
            }
            Err(other) => return Err(failed("open its folder")(other)),
        }
    }
}

fn failed(doing: &'static str) -> impl Fn(sled::Error) -> EngineError {
    move |error| EngineError::Failed {
        engine: NAME,
        doing,
        source: Box::new(error),
    }
}

fn key_in(number: u32, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(4 + key.len());
    whole.extend_from_slice(&number.to_be_bytes());
    whole.extend_from_slice(key);
    whole
}

impl Sled {
    fn next_number(&self) -> Result<u32, EngineError> {
        // The counter has the empty name, which no keyspace has.
        let taken = self
            .rows
            .update_and_fetch(key_in(NAMES, &[]), |last| {
                let last = last.and_then(|last| <[u8; 4]>::try_from(last).ok());
                let next = last.map_or(1, |last| u32::from_be_bytes(last).saturating_add(1));
                Some(next.to_be_bytes().to_vec())
            })
            .map_err(failed("number a keyspace"))?;
        let number = taken.and_then(|taken| <[u8; 4]>::try_from(taken.as_ref()).ok());
        Ok(number.map_or(1, u32::from_be_bytes))
    }
}

impl fmt::Debug for Sled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sled").finish_non_exhaustive()
    }
}

impl Engine for Sled {
    fn name(&self) -> &'static str {
        NAME
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees {
            survives_power_loss: false,
            snapshot_isolation: false,
            drop_returns_space: false,
        }
    }

    fn keyspaces(&self) -> Result<Vec<String>, EngineError> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(names.keys().cloned().collect())
    }

    fn open_keyspace(&self, name: &str, _: Profile) -> Result<Keyspace, EngineError> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = names.get(name) {
            return Ok(Keyspace(*number));
        }
        let number = self.next_number()?;
        self.rows
            .insert(key_in(NAMES, name.as_bytes()), &number.to_be_bytes())
            .map_err(failed("create a keyspace"))?;
        self.rows.flush().map_err(failed("create a keyspace"))?;
        names.insert(name.to_owned(), number);
        Ok(Keyspace(number))
    }

    fn drop_keyspace(&self, keyspace: Keyspace) -> Result<(), EngineError> {
        let doing = failed("drop a keyspace");
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let found = names.iter().find(|(_, number)| **number == keyspace.0);
        let Some(name) = found.map(|(name, _)| name.clone()) else {
            return Err(EngineError::NoKeyspace {
                index: keyspace.index(),
            });
        };
        self.rows
            .remove(key_in(NAMES, name.as_bytes()))
            .map_err(&doing)?;
        names.remove(&name);
        drop(names);
        loop {
            let rows = self
                .rows
                .scan_prefix(keyspace.0.to_be_bytes())
                .keys()
                .take(DROP_CHUNK);
            let mut chunk = sled::Batch::default();
            let mut count = 0;
            for key in rows {
                chunk.remove(key.map_err(&doing)?);
                count += 1;
            }
            if count == 0 {
                break;
            }
            self.rows.apply_batch(chunk).map_err(&doing)?;
        }
        self.rows.flush().map_err(&doing)?;
        Ok(())
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let mut writes = sled::Batch::default();
        for write in batch.into_writes() {
            let key = key_in(write.keyspace.0, &write.key);
            match write.value {
                Some(value) => writes.insert(key, &*value),
                None => writes.remove(key),
            }
        }
        self.rows
            .apply_batch(writes)
            .map_err(failed("write a batch"))?;
        if durability == Durability::Synced {
            self.rows.flush().map_err(failed("flush a batch"))?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        Ok(Arc::new(View {
            rows: self.rows.clone(),
        }))
    }

    fn disk(&self) -> Result<Disk, EngineError> {
        let bytes = self
            .database
            .size_on_disk()
            .map_err(failed("measure its files"))?;
        Ok(Disk {
            bytes,
            journal_bytes: 0,
        })
    }

    fn tend(&self) -> Result<(), EngineError> {
        Ok(())
    }
}

/// No snapshot: the tree as it is when it is read.
struct View {
    rows: Tree,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

fn bytes(value: IVec) -> Bytes {
    Bytes::from_owner(value)
}

impl Snapshot for View {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self
            .rows
            .get(key_in(keyspace.0, key))
            .map_err(failed("read a key"))?;
        Ok(value.map(bytes))
    }

    fn range(
        &self,
        keyspace: Keyspace,
        span: Span<'_>,
        order: Order,
    ) -> Result<Rows<'_>, EngineError> {
        let from = key_in(keyspace.0, span.from);
        let until = match span.until {
            Some(until) => key_in(keyspace.0, until),
            None => key_in(keyspace.0.saturating_add(1), &[]),
        };
        if from >= until {
            return Ok(Box::new(std::iter::empty()));
        }
        let rows = self.rows.range(from..until);
        let read = |row: sled::Result<(IVec, IVec)>| {
            let (key, value) = row.map_err(failed("read a range"))?;
            Ok((bytes(key).slice(4..), bytes(value)))
        };
        Ok(match order {
            Order::Ascending => Box::new(rows.map(read)),
            Order::Descending => Box::new(rows.rev().map(read)),
        })
    }
}
