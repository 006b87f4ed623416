//! Deliveries that are tasks, kept in order with what the window hands over itself.

use super::results::is_hopeless;
use super::{Judgement, Window};
use crate::change::EntityRef;
use crate::failure::{Failure, FailureClass};
use crate::ids::{ChangeSeq, ConnectionId};
use crate::limits::CLAIM_BATCH_MAX;
use crate::ports::End;
use crate::setback::setback;
use crate::sink::SinkState;
use crate::task::{Delivery, Next, Try, Work};
use crate::time::Timestamp;

/// A task that is with the outlet, or about to be.
#[derive(Debug)]
pub struct TaskRun {
    delivery: Delivery,
    tried: Try,
    unsure: bool,
    gives_way: bool,
    probe: bool,
}

impl TaskRun {
    /// What is delivered.
    pub const fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Which attempt it is.
    pub const fn tried(&self) -> Try {
        self.tried
    }

    /// Whether a later change of the entity may have gone out: to be looked up before it
    /// is sent.
    pub const fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// It ends without being sent: a later change of the entity stands in for it.
    pub const fn give_way(&mut self) {
        self.gives_way = true;
    }
}

/// What becomes of a task that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskVerdict {
    /// The attempt ended like this.
    Ended(End, Option<Failure>),
    /// The sink itself is out of order: the attempt does not count, and the task is due
    /// again once the sink works.
    Released,
}

impl Window {
    /// How many tasks may be claimed now, given how many are held already.
    pub fn task_room(&self, held: usize, now: Timestamp) -> usize {
        let in_flight = self.hand_overs + self.tasks;
        if self.stopping || self.hold.is_some_and(|until| now < until) {
            return 0;
        }
        match &self.standing.state {
            SinkState::Paused { .. } => 0,
            SinkState::Failing { next, .. } => {
                let idle = in_flight == 0 && held == 0 && self.lanes.first_ready().is_none();
                usize::from(idle && now >= *next)
            }
            SinkState::Running => {
                // A share: retries of many changes must not keep fresh ones back.
                let share = (self.capacity.concurrency / 4).clamp(1, CLAIM_BATCH_MAX);
                let free = self.capacity.concurrency.saturating_sub(in_flight);
                free.min(share.saturating_sub(self.tasks))
                    .saturating_sub(held)
            }
        }
    }

    /// Whether a claimed task may still be sent, or the sink has gone out of order since.
    pub fn takes_tasks(&self, now: Timestamp) -> bool {
        let held = self.hold.is_some_and(|until| now < until);
        !self.stopping && !held && matches!(self.standing.state, SinkState::Running)
    }

    /// Begins a claimed task; none while something else of its entity is on its way.
    pub fn begin_task(&mut self, delivery: &Delivery, tried: Try) -> Option<TaskRun> {
        let Delivery {
            connection,
            entity,
            seq,
            ..
        } = delivery;
        let ordered = self.lanes.change(connection, entity, |lane| {
            // A replay opens deliveries that the window did not see fail.
            lane.open.insert(*seq);
            if lane.flying > 0 || lane.task {
                return None;
            }
            lane.task = true;
            Some(lane.ordered_from.is_some_and(|from| from <= *seq))
        })?;
        self.tasks += 1;
        Some(TaskRun {
            unsure: !ordered && tried.attempt == 1 && !delivery.forced,
            gives_way: false,
            delivery: delivery.clone(),
            tried,
            probe: matches!(self.standing.state, SinkState::Failing { .. }),
        })
    }

    /// Whether that change of the entity is still to be given to the sink.
    pub fn is_outstanding(
        &self,
        connection: &ConnectionId,
        entity: &EntityRef,
        seq: ChangeSeq,
    ) -> bool {
        let waits = |number: &u64| self.item(*number).is_some_and(|item| item.seq == seq);
        seq > self.read_to()
            || self
                .lanes
                .get(connection, entity)
                .is_some_and(|lane| lane.open.contains(&seq) || lane.waiting.iter().any(waits))
    }

    /// What came of a task that was sent.
    pub fn task_finished(
        &mut self,
        run: &TaskRun,
        result: Result<(), Failure>,
        by: &Judgement<'_>,
    ) -> TaskVerdict {
        self.task_unsent();
        let results = [result];
        self.judge(&results, run.probe, by);
        let [result] = results;
        let Err(failure) = result else {
            return TaskVerdict::Ended(End::Delivered, None);
        };
        // While the sink fails only a probe is an attempt; it is, or a change that is always
        // refused would be probed for ever. A wait for a rate limit goes on counting.
        let limited = run.tried.limited_since.is_some()
            && matches!(failure.class, FailureClass::RateLimited { .. });
        let tells = run.probe && self.is_told_by(&failure.class);
        let stays = matches!(self.standing.state, SinkState::Running) || tells || limited;
        if !stays && !is_hopeless(&failure.class) {
            return TaskVerdict::Released;
        }
        let left = setback(
            Work::Deliver,
            run.tried,
            failure,
            by.now,
            by.retry,
            by.jitter,
        );
        if let Next::Again(again) = &left.next {
            self.hold_if_asked(&left.failure.class, again.due);
        }
        TaskVerdict::Ended(left.next.into(), Some(left.failure))
    }

    /// A task that was begun is not with the outlet (any more).
    pub const fn task_unsent(&mut self) {
        self.tasks = self.tasks.saturating_sub(1);
    }

    /// The end of a task has been handed in; `open` where it is still to be delivered.
    pub fn task_left(&mut self, run: &TaskRun, open: bool) {
        let Delivery {
            connection,
            entity,
            seq,
            ..
        } = &run.delivery;
        self.lanes.change(connection, entity, |lane| {
            lane.task = false;
            if !open {
                lane.open.remove(seq);
            }
            let after = ChangeSeq::new(seq.get().saturating_add(1));
            let from = match (run.gives_way, open) {
                // Whatever is open behind it has been held back since. Not it itself: should
                // it come back, something behind it may have gone out.
                (false, false) => Some(after),
                (false, true) => lane
                    .ordered_from
                    .map_or(Some(*seq), |from| Some(from.min(*seq))),
                (true, _) => lane.ordered_from.map(|from| from.max(after)),
            };
            lane.ordered_from = from.filter(|_| !lane.open.is_empty());
        });
    }
}
