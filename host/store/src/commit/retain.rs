//! Retention: buckets that the policy no longer keeps go.
//!
//! Events and event keys go by age, unless an open task needs them. Changes go oldest
//! first, so that the log stays gapless; what a sink's cursor or an open delivery needs
//! stays until the policy's last bound, and then that sink is paused in the same commit.

use tidegate_core::policy::{Policy, RetentionPolicy};
use tidegate_core::sink::SinkStanding;

use super::deliveries::lowest_seq;
use super::draft::Draft;
use super::{advance, sinks};
use crate::codec::Record;
use crate::rooms::{BucketRooms, ChangeRoom, Room};
use crate::view::Fault;

/// Takes what is no longer kept out of the ledger: keyspaces to drop after the commit.
pub(super) fn stage(draft: &mut Draft<'_>, policy: &Policy) -> Vec<Room> {
    let Policy {
        dedupe, retention, ..
    } = policy;
    let (ledger, now) = (&mut draft.ledger, draft.now);
    let events = ledger.events.take_expired(retention.events, now);
    let keys = ledger.keys.take_expired(dedupe.window, now);
    let mut rooms: Vec<Room> = events.into_iter().flat_map(BucketRooms::each).collect();
    rooms.extend(keys.into_iter().flat_map(BucketRooms::each));
    match changes(draft, retention) {
        Ok(changes) => rooms.extend(changes.into_iter().flat_map(BucketRooms::each)),
        // Who needs what is not known, so nothing goes.
        Err(fault) => tracing::warn!(error = %fault, "old changes are kept for now"),
    }
    if !rooms.is_empty() {
        draft.note_buckets_changed();
    }
    rooms
}

fn changes(draft: &mut Draft<'_>, retention: &RetentionPolicy) -> Result<Vec<ChangeRoom>, Fault> {
    let mut expired = Vec::new();
    while let Some((facts, closing)) = draft.ledger.changes.oldest_closed() {
        let age = draft.now.since(closing.at);
        if age < retention.changes {
            break;
        }
        let holders = holders(draft, closing.end)?;
        if !holders.is_empty() || facts.open_tasks > 0 {
            if age < retention.max.max(retention.changes) {
                break;
            }
            for standing in holders {
                tracing::warn!(sink = %standing.sink, "the change log does not wait for it any longer");
                sinks::leave_behind(draft, standing)?;
            }
        }
        expired.extend(draft.ledger.changes.take_oldest());
    }
    Ok(expired)
}

/// The sinks that need a change before that one.
fn holders(draft: &Draft<'_>, end: u64) -> Result<Vec<SinkStanding>, Fault> {
    let room = draft.view.rooms.sinks;
    let mut holders = Vec::new();
    for (key, record) in draft.rows(room, &[], usize::MAX)? {
        let standing = SinkStanding::from_record(record)
            .map_err(|source| Fault::corrupt(room, &key, source))?;
        if advance::begins_again(&standing) {
            continue;
        }
        let cursor = standing
            .mirror
            .as_ref()
            .map_or(standing.cursor, |walk| walk.then);
        let holds = cursor.get() + 1 < end || {
            let rows = draft.open_rows(&standing.sink)?;
            lowest_seq(&rows).is_some_and(|seq| seq.get() < end)
        };
        if holds {
            holders.push(standing);
        }
    }
    Ok(holders)
}
