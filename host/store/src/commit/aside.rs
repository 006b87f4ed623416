//! Setting aside what cannot be read: a broken disk costs the rows that it broke, and
//! neither those beside them nor the start of the host.
//!
//! A row of the queue moves to `unreadable` as it is. Where it was an event's map task,
//! which has the event's number, the event becomes a dead letter that says so: a person
//! can replay it. A delivery stands among the deliveries as well, and is queued again from
//! there. Other tasks are gone but for that row; the host says so in its counts.

use std::time::Duration;

use tidegate_core::errors::chain;
use tidegate_core::event::Event;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::EventId;
use tidegate_core::ports::{Completion, End};
use tidegate_core::task::{Attempt, DeadCause, Task, TaskKind, TaskState, Work};

use super::complete;
use super::draft::Draft;
use crate::keys::{self, QueueKey};
use crate::queue::TornRow;

/// Stages the move of a torn row, unless its task has ended in this very commit.
pub(super) fn stage(draft: &mut Draft<'_>, torn: TornRow) {
    let Some(key) = QueueKey::from_bytes(&torn.key) else {
        let queue = draft.view.rooms.queue.keyspace;
        draft.batch.remove(queue, torn.key.to_vec());
        draft.ledger.tally.scheduled = draft.ledger.tally.scheduled.saturating_sub(1);
        draft.set_aside(torn);
        return;
    };
    if !draft.is_queued(key).unwrap_or(true) {
        draft.aside.push(torn.key);
        return;
    }
    if !park(draft, key, &chain(&torn.source)) {
        draft.dequeue(key);
        if key.lane.work == Work::Deliver
            && let Err(fault) = draft.requeue_delivery(key.task)
        {
            tracing::error!(task = %key.task, error = chain(&fault), "a delivery with a torn row waits until the host has restarted");
        }
    }
    draft.set_aside(torn);
}

/// Makes a dead letter of the event whose map task stood there. False where it was none,
/// or the event cannot be read either.
fn park(draft: &mut Draft<'_>, key: QueueKey, trouble: &str) -> bool {
    let event = EventId::new(key.task.get());
    let Some(Event { connection, .. }) = read_event(draft, key) else {
        return false;
    };
    let kind = TaskKind::Map {
        event,
        connection,
        with: None,
    };
    if QueueKey::of(&kind, key.due, key.since, key.task) != key {
        return false;
    }
    let reason = format!("its row in the queue cannot be read: {trouble}");
    let completion = Completion {
        task: Task {
            id: key.task,
            kind,
            state: TaskState::Scheduled {
                attempt: 1,
                due: key.due,
                since: key.since,
                limited_since: None,
            },
        },
        attempt: Attempt {
            number: 1,
            started: draft.now,
            took: Duration::ZERO,
            plugin: None,
            settings: None,
            failure: Some(Failure::new(FailureClass::Permanent, reason.clone())),
            stderr: String::new(),
        },
        end: End::Park {
            cause: DeadCause::Mapping,
            reason,
        },
    };
    complete::stage(draft, completion).is_ok()
}

fn read_event(draft: &Draft<'_>, key: QueueKey) -> Option<Event> {
    if key.lane.work != Work::Map {
        return None;
    }
    let bucket = draft.ledger.events.of(key.task.get())?;
    let number = keys::number(key.task.get());
    draft.view.record(bucket.rooms.events, &number).ok()?
}
