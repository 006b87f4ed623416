//! Completing an attempt: whose end it is, and whether its task is still open.

use tidegate_core::ports::{Completion, End};
use tidegate_core::task::{Attempt, Task, TaskKind, TaskState};

use super::draft::Draft;
use super::{alert, deliver, map};
use crate::keys::QueueKey;
use crate::view::Fault;

/// A task whose attempt has ended.
pub(super) struct Ended {
    pub(super) key: QueueKey,
    pub(super) task: Task,
    pub(super) attempt: Attempt,
}

/// Stages the end of an attempt, unless its task is not open any more.
pub(super) fn stage(draft: &mut Draft<'_>, completion: Completion) -> Result<(), Fault> {
    let Completion { task, attempt, end } = completion;
    let TaskState::Scheduled { due, since, .. } = &task.state else {
        return Ok(());
    };
    let key = QueueKey::of(&task.kind, *due, *since, task.id);
    if !draft.is_queued(key)? {
        return Ok(());
    }
    let kind = task.kind.clone();
    let ended = Ended { key, task, attempt };
    match kind {
        TaskKind::Map {
            event, connection, ..
        } => map::stage(draft, ended, event, connection, end),
        TaskKind::Deliver(delivery) => deliver::stage(draft, ended, delivery, end)?,
        TaskKind::Alert { .. } => alert::complete(draft, ended, end),
        // They wait until they can be carried out; none is in the queue.
        TaskKind::Fetch { .. } | TaskKind::Poll { .. } => {}
    }
    Ok(())
}

/// What is said of a task that ended in a way that its kind has not.
pub(super) fn odd_end(end: &End) -> String {
    let word = match end {
        End::Mapped { .. } => "mapped",
        End::Skipped { .. } => "skipped",
        End::Delivered => "delivered",
        End::Superseded => "superseded",
        End::Again(_) => "to be tried again",
        End::Park { .. } => "parked",
        End::Pause { .. } => "paused",
    };
    format!("it ended as {word}, which a task of its kind cannot")
}
