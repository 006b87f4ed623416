//! Tells people: looks at how things stand, and sends what there is to say.
//!
//! [`look`] writes alerts and their notices in one update; [`send`] carries out one claimed
//! notice. A failure half-way leaves nothing: an update that was not stored is found again
//! by the next look, and a notice that was not handed in is still due.

use tidegate_core::alert::{AlertRecord, Notice, NoticeKind};
use tidegate_core::alerting::{Subscription, evaluate};
use tidegate_core::errors::chain;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::{ChannelName, TaskId};
use tidegate_core::policy::AlertPolicy;
use tidegate_core::ports::{
    AlertJournal, Chance, Claimed, Clock, Completion, End, Journal, Messenger, NotStored, Observer,
    ReadError,
};
use tidegate_core::retry::RetryPolicy;
use tidegate_core::setback::setback;
use tidegate_core::task::{Attempt, DeadCause, STOPS_MAX, TaskKind, TaskState, Try, Work};
use tidegate_core::time::Timestamp;

use crate::map::host_stopped;

/// What a look needs from the world.
#[derive(Debug)]
pub struct LookPorts<'a, O, A, C> {
    /// How things stand.
    pub observer: &'a O,
    /// Where alerts are kept.
    pub alerts: &'a A,
    /// The time.
    pub clock: &'a C,
    /// When there is something to say.
    pub policy: &'a AlertPolicy,
    /// To whom.
    pub channels: &'a [Subscription],
}

/// Why a look led to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// How things stand could not be read.
    #[error("could not see how things stand")]
    Read(#[from] ReadError),
    /// What there is to say was not stored. Where the store takes nothing any more, the
    /// caller has the notices left to send without it.
    #[error("could not store {} notices", notices.len())]
    NotStored {
        /// What would have been said to whom.
        notices: Vec<(ChannelName, Notice)>,
        /// Why not.
        #[source]
        source: NotStored,
    },
}

/// Looks once. Resolves with the number of notices that became tasks.
pub async fn look<O, A, C>(ports: &LookPorts<'_, O, A, C>) -> Result<usize, LookError>
where
    O: Observer,
    A: AlertJournal,
    C: Clock,
{
    let now = ports.clock.now();
    let standing = ports.alerts.alerts()?;
    let findings = ports.observer.observe()?.findings(ports.policy, now);
    let update = evaluate(&standing, findings, ports.channels, ports.policy, now);
    if update.is_empty() {
        return Ok(0);
    }
    let notices = update.notices.clone();
    match ports.alerts.put_alerts(update).await {
        Ok(()) => Ok(notices.len()),
        Err(source) => Err(LookError::NotStored { notices, source }),
    }
}

/// What sending needs from the world.
#[derive(Debug)]
pub struct SendPorts<'a, M, A, J, C, H> {
    /// The channel's way out; none where the channel is not configured any more.
    pub messenger: Option<&'a M>,
    /// Which alerts stand.
    pub alerts: &'a A,
    /// The way back into the store.
    pub journal: &'a J,
    /// The time.
    pub clock: &'a C,
    /// Chance.
    pub chance: &'a H,
    /// When to try again.
    pub retry: &'a RetryPolicy,
}

/// Why a claimed task was not brought to a completion. It is untouched and still due; the
/// caller releases the claim.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The claim is of other work.
    #[error("{task} is not a scheduled notice")]
    NotANotice {
        /// Which task.
        task: TaskId,
    },
    /// The completion was not taken.
    #[error("could not hand in the end of {task}")]
    NotStored {
        /// Which task.
        task: TaskId,
        /// Why not.
        #[source]
        source: NotStored,
    },
}

/// Sends the notice of one claimed task and hands in what came of it.
pub async fn send<M, A, J, C, H>(
    claimed: Claimed,
    ports: &SendPorts<'_, M, A, J, C, H>,
) -> Result<(), SendError>
where
    M: Messenger,
    A: AlertJournal,
    J: Journal,
    C: Clock,
    H: Chance,
{
    let (channel, notice, _) = notice_task(&claimed)?;
    let started = ports.clock.now();
    let sent = if claimed.stops >= STOPS_MAX {
        Sent::Ended(host_stopped())
    } else {
        carry(channel, notice, ports).await
    };
    hand_in(claimed, started, sent, ports).await
}

/// Hands in an attempt that broke off in the host itself, after which it is not known
/// whether somebody was told. It is tried again by schedule: told twice is better than never.
pub async fn break_off<M, A, J, C, H>(
    claimed: Claimed,
    started: Timestamp,
    why: &str,
    ports: &SendPorts<'_, M, A, J, C, H>,
) -> Result<(), SendError>
where
    J: Journal,
    C: Clock,
    H: Chance,
{
    let said = format!("the host broke off the attempt: {why}");
    let sent = Sent::Failed(Failure::new(FailureClass::TRANSIENT, said));
    hand_in(claimed, started, sent, ports).await
}

async fn hand_in<M, A, J, C, H>(
    claimed: Claimed,
    started: Timestamp,
    sent: Sent,
    ports: &SendPorts<'_, M, A, J, C, H>,
) -> Result<(), SendError>
where
    J: Journal,
    C: Clock,
    H: Chance,
{
    let (_, _, tried) = notice_task(&claimed)?;
    let ended = ports.clock.now();
    let (end, failure) = match sent {
        Sent::Ended(end) => (end, None),
        Sent::Failed(failure) => {
            let jitter = ports.chance.jitter();
            let left = setback(Work::Alert, tried, failure, ended, ports.retry, jitter);
            (left.next.into(), Some(left.failure))
        }
    };
    let task = claimed.id();
    let attempt = attempt(tried, started, ended, failure);
    let completion = Completion {
        task: claimed.task,
        attempt,
        end,
    };
    let taken = ports.journal.complete(completion).await;
    taken.map_err(|source| SendError::NotStored { task, source })
}

enum Sent {
    Ended(End),
    Failed(Failure),
}

async fn carry<M, A, J, C, H>(
    channel: &ChannelName,
    notice: &Notice,
    ports: &SendPorts<'_, M, A, J, C, H>,
) -> Sent
where
    M: Messenger,
    A: AlertJournal,
{
    match ports.alerts.alerts() {
        Ok(standing) if is_overtaken(notice, &standing) => return Sent::Ended(End::Superseded),
        Ok(_) => {}
        Err(error) => {
            let said = format!("the alerts could not be read: {}", chain(&error));
            return Sent::Failed(Failure::new(FailureClass::TRANSIENT, said));
        }
    }
    let Some(messenger) = ports.messenger else {
        return Sent::Ended(End::Park {
            cause: DeadCause::AlertChannel,
            reason: format!("alert channel {channel} is not configured: add [alerts.{channel}]"),
        });
    };
    match messenger.send(notice).await {
        Ok(()) => Sent::Ended(End::Delivered),
        Err(failure) => Sent::Failed(failure),
    }
}

/// Whether the alert has moved on while the notice waited: said late, it would leave the
/// channel with the wrong state.
fn is_overtaken(notice: &Notice, standing: &[AlertRecord]) -> bool {
    let stands = standing.iter().find(|record| record.key == notice.key);
    match notice.kind {
        NoticeKind::Opened | NoticeKind::Repeated => {
            stands.is_none_or(|record| record.since != notice.since)
        }
        NoticeKind::Over => stands.is_some(),
    }
}

fn notice_task(claimed: &Claimed) -> Result<(&ChannelName, &Notice, Try), SendError> {
    match (&claimed.task.kind, &claimed.task.state) {
        (
            TaskKind::Alert { channel, notice },
            TaskState::Scheduled {
                attempt,
                since,
                limited_since,
                ..
            },
        ) => Ok((
            channel,
            notice,
            Try {
                attempt: *attempt,
                since: *since,
                limited_since: *limited_since,
            },
        )),
        _ => Err(SendError::NotANotice { task: claimed.id() }),
    }
}

fn attempt(tried: Try, started: Timestamp, ended: Timestamp, failure: Option<Failure>) -> Attempt {
    Attempt {
        number: tried.attempt,
        started,
        took: ended.since(started),
        plugin: None,
        settings: None,
        failure,
        stderr: String::new(),
    }
}

#[cfg(test)]
mod tests;
