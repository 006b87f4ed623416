//! When each of some connections was last heard of.

use std::collections::{BTreeSet, HashMap};

use tidegate_core::ids::ConnectionId;
use tidegate_core::limits::PAGE_SCAN_MAX;
use tidegate_core::ports::ReadError;
use tidegate_core::time::Timestamp;

use super::Reader;
use super::events::READ_BYTES_MAX;
use crate::codec::EventHead;
use crate::engine::{Order, Span};
use crate::keys;
use crate::view::{Fault, View};

impl Reader {
    /// When the newest event of each connection had arrived, as far back as one listing
    /// looks: what is not in the answer was not heard of lately, or never.
    pub fn last_received(
        &self,
        connections: &BTreeSet<ConnectionId>,
    ) -> Result<HashMap<ConnectionId, Timestamp>, ReadError> {
        let view = self.view();
        read(&view, connections).map_err(|fault| fault.reading("the newest events"))
    }
}

fn read(
    view: &View,
    connections: &BTreeSet<ConnectionId>,
) -> Result<HashMap<ConnectionId, Timestamp>, Fault> {
    let mut found = HashMap::new();
    let (mut looked_at, mut bytes) = (0, 0);
    let until = keys::number(view.ledger.tally.last_number.saturating_add(1));
    let span = Span {
        from: &[],
        until: Some(&until),
    };
    for bucket in view.ledger.events.newest_first() {
        let mut rows = view.rows(bucket.rooms.events, span, Order::Descending)?;
        while let Some(row) = rows.next() {
            let enough = found.len() == connections.len();
            if enough || looked_at >= PAGE_SCAN_MAX || bytes >= READ_BYTES_MAX {
                return Ok(found);
            }
            let (key, record) = row?;
            looked_at += 1;
            bytes += record.len();
            let head =
                EventHead::from_record(record).map_err(|source| rows.corrupt(&key, source))?;
            if connections.contains(&head.connection) {
                found.entry(head.connection).or_insert(head.received);
            }
        }
    }
    Ok(found)
}
