//! How tasks are tried (6): by the schedule or the delay that was asked for, never
//! earlier, a bounded number of times; and not again once they have stopped the host
//! three times in a row.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::{ChangeSeq, ConnectionId, EventId, SinkName, TaskId};
use tidegate_core::ports::{Claimed, Completion, End};
use tidegate_core::sink::SinkAdvance;
use tidegate_core::task::{Again, Attempt, DeadCause, Delivery, Next, TaskKind};
use tidegate_core::time::Timestamp;

use tidegate_store::Reader;

use super::{CONVENTION, Checked, Checks, violation};
use crate::world::Ending;

/// The schedule of the default policy, written down a second time.
const SCHEDULE: [u64; 7] = [2, 5, 30, 120, 600, 3_600, 14_400];
/// Longer nobody is left alone, by that policy.
pub(super) const DAY: Duration = Duration::from_hours(24);
/// What polls between two looks at the clock may take.
const SLACK: Duration = Duration::from_secs(1);
/// As well, where the clock was set back between the two.
const SLACK_BACK: Duration = Duration::from_mins(5);

/// By what a task is known before it has a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Task(TaskId),
    Delivery(SinkName, ChangeSeq),
}

impl Name {
    fn of(id: TaskId, kind: &TaskKind) -> Self {
        match kind {
            TaskKind::Deliver(Delivery { sink, seq, .. }) => Self::Delivery(sink.clone(), *seq),
            _ => Self::Task(id),
        }
    }
}

/// What is known of tasks.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    due: BTreeMap<Name, (Timestamp, Option<ConnectionId>)>,
    marked: BTreeMap<usize, TaskId>,
    stops: BTreeMap<TaskId, u32>,
    /// Whose stops nobody knows, since a commit failed.
    unsure: Vec<TaskId>,
    went_back: bool,
}

impl Tasks {
    const fn slack(&self) -> Duration {
        if self.went_back { SLACK_BACK } else { SLACK }
    }

    pub(super) const fn clock_went_back(&self) -> bool {
        self.went_back
    }

    /// The open deliveries of a sink are gone: it is told by the mirror.
    pub(super) fn sink_begins_again(&mut self, sink: &SinkName) {
        self.sink_resumed(sink);
    }

    /// A person lets a sink run: what waits for it is due at once.
    pub(super) fn sink_resumed(&mut self, sink: &SinkName) {
        let of_it = |name: &Name| matches!(name, Name::Delivery(of, _) if of == sink);
        self.due.retain(|name, _| !of_it(name));
    }

    pub(super) fn committed(&mut self, completion: &Completion, reader: &Reader) {
        let name = Name::of(completion.task.id, &completion.task.kind);
        self.stops.remove(&completion.task.id);
        match &completion.end {
            // What the sink has left behind meanwhile is not tried again.
            End::Again(again) if is_open(completion, reader) => {
                let connection = completion.task.kind.connection().cloned();
                self.due.insert(name, (again.due, connection));
            }
            _ => {
                self.due.remove(&name);
            }
        }
    }

    pub(super) fn advanced(&mut self, advance: &SinkAdvance, reader: &Reader) {
        let open = reader.deliveries(&advance.standing.sink, usize::MAX);
        let open = open.unwrap_or_default();
        for failed in &advance.failed {
            // One that waits behind an earlier one has its turn when that one ends; one that
            // is parked stays so; and one that a person replays is due as that said.
            let open = open.iter().find(|open| open.delivery.seq == failed.seq);
            let queued = open.and_then(|open| open.due);
            if let Some((_, Next::Again(again))) = &failed.tried
                && let Some(queued) = queued
            {
                let name = Name::Delivery(advance.standing.sink.clone(), failed.seq);
                let connection = Some(failed.connection.clone());
                let due = again.due.min(queued);
                let known = self.due.entry(name).or_insert((due, connection));
                known.0 = known.0.min(due);
            }
        }
    }

    pub(super) fn resumed(&mut self, connection: &ConnectionId) {
        self.due
            .retain(|_, (_, of)| of.as_ref() != Some(connection));
    }

    pub(super) fn doubt(&mut self, completion: &Completion) {
        let name = Name::of(completion.task.id, &completion.task.kind);
        self.due.remove(&name);
        self.unsure.push(completion.task.id);
    }

    fn claimed(&self, claimed: &Claimed, now: Timestamp) -> Checked {
        let name = Name::of(claimed.id(), &claimed.task.kind);
        if let Some((due, _)) = self.due.get(&name)
            && now < *due
        {
            let said = format!("{} is tried at {now}, and due at {due}", claimed.id());
            return Err(violation(CONVENTION, said));
        }
        let stops = self.stops.get(&claimed.id()).copied().unwrap_or(0);
        if claimed.stops != stops && !self.unsure.contains(&claimed.id()) {
            let said = format!(
                "{} has stopped the host {stops} times in a row, and {} is said",
                claimed.id(),
                claimed.stops
            );
            return Err(violation(CONVENTION, said));
        }
        Ok(())
    }

    fn mapper_runs(&self, event: EventId) -> Checked {
        let stops = self.stops.get(&event.map_task()).copied().unwrap_or(0);
        if stops >= 3 {
            let said = format!("{event} runs after it has stopped the host {stops} times");
            return Err(violation(CONVENTION, said));
        }
        Ok(())
    }

    fn ended(&mut self, ending: Ending) {
        let marked: Vec<TaskId> = std::mem::take(&mut self.marked).into_values().collect();
        let before = std::mem::take(&mut self.stops);
        if ending == Ending::Killed {
            let more = |task: TaskId| (task, before.get(&task).copied().unwrap_or(0) + 1);
            self.stops = marked.into_iter().map(more).collect();
        }
    }

    fn handed_in(&self, completion: &Completion, now: Timestamp) -> Checked {
        match (&completion.end, &completion.attempt.failure) {
            (End::Again(again), Some(failure)) => {
                again_is_right(&completion.attempt, failure, *again, now, self.slack())
            }
            (End::Again(_), None) => Err(violation(CONVENTION, "a retry without a failure")),
            (
                End::Park {
                    cause: DeadCause::HostStopped,
                    ..
                },
                _,
            ) => {
                let id = completion.task.id;
                let stops = self.stops.get(&id).copied().unwrap_or(0);
                let said = || format!("{id} is parked and has stopped the host {stops} times");
                if stops < 3 && !self.unsure.contains(&id) {
                    return Err(violation(CONVENTION, said()));
                }
                Ok(())
            }
            (End::Park { .. }, Some(failure)) => park_is_right(&completion.attempt, failure),
            _ => Ok(()),
        }
    }
}

fn is_open(completion: &Completion, reader: &Reader) -> bool {
    let TaskKind::Deliver(delivery) = &completion.task.kind else {
        return true;
    };
    let open = reader.deliveries(&delivery.sink, usize::MAX);
    let mut open = open.unwrap_or_default().into_iter();
    open.any(|open| open.task == completion.task.id)
}

fn again_is_right(
    attempt: &Attempt,
    failure: &Failure,
    again: Again,
    now: Timestamp,
    slack: Duration,
) -> Checked {
    let ended = attempt.started.plus(attempt.took);
    let (soonest, latest) = (ended.min(now), ended.max(now));
    let index = usize::try_from(attempt.number).unwrap_or(usize::MAX);
    let wait = SCHEDULE.get(index.wrapping_sub(1)).copied();
    let wrong = |said: &str| {
        let said = format!(
            "attempt {} failed at {ended} ({failure}) and the next is {} at {}: {said}",
            attempt.number, again.attempt, again.due
        );
        Err(violation(CONVENTION, said))
    };
    let limited = matches!(failure.class, FailureClass::RateLimited { .. });
    if again.attempt != attempt.number + u32::from(!limited) {
        return wrong("its number is wrong");
    }
    let least = match &failure.class {
        FailureClass::RateLimited { delay } => {
            let asked = delay.unwrap_or_default().max(Duration::from_secs(2));
            let ends = again
                .limited_since
                .map(|since| since.plus(DAY).since(soonest));
            asked.min(ends.unwrap_or(DAY))
        }
        FailureClass::Transient { delay: Some(delay) } => (*delay).min(DAY),
        FailureClass::Transient { delay: None }
        | FailureClass::PluginFault(_)
        | FailureClass::Refused => match wait {
            Some(seconds) => {
                let most = Duration::from_millis(seconds * 1_200);
                if again.due > latest.plus(most + slack) {
                    return wrong("that is late");
                }
                Duration::from_secs(seconds)
            }
            None => return wrong("its attempts are used up"),
        },
        FailureClass::Unauthorized
        | FailureClass::Permanent
        | FailureClass::NotFound
        | FailureClass::CheckpointExpired => return wrong("it is not tried again"),
    };
    if again.due.plus(slack) < soonest.plus(least) {
        return wrong("that is early");
    }
    Ok(())
}

fn park_is_right(attempt: &Attempt, failure: &Failure) -> Checked {
    let schedule = matches!(
        failure.class,
        FailureClass::Transient { .. } | FailureClass::PluginFault(_) | FailureClass::Refused
    );
    if schedule && attempt.number <= 7 {
        let said = format!("parked after attempt {} with {failure}", attempt.number);
        return Err(violation(CONVENTION, said));
    }
    Ok(())
}

impl Checks {
    /// A worker has a task to try.
    pub fn claimed(&mut self, claimed: &Claimed, now: Timestamp) {
        let checked = self.tasks.claimed(claimed, now);
        self.note(checked);
    }

    /// The mapper is called.
    pub fn mapper_runs(&mut self, event: EventId) {
        let checked = self.tasks.mapper_runs(event);
        self.note(checked);
    }

    /// A worker has marked what it runs.
    pub fn marked(&mut self, slot: usize, task: Option<TaskId>) {
        match task {
            Some(task) => self.tasks.marked.insert(slot, task),
            None => self.tasks.marked.remove(&slot),
        };
    }

    /// The host's process has ended.
    pub fn host_ended(&mut self, ending: Ending) {
        self.tasks.ended(ending);
    }

    /// What became of an attempt is handed in.
    pub fn handed_in(&mut self, completion: &Completion, now: Timestamp) {
        let checked = self.tasks.handed_in(completion, now);
        self.note(checked);
    }

    /// The wall clock was set back, from that time.
    pub fn clock_went_back(&mut self, before: Timestamp) {
        self.tasks.went_back = true;
        self.sinks.clock_went_back(before);
    }
}

impl Tasks {
    pub(super) fn advance_is_right(&self, advance: &SinkAdvance) -> Checked {
        for failed in &advance.failed {
            match &failed.tried {
                Some((attempt, Next::Again(again))) => {
                    let ended = attempt.started.plus(attempt.took);
                    if let Some(failure) = &attempt.failure {
                        again_is_right(attempt, failure, *again, ended, self.slack())?;
                    }
                }
                Some((attempt, Next::Park { .. })) => {
                    if let Some(failure) = &attempt.failure {
                        park_is_right(attempt, failure)?;
                    }
                }
                Some((_, Next::Pause { .. })) => {
                    return Err(violation(CONVENTION, "a delivery pauses a connection"));
                }
                None => {}
            }
        }
        Ok(())
    }
}
