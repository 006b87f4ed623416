//! The map flow against ports that answer as a test says.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tidegate_core::event::{Accepted, BodyAuthenticated};
use tidegate_core::failure::PluginFault;
use tidegate_core::mapping::{MapReport, Mapping};
use tidegate_core::ports::{ConnectionRules, ReadError};
use tidegate_core::retry::Jitter;
use tidegate_core::sink::SinkAdvance;
use tidegate_core::task::Task;
use tidegate_core::time::Timestamp;

use super::*;

/// Every port at once, answering as the test says.
#[derive(Clone)]
struct World {
    stored: Option<Event>,
    route: Option<Result<Mapped, Failure>>,
    configured: bool,
    gone: bool,
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

    fn route(&self, _: &ConnectionId, with: Option<PluginDigest>) -> MapRoute<Self> {
        if self.gone && with.is_some() {
            return MapRoute::VersionGone {
                reason: "no copy of it is kept".into(),
            };
        }
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

    async fn advance(&self, _: SinkAdvance) -> Result<(), NotStored> {
        Err(NotStored::ShuttingDown)
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
        gone: false,
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
                with: Some(PluginDigest::new([9; 32])),
            },
            state: TaskState::Scheduled {
                attempt,
                due: Timestamp::from_secs(99),
                since: Timestamp::from_secs(98),
                limited_since: None,
            },
        },
        stops: 0,
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

fn ports(world: &World) -> MapPorts<'_, World, World, World, World, World> {
    static RETRY: LazyLock<RetryPolicy> = LazyLock::new(RetryPolicy::default);
    MapPorts {
        routes: world,
        events: world,
        journal: world,
        clock: world,
        chance: world,
        retry: &RETRY,
    }
}

#[track_caller]
fn check(world: &World, attempt: u32, expect: &str) -> Completion {
    check_claim(world, claim(attempt), expect)
}

#[track_caller]
fn check_claim(world: &World, claimed: Claimed, expect: &str) -> Completion {
    finish(map(claimed, &ports(world))).unwrap();
    let completion = world.completions.lock().unwrap().pop().unwrap();
    let got = match &completion.end {
        End::Mapped {
            fetch, poll_now, ..
        } => format!("mapped {} {poll_now}", fetch.len()),
        End::Skipped { reason } => format!("skipped: {reason}"),
        End::Again(again) => format!("again {} at {}", again.attempt, again.due.as_secs()),
        End::Park { cause, reason } => format!("{}: {reason}", cause.code()),
        End::Pause { reason } => format!("pause: {reason}"),
        End::Delivered | End::Superseded => "not an end of mapping".into(),
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
fn refused_credentials_pause_the_connection() {
    let refused = Failure::new(FailureClass::Unauthorized, "401");
    check(&world(Some(Err(refused))), 1, "pause: 401");
}

#[test]
fn a_delay_that_was_cut_is_said_in_the_record() {
    let delay = Some(Duration::from_hours(25));
    let slow = Failure::new(FailureClass::Transient { delay }, "busy");
    let done = check(&world(Some(Err(slow))), 1, "again 2 at 86500");
    assert_eq!(
        done.attempt.failure.unwrap().message,
        "busy (asked for 90000 s, granted 86400 s by policy.retry.delay_max)"
    );
}

#[test]
fn a_version_that_is_gone_parks_by_name() {
    let world = World {
        gone: true,
        ..world(None)
    };
    let digest = PluginDigest::new([9; 32]);
    let expect = format!(
        "mapping: the plugin version {digest} that the replay named cannot be had: no copy of it is kept; replay it without naming one, or with one that is kept"
    );
    check(&world, 1, &expect);
}

#[test]
fn what_brings_the_host_down_is_parked_and_not_run() {
    let world = world(Some(Ok(Mapped::Mapping(Mapping::default()))));
    let claimed = |stops| Claimed { stops, ..claim(1) };
    check_claim(&world, claimed(STOPS_MAX - 1), "mapped 0 false");
    let done = check_claim(
        &world,
        claimed(STOPS_MAX),
        "host-stopped: host stopped while running it, 3 times in a row",
    );
    assert_eq!(done.attempt.plugin, None);
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
fn an_attempt_that_broke_off_is_tried_again_and_not_for_ever() {
    let world = world(None);
    let broken = |attempt| {
        finish(break_off(
            claim(attempt),
            Timestamp::from_secs(99),
            "index out of bounds",
            &ports(&world),
        ))
        .unwrap();
        world.completions.lock().unwrap().pop().unwrap()
    };
    let first = broken(1);
    assert!(
        matches!(first.end, End::Again(again) if again.attempt == 2),
        "{first:?}"
    );
    assert_eq!(first.attempt.took, Duration::from_secs(1));
    assert_eq!(
        first.attempt.failure.unwrap().to_string(),
        "transient: the host broke off the attempt: index out of bounds"
    );
    assert!(matches!(broken(8).end, End::Park { .. }));
}

#[test]
fn other_work_is_not_touched() {
    let world = world(None);
    let mut claimed = claim(1);
    claimed.task.kind = TaskKind::Poll {
        connection: event().connection,
    };
    let error = finish(map(claimed, &ports(&world))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tsk_0000000000000005 is not a scheduled map task"
    );
    assert!(world.completions.lock().unwrap().is_empty());
}
