//! The end of an attempt at delivering a change that its sink did not take at first.

use tidegate_core::change::Change;
use tidegate_core::errors::chain;
use tidegate_core::ports::End;
use tidegate_core::task::{DeadCause, Delivery};

use super::complete::{Ended, odd_end};
use super::deliveries::{Entry, Waiting};
use super::draft::Draft;
use super::letters::Verdict;
use super::schedule::TICK;
use crate::codec::{Attempts, DeliveryRow};
use crate::dead::Subject;
use crate::keys::{self, DeliveryHalf};
use crate::read::find_change;
use crate::view::Fault;

/// Stages the end of an attempt. With it ends the turn of its entity, unless it is to be
/// tried again.
pub(super) fn stage(
    draft: &mut Draft<'_>,
    ended: Ended,
    delivery: Delivery,
    end: End,
) -> Result<(), Fault> {
    let id = ended.task.id;
    let key = keys::delivery(DeliveryHalf::Open, &delivery);
    let row = draft.find::<DeliveryRow>(draft.view.rooms.deliveries, &key);
    if matches!(&row, Ok(row) if row.is_none_or(|row| row.task != id)) {
        // Its sink was dropped, or it has begun again as another task.
        draft.dequeue(ended.key);
        return Ok(());
    }
    let next = draft.next_behind(&delivery)?;
    let mut attempts = draft.attempts(id);
    attempts.note(ended.attempt.clone());
    match end {
        End::Delivered | End::Superseded => {
            draft.dequeue(ended.key);
            close(draft, &ended, &delivery, next);
        }
        End::Again(again) => {
            draft.dequeue(ended.key);
            draft.put_attempts(id, &attempts);
            let entry = Entry {
                task: id,
                attempt: again.attempt,
                since: again.since,
                limited_since: again.limited_since,
                due: Some(again.due.max(ended.key.due.plus(TICK))),
            };
            draft.set_delivery(delivery, entry);
        }
        End::Park { cause, reason } => {
            park(
                draft,
                ended,
                &delivery,
                Verdict { cause, reason },
                attempts,
                next,
            );
        }
        odd @ (End::Mapped { .. } | End::Skipped { .. } | End::Pause { .. }) => {
            let verdict = Verdict {
                cause: DeadCause::Sink,
                reason: odd_end(&odd),
            };
            park(draft, ended, &delivery, verdict, attempts, next);
        }
    }
    Ok(())
}

fn close(draft: &mut Draft<'_>, ended: &Ended, delivery: &Delivery, next: Option<Waiting>) {
    draft.close_delivery(delivery, ended.task.id);
    draft.release(next);
}

/// A parked delivery takes its change along: the change log does not wait for it.
fn park(
    draft: &mut Draft<'_>,
    ended: Ended,
    delivery: &Delivery,
    mut verdict: Verdict,
    attempts: Attempts,
    next: Option<Waiting>,
) {
    draft.dequeue(ended.key);
    let change = change_for(draft, &ended, delivery, &mut verdict);
    close(draft, &ended, delivery, next);
    draft.mark_parked(delivery, Some(ended.task.id));
    let subject = Subject::Change(change);
    draft.park(ended.task, ended.key.due, verdict, subject, attempts.0);
}

fn change_for(
    draft: &Draft<'_>,
    ended: &Ended,
    delivery: &Delivery,
    verdict: &mut Verdict,
) -> Option<Change> {
    find_change(draft.view, ended.task.id, delivery).unwrap_or_else(|fault| {
        let trouble = chain(&fault);
        verdict.reason = format!("{} (and its change is lost: {trouble})", verdict.reason);
        None
    })
}
