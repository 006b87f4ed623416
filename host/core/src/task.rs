//! Tasks: durable work and the one way it moves.
//!
//! A task on disk is scheduled, waiting or dead; done tasks leave. Running is known
//! to memory alone, so that a restart resumes at once what was in flight.
//! [`step`] decides what follows from one attempt; it takes time and jitter as input.

use std::time::Duration;

use crate::alert::Notice;
use crate::change::EntityRef;
use crate::failure::{Failure, FailureClass};
use crate::ids::{ChangeSeq, ChannelName, ConnectionId, EventId, PluginDigest, SinkName, TaskId};
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
        /// The plugin version to map it with, where a replay named one.
        with: Option<PluginDigest>,
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
    /// Deliver a change that a sink did not take the first time.
    Deliver(Delivery),
    /// Send a notice through an alert channel.
    Alert {
        /// Which channel.
        channel: ChannelName,
        /// What to say.
        notice: Box<Notice>,
    },
}

/// A change that a sink is still to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// To which sink.
    pub sink: SinkName,
    /// The change's place in the change log.
    pub seq: ChangeSeq,
    /// Of which connection.
    pub connection: ConnectionId,
    /// Of which entity.
    pub entity: EntityRef,
    /// Sent although a later change of the entity went out: a person said so.
    pub forced: bool,
}

/// Whose turn it is: tasks of one owner never delay those of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A connection.
    Connection(ConnectionId),
    /// A sink.
    Sink(SinkName),
    /// An alert channel.
    Channel(ChannelName),
}

/// Who carries a task out. Each kind of worker claims its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    /// The threads that call mappers.
    Map,
    /// Whoever calls partners: polls and fetches.
    Partner,
    /// The loop of the task's sink.
    Deliver,
    /// The loop that sends alerts.
    Alert,
}

impl TaskKind {
    /// On whose behalf it is done, where it is a connection's.
    pub const fn connection(&self) -> Option<&ConnectionId> {
        match self {
            Self::Map { connection, .. }
            | Self::Fetch { connection, .. }
            | Self::Poll { connection }
            | Self::Deliver(Delivery { connection, .. }) => Some(connection),
            Self::Alert { .. } => None,
        }
    }

    /// Who must not be delayed by whom.
    pub fn owner(&self) -> Owner {
        match self {
            Self::Map { connection, .. }
            | Self::Fetch { connection, .. }
            | Self::Poll { connection } => Owner::Connection(connection.clone()),
            Self::Deliver(delivery) => Owner::Sink(delivery.sink.clone()),
            Self::Alert { channel, .. } => Owner::Channel(channel.clone()),
        }
    }

    /// Who carries it out.
    pub const fn work(&self) -> Work {
        match self {
            Self::Map { .. } => Work::Map,
            Self::Fetch { .. } | Self::Poll { .. } => Work::Partner,
            Self::Deliver(_) => Work::Deliver,
            Self::Alert { .. } => Work::Alert,
        }
    }

    /// A stable word for metrics and the API.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Map { .. } => "map",
            Self::Fetch { .. } => "fetch",
            Self::Poll { .. } => "poll",
            Self::Deliver(_) => "deliver",
            Self::Alert { .. } => "alert",
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
        /// When what it is about came up: its age counts from then.
        since: Timestamp,
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
    /// Its connection is paused.
    ConnectionPaused,
    /// An earlier change of its entity is still to be delivered to its sink.
    EarlierDelivery,
}

impl WaitReason {
    /// The words shown to people.
    pub const fn code(self) -> &'static str {
        match self {
            Self::CapabilityNotBuilt => "capability not built",
            Self::ConnectionPaused => "connection paused",
            Self::EarlierDelivery => "earlier delivery",
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
    /// The sink does not take the change.
    Sink,
    /// The alert channel does not take the notice.
    AlertChannel,
    /// The host stopped each time that it ran.
    HostStopped,
}

impl DeadCause {
    /// Every cause, for tables and codecs.
    pub const ALL: [Self; 8] = [
        Self::PartnerData,
        Self::Mapping,
        Self::PluginFault,
        Self::Credentials,
        Self::NoConnection,
        Self::Sink,
        Self::AlertChannel,
        Self::HostStopped,
    ];

    /// A stable word for metrics, filters, the API and the disk.
    pub const fn code(self) -> &'static str {
        match self {
            Self::PartnerData => "partner-data",
            Self::Mapping => "mapping",
            Self::PluginFault => "plugin-fault",
            Self::Credentials => "credentials",
            Self::NoConnection => "no-connection",
            Self::Sink => "sink",
            Self::AlertChannel => "alert-channel",
            Self::HostStopped => "host-stopped",
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
    Again(Again),
    /// Park it.
    Park {
        /// Whose problem it is.
        cause: DeadCause,
        /// What happened.
        reason: String,
    },
    /// Pause its connection; it waits until that is resumed.
    Pause {
        /// What happened.
        reason: String,
    },
}

/// A coming attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// Its number.
    pub attempt: u32,
    /// When.
    pub due: Timestamp,
    /// When what it is about came up.
    pub since: Timestamp,
    /// Since when it has waited for a rate limit, where it does.
    pub limited_since: Option<Timestamp>,
    /// The delay that was asked for, where the policy granted less.
    pub cut: Option<Duration>,
}

/// Which attempt failed, as the task's state had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// Its number, from 1.
    pub attempt: u32,
    /// When what the task is about came up.
    pub since: Timestamp,
    /// Since when the task has waited for a rate limit, where it does.
    pub limited_since: Option<Timestamp>,
}

/// How often a host may have stopped while it ran a task, in a row, before the task is
/// parked instead of run.
pub const STOPS_MAX: u32 = 3;

/// Decides what follows from one failed attempt at that work.
pub fn step(
    work: Work,
    tried: Try,
    failure: &Failure,
    now: Timestamp,
    policy: &RetryPolicy,
    jitter: Jitter,
) -> Next {
    match &failure.class {
        FailureClass::Transient { delay: Some(asked) } => {
            asked_for(work, tried, *asked, failure, now, policy)
        }
        FailureClass::Transient { delay: None }
        | FailureClass::PluginFault(_)
        | FailureClass::Refused => scheduled(work, tried, failure, now, policy, jitter),
        FailureClass::RateLimited { delay } => {
            limited(work, tried, *delay, failure, now, policy, jitter)
        }
        FailureClass::Unauthorized if matches!(work, Work::Map | Work::Partner) => Next::Pause {
            reason: failure.message.clone(),
        },
        FailureClass::Permanent
        | FailureClass::NotFound
        | FailureClass::CheckpointExpired
        | FailureClass::Unauthorized => park(work, failure, failure.message.clone()),
    }
}

fn scheduled(
    work: Work,
    tried: Try,
    failure: &Failure,
    now: Timestamp,
    policy: &RetryPolicy,
    jitter: Jitter,
) -> Next {
    match policy.next_due(tried.attempt, now, jitter) {
        Some(due) => Next::Again(Again {
            attempt: tried.attempt.saturating_add(1),
            due,
            since: tried.since,
            limited_since: None,
            cut: None,
        }),
        None => used_up(work, tried, failure),
    }
}

fn used_up(work: Work, tried: Try, failure: &Failure) -> Next {
    let reason = format!(
        "{} attempts failed, the last with: {}",
        tried.attempt, failure.message
    );
    park(work, failure, reason)
}

/// A delay that was asked for goes before the schedule, as far as the policy grants it;
/// the schedule still says how many attempts there are.
fn asked_for(
    work: Work,
    tried: Try,
    asked: Duration,
    failure: &Failure,
    now: Timestamp,
    policy: &RetryPolicy,
) -> Next {
    if policy
        .next_due(tried.attempt, now, Jitter::new(0))
        .is_none()
    {
        return used_up(work, tried, failure);
    }
    Next::Again(Again {
        attempt: tried.attempt.saturating_add(1),
        due: now.plus(asked.min(policy.delay_max)),
        since: tried.since,
        limited_since: None,
        cut: (asked > policy.delay_max).then_some(asked),
    })
}

/// A rate limit is not an attempt, but does not last for ever either.
fn limited(
    work: Work,
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
        let reason = format!("rate limited for {waited} s: {}", failure.message);
        return park(work, failure, reason);
    }
    // Not sooner than a first retry: a delay of nothing would be a loop of attempts.
    let soonest = policy.next_due(1, now, jitter).unwrap_or(ends);
    let due = delay.map_or(soonest, |delay| now.plus(delay).max(soonest));
    Next::Again(Again {
        attempt: tried.attempt,
        due: due.min(ends),
        since: tried.since,
        limited_since: Some(since),
        cut: delay.filter(|_| due > ends),
    })
}

fn park(work: Work, failure: &Failure, reason: String) -> Next {
    let cause = match (work, &failure.class) {
        (Work::Deliver, _) => DeadCause::Sink,
        (Work::Alert, _) => DeadCause::AlertChannel,
        (_, FailureClass::Permanent) => DeadCause::PartnerData,
        (_, FailureClass::PluginFault(_)) => DeadCause::PluginFault,
        (_, FailureClass::Unauthorized) => DeadCause::Credentials,
        (
            _,
            FailureClass::Transient { .. }
            | FailureClass::RateLimited { .. }
            | FailureClass::NotFound
            | FailureClass::CheckpointExpired
            | FailureClass::Refused,
        ) => DeadCause::Mapping,
    };
    Next::Park { cause, reason }
}

#[cfg(test)]
mod tests;
