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
use tidegate_core::setback::setback;
use tidegate_core::task::{Attempt, DeadCause, STOPS_MAX, TaskKind, TaskState, Try, Work};
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
    let (event, connection, with, tried) = map_task(&claimed)?;
    let started = ports.clock.now();
    let tally = if claimed.stops >= STOPS_MAX {
        Tally::without_plugin(Ending::Ended(host_stopped()))
    } else {
        match ports.events.event(event) {
            Ok(Some(stored)) => run(event, connection, with, &stored, ports.routes),
            Ok(None) => Tally::unreadable("its bytes are not in the store"),
            Err(error) => Tally::unreadable(&chain(&error)),
        }
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
    let (event, _, _, tried) = map_task(&claimed)?;
    let tally = Tally::without_plugin(Ending::Failed(Failure::new(
        FailureClass::TRANSIENT,
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
            let jitter = ports.chance.jitter();
            let left = setback(Work::Map, tried, failure, ended, ports.retry, jitter);
            (left.next.into(), Some(left.failure))
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

/// How a task ends that the host did not survive, however often it was tried.
pub(crate) fn host_stopped() -> End {
    End::Park {
        cause: DeadCause::HostStopped,
        reason: format!("host stopped while running it, {STOPS_MAX} times in a row"),
    }
}

type MapTask<'a> = (EventId, &'a ConnectionId, Option<PluginDigest>, Try);

fn map_task(claimed: &Claimed) -> Result<MapTask<'_>, MapError> {
    match (&claimed.task.kind, &claimed.task.state) {
        (
            TaskKind::Map {
                event,
                connection,
                with,
            },
            TaskState::Scheduled {
                attempt,
                since,
                limited_since,
                ..
            },
        ) => Ok((
            *event,
            connection,
            *with,
            Try {
                attempt: *attempt,
                since: *since,
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
            FailureClass::TRANSIENT,
            format!("the event could not be read: {reason}"),
        )))
    }
}

fn run<R: Routes>(
    id: EventId,
    connection: &ConnectionId,
    with: Option<PluginDigest>,
    event: &Event,
    routes: &R,
) -> Tally {
    match routes.route(connection, with) {
        MapRoute::NoPlugin => Tally::without_plugin(Ending::Ended(End::Skipped {
            reason: format!("no plugin is loaded for connector {}", connection.connector),
        })),
        MapRoute::Unavailable { reason } => Tally::without_plugin(Ending::Failed(Failure::new(
            FailureClass::TRANSIENT,
            format!(
                "the plugin of connector {} is not loaded: {reason}",
                connection.connector
            ),
        ))),
        MapRoute::VersionGone { reason } => Tally::without_plugin(Ending::Ended(End::Park {
            cause: DeadCause::Mapping,
            reason: version_gone(with, &reason),
        })),
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

fn version_gone(with: Option<PluginDigest>, reason: &str) -> String {
    let named = with.map_or_else(String::new, |digest| format!(" {digest}"));
    format!(
        "the plugin version{named} that the replay named cannot be had: {reason}; replay it without naming one, or with one that is kept"
    )
}

#[cfg(test)]
mod tests;
