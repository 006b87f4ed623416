//! When a sink counts as failing, when it is tried again, and when it is left alone.

use std::time::Duration;

use super::{FAILURES_IN_A_ROW, Judgement, Window};
use crate::failure::{Failure, FailureClass};
use crate::limits::SINK_DELIVERIES_MAX;
use crate::sink::{PauseCause, SinkState};
use crate::time::Timestamp;

/// The pace of probes under a policy without retries.
const PACE_WITHOUT_RETRIES: Duration = Duration::from_mins(1);

impl Window {
    /// Draws what follows for the sink from one hand-over or task.
    pub(super) fn judge(
        &mut self,
        results: &[Result<(), Failure>],
        probe: bool,
        by: &Judgement<'_>,
    ) {
        let failures = || results.iter().filter_map(|result| result.as_ref().err());
        // Also what was on its way when it began to fail: the probe has to wait as well.
        let asked = failures()
            .filter_map(|failure| asked_delay(&failure.class))
            .max();
        let asked = asked.map(|delay| by.now.plus(delay.min(by.retry.delay_max)));
        self.hold = self.hold.max(asked);
        if let Some(gone) = failures().find(|failure| failure.class == FailureClass::NotFound) {
            return self.pause(PauseCause::Gone, gone.message.clone(), by.now);
        }
        let taken = results.iter().any(Result::is_ok);
        let Some(failure) = failures().next_back().filter(|_| !taken) else {
            self.in_a_row = 0;
            if matches!(self.standing.state, SinkState::Failing { .. }) {
                self.standing.state = SinkState::Running;
            }
            return;
        };
        self.in_a_row = self.in_a_row.saturating_add(results.len());
        let refused = failure.class == FailureClass::Unauthorized;
        let (since, probes) = match &self.standing.state {
            SinkState::Running if refused || self.in_a_row >= FAILURES_IN_A_ROW => (by.now, 0),
            SinkState::Failing { since, probes, .. } if probe => (*since, probes.saturating_add(1)),
            // What was on its way when it began to fail tells nothing new.
            SinkState::Running | SinkState::Failing { .. } | SinkState::Paused { .. } => return,
        };
        self.fail(since, probes, failure, by);
    }

    /// Nothing is tried any more until a person resumes it.
    pub fn pause(&mut self, why: PauseCause, reason: String, now: Timestamp) {
        if !matches!(self.standing.state, SinkState::Paused { .. }) {
            self.standing.state = SinkState::Paused {
                why,
                reason,
                since: now,
            };
        }
    }

    /// The receiver could not be asked where it stands: it counts as failing at once.
    pub fn unreachable(&mut self, failure: &Failure, by: &Judgement<'_>) {
        let (since, probes) = match &self.standing.state {
            SinkState::Running => (by.now, 0),
            SinkState::Failing { since, probes, .. } => (*since, probes.saturating_add(1)),
            SinkState::Paused { .. } => return,
        };
        self.fail(since, probes, failure, by);
    }

    fn fail(&mut self, since: Timestamp, probes: u32, failure: &Failure, by: &Judgement<'_>) {
        let asked = asked_delay(&failure.class)
            .map_or(by.now, |delay| by.now.plus(delay.min(by.retry.delay_max)));
        self.standing.state = SinkState::Failing {
            reason: failure.message.clone(),
            since,
            probes,
            next: pace(probes, by).max(asked),
        };
    }

    /// Whether a probe of the failing sink that ended so says something of its change, too:
    /// refused credentials do not.
    pub(super) fn is_told_by(&self, class: &FailureClass) -> bool {
        *class != FailureClass::Unauthorized
            && matches!(self.standing.state, SinkState::Failing { .. })
    }

    /// A receiver that asks for a delay gets it for everything.
    pub(super) fn hold_if_asked(&mut self, class: &FailureClass, due: Timestamp) {
        let asks =
            matches!(class, FailureClass::RateLimited { .. }) || asked_delay(class).is_some();
        if asks {
            self.hold = self.hold.max(Some(due));
        }
    }

    /// When there may be something to hand over that cannot go now; `task` is when a task
    /// of the sink is due.
    pub fn due(&self, task: Option<Timestamp>) -> Option<Timestamp> {
        if self.stopping || matches!(self.standing.state, SinkState::Paused { .. }) {
            return None;
        }
        let drains = self.lanes.open() >= SINK_DELIVERIES_MAX;
        let waits = self.lanes.first_ready().filter(|_| !drains);
        let waits = waits.map(|_| Timestamp::EPOCH);
        let first = match (waits, task) {
            (Some(waits), Some(task)) => waits.min(task),
            (first, None) | (None, first) => first?,
        };
        let not_before = match &self.standing.state {
            SinkState::Failing { next, .. } => self.hold.max(Some(*next)),
            SinkState::Running | SinkState::Paused { .. } => self.hold,
        };
        Some(not_before.map_or(first, |not_before| first.max(not_before)))
    }
}

fn asked_delay(class: &FailureClass) -> Option<Duration> {
    match class {
        FailureClass::Transient { delay } | FailureClass::RateLimited { delay } => *delay,
        FailureClass::Unauthorized
        | FailureClass::Permanent
        | FailureClass::NotFound
        | FailureClass::CheckpointExpired
        | FailureClass::Refused
        | FailureClass::PluginFault(_) => None,
    }
}

/// The retry schedule, whose last wait repeats.
fn pace(probes: u32, by: &Judgement<'_>) -> Timestamp {
    let waits = u32::try_from(by.retry.schedule.len()).unwrap_or(u32::MAX);
    let attempt = probes.saturating_add(1).min(waits);
    by.retry
        .next_due(attempt, by.now, by.jitter)
        .unwrap_or_else(|| by.now.plus(PACE_WITHOUT_RETRIES))
}
