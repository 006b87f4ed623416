//! Rows that a batch changes, kept aside until it is whole.
//!
//! A later submission sees what an earlier one did to them, and the last of a batch
//! counts. What a batch writes once and nobody looks up again in it (events, changes)
//! goes straight into the batch instead.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::draft::Draft;
use crate::codec::Record;
use crate::engine::{Batch, Keyspace, Order, Span};
use crate::keys;
use crate::rooms::Room;
use crate::view::Fault;

/// The rows of each keyspace; none where a row goes.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    rows: BTreeMap<Keyspace, BTreeMap<Vec<u8>, Option<Bytes>>>,
}

impl Overlay {
    fn get(&self, room: Room, key: &[u8]) -> Option<&Option<Bytes>> {
        self.rows.get(&room.keyspace)?.get(key)
    }

    fn set(&mut self, room: Room, key: Vec<u8>, row: Option<Bytes>) {
        self.rows.entry(room.keyspace).or_default().insert(key, row);
    }

    fn with_prefix<'a>(
        &'a self,
        room: Room,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a Bytes>)> {
        let rows = self.rows.get(&room.keyspace).into_iter();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let rows = rows.flat_map(move |rows| rows.range::<[u8], _>(from));
        rows.map(|(key, row)| (key.as_slice(), row.as_ref()))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Adds them to the batch.
    pub(super) fn write(self, batch: &mut Batch) {
        for (keyspace, rows) in self.rows {
            for (key, row) in rows {
                match row {
                    Some(row) => batch.put(keyspace, key, Vec::from(row)),
                    None => batch.remove(keyspace, key),
                }
            }
        }
    }
}

impl Draft<'_> {
    /// A row after the batch so far.
    pub(super) fn row(&self, room: Room, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        match self.overlay.get(room, key) {
            Some(row) => Ok(row.clone()),
            None => self.view.bytes(room, key),
        }
    }

    /// A record after the batch so far.
    pub(super) fn find<T: Record>(&self, room: Room, key: &[u8]) -> Result<Option<T>, Fault> {
        let Some(row) = self.row(room, key)? else {
            return Ok(None);
        };
        T::from_record(row)
            .map(Some)
            .map_err(|source| Fault::corrupt(room, key, source))
    }

    /// Sets a row.
    pub(super) fn put<T: Record>(&mut self, room: Room, key: impl Into<Vec<u8>>, value: &T) {
        let row = Some(value.to_record().into());
        self.overlay.set(room, key.into(), row);
    }

    /// Removes a row.
    pub(super) fn remove(&mut self, room: Room, key: impl Into<Vec<u8>>) {
        self.overlay.set(room, key.into(), None);
    }

    /// The first rows whose keys begin so, after the batch so far.
    pub(super) fn rows(
        &self,
        room: Room,
        prefix: &[u8],
        max: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, Fault> {
        let until = keys::after_prefix(prefix);
        let span = Span {
            from: prefix,
            until: until.as_deref(),
        };
        let mut stored = self.view.rows(room, span, Order::Ascending)?;
        let mut coming = stored.next().transpose()?;
        let mut staged = self.overlay.with_prefix(room, prefix).peekable();
        let mut found = Vec::new();
        while found.len() < max {
            let staged_first = match (&coming, staged.peek()) {
                (None, None) => break,
                (Some(_), None) => false,
                (None, Some(_)) => true,
                (Some((key, _)), Some((other, _))) => *other <= key.as_ref(),
            };
            if !staged_first {
                found.extend(coming.take());
                coming = stored.next().transpose()?;
            } else if let Some((key, row)) = staged.next() {
                if coming
                    .as_ref()
                    .is_some_and(|(other, _)| other.as_ref() == key)
                {
                    coming = stored.next().transpose()?;
                }
                found.extend(row.map(|row| (Bytes::copy_from_slice(key), row.clone())));
            }
        }
        Ok(found)
    }
}
