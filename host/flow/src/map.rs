//! Maps one event: event → plugin → changes, wishes or a skip, in one completion.
//!
//! What cannot be mapped is never lost: every way out of [`map`] is a completion that
//! ends the task, schedules it again or parks it. A failure half-way leaves nothing:
//! until the completion is durable the task is still in the queue.

use tidegate_core::errors::chain;
use tidegate_core::event::Event;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::{ConnectionId, EventId, PluginDigest, TaskId};
use tidegate_core::mapping::{MapCall, Mapped};
use tidegate_core::ports::{
    Chance, Claimed, Clock, Completion, End, Events, Journal, MapRoute, Mapper, NotStored, Routes,
};
use tidegate_core::retry::RetryPolicy;
use tidegate_core::task::{self, Attempt, DeadCause, Next, TaskKind, TaskState, Try};
use tidegate_core::time::Timestamp;

/// What the step needs from the world.
#[derive(Debug)]
pub struct MapPorts<'a, R, E, J, C, H> {
    /// Who maps what.
    pub routes: &'a R,
    /// Events as stored.
    pub events: &'a E,
    /// The way back into the store.
    pub journal: &'a J,
    /// The time.
    pub clock: &'a C,
    /// Chance.
    pub chance: &'a H,
    /// When to try again.
    pub retry: &'a RetryPolicy,
}

/// Why a claimed task was not brought to a completion. It is untouched and still due;
/// the caller releases the claim.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The claim is of other work.
    #[error("{task} is not a scheduled map task")]
    NotAMapTask {
        /// Which task.
        task: TaskId,
    },
    /// The completion was not taken.
    #[error("could not hand in the end of mapping {event}")]
    NotStored {
        /// Which event.
        event: EventId,
        /// Why not.
        #[source]
        source: NotStored,
    },
}

/// Maps the event of one claimed task and hands in what came of it. Runs the plugin on
/// the calling thread.
pub async fn map<R, E, J, C, H>(
    claimed: Claimed,
    ports: &MapPorts<'_, R, E, J, C, H>,
) -> Result<(), MapError>
where
    R: Routes,
    E: Events,
    J: Journal,
    C: Clock,
    H: Chance,
{
    let (event, connection, tried) = map_task(&claimed)?;
    let started = ports.clock.now();
    let tally = match ports.events.event(event) {
        Ok(Some(stored)) => run(event, connection, &stored, ports.routes),
        Ok(None) => Tally::unreadable("its bytes are not in the store"),
        Err(error) => Tally::unreadable(&chain(&error)),
    };
    hand_in(claimed, (event, tried), started, tally, ports).await
}

/// Hands in an attempt that broke off in the host itself, after which nothing is known of
/// it. It is tried again by schedule, since the next version of whatever broke may not.
pub async fn break_off<R, E, J, C, H>(
    claimed: Claimed,
    started: Timestamp,
    why: &str,
    ports: &MapPorts<'_, R, E, J, C, H>,
) -> Result<(), MapError>
where
    J: Journal,
    C: Clock,
    H: Chance,
{
    let (event, _, tried) = map_task(&claimed)?;
    let tally = Tally::without_plugin(Ending::Failed(Failure::new(
        FailureClass::Transient,
        format!("the host broke off the attempt: {why}"),
    )));
    hand_in(claimed, (event, tried), started, tally, ports).await
}

async fn hand_in<R, E, J, C, H>(
    claimed: Claimed,
    (event, tried): (EventId, Try),
    started: Timestamp,
    tally: Tally,
    ports: &MapPorts<'_, R, E, J, C, H>,
) -> Result<(), MapError>
where
    J: Journal,
    C: Clock,
    H: Chance,
{
    let ended = ports.clock.now();
    let (end, failure) = match tally.ending {
        Ending::Ended(end) => (end, None),
        Ending::Failed(failure) => {
            let next = task::step(tried, &failure, ended, ports.retry, ports.chance.jitter());
            (following(next), Some(failure))
        }
    };
    let completion = Completion {
        task: claimed.task,
        attempt: Attempt {
            number: tried.attempt,
            started,
            took: ended.since(started),
            plugin: tally.plugin,
            settings: tally.settings,
            failure,
            stderr: tally.stderr,
        },
        end,
    };
    let taken = ports.journal.complete(completion).await;
    taken.map_err(|source| MapError::NotStored { event, source })
}

fn map_task(claimed: &Claimed) -> Result<(EventId, &ConnectionId, Try), MapError> {
    match (&claimed.task.kind, &claimed.task.state) {
        (
            TaskKind::Map { event, connection },
            TaskState::Scheduled {
                attempt,
                limited_since,
                ..
            },
        ) => Ok((
            *event,
            connection,
            Try {
                attempt: *attempt,
                limited_since: *limited_since,
            },
        )),
        _ => Err(MapError::NotAMapTask { task: claimed.id() }),
    }
}

/// What one attempt came to, before the policy is asked.
struct Tally {
    ending: Ending,
    plugin: Option<PluginDigest>,
    settings: Option<[u8; 32]>,
    stderr: String,
}

enum Ending {
    Ended(End),
    Failed(Failure),
}

impl Tally {
    const fn without_plugin(ending: Ending) -> Self {
        Self {
            ending,
            plugin: None,
            settings: None,
            stderr: String::new(),
        }
    }

    /// Tried again by schedule: a disk may recover. If not, it ends as a dead letter.
    fn unreadable(reason: &str) -> Self {
        Self::without_plugin(Ending::Failed(Failure::new(
            FailureClass::Transient,
            format!("the event could not be read: {reason}"),
        )))
    }
}

fn run<R: Routes>(id: EventId, connection: &ConnectionId, event: &Event, routes: &R) -> Tally {
    match routes.route(connection) {
        MapRoute::NoPlugin => Tally::without_plugin(Ending::Ended(End::Skipped {
            reason: format!("no plugin is loaded for connector {}", connection.connector),
        })),
        MapRoute::Unavailable { reason } => Tally::without_plugin(Ending::Failed(Failure::new(
            FailureClass::Transient,
            format!(
                "the plugin of connector {} is not loaded: {reason}",
                connection.connector
            ),
        ))),
        MapRoute::NoConnection => Tally::without_plugin(Ending::Ended(End::Park {
            cause: DeadCause::NoConnection,
            reason: format!(
                "connection {connection} is not configured: add [connections.\"{connection}\"]; the event is kept"
            ),
        })),
        MapRoute::Plugin(mapper, rules) => {
            let call = MapCall {
                id,
                event,
                base_url: rules.base_url.as_deref(),
                settings: &rules.settings,
            };
            let report = mapper.map(&call);
            Tally {
                ending: report
                    .answer
                    .map_or_else(Ending::Failed, |mapped| Ending::Ended(ended(mapped))),
                plugin: Some(report.plugin),
                settings: Some(rules.settings_digest),
                stderr: report.stderr,
            }
        }
    }
}

fn ended(mapped: Mapped) -> End {
    match mapped {
        Mapped::Mapping(mapping) => End::Mapped {
            changes: mapping.changes,
            fetch: mapping.fetch,
            poll_now: mapping.poll_now,
        },
        Mapped::Skip { reason } => End::Skipped { reason },
    }
}

fn following(next: Next) -> End {
    match next {
        Next::Again {
            attempt,
            due,
            limited_since,
        } => End::Again {
            attempt,
            due,
            limited_since,
        },
        Next::Park { cause, reason } => End::Park { cause, reason },
    }
}

#[cfg(test)]
mod tests;
