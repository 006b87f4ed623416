//! Tasks: durable work and the one way it moves.
//!
//! A task on disk is scheduled, waiting or dead; done tasks leave. Running is known
//! to memory alone, so that a restart resumes at once what was in flight.
//! [`step`] decides what follows from one attempt; it takes time and jitter as input.

use std::time::Duration;

use crate::change::EntityRef;
use crate::failure::{Failure, FailureClass};
use crate::ids::{ConnectionId, EventId, PluginDigest, TaskId};
use crate::retry::{Jitter, RetryPolicy};
use crate::time::Timestamp;

/// One piece of durable work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its number.
    pub id: TaskId,
    /// What is to be done.
    pub kind: TaskKind,
    /// Where it stands.
    pub state: TaskState,
}

/// What a task does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// Map an event.
    Map {
        /// Which.
        event: EventId,
        /// On whose behalf.
        connection: ConnectionId,
    },
    /// Fetch an entity that an event named.
    Fetch {
        /// The event that waits for it.
        event: EventId,
        /// On whose behalf.
        connection: ConnectionId,
        /// What to fetch.
        entity: EntityRef,
    },
    /// Poll a connection now.
    Poll {
        /// Which.
        connection: ConnectionId,
    },
}

impl TaskKind {
    /// On whose behalf it is done.
    pub const fn connection(&self) -> &ConnectionId {
        match self {
            Self::Map { connection, .. }
            | Self::Fetch { connection, .. }
            | Self::Poll { connection } => connection,
        }
    }

    /// A stable word for metrics and the API.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Map { .. } => "map",
            Self::Fetch { .. } => "fetch",
            Self::Poll { .. } => "poll",
        }
    }
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// To be tried at `due`.
    Scheduled {
        /// The coming attempt's number, from 1.
        attempt: u32,
        /// When.
        due: Timestamp,
        /// Since when it has waited for a rate limit, where it does.
        limited_since: Option<Timestamp>,
    },
    /// Not to be tried until something outside it changes.
    Waiting {
        /// For what.
        reason: WaitReason,
    },
    /// Parked until a person replays or discards it.
    Dead {
        /// Whose problem it is.
        cause: DeadCause,
        /// What happened.
        reason: String,
        /// When it was parked.
        at: Timestamp,
    },
}

/// What a waiting task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// This version of the host cannot carry it out yet.
    CapabilityNotBuilt,
}

impl WaitReason {
    /// The words shown to people.
    pub const fn code(self) -> &'static str {
        match self {
            Self::CapabilityNotBuilt => "capability not built",
        }
    }
}

/// Whose problem a dead letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadCause {
    /// The partner sent something that cannot be mapped.
    PartnerData,
    /// The plugin says that it cannot, or ran out of tries.
    Mapping,
    /// The plugin broke: trap, limit, answer out of bounds.
    PluginFault,
    /// The partner refuses the credentials.
    Credentials,
    /// The event's account is not configured.
    NoConnection,
}

impl DeadCause {
    /// Every cause, for tables and codecs.
    pub const ALL: [Self; 5] = [
        Self::PartnerData,
        Self::Mapping,
        Self::PluginFault,
        Self::Credentials,
        Self::NoConnection,
    ];

    /// A stable word for metrics, filters, the API and the disk.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PartnerData => "partner-data",
            Self::Mapping => "mapping",
            Self::PluginFault => "plugin-fault",
            Self::Credentials => "credentials",
            Self::NoConnection => "no-connection",
        }
    }
}

/// One try at a task, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The plugin version that ran, where one did.
    pub plugin: Option<PluginDigest>,
    /// SHA-256 of the connection's settings that the plugin was given.
    pub settings: Option<[u8; 32]>,
    /// Why it failed, where it did.
    pub failure: Option<Failure>,
    /// What the plugin wrote to stderr; cut at its bound.
    pub stderr: String,
}

/// What follows from a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try again.
    Again {
        /// The coming attempt's number.
        attempt: u32,
        /// When.
        due: Timestamp,
        /// Since when it has waited for a rate limit, where it does.
        limited_since: Option<Timestamp>,
    },
    /// Park it.
    Park {
        /// Whose problem it is.
        cause: DeadCause,
        /// What happened.
        reason: String,
    },
}

/// Which attempt failed, as the task's state had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// Its number, from 1.
    pub attempt: u32,
    /// Since when the task has waited for a rate limit, where it does.
    pub limited_since: Option<Timestamp>,
}

/// Decides what follows from one failed attempt at mapping.
pub fn step(
    tried: Try,
    failure: &Failure,
    now: Timestamp,
    policy: &RetryPolicy,
    jitter: Jitter,
) -> Next {
    match &failure.class {
        FailureClass::Transient | FailureClass::PluginFault(_) | FailureClass::Refused => {
            scheduled(tried, failure, now, policy, jitter)
        }
        FailureClass::RateLimited { delay } => limited(tried, *delay, failure, now, policy, jitter),
        FailureClass::Permanent
        | FailureClass::NotFound
        | FailureClass::CheckpointExpired
        | FailureClass::Unauthorized => park(failure, failure.message.clone()),
    }
}

fn scheduled(
    tried: Try,
    failure: &Failure,
    now: Timestamp,
    policy: &RetryPolicy,
    jitter: Jitter,
) -> Next {
    match policy.next_due(tried.attempt, now, jitter) {
        Some(due) => Next::Again {
            attempt: tried.attempt.saturating_add(1),
            due,
            limited_since: None,
        },
        None => park(
            failure,
            format!(
                "{} attempts failed, the last with: {}",
                tried.attempt, failure.message
            ),
        ),
    }
}

/// A rate limit is not an attempt, but does not last for ever either.
fn limited(
    tried: Try,
    delay: Option<Duration>,
    failure: &Failure,
    now: Timestamp,
    policy: &RetryPolicy,
    jitter: Jitter,
) -> Next {
    let since = tried.limited_since.unwrap_or(now);
    let ends = since.plus(policy.rate_limited_max);
    if now >= ends {
        let waited = policy.rate_limited_max.as_secs();
        return park(
            failure,
            format!("rate limited for {waited} s: {}", failure.message),
        );
    }
    // Not sooner than a first retry: a delay of nothing would be a loop of attempts.
    let soonest = policy.next_due(1, now, jitter).unwrap_or(ends);
    let due = delay.map_or(soonest, |delay| now.plus(delay).max(soonest));
    Next::Again {
        attempt: tried.attempt,
        due: due.min(ends),
        limited_since: Some(since),
    }
}

fn park(failure: &Failure, reason: String) -> Next {
    let cause = match failure.class {
        FailureClass::Permanent => DeadCause::PartnerData,
        FailureClass::PluginFault(_) => DeadCause::PluginFault,
        FailureClass::Unauthorized => DeadCause::Credentials,
        FailureClass::Transient
        | FailureClass::RateLimited { .. }
        | FailureClass::NotFound
        | FailureClass::CheckpointExpired
        | FailureClass::Refused => DeadCause::Mapping,
    };
    Next::Park { cause, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::PluginFault;

    const HOUR: Duration = Duration::from_hours(1);

    #[track_caller]
    fn check(attempt: u32, limited_since: Option<i64>, class: FailureClass, expect: &str) {
        let now = Timestamp::from_secs(1_000_000);
        let tried = Try {
            attempt,
            limited_since: limited_since.map(Timestamp::from_secs),
        };
        let failure = Failure::new(class, "it broke");
        let next = step(
            tried,
            &failure,
            now,
            &RetryPolicy::default(),
            Jitter::new(0),
        );
        let got = match next {
            Next::Again {
                attempt,
                due,
                limited_since,
            } => format!(
                "attempt {attempt} in {}s{}",
                due.since(now).as_secs(),
                if limited_since.is_some() {
                    ", limited"
                } else {
                    ""
                }
            ),
            Next::Park { cause, reason } => format!("{}: {reason}", cause.code()),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn transient_failures_follow_the_schedule() {
        check(1, None, FailureClass::Transient, "attempt 2 in 2s");
        check(7, None, FailureClass::Transient, "attempt 8 in 14400s");
        check(
            8,
            None,
            FailureClass::Transient,
            "mapping: 8 attempts failed, the last with: it broke",
        );
    }

    #[test]
    fn permanent_failures_park_at_once() {
        check(1, None, FailureClass::Permanent, "partner-data: it broke");
        check(1, None, FailureClass::Unauthorized, "credentials: it broke");
    }

    #[test]
    fn plugin_faults_are_retried_then_parked_as_such() {
        let fault = || FailureClass::PluginFault(PluginFault::Memory);
        check(1, None, fault(), "attempt 2 in 2s");
        check(
            8,
            None,
            fault(),
            "plugin-fault: 8 attempts failed, the last with: it broke",
        );
    }

    #[test]
    fn a_rate_limit_is_no_attempt_and_not_for_ever() {
        let limited = |delay| FailureClass::RateLimited { delay };
        check(3, None, limited(Some(HOUR)), "attempt 3 in 3600s, limited");
        check(3, None, limited(None), "attempt 3 in 2s, limited");
        check(
            3,
            None,
            limited(Some(Duration::ZERO)),
            "attempt 3 in 2s, limited",
        );
        // The bound cuts what the partner asked for.
        check(
            3,
            Some(1_000_000 - 86_000),
            limited(Some(HOUR)),
            "attempt 3 in 400s, limited",
        );
        check(
            3,
            Some(1_000_000 - 86_400),
            limited(Some(HOUR)),
            "mapping: rate limited for 86400 s: it broke",
        );
    }
}
