//! Accepting events: dedupe, then the event, its key and its map task.

use tidegate_core::event::{Accepted, Event};
use tidegate_core::task::{Task, TaskKind, TaskState};

use super::draft::Draft;
use crate::codec::{KeyHolder, QueueEntry, Record};
use crate::keys::{self, EventHasher, EventKey};
use crate::recent::Recent;
use crate::view::Fault;

/// Stages the events of one request, all or none. A duplicate of an event that is in
/// the batch already shares its fate.
pub(super) fn stage(
    draft: &mut Draft<'_>,
    hasher: &EventHasher,
    recent: &Recent,
    events: &[Event],
) -> Result<Vec<Accepted>, Fault> {
    let known = events
        .iter()
        .map(|event| {
            let key = hasher.key(event);
            Ok((key, find(draft, recent, key)?))
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    let accept = |(event, (key, holder)): (&Event, (EventKey, Option<KeyHolder>))| {
        let body = hasher.body(event);
        // Two events of one request may have the same key, too.
        match holder.or_else(|| draft.key_holder(key)) {
            Some(first) => duplicate(draft, event, body, first),
            None => accept(draft, event, body, key),
        }
    };
    Ok(events.iter().zip(known).map(accept).collect())
}

fn find(draft: &Draft<'_>, recent: &Recent, key: EventKey) -> Result<Option<KeyHolder>, Fault> {
    if let Some(holder) = draft.key_holder(key).or_else(|| recent.find(key)) {
        return Ok(Some(holder));
    }
    for bucket in draft.view.ledger.keys.newest_first() {
        if let Some(holder) = draft.view.record(bucket.rooms.0, &key.to_bytes())? {
            return Ok(Some(holder));
        }
    }
    Ok(None)
}

fn duplicate(draft: &mut Draft<'_>, event: &Event, body: u64, first: KeyHolder) -> Accepted {
    if body != first.body {
        draft.clashes += 1;
        tracing::debug!(
            connection = %event.connection,
            partner_id = %event.partner_id,
            first = %first.event,
            "an event id came again with another body; the first one stands"
        );
    }
    Accepted {
        id: first.event,
        duplicate: true,
    }
}

fn accept(draft: &mut Draft<'_>, event: &Event, body: u64, key: EventKey) -> Accepted {
    let id = draft.ledger.tally.next_event();
    draft.ledger.tally.events += 1;
    draft.hold_key(key, KeyHolder { event: id, body });
    let bucket = draft.ledger.events.newest();
    let room = bucket.rooms.events;
    draft
        .batch
        .put(room.keyspace, keys::number(id.get()), event.to_record());
    draft.ledger.events.count_open(id.get(), 1);
    let kind = TaskKind::Map {
        event: id,
        connection: event.connection.clone(),
        with: None,
    };
    let entry = QueueEntry {
        kind: kind.clone(),
        attempt: 1,
        limited_since: None,
    };
    let state = TaskState::Scheduled {
        attempt: 1,
        due: event.received,
        limited_since: None,
    };
    draft.enqueue(
        event.received,
        Task {
            id: id.map_task(),
            kind,
            state,
        },
        &entry,
    );
    Accepted {
        id,
        duplicate: false,
    }
}
