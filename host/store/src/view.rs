//! What readers see: the store as of the last synced commit.
//!
//! A [`View`] is a snapshot of the engine with the ledger that belongs to it. The
//! committer swaps in the next one after its sync, so nothing shows before it is
//! durable. Where the engine has no snapshots, what a view says of numbers (the ledger)
//! still holds, and readers go by that: no event, task or change after it is shown.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use tidegate_core::ports::ReadError;

use crate::codec::{Corrupt, Record};
use crate::dead_counts::{DeadChange, DeadCount, DeadCounts};
use crate::engine::{Engine, EngineError, Order, Rows, Snapshot, Span};
use crate::ledger::Ledger;
use crate::rooms::{Room, Rooms};

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The engine says so.
    #[error("keyspace {keyspace} cannot be read")]
    Engine {
        /// Where.
        keyspace: String,
        /// What the engine says.
        #[source]
        source: EngineError,
    },
    /// Its bytes are not what they should be.
    #[error("record {key} of keyspace {keyspace} is corrupt")]
    Corrupt {
        /// Where.
        keyspace: String,
        /// Its key, in hexadecimal.
        key: String,
        /// What is wrong with it.
        #[source]
        source: Corrupt,
    },
}

impl Fault {
    pub(crate) fn corrupt(room: Room, key: &[u8], source: Corrupt) -> Self {
        use fmt::Write;

        let mut hex = String::with_capacity(2 * key.len());
        for byte in key {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Self::Corrupt {
            keyspace: room.name.to_string(),
            key: hex,
            source,
        }
    }

    pub(crate) fn engine(room: Room, source: EngineError) -> Self {
        Self::Engine {
            keyspace: room.name.to_string(),
            source,
        }
    }

    /// As the port has it.
    pub(crate) fn reading(self, what: impl Into<String>) -> ReadError {
        ReadError {
            what: what.into(),
            source: Box::new(self),
        }
    }
}

/// The store as of one commit.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) snapshot: Arc<dyn Snapshot>,
    pub(crate) ledger: Ledger,
    pub(crate) rooms: Rooms,
}

impl View {
    /// The bytes under a key.
    pub(crate) fn bytes(&self, room: Room, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        self.snapshot
            .get(room.keyspace, key)
            .map_err(|source| Fault::engine(room, source))
    }

    /// The record under a key.
    pub(crate) fn record<T: Record>(&self, room: Room, key: &[u8]) -> Result<Option<T>, Fault> {
        let Some(bytes) = self.bytes(room, key)? else {
            return Ok(None);
        };
        T::from_record(bytes)
            .map(Some)
            .map_err(|source| Fault::corrupt(room, key, source))
    }

    /// The rows of a span.
    pub(crate) fn rows(
        &self,
        room: Room,
        span: Span<'_>,
        order: Order,
    ) -> Result<RowsIn<'_>, Fault> {
        let rows = self
            .snapshot
            .range(room.keyspace, span, order)
            .map_err(|source| Fault::engine(room, source))?;
        Ok(RowsIn { room, rows })
    }
}

/// Rows that know which keyspace they are of.
pub(crate) struct RowsIn<'a> {
    room: Room,
    rows: Rows<'a>,
}

impl RowsIn<'_> {
    /// What is wrong with the row under that key.
    pub(crate) fn corrupt(&self, key: &[u8], source: Corrupt) -> Fault {
        Fault::corrupt(self.room, key, source)
    }
}

impl Iterator for RowsIn<'_> {
    type Item = Result<(Bytes, Bytes), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        Some(row.map_err(|source| Fault::engine(self.room, source)))
    }
}

/// The view of the moment, shared by everyone.
#[derive(Clone)]
pub(crate) struct Published {
    view: Arc<RwLock<Arc<View>>>,
    clashes: Arc<AtomicU64>,
    dead: Arc<Mutex<DeadCounts>>,
    pub(crate) engine: Arc<dyn Engine>,
}

impl Published {
    pub(crate) fn new(engine: Arc<dyn Engine>, view: View) -> Result<Self, Fault> {
        let dead = DeadCounts::read(&view)?;
        Ok(Self {
            view: Arc::new(RwLock::new(Arc::new(view))),
            clashes: Arc::default(),
            dead: Arc::new(Mutex::new(dead)),
            engine,
        })
    }

    /// How many dead letters there are of whom and why.
    pub(crate) fn dead_counts(&self) -> Vec<DeadCount> {
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        dead.list()
    }

    /// Counts what a commit did to the dead letters, after its sync.
    pub(crate) fn count_dead(&self, changes: Vec<DeadChange>) {
        if changes.is_empty() {
            return;
        }
        let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            dead.apply(change);
        }
    }

    /// Duplicates with another body than the first, since the store was opened.
    pub(crate) fn clashes(&self) -> u64 {
        self.clashes.load(Ordering::Relaxed)
    }

    pub(crate) fn add_clashes(&self, clashes: u64) {
        self.clashes.fetch_add(clashes, Ordering::Relaxed);
    }

    /// The view of the moment.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Swaps in the next view.
    pub(crate) fn swap(&self, view: View) {
        let next = Arc::new(view);
        let mut current = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let last = std::mem::replace(&mut *current, next);
        drop(current);
        // The last reader of a dropped bucket closes its files: not under the lock.
        drop(last);
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}
