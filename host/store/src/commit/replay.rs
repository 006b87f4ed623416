//! Running parked and past tasks again.
//!
//! A task keeps its number, so that what it brings is told from what stands. What is
//! open again already, or no longer kept, is passed over; so is what cannot be read (a
//! replay of many does not end at one torn record), and what its sink has no room for.

use std::collections::HashMap;

use tidegate_core::event::{EventProgress, EventState};
use tidegate_core::ids::{EventId, SinkName, TaskId};
use tidegate_core::limits::{REPLAY_RUNS_MAX, SINK_DELIVERIES_MAX};
use tidegate_core::replay::{ReplayItem, ReplayMode, ReplayRun};
use tidegate_core::sink::SinkStanding;
use tidegate_core::task::{Delivery, TaskKind};
use tidegate_core::time::Timestamp;

use super::ReplayBatch;
use super::deliveries::Entry;
use super::draft::Draft;
use super::schedule::TICK;
use crate::codec::{EventHead, Kept, Record};
use crate::dead::{DeadHead, DeadLetter, Subject};
use crate::keys;
use crate::view::Fault;

/// What became of the items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Replayed {
    pub(super) queued: u64,
    pub(super) passed: u64,
}

/// Stages the replay of each item, and how far its run has come with them.
pub(super) fn stage(draft: &mut Draft<'_>, batch: ReplayBatch) -> Replayed {
    let ReplayBatch {
        items,
        mode,
        run,
        audit,
    } = batch;
    let mut replayed = Replayed::default();
    let mut room = RoomOfSinks::default();
    for item in items {
        let queued = match item {
            ReplayItem::Letter(task) => letter(draft, &mut room, task, mode),
            ReplayItem::Event(event) => ended_event(draft, event, mode),
        };
        match queued {
            Ok(true) => replayed.queued += 1,
            Ok(false) => replayed.passed += 1,
            Err(fault) => {
                tracing::warn!(?item, error = %fault, "it is not replayed");
                replayed.passed += 1;
            }
        }
    }
    // An entry of its own counts what it touched; a run's first one says its total.
    if let Some(mut entry) = audit {
        if run.is_none() {
            entry.count = replayed.queued;
        }
        draft.audit(&entry);
    }
    if let Some(run) = run {
        put_run(draft, run, replayed);
    }
    replayed
}

/// How many more deliveries may be open, by sink; counted once a batch.
#[derive(Default)]
struct RoomOfSinks {
    left: HashMap<SinkName, usize>,
}

impl RoomOfSinks {
    /// Takes the place of one delivery, where there is one.
    fn take(&mut self, draft: &Draft<'_>, sink: &SinkName) -> Result<bool, Fault> {
        let left = match self.left.get(sink) {
            Some(left) => *left,
            None => SINK_DELIVERIES_MAX.saturating_sub(draft.open_rows(sink)?.len()),
        };
        let taken = left.checked_sub(1);
        if taken.is_none() {
            tracing::warn!(%sink, "as many of its deliveries are open as may be: a letter stays");
        }
        self.left.insert(sink.clone(), taken.unwrap_or_default());
        Ok(taken.is_some())
    }
}

/// Keeps a run, with what this batch added to it.
fn put_run(draft: &mut Draft<'_>, mut run: ReplayRun, replayed: Replayed) {
    let (room, key) = (draft.view.rooms.replays, keys::number(run.id.get()));
    if matches!(draft.row(room, &key), Ok(None)) {
        make_room(draft);
    }
    run.queued += replayed.queued;
    run.passed += replayed.passed;
    // Not everything may have been counted when it began.
    run.total = run.total.max(run.queued + run.passed);
    draft.put(room, key, &run);
}

/// The oldest that have ended give way.
fn make_room(draft: &mut Draft<'_>) {
    let room = draft.view.rooms.replays;
    let Ok(rows) = draft.rows(room, &[], usize::MAX) else {
        return;
    };
    let surplus = (rows.len() + 1).saturating_sub(REPLAY_RUNS_MAX);
    let has_ended =
        |record: bytes::Bytes| ReplayRun::from_record(record).is_ok_and(|run| run.ended.is_some());
    let ended = rows
        .into_iter()
        .filter(|(_, record)| has_ended(record.clone()));
    for (key, _) in ended.take(surplus).collect::<Vec<_>>() {
        draft.remove(room, key);
    }
}

/// Puts a parked task back into the queue; says whether it was there to put.
fn letter(
    draft: &mut Draft<'_>,
    room: &mut RoomOfSinks,
    id: TaskId,
    mode: ReplayMode,
) -> Result<bool, Fault> {
    let Some((head, letter)) = draft.letter(id)? else {
        return Ok(false);
    };
    // Later than ever: at an old place an old completion would find it.
    let due = draft.now.max(head.due.plus(TICK));
    let DeadLetter {
        task,
        subject,
        attempts,
    } = letter;
    match (task.kind, subject) {
        (
            TaskKind::Map {
                event, connection, ..
            },
            Subject::Event {
                event: kept,
                progress,
            },
        ) => {
            if draft.has_progressed(event) {
                return Ok(false);
            }
            draft.unpark(head);
            if draft.ledger.events.of(event.get()).is_some() {
                reopen(draft, event, progress, due);
            } else {
                let progress = pending(progress, due);
                let event = kept;
                draft.keep(id, &Kept::Event { event, progress });
                draft.ledger.tally.replaying += 1;
            }
            let with = mode.with;
            let kind = TaskKind::Map {
                event,
                connection,
                with,
            };
            draft.schedule_first(id, kind, due);
        }
        (TaskKind::Deliver(delivery), subject) => {
            if !room.take(draft, &delivery.sink)? {
                return Ok(false);
            }
            let change = match subject {
                Subject::Change(change) => change,
                Subject::Event { .. } | Subject::Notice => None,
            };
            let kept = change.map(Kept::Change);
            return deliver_again(draft, head, delivery, kept, mode, due);
        }
        (kind @ TaskKind::Alert { .. }, _) => {
            draft.unpark(head);
            draft.put_attempts(id, &crate::codec::Attempts(attempts));
            draft.schedule_first(id, kind, due);
        }
        (TaskKind::Map { .. } | TaskKind::Fetch { .. } | TaskKind::Poll { .. }, _) => {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A parked delivery runs again, or waits for its turn; none where its sink is gone or
/// will be told by the mirror.
fn deliver_again(
    draft: &mut Draft<'_>,
    head: DeadHead,
    delivery: Delivery,
    kept: Option<Kept>,
    mode: ReplayMode,
    due: Timestamp,
) -> Result<bool, Fault> {
    let sink = delivery.sink.as_str().as_bytes();
    let standing = draft.find::<SinkStanding>(draft.view.rooms.sinks, sink)?;
    if standing.is_none_or(|standing| super::advance::begins_again(&standing)) {
        return Ok(false);
    }
    let behind = draft.has_open(&delivery.sink, &delivery.connection, &delivery.entity)?;
    let task = head.task;
    draft.unpark(head);
    draft.mark_parked(&delivery, None);
    if let Some(kept) = kept
        && draft.ledger.changes.of(delivery.seq.get()).is_none()
    {
        draft.keep(task, &kept);
        draft.ledger.tally.replaying += 1;
    }
    let entry = Entry {
        task,
        attempt: 1,
        since: draft.now,
        limited_since: None,
        due: (!behind).then_some(due),
    };
    let forced = mode.forced;
    draft.open_delivery(Delivery { forced, ..delivery }, entry);
    Ok(true)
}

/// Maps an event again that has ended; says whether it had.
fn ended_event(draft: &mut Draft<'_>, id: EventId, mode: ReplayMode) -> Result<bool, Fault> {
    let number = keys::number(id.get());
    let rooms = draft.ledger.events.of(id.get()).map(|bucket| bucket.rooms);
    let Some(rooms) = rooms.filter(|_| !draft.has_progressed(id)) else {
        return Ok(false);
    };
    let progress = draft
        .view
        .record::<EventProgress>(rooms.progress, &number)?;
    let ended =
        |state: &EventState| matches!(state, EventState::Mapped | EventState::Skipped { .. });
    let Some(progress) = progress.filter(|progress| ended(&progress.state)) else {
        return Ok(false);
    };
    let Some(record) = draft.view.bytes(rooms.events, &number)? else {
        return Ok(false);
    };
    let head = EventHead::from_record(record)
        .map_err(|source| Fault::corrupt(rooms.events, &number, source))?;
    let last = progress.attempts.last();
    let last = last.map_or(head.received, |attempt| attempt.started);
    let due = draft.now.max(last.plus(TICK));
    reopen(draft, id, progress, due);
    let kind = TaskKind::Map {
        event: id,
        connection: head.connection,
        with: mode.with,
    };
    draft.schedule_first(id.map_task(), kind, due);
    Ok(true)
}

/// An event whose bucket is there is pending again.
fn reopen(draft: &mut Draft<'_>, event: EventId, progress: EventProgress, due: Timestamp) {
    draft.put_progress(event, &pending(progress, due));
    draft.ledger.events.count_open(event.get(), 1);
}

fn pending(progress: EventProgress, due: Timestamp) -> EventProgress {
    let state = EventState::Pending { attempt: 1, due };
    EventProgress { state, ..progress }
}
