//! Reading: everything that was synced, and nothing else.
//!
//! A reader works on the view of the moment it is asked, so a page is of one piece
//! where the engine has snapshots. Where it has none, no record beyond the view's
//! numbers is shown; what may change under a reader's eyes then is progress and the
//! mirror. Every read is bounded in rows and in bytes, and a filtered one in rows looked
//! at.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::change::{Entity, EntityRef, ProposedChange};
use tidegate_core::errors::chain;
use tidegate_core::event::{Event, EventProgress};
use tidegate_core::ids::{ChangeSeq, ConnectionId, ConnectorName, EventId};
use tidegate_core::limits::PAGE_ROWS_MAX;
use tidegate_core::ports::{Events, ReadError};
use tidegate_core::task::Task;
use tidegate_core::time::Timestamp;
use tidegate_core::version::Standing;

use crate::codec::{EventHead, Kept, Record, State};
use crate::dead::{DeadLetter, Subject};
use crate::engine::{Disk, Guarantees, Order, Span};
use crate::keys;
use crate::queue::Claims;
use crate::view::{Fault, Published, View};

use torn::SaidOnce;

mod alerts;
mod audit;
mod changes;
mod dead;
mod entities;
mod events;
mod latest;
mod replays;
mod running;
mod sinks;
mod torn;

pub use audit::AuditPage;
pub(crate) use changes::find_change;
pub use changes::{ChangeFilter, ChangePage, ChangesError};
pub use dead::DeadLetterPage;
pub use entities::{EntityFilter, EntityKey, EntityPage};
pub use events::{EventFilter, EventPage, EventRow, EventsFrom};
pub use replays::{Matching, ReplayPage};
pub use sinks::{OpenDeliveries, OpenDelivery, last_failure};

/// The read side of a store; clones share it.
#[derive(Clone, Debug)]
pub struct Reader {
    published: Published,
    claims: Claims,
    said: Arc<SaidOnce>,
}

/// How much there is of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events ever accepted.
    pub events: u64,
    /// Tasks in the queue, those that run included.
    pub scheduled: u64,
    /// Tasks that wait for something outside them.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// Rows that could not be read and were set aside: a broken disk.
    pub unreadable: u64,
    /// Changes that ever went out.
    pub changes: u64,
    /// When the task that has been due the longest became due; in the future where none
    /// is due yet.
    pub oldest_open: Option<Timestamp>,
    /// Duplicates that came with another body than the first, since the start.
    pub clashes: u64,
}

impl Reader {
    pub(crate) fn new(published: Published, claims: Claims) -> Self {
        Self {
            published,
            claims,
            said: Arc::default(),
        }
    }

    /// An event as it was received; from its dead letter where its bucket was dropped.
    pub fn event(&self, id: EventId) -> Result<Option<Event>, ReadError> {
        let view = self.view();
        find_event(&view, id).map_err(|fault| fault.reading(format!("event {id}")))
    }

    /// Where an event stands.
    pub fn progress(&self, id: EventId) -> Result<Option<EventProgress>, ReadError> {
        let view = self.view();
        find_progress(&view, id).map_err(|fault| fault.reading(format!("progress of event {id}")))
    }

    /// The newest change; a cursor from which there is nothing more yet.
    pub fn newest_change(&self) -> ChangeSeq {
        ChangeSeq::new(self.view().ledger.tally.last_change)
    }

    /// Our copy of an entity.
    pub fn entity(
        &self,
        connection: &ConnectionId,
        entity: &EntityRef,
    ) -> Result<Option<Entity>, ReadError> {
        let view = self.view();
        let key = keys::entity(connection, entity);
        find_entity(&view, &key, connection, entity)
            .map_err(|fault| fault.reading(format!("an entity of {connection}")))
    }

    /// What an operator has consented to for a connector, as JSON.
    pub fn grant(&self, connector: &ConnectorName) -> Result<Option<Bytes>, ReadError> {
        let view = self.view();
        view.bytes(view.rooms.grants, connector.as_str().as_bytes())
            .map_err(|fault| fault.reading(format!("the grant of {connector}")))
    }

    /// The first of the tasks that wait, but for deliveries behind an earlier one: those
    /// stand with their sink's.
    pub fn waiting(&self, limit: usize) -> Result<Vec<Task>, ReadError> {
        let view = self.view();
        let read = || {
            let rows = view.rows(view.rooms.waiting, Span::ALL, Order::Ascending)?;
            let tasks = rows.take(limit.min(PAGE_ROWS_MAX)).map(|row| {
                let (key, record) = row?;
                Task::from_record(record)
                    .map_err(|source| Fault::corrupt(view.rooms.waiting, &key, source))
            });
            tasks.collect::<Result<Vec<_>, Fault>>()
        };
        read().map_err(|fault| fault.reading("waiting tasks"))
    }

    /// How much there is of what. Reads no disk.
    pub fn counts(&self) -> Counts {
        let tally = self.view().ledger.tally;
        Counts {
            events: tally.events,
            scheduled: tally.scheduled,
            waiting: tally.waiting,
            dead: tally.dead,
            unreadable: tally.unreadable,
            changes: tally.last_change,
            oldest_open: self.claims.oldest(),
            clashes: self.published.clashes(),
        }
    }

    /// What the store takes on disk.
    pub fn disk(&self) -> Result<Disk, ReadError> {
        self.published.engine.disk().map_err(|error| ReadError {
            what: "the size of its files".into(),
            source: Box::new(error),
        })
    }

    /// What the engine can promise.
    pub fn guarantees(&self) -> Guarantees {
        self.published.engine.guarantees()
    }

    /// The engine's name.
    pub fn engine_name(&self) -> &'static str {
        self.published.engine.name()
    }

    fn view(&self) -> Arc<View> {
        self.published.view()
    }
}

impl Events for Reader {
    fn event(&self, id: EventId) -> Result<Option<Event>, ReadError> {
        Self::event(self, id)
    }
}

/// What was read; none of what is torn, which is said and passed over. Only what the
/// engine cannot read at all is an error: that may go by.
fn unless_torn<T>(read: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(fault @ Fault::Corrupt { .. }) => {
            tracing::warn!(error = chain(&fault), "a torn row is passed over");
            Ok(None)
        }
        Err(fault @ Fault::Engine { .. }) => Err(fault),
    }
}

/// What a text takes in an answer: JSON escapes what a partner or a plugin wrote.
fn json_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        0..0x20 | 0x7f => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

fn is_known(view: &View, id: EventId) -> bool {
    id.get() <= view.ledger.tally.last_number
}

/// What is known of an event whose bucket is gone: its dead letter, or what was kept
/// aside while it runs again.
fn find_parked(view: &View, id: EventId) -> Result<Option<(Option<Event>, EventProgress)>, Fault> {
    let key = keys::number(id.map_task().get());
    if let Some(letter) = view.record::<DeadLetter>(view.rooms.dead, &key)?
        && let Subject::Event { event, progress } = letter.subject
    {
        return Ok(Some((event, progress)));
    }
    match view.record(view.rooms.replaying, &key)? {
        Some(Kept::Event { event, progress }) => Ok(Some((event, progress))),
        Some(Kept::Change(_)) | None => Ok(None),
    }
}

fn find_event(view: &View, id: EventId) -> Result<Option<Event>, Fault> {
    let bucket = view.ledger.events.of(id.get());
    if let Some(bucket) = bucket.filter(|_| is_known(view, id))
        && let Some(event) = view.record(bucket.rooms.events, &keys::number(id.get()))?
    {
        return Ok(Some(event));
    }
    Ok(find_parked(view, id)?.and_then(|(event, _)| event))
}

fn find_progress(view: &View, id: EventId) -> Result<Option<EventProgress>, Fault> {
    let key = keys::number(id.get());
    let bucket = view.ledger.events.of(id.get());
    if let Some(bucket) = bucket.filter(|_| is_known(view, id)) {
        if let Some(progress) = view.record(bucket.rooms.progress, &key)? {
            return Ok(Some(progress));
        }
        // Nothing is written down of an event before its first attempt has ended.
        if let Some(record) = view.bytes(bucket.rooms.events, &key)? {
            let head = EventHead::from_record(record)
                .map_err(|source| Fault::corrupt(bucket.rooms.events, &key, source))?;
            return Ok(Some(EventProgress::fresh(head.received)));
        }
    }
    Ok(find_parked(view, id)?.map(|(_, progress)| progress))
}

fn find_entity(
    view: &View,
    key: &[u8],
    connection: &ConnectionId,
    entity: &EntityRef,
) -> Result<Option<Entity>, Fault> {
    let Some(standing) = view.record::<Standing>(view.rooms.standing, key)? else {
        return Ok(None);
    };
    let Some(state) = view.record::<State>(view.rooms.mirror, key)? else {
        return Ok(None);
    };
    Ok(Some(to_entity(
        connection.clone(),
        entity.clone(),
        standing,
        state,
    )))
}

fn to_entity(
    connection: ConnectionId,
    entity: EntityRef,
    standing: Standing,
    state: State,
) -> Entity {
    let change = ProposedChange {
        entity,
        operation: standing.content.operation,
        version: standing.content.version,
        revision: standing.content.revision.clone(),
        occurred: state.occurred,
        data: state.data,
    };
    Entity {
        connection,
        change,
        standing,
        origin: state.origin,
        event: state.event,
        committed: state.committed,
    }
}
