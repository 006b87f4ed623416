//! Listing events, newest first.

use tidegate_core::event::{EventProgress, EventState};
use tidegate_core::ids::{ConnectionId, ConnectorName, EventId, PluginDigest};
use tidegate_core::limits::{PAGE_BYTES_MAX, PAGE_ROWS_MAX, PAGE_SCAN_MAX};
use tidegate_core::ports::ReadError;
use tidegate_core::time::Timestamp;

use super::{Reader, json_bytes};
use crate::buckets::Bucket;
use crate::codec::{Corrupt, EventHead};
use crate::engine::{Order, Span};
use crate::keys;
use crate::rooms::EventRooms;
use crate::view::{Fault, View};

/// Bytes that one listing may read, bodies that it skips included. They are not kept.
pub(super) const READ_BYTES_MAX: usize = 16 * PAGE_BYTES_MAX;

/// Which events; all where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of any connection of this connector.
    pub connector: Option<ConnectorName>,
    /// Of this connection.
    pub connection: Option<ConnectionId>,
    /// In the state with this code.
    pub state: Option<String>,
    /// Received not before this.
    pub from: Option<Timestamp>,
    /// And before this.
    pub until: Option<Timestamp>,
    /// Last mapped by this plugin version.
    pub plugin: Option<PluginDigest>,
}

/// Where a page of events begins, and how long it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventsFrom {
    /// Only events before this one: the last page's `next`.
    pub before: Option<EventId>,
    /// Most rows.
    pub limit: usize,
}

/// Events, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// One row each.
    pub rows: Vec<EventRow>,
    /// What to hand in as `before` for more. A page may be short, even empty, and yet
    /// have a next one: what it may look at is bounded.
    pub next: Option<EventId>,
}

/// An event in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its id.
    pub id: EventId,
    /// On whose behalf.
    pub connection: ConnectionId,
    /// The partner's id of it.
    pub partner_id: String,
    /// When it had arrived.
    pub received: Timestamp,
    /// Length of its body.
    pub body_bytes: usize,
    /// Where it stands.
    pub state: EventState,
    /// How many changes it came to.
    pub changes: usize,
    /// How many of its attempts are kept.
    pub attempts: usize,
    /// The version that mapped it last.
    pub plugin: Option<PluginDigest>,
}

impl EventRow {
    /// Numbers, instants, names and punctuation of a row as JSON, roughly.
    const BYTES_FIXED: usize = 512;

    /// What it takes in an answer. What its plugin wrote is no part of a row.
    fn bytes(&self) -> usize {
        let reason = match &self.state {
            EventState::Skipped { reason } | EventState::Dead { reason, .. } => json_bytes(reason),
            EventState::Pending { .. } | EventState::Fetching { .. } | EventState::Mapped => 0,
        };
        Self::BYTES_FIXED + json_bytes(&self.partner_id) + reason
    }
}

impl EventFilter {
    fn takes_head(&self, head: &EventHead) -> bool {
        let connector = self.connector.as_ref();
        connector.is_none_or(|connector| *connector == head.connection.connector)
            && self
                .connection
                .as_ref()
                .is_none_or(|connection| *connection == head.connection)
            && self.from.is_none_or(|from| head.received >= from)
            && self.until.is_none_or(|until| head.received < until)
    }

    fn takes_progress(&self, progress: &EventProgress) -> bool {
        self.state
            .as_ref()
            .is_none_or(|state| state == progress.state.code())
            && self
                .plugin
                .is_none_or(|plugin| progress.plugin == Some(plugin))
    }
}

impl Reader {
    /// A page of events, newest first. Events whose bucket was dropped are not in it;
    /// those that are parked stand among the dead letters.
    pub fn events(&self, filter: &EventFilter, from: EventsFrom) -> Result<EventPage, ReadError> {
        let view = self.view();
        let newest = view.ledger.tally.last_number;
        let before = from.before.map_or(u64::MAX, EventId::get);
        let mut listing = Listing {
            view: &view,
            filter,
            rows: Vec::new(),
            limit: from.limit.clamp(1, PAGE_ROWS_MAX),
            looked_at: 0,
            read: 0,
            bytes: 0,
            before: before.min(newest.saturating_add(1)),
        };
        let mut next = None;
        for bucket in view.ledger.events.newest_first() {
            let ended = listing
                .read(bucket)
                .map_err(|fault| fault.reading("a page of events"))?;
            if !ended {
                next = Some(EventId::new(listing.before));
                break;
            }
        }
        Ok(EventPage {
            rows: listing.rows,
            next,
        })
    }
}

struct Listing<'a> {
    view: &'a View,
    filter: &'a EventFilter,
    rows: Vec<EventRow>,
    limit: usize,
    looked_at: usize,
    /// Bytes that were read to look at them, bodies included.
    read: usize,
    /// Bytes of the rows that were taken.
    bytes: usize,
    before: u64,
}

impl Listing<'_> {
    /// Whether there is room for another row, and for another body to be read and skipped.
    const fn has_room(&self) -> bool {
        self.rows.len() < self.limit
            && self.looked_at < PAGE_SCAN_MAX
            && self.read < READ_BYTES_MAX
            && self.bytes < PAGE_BYTES_MAX
    }

    /// Reads on in a bucket; says whether it came to the bucket's end.
    fn read(&mut self, bucket: &Bucket<EventRooms>) -> Result<bool, Fault> {
        let from = keys::number(bucket.facts.first);
        let until = keys::number(self.before);
        let span = Span {
            from: &from,
            until: Some(&until),
        };
        let mut rows = self
            .view
            .rows(bucket.rooms.events, span, Order::Descending)?;
        while let Some(row) = rows.next() {
            let (key, record) = row?;
            if !self.has_room() {
                return Ok(false);
            }
            self.looked_at += 1;
            self.read += record.len();
            let id = keys::to_number(&key).ok_or_else(|| rows.corrupt(&key, Corrupt::Key))?;
            self.before = id;
            let head =
                EventHead::from_record(record).map_err(|source| rows.corrupt(&key, source))?;
            if !self.filter.takes_head(&head) {
                continue;
            }
            let progress = self
                .view
                .record(bucket.rooms.progress, &key)?
                .unwrap_or_else(|| EventProgress::fresh(head.received));
            if self.filter.takes_progress(&progress) {
                let EventHead {
                    connection,
                    partner_id,
                    received,
                    body_bytes,
                } = head;
                let row = EventRow {
                    id: EventId::new(id),
                    connection,
                    partner_id,
                    received,
                    body_bytes,
                    changes: progress.changes.len(),
                    attempts: progress.attempts.len(),
                    plugin: progress.plugin,
                    state: progress.state,
                };
                self.bytes += row.bytes();
                self.rows.push(row);
            }
        }
        Ok(true)
    }
}
