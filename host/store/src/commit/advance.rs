//! A sink has handed changes over: its cursor moves, and what failed becomes tasks.
//!
//! Handed in again, it adds nothing: a change that is open or parked already is known.
//! An advance never lifts a pause, never moves a cursor back, and does nothing for a
//! sink that was dropped or begins again with the mirror: its loop may not have heard.

use std::collections::HashSet;

use tidegate_core::change::{Change, EntityRef};
use tidegate_core::errors::chain;
use tidegate_core::ids::{ConnectionId, TaskId};
use tidegate_core::sink::{FailedDelivery, PauseCause, SinkAdvance, SinkStanding, SinkState};
use tidegate_core::task::{
    Again, Attempt, DeadCause, Delivery, Next, Task, TaskKind, TaskState, WaitReason,
};
use tidegate_core::time::Timestamp;

use super::deliveries::Entry;
use super::draft::Draft;
use super::letters::Verdict;
use crate::codec::Attempts;
use crate::dead::Subject;
use crate::read::find_change;
use crate::view::Fault;

/// Stages what moves.
pub(super) fn stage(draft: &mut Draft<'_>, advance: SinkAdvance) -> Result<(), Fault> {
    let SinkAdvance { standing, failed } = advance;
    let (room, key) = (draft.view.rooms.sinks, standing.sink.as_str().to_owned());
    let Some(stored) = draft.find::<SinkStanding>(room, key.as_bytes())? else {
        return Ok(());
    };
    if begins_again(&stored) {
        return Ok(());
    }
    let fates = look_up(draft, &standing, failed)?;
    for (delivery, since, fate) in fates {
        follow(draft, delivery, since, fate);
    }
    draft.put(room, key, &moved(stored, standing));
    Ok(())
}

/// Whether the sink is to begin again with the mirror, whatever it has handed over.
pub(super) const fn begins_again(standing: &SinkStanding) -> bool {
    matches!(
        standing.state,
        SinkState::Paused {
            why: PauseCause::Behind,
            ..
        }
    )
}

fn moved(stored: SinkStanding, given: SinkStanding) -> SinkStanding {
    let paused = |state: &SinkState| matches!(state, SinkState::Paused { .. });
    let state = if paused(&stored.state) && !paused(&given.state) {
        stored.state
    } else {
        given.state
    };
    SinkStanding {
        cursor: given.cursor.max(stored.cursor),
        state,
        ..given
    }
}

/// What becomes of a change that did not go through.
enum Fate {
    /// It is tried again.
    Again(Attempt, Again),
    /// Nothing is before it any more: it is due.
    First,
    /// It waits behind an earlier one, with what it has been through.
    Behind(Option<(Attempt, Again)>),
    /// It is parked at once.
    Park(Attempt, Verdict, Option<Change>),
}

fn look_up(
    draft: &Draft<'_>,
    standing: &SinkStanding,
    failed: Vec<FailedDelivery>,
) -> Result<Vec<(Delivery, Timestamp, Fate)>, Fault> {
    let mut opened: HashSet<(ConnectionId, EntityRef)> = HashSet::new();
    let mut known = HashSet::new();
    let mut fates = Vec::with_capacity(failed.len());
    for failed in failed {
        let FailedDelivery {
            seq,
            connection,
            entity,
            since,
            tried,
        } = failed;
        let sink = standing.sink.clone();
        let named = (connection.clone(), entity.clone());
        let delivery = Delivery {
            sink,
            seq,
            connection,
            entity,
            forced: false,
        };
        if !known.insert(seq) || draft.knows_delivery(&delivery)? {
            continue;
        }
        let behind = opened.contains(&named)
            || draft.has_open(&delivery.sink, &delivery.connection, &delivery.entity)?;
        let fate = fate(draft, &delivery, tried, behind);
        if !matches!(fate, Fate::Park(..)) {
            opened.insert(named);
        }
        fates.push((delivery, since, fate));
    }
    Ok(fates)
}

fn fate(
    draft: &Draft<'_>,
    delivery: &Delivery,
    tried: Option<(Attempt, Next)>,
    behind: bool,
) -> Fate {
    let (attempt, cause, reason) = match tried {
        None if behind => return Fate::Behind(None),
        // What it was to wait for has ended meanwhile.
        None => return Fate::First,
        Some((attempt, Next::Again(again))) if behind => {
            return Fate::Behind(Some((attempt, again)));
        }
        Some((attempt, Next::Again(again))) => return Fate::Again(attempt, again),
        Some((attempt, Next::Park { cause, reason })) => (attempt, cause, reason),
        // A sink has no connection to pause; its own pause stands in its standing.
        Some((attempt, Next::Pause { reason })) => (attempt, DeadCause::Sink, reason),
    };
    let mut verdict = Verdict { cause, reason };
    // Its task has no number yet, and nothing is kept aside for it.
    let change = find_change(draft.view, TaskId::new(0), delivery).unwrap_or_else(|fault| {
        let trouble = chain(&fault);
        verdict.reason = format!("{} (and its change is lost: {trouble})", verdict.reason);
        None
    });
    Fate::Park(attempt, verdict, change)
}

/// Nothing in here can fail.
fn follow(draft: &mut Draft<'_>, delivery: Delivery, since: Timestamp, fate: Fate) {
    let task = draft.ledger.tally.next_task();
    match fate {
        Fate::Again(attempt, again) => {
            draft.put_attempts(task, &Attempts(vec![attempt]));
            let entry = Entry {
                task,
                attempt: again.attempt,
                since,
                limited_since: again.limited_since,
                due: Some(again.due),
            };
            draft.open_delivery(delivery, entry);
        }
        Fate::First => {
            let entry = Entry {
                task,
                attempt: 1,
                since,
                limited_since: None,
                due: Some(draft.now),
            };
            draft.open_delivery(delivery, entry);
        }
        Fate::Behind(tried) => {
            let mut entry = Entry {
                task,
                attempt: 1,
                since,
                limited_since: None,
                due: None,
            };
            if let Some((attempt, again)) = tried {
                draft.put_attempts(task, &Attempts(vec![attempt]));
                entry.attempt = again.attempt;
                entry.limited_since = again.limited_since;
            }
            draft.open_delivery(delivery, entry);
        }
        Fate::Park(attempt, verdict, change) => {
            draft.mark_parked(&delivery, Some(task));
            let task = Task {
                id: task,
                kind: TaskKind::Deliver(delivery),
                state: TaskState::Waiting {
                    reason: WaitReason::EarlierDelivery,
                },
            };
            let subject = Subject::Change(change);
            draft.park(task, attempt.started, verdict, subject, vec![attempt]);
        }
    }
}
