//! The engine for simulation and tests: in memory, deterministic, with injected faults.
//!
//! Every write gets the next version; what was synced is the prefix of versions up to
//! one of them. A crash forgets the versions after it, which is exactly what a disk
//! does to writes that were never synced. Snapshots are versions too, so isolation
//! costs nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{
    Batch, Disk, Durability, Engine, EngineError, Guarantees, Keyspace, Order, Profile, Rows,
    Snapshot, Span,
};

const NAME: &str = "memory";

/// Rows that a range copies at a time.
const CHUNK: usize = 256;

/// What goes wrong with the next write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The write fails; nothing of it is kept.
    Write,
    /// The sync fails; the batch is not on stable storage.
    SyncLost,
    /// The sync fails, and yet the batch is on stable storage.
    SyncKept,
}

/// The failure that was injected.
#[derive(Debug, thiserror::Error)]
#[error("an injected fault: {0:?}")]
struct Injected(Fault);

/// The use of an engine after its crash.
#[derive(Debug, thiserror::Error)]
#[error("it has crashed")]
struct Crashed;

/// An engine in memory. Clones share their content.
#[derive(Clone)]
pub struct Memory {
    content: Arc<Mutex<Content>>,
}

#[derive(Default)]
struct Content {
    names: BTreeMap<String, usize>,
    spaces: Vec<Space>,
    /// The newest version that was written.
    written: u64,
    /// The newest version that survives a crash.
    durable: u64,
    /// Versions that snapshots look at, each with how many do.
    watched: BTreeMap<u64, usize>,
    next_fault: Option<Fault>,
    crashed: bool,
}

/// The versions of each key, oldest first.
#[derive(Default, Clone)]
struct Space {
    rows: BTreeMap<Vec<u8>, Vec<(u64, Option<Bytes>)>>,
    dropped: bool,
}

impl Memory {
    /// An empty engine.
    pub fn new() -> Self {
        Self {
            content: Arc::default(),
        }
    }

    /// Makes the next write fail, in that way.
    pub fn fail_next(&self, fault: Fault) {
        self.lock().next_fault = Some(fault);
    }

    /// The power goes: the engine that a restart would find. This one refuses all
    /// further use.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut content = self.lock();
        content.crashed = true;
        let durable = content.durable;
        let spaces = content
            .spaces
            .iter()
            .map(|space| space.at(durable))
            .collect();
        let names = content.names.clone();
        let survived = Content {
            names,
            spaces,
            written: durable,
            durable,
            ..Content::default()
        };
        Self {
            content: Arc::new(Mutex::new(survived)),
        }
    }

    /// Overwrites a value as a broken disk would: durable at once, behind every back.
    pub fn corrupt(&self, keyspace: &str, key: &[u8], value: &[u8]) {
        self.damage(keyspace, key, Some(Bytes::copy_from_slice(value)));
    }

    /// Loses a row as a broken disk would.
    pub fn lose(&self, keyspace: &str, key: &[u8]) {
        self.damage(keyspace, key, None);
    }

    /// The keys of a keyspace.
    pub fn keys(&self, keyspace: &str) -> Vec<Vec<u8>> {
        let content = self.lock();
        let index = content.names.get(keyspace).copied();
        let space = index.and_then(|index| content.spaces.get(index));
        space.map_or_else(Vec::new, |space| space.rows.keys().cloned().collect())
    }

    fn damage(&self, keyspace: &str, key: &[u8], value: Option<Bytes>) {
        let mut content = self.lock();
        let index = content.names.get(keyspace).copied();
        if let Some(space) = index.and_then(|index| content.spaces.get_mut(index)) {
            space.rows.insert(key.to_vec(), vec![(0, value)]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self, doing: &'static str) -> Result<MutexGuard<'_, Content>, EngineError> {
        let content = self.lock();
        if content.crashed {
            return Err(failed(doing, Crashed));
        }
        Ok(content)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

fn failed(
    doing: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> EngineError {
    EngineError::Failed {
        engine: NAME,
        doing,
        source: Box::new(source),
    }
}

impl Space {
    /// What of it was there at that version.
    fn at(&self, version: u64) -> Self {
        let rows = self
            .rows
            .iter()
            .filter_map(|(key, versions)| {
                let value = visible(versions, version)?;
                Some((key.clone(), vec![(version, Some(value))]))
            })
            .collect();
        Self {
            rows,
            dropped: self.dropped,
        }
    }

    fn write(&mut self, key: Vec<u8>, version: u64, value: Option<Bytes>, oldest_needed: u64) {
        let versions = self.rows.entry(key).or_default();
        let seen_by_none = versions
            .iter()
            .rposition(|(written, _)| *written <= oldest_needed)
            .unwrap_or(0);
        versions.drain(..seen_by_none);
        versions.push((version, value));
    }
}

fn visible(versions: &[(u64, Option<Bytes>)], at: u64) -> Option<Bytes> {
    versions
        .iter()
        .rev()
        .find(|(written, _)| *written <= at)
        .and_then(|(_, value)| value.clone())
}

impl Content {
    fn space(&self, keyspace: Keyspace) -> Result<&Space, EngineError> {
        self.spaces
            .get(keyspace.index())
            .ok_or(EngineError::NoKeyspace {
                index: keyspace.index(),
            })
    }

    /// The oldest version that a snapshot or a crash may still ask for.
    fn oldest_needed(&self) -> u64 {
        let watched = self.watched.keys().next().copied().unwrap_or(u64::MAX);
        watched.min(self.durable)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), EngineError> {
        let writes = batch.into_writes();
        let mut keys = std::collections::HashSet::new();
        for write in &writes {
            if self.space(write.keyspace)?.dropped {
                return Err(EngineError::NoKeyspace {
                    index: write.keyspace.index(),
                });
            }
            if !keys.insert((write.keyspace, &*write.key)) {
                return Err(EngineError::KeyTwice);
            }
        }
        drop(keys);
        let oldest_needed = self.oldest_needed();
        self.written += 1;
        for write in writes {
            if let Some(space) = self.spaces.get_mut(write.keyspace.index()) {
                space.write(
                    write.key.to_vec(),
                    self.written,
                    write.value.map(Bytes::from_owner),
                    oldest_needed,
                );
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.lock();
        f.debug_struct("Memory")
            .field("keyspaces", &content.names.len())
            .field("written", &content.written)
            .field("durable", &content.durable)
            .finish_non_exhaustive()
    }
}

impl Engine for Memory {
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
        Ok(self
            .alive("list its keyspaces")?
            .names
            .keys()
            .cloned()
            .collect())
    }

    fn open_keyspace(&self, name: &str, _: Profile) -> Result<Keyspace, EngineError> {
        let mut content = self.alive("open a keyspace")?;
        if let Some(index) = content.names.get(name) {
            return Ok(Keyspace::at(*index));
        }
        let index = content.spaces.len();
        content.spaces.push(Space::default());
        content.names.insert(name.to_owned(), index);
        Ok(Keyspace::at(index))
    }

    fn drop_keyspace(&self, keyspace: Keyspace) -> Result<(), EngineError> {
        let mut content = self.alive("drop a keyspace")?;
        content.space(keyspace)?;
        content.names.retain(|_, index| *index != keyspace.index());
        if let Some(space) = content.spaces.get_mut(keyspace.index()) {
            *space = Space {
                rows: BTreeMap::new(),
                dropped: true,
            };
        }
        Ok(())
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        const DOING: &str = "write a batch";
        let mut content = self.alive(DOING)?;
        // A sync that fails needs one to fail.
        let strikes =
            |fault: &mut Fault| *fault == Fault::Write || durability == Durability::Synced;
        let fault = content.next_fault.take_if(strikes);
        if fault == Some(Fault::Write) {
            return Err(failed(DOING, Injected(Fault::Write)));
        }
        content.apply(batch)?;
        let reaches_disk = match fault {
            Some(fault) => fault == Fault::SyncKept,
            None => durability == Durability::Synced,
        };
        if reaches_disk {
            content.durable = content.written;
        }
        fault.map_or(Ok(()), |fault| Err(failed(DOING, Injected(fault))))
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        let mut content = self.alive("take a snapshot")?;
        let version = content.written;
        *content.watched.entry(version).or_default() += 1;
        Ok(Arc::new(View {
            memory: self.clone(),
            version,
        }))
    }

    fn disk(&self) -> Result<Disk, EngineError> {
        let content = self.alive("measure itself")?;
        let bytes = content
            .spaces
            .iter()
            .flat_map(|space| &space.rows)
            .map(|(key, versions)| {
                let newest = versions.last().and_then(|(_, value)| value.as_ref());
                key.len() + newest.map_or(0, Bytes::len)
            })
            .sum::<usize>();
        Ok(Disk {
            bytes: bytes as u64,
            journal_bytes: 0,
        })
    }

    fn tend(&self) -> Result<(), EngineError> {
        self.alive("tend to itself").map(drop)
    }
}

struct View {
    memory: Memory,
    version: u64,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let mut content = self.memory.lock();
        if let Some(count) = content.watched.get_mut(&self.version) {
            *count -= 1;
            if *count == 0 {
                content.watched.remove(&self.version);
            }
        }
    }
}

impl Snapshot for View {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let content = self.memory.alive("read a key")?;
        let versions = content.space(keyspace)?.rows.get(key);
        Ok(versions.and_then(|versions| visible(versions, self.version)))
    }

    fn range(
        &self,
        keyspace: Keyspace,
        span: Span<'_>,
        order: Order,
    ) -> Result<Rows<'_>, EngineError> {
        self.memory.alive("read a range")?.space(keyspace)?;
        Ok(Box::new(Scan {
            view: self,
            keyspace,
            from: span.from.to_vec(),
            until: span.until.map(<[u8]>::to_vec),
            order,
            chunk: Vec::new().into_iter(),
            ended: false,
        }))
    }
}

/// A range that copies a chunk of rows at a time, so that it holds no lock while its
/// reader is busy.
struct Scan<'a> {
    view: &'a View,
    keyspace: Keyspace,
    from: Vec<u8>,
    until: Option<Vec<u8>>,
    order: Order,
    chunk: std::vec::IntoIter<(Bytes, Bytes)>,
    ended: bool,
}

impl Scan<'_> {
    fn read_chunk(&mut self) -> Result<(), EngineError> {
        use std::ops::Bound::{Excluded, Included, Unbounded};

        let content = self.view.memory.alive("read a range")?;
        let space = content.space(self.keyspace)?;
        let until = self.until.as_deref();
        if until.is_some_and(|until| until <= self.from.as_slice()) {
            self.ended = true;
            return Ok(());
        }
        let rows = space.rows.range::<[u8], _>((
            Included(self.from.as_slice()),
            until.map_or(Unbounded, Excluded),
        ));
        let read = |(key, versions): (&Vec<u8>, &Vec<(u64, Option<Bytes>)>)| {
            let value = visible(versions, self.view.version)?;
            Some((Bytes::copy_from_slice(key), value))
        };
        let chunk: Vec<_> = match self.order {
            Order::Ascending => rows.filter_map(read).take(CHUNK).collect(),
            Order::Descending => rows.rev().filter_map(read).take(CHUNK).collect(),
        };
        self.ended = chunk.len() < CHUNK;
        if let Some((last, _)) = chunk.last() {
            match self.order {
                Order::Ascending => {
                    self.from = last.to_vec();
                    self.from.push(0);
                }
                Order::Descending => self.until = Some(last.to_vec()),
            }
        }
        self.chunk = chunk.into_iter();
        Ok(())
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.chunk.next() {
                return Some(Ok(row));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.read_chunk() {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }
}
