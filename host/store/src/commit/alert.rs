//! Alerts: how they stand, the tasks of their notices, and the ends of those.

use tidegate_core::alert::AlertUpdate;
use tidegate_core::ports::End;
use tidegate_core::task::{DeadCause, TaskKind};

use super::complete::{Ended, odd_end};
use super::draft::Draft;
use super::letters::Verdict;
use super::schedule::{TICK, When};
use crate::codec::QueueEntry;
use crate::dead::Subject;
use crate::keys;

/// Stages what one look at things changed.
pub(super) fn put(draft: &mut Draft<'_>, update: AlertUpdate) {
    let AlertUpdate {
        put,
        removed,
        notices,
    } = update;
    let room = draft.view.rooms.alerts;
    for key in removed {
        draft.remove(room, keys::alert(&key));
    }
    for record in put {
        draft.put(room, keys::alert(&record.key), &record);
    }
    for (channel, notice) in notices {
        let id = draft.ledger.tally.next_task();
        let notice = Box::new(notice);
        let now = draft.now;
        draft.schedule_first(id, TaskKind::Alert { channel, notice }, now);
    }
}

/// Stages the end of an attempt at sending a notice.
pub(super) fn complete(draft: &mut Draft<'_>, ended: Ended, end: End) {
    draft.dequeue(ended.key);
    let id = ended.task.id;
    let mut attempts = draft.attempts(id);
    attempts.note(ended.attempt);
    let verdict = match end {
        End::Delivered | End::Superseded => {
            draft.forget_attempts(id);
            return;
        }
        End::Again(again) => {
            draft.put_attempts(id, &attempts);
            let entry = QueueEntry {
                kind: ended.task.kind,
                attempt: again.attempt,
                limited_since: again.limited_since,
            };
            let when = When {
                due: again.due.max(ended.key.due.plus(TICK)),
                since: again.since,
            };
            draft.schedule(id, when, entry);
            return;
        }
        End::Park { cause, reason } => Verdict { cause, reason },
        odd @ (End::Mapped { .. } | End::Skipped { .. } | End::Pause { .. }) => Verdict {
            cause: DeadCause::AlertChannel,
            reason: odd_end(&odd),
        },
    };
    draft.forget_attempts(id);
    draft.park(
        ended.task,
        ended.key.due,
        verdict,
        Subject::Notice,
        attempts.0,
    );
}
