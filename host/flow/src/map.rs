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
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use tidegate_core::event::{Accepted, BodyAuthenticated};
    use tidegate_core::failure::PluginFault;
    use tidegate_core::mapping::{MapReport, Mapping};
    use tidegate_core::ports::{ConnectionRules, ReadError};
    use tidegate_core::retry::Jitter;
    use tidegate_core::task::Task;
    use tidegate_core::time::Timestamp;

    use super::*;

    /// Every port at once, answering as the test says.
    #[derive(Clone)]
    struct World {
        stored: Option<Event>,
        route: Option<Result<Mapped, Failure>>,
        configured: bool,
        completions: Arc<Mutex<Vec<Completion>>>,
    }

    impl Mapper for World {
        fn map(&self, _: &MapCall<'_>) -> MapReport {
            MapReport {
                plugin: PluginDigest::new([7; 32]),
                answer: self.route.clone().unwrap(),
                stderr: "hm".into(),
            }
        }
    }

    impl Routes for World {
        type Mapper = Self;

        fn route(&self, _: &ConnectionId) -> MapRoute<Self> {
            if !self.configured {
                return MapRoute::NoConnection;
            }
            if self.route.is_none() {
                return MapRoute::NoPlugin;
            }
            MapRoute::Plugin(
                self.clone(),
                Arc::new(ConnectionRules {
                    base_url: None,
                    settings: Bytes::from_static(b"{}"),
                    settings_digest: [1; 32],
                }),
            )
        }
    }

    impl Events for World {
        fn event(&self, _: EventId) -> Result<Option<Event>, ReadError> {
            Ok(self.stored.clone())
        }
    }

    impl Journal for World {
        async fn accept(&self, _: Vec<Event>) -> Result<Vec<Accepted>, NotStored> {
            Err(NotStored::ShuttingDown)
        }

        async fn complete(&self, completion: Completion) -> Result<(), NotStored> {
            self.completions.lock().unwrap().push(completion);
            Ok(())
        }
    }

    impl Clock for World {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(100)
        }
    }

    impl Chance for World {
        fn jitter(&self) -> Jitter {
            Jitter::new(0)
        }
    }

    fn event() -> Event {
        Event {
            connection: "github/acme".parse().unwrap(),
            partner_id: "d-1".into(),
            received: Timestamp::from_secs(99),
            method: "POST".into(),
            path: Vec::new(),
            query: String::new(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
            body_authenticated: BodyAuthenticated::Full,
        }
    }

    fn world(route: Option<Result<Mapped, Failure>>) -> World {
        World {
            stored: Some(event()),
            route,
            configured: true,
            completions: Arc::default(),
        }
    }

    fn claim(attempt: u32) -> Claimed {
        let id = EventId::new(5);
        Claimed {
            task: Task {
                id: id.map_task(),
                kind: TaskKind::Map {
                    event: id,
                    connection: event().connection,
                },
                state: TaskState::Scheduled {
                    attempt,
                    due: Timestamp::from_secs(99),
                    limited_since: None,
                },
            },
        }
    }

    /// Nothing here waits, so one poll is the whole run.
    fn finish<F: Future>(future: F) -> F::Output {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(future).poll(&mut context) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the flow waited for something"),
        }
    }

    #[track_caller]
    fn check(world: &World, attempt: u32, expect: &str) -> Completion {
        let ports = MapPorts {
            routes: world,
            events: world,
            journal: world,
            clock: world,
            chance: world,
            retry: &RetryPolicy::default(),
        };
        finish(map(claim(attempt), &ports)).unwrap();
        let completion = world.completions.lock().unwrap().pop().unwrap();
        let got = match &completion.end {
            End::Mapped {
                fetch, poll_now, ..
            } => format!("mapped {} {poll_now}", fetch.len()),
            End::Skipped { reason } => format!("skipped: {reason}"),
            End::Again { attempt, due, .. } => format!("again {attempt} at {}", due.as_secs()),
            End::Park { cause, reason } => format!("{}: {reason}", cause.code()),
        };
        assert_eq!(got, expect);
        completion
    }

    #[test]
    fn an_answer_ends_the_task_and_names_the_plugin() {
        let mapping = Mapping {
            poll_now: true,
            ..Mapping::default()
        };
        let done = check(
            &world(Some(Ok(Mapped::Mapping(mapping)))),
            1,
            "mapped 0 true",
        );
        assert_eq!(done.attempt.plugin, Some(PluginDigest::new([7; 32])));
        assert_eq!(done.attempt.stderr, "hm");
    }

    #[test]
    fn without_a_plugin_an_event_is_skipped_by_name() {
        check(
            &world(None),
            1,
            "skipped: no plugin is loaded for connector github",
        );
    }

    #[test]
    fn without_a_connection_an_event_is_parked_not_lost() {
        let done = check(
            &World {
                configured: false,
                ..world(None)
            },
            1,
            "no-connection: connection github/acme is not configured: add [connections.\"github/acme\"]; the event is kept",
        );
        assert_eq!(done.attempt.plugin, None);
    }

    #[test]
    fn failures_follow_the_policy() {
        let fault = Failure::new(FailureClass::PluginFault(PluginFault::Time), "2 s");
        check(&world(Some(Err(fault.clone()))), 1, "again 2 at 102");
        check(
            &world(Some(Err(fault))),
            8,
            "plugin-fault: 8 attempts failed, the last with: 2 s",
        );
        let permanent = Failure::new(FailureClass::Permanent, "not JSON");
        check(&world(Some(Err(permanent))), 1, "partner-data: not JSON");
    }

    #[test]
    fn an_event_that_cannot_be_read_does_not_wait_for_ever() {
        let unreadable = || World {
            stored: None,
            ..world(None)
        };
        check(&unreadable(), 1, "again 2 at 102");
        check(
            &unreadable(),
            8,
            "mapping: 8 attempts failed, the last with: the event could not be read: its bytes are not in the store",
        );
    }

    #[test]
    fn other_work_is_not_touched() {
        let world = world(None);
        let mut claimed = claim(1);
        claimed.task.kind = TaskKind::Poll {
            connection: event().connection,
        };
        let ports = MapPorts {
            routes: &world,
            events: &world,
            journal: &world,
            clock: &world,
            chance: &world,
            retry: &RetryPolicy::default(),
        };
        let error = finish(map(claimed, &ports)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tsk_0000000000000005 is not a scheduled map task"
        );
        assert!(world.completions.lock().unwrap().is_empty());
    }
}
