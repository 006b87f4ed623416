//! Rows of the queue that cannot be read.
//!
//! They are noted here when they are met, and leave with the next commit. Until then
//! they stand on disk and whoever reads passes over them. Bounded: what is beyond the
//! bound stays where it is, and is met again once the store is opened again.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidegate_core::limits::TORN_ROWS_MAX;

use crate::codec::Corrupt;
use crate::rooms::Room;
use crate::view::Fault;

/// A row of the queue that cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct TornRow {
    pub(crate) key: Bytes,
    pub(crate) record: Bytes,
    /// What is wrong with it.
    pub(crate) source: Corrupt,
}

/// Those that still stand in the queue.
#[derive(Debug, Default)]
pub(super) struct TornRows(BTreeMap<Bytes, TornRow>);

impl TornRows {
    /// Takes note of one. False where it was known, or there is no room.
    pub(super) fn note(&mut self, queue: Room, row: TornRow) -> bool {
        if self.0.len() >= TORN_ROWS_MAX || self.0.contains_key(&row.key) {
            return false;
        }
        let fault = Fault::corrupt(queue, &row.key, row.source.clone());
        tracing::error!(
            error = tidegate_core::errors::chain(&fault),
            "a task cannot be read and is set aside"
        );
        self.0.insert(row.key.clone(), row);
        true
    }

    /// It has left the queue. Whether it was known.
    pub(super) fn forget(&mut self, key: &[u8]) -> bool {
        self.0.remove(key).is_some()
    }

    pub(super) fn rows(&self) -> Vec<TornRow> {
        self.0.values().cloned().collect()
    }
}
