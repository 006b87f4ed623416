//! Accepting events: dedupe, then the event, its key and its map task.

use tidegate_core::event::Accepted;
use tidegate_core::task::TaskKind;

use super::draft::Draft;
use crate::codec::{KeyHolder, QueueEntry};
use crate::keys::{self, EventKey, QueueKey};
use crate::recent::Recent;
use crate::sealed::SealedEvent;
use crate::view::Fault;

/// Stages the events of one request, all or none. A duplicate of an event that is in
/// the batch already shares its fate.
pub(super) fn stage(
    draft: &mut Draft<'_>,
    recent: &Recent,
    events: Vec<SealedEvent>,
) -> Result<Vec<Accepted>, Fault> {
    let known = events
        .iter()
        .map(|event| find(draft, recent, event.key))
        .collect::<Result<Vec<_>, Fault>>()?;
    let accept = |(event, holder): (SealedEvent, Option<KeyHolder>)| {
        // Two events of one request may have the same key, too.
        match holder.or_else(|| draft.key_holder(event.key)) {
            Some(first) => duplicate(draft, &event, first),
            None => accept(draft, event),
        }
    };
    Ok(events.into_iter().zip(known).map(accept).collect())
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

fn duplicate(draft: &mut Draft<'_>, event: &SealedEvent, first: KeyHolder) -> Accepted {
    let body_differs = first.body.is_some_and(|body| body != event.body);
    if body_differs {
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
        body_differs,
    }
}

fn accept(draft: &mut Draft<'_>, event: SealedEvent) -> Accepted {
    let id = draft.ledger.tally.next_event();
    draft.ledger.tally.events += 1;
    let holder = KeyHolder {
        event: id,
        body: Some(event.body),
    };
    draft.hold_key(event.key, holder);
    let room = draft.ledger.events.newest().rooms.events;
    draft
        .batch
        .put(room.keyspace, keys::number(id.get()), event.record);
    draft.ledger.events.count_open(id.get(), 1);
    let kind = TaskKind::Map {
        event: id,
        connection: event.connection,
        with: None,
    };
    let place = QueueKey::of(&kind, event.received, event.received, id.map_task());
    let entry = QueueEntry {
        kind,
        attempt: 1,
        limited_since: None,
    };
    draft.enqueue(place, entry);
    Accepted {
        id,
        duplicate: false,
        body_differs: false,
    }
}
