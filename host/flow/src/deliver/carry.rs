//! Carries out the sink's own tasks: deliveries that did not go through before.

use futures_util::FutureExt as _;
use tidegate_core::errors::chain;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ports::{
    Chance, ChangeLog, Claimed, Claims, Clock, Completion, End, Journal, Outlet,
};
use tidegate_core::setback::setback;
use tidegate_core::task::{
    Attempt, DeadCause, Delivery, STOPS_MAX, TaskKind, TaskState, Try, Work,
};
use tidegate_core::time::Timestamp;
use tidegate_core::window::{TaskRun, TaskVerdict};

use super::{DeliverError, Landed, SinkLoop};
use crate::map::host_stopped;

impl<L, T, O, J, C, H> SinkLoop<'_, L, T, O, J, C, H>
where
    L: ChangeLog,
    T: Claims,
    O: Outlet,
    J: Journal,
    C: Clock,
    H: Chance,
{
    /// Starts one task that is due; whether there was one.
    pub(super) fn start_task(&mut self, now: Timestamp) -> Result<bool, DeliverError> {
        // One after the other: each may search the log.
        if self.search.is_some() {
            return Ok(false);
        }
        if !self.window.takes_tasks(now) {
            self.release_held();
        }
        self.claim(now)?;
        for index in 0..self.held.len() {
            let Some(claimed) = self.held.get(index) else {
                break;
            };
            let (delivery, tried) = self.delivery(claimed)?;
            if let Some(run) = self.window.begin_task(&delivery, tried) {
                let claimed = self.held.swap_remove(index);
                self.begin(run, claimed, now)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn claim(&mut self, now: Timestamp) -> Result<(), DeliverError> {
        let room = self.window.task_room(self.held.len(), now);
        let claims = self.ports.claims;
        let due = claims.next_due_of(&self.owner, Work::Deliver);
        if room == 0 || due.is_none_or(|due| due > now) {
            return Ok(());
        }
        let claimed = claims
            .claim_of(&self.owner, Work::Deliver, room, now)
            .map_err(|source| self.unread(source))?;
        self.claimed.extend(claimed.iter().map(Claimed::id));
        self.held.extend(claimed);
        Ok(())
    }

    fn delivery(&self, claimed: &Claimed) -> Result<(Delivery, Try), DeliverError> {
        match (&claimed.task.kind, &claimed.task.state) {
            (
                TaskKind::Deliver(delivery),
                TaskState::Scheduled {
                    attempt,
                    since,
                    limited_since,
                    ..
                },
            ) if delivery.sink == self.window.standing().sink => Ok((
                delivery.clone(),
                Try {
                    attempt: *attempt,
                    since: *since,
                    limited_since: *limited_since,
                },
            )),
            _ => Err(DeliverError::NotADelivery {
                sink: self.sink(),
                task: claimed.id(),
            }),
        }
    }

    /// Sends a task's change, unless it is known already how it ends.
    fn begin(
        &mut self,
        run: TaskRun,
        claimed: Claimed,
        started: Timestamp,
    ) -> Result<(), DeliverError> {
        if claimed.stops >= STOPS_MAX {
            self.end_unsent(run, claimed, started, host_stopped(), None);
            return Ok(());
        }
        if run.is_unsure() {
            return self.look_up(run, claimed, started);
        }
        self.send(run, claimed, started)
    }

    /// Hands the change over, where there still is one.
    pub(super) fn send(
        &mut self,
        run: TaskRun,
        claimed: Claimed,
        started: Timestamp,
    ) -> Result<(), DeliverError> {
        match self.ports.log.change(claimed.id(), run.delivery()) {
            Ok(Some(change)) => {
                let (outlet, claimed) = (self.ports.outlet, Box::new(claimed));
                let flight = async move {
                    let mut results = outlet.deliver(std::slice::from_ref(&change)).await;
                    let result = results.pop().unwrap_or_else(|| {
                        let said = "the outlet gave no result for it";
                        Err(Failure::new(FailureClass::TRANSIENT, said))
                    });
                    Landed::Task {
                        run,
                        claimed,
                        result,
                        started,
                    }
                };
                self.flights.push(flight.boxed());
            }
            Ok(None) => {
                let end = self.without_change(run.delivery())?;
                self.end_unsent(run, claimed, started, end, None);
            }
            Err(error) => {
                // Tried again by schedule: a disk may recover. If not, it is parked.
                let said = format!("the change could not be read: {}", chain(&error));
                let failure = Failure::new(FailureClass::TRANSIENT, said);
                let by = self.judgement(started);
                let left = setback(
                    Work::Deliver,
                    run.tried(),
                    failure,
                    by.now,
                    by.retry,
                    by.jitter,
                );
                self.end_unsent(run, claimed, started, left.next.into(), Some(left.failure));
            }
        }
        Ok(())
    }

    /// The end of a task whose change is not kept: a newer state stands in for it, or a
    /// person has to know.
    fn without_change(&self, delivery: &Delivery) -> Result<End, DeliverError> {
        let newest = self
            .ports
            .log
            .newest_of(&delivery.connection, &delivery.entity)
            .map_err(|source| self.unread(source))?;
        if newest > Some(delivery.seq) {
            return Ok(End::Superseded);
        }
        Ok(End::Park {
            cause: DeadCause::Sink,
            reason: format!("{} is no longer kept", delivery.seq),
        })
    }

    pub(super) fn end_unsent(
        &mut self,
        run: TaskRun,
        claimed: Claimed,
        started: Timestamp,
        end: End,
        failure: Option<Failure>,
    ) {
        self.window.task_unsent();
        self.complete(run, claimed, started, end, failure);
    }

    pub(super) fn task_landed(
        &mut self,
        run: TaskRun,
        claimed: Claimed,
        result: Result<(), Failure>,
        started: Timestamp,
    ) {
        let by = self.judgement(started);
        match self.window.task_finished(&run, result, &by) {
            TaskVerdict::Ended(end, failure) => {
                self.complete(run, claimed, started, end, failure);
            }
            TaskVerdict::Released => {
                self.claimed.remove(&claimed.id());
                self.ports.claims.release(claimed.id());
                self.window.task_left(&run, true);
            }
        }
    }

    fn complete(
        &mut self,
        mut run: TaskRun,
        claimed: Claimed,
        started: Timestamp,
        end: End,
        failure: Option<Failure>,
    ) {
        let open = matches!(end, End::Again(_));
        if matches!(end, End::Superseded) {
            run.give_way();
        }
        let task = claimed.id();
        let completion = Completion {
            attempt: Attempt {
                number: run.tried().attempt,
                started,
                took: self.ports.clock.now().since(started),
                plugin: None,
                settings: None,
                failure,
                stderr: String::new(),
            },
            task: claimed.task,
            end,
        };
        let journal = self.ports.journal;
        let flight = async move {
            let taken = journal.complete(completion).await;
            Landed::Completed {
                run,
                task,
                open,
                taken,
            }
        };
        self.flights.push(flight.boxed());
    }
}
