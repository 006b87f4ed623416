//! Workers over the store in memory: what a panic costs, and that a closed gate rests
//! them.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use tidegate_core::event::{Accepted, BodyAuthenticated, Event};
use tidegate_core::ids::{ConnectionId, PluginDigest};
use tidegate_core::mapping::{MapCall, MapReport};
use tidegate_core::policy::Policy;
use tidegate_core::ports::{Completion, ConnectionRules, End, MapRoute, Mapper, NotStored, Routes};
use tidegate_core::retry::RetryPolicy;
use tidegate_core::sink::SinkAdvance;
use tidegate_core::task::Again;
use tidegate_store::engine::memory::Memory;
use tidegate_store::{Opened, Options};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::*;
use crate::committer::{self, Listeners};
use crate::config::ConfigSource;
use crate::metrics::Metrics;
use crate::rules::Rules;

/// A workshop whose store holds one event.
fn workshop(runtime: &Runtime) -> Workshop {
    let options = Options {
        policy: Policy::default(),
        seed: [7; 16],
        marks: Marks::default(),
    };
    let Opened {
        committer,
        reader,
        claims,
    } = tidegate_store::open(Arc::new(Memory::new()), options, SystemClock.now()).unwrap();
    let (gate, bell) = (Arc::new(Gate::new()), Arc::new(Bell::default()));
    let listeners = Listeners {
        published: watch::channel(reader.newest_change()).0,
        bell: bell.clone(),
        metrics: Arc::new(Metrics::new()),
        claims: claims.clone(),
    };
    let _inside = runtime.enter();
    let (journal, _) =
        committer::start(committer, reader.clone(), gate.clone(), listeners).unwrap();
    let config = ConfigSource::new(None).load().unwrap();
    runtime.block_on(journal.accept(vec![event()])).unwrap();
    Workshop {
        claims,
        reader,
        journal,
        rules: Arc::new(CurrentRules::new(Rules::build(&config, &HashMap::new()))),
        chance: Arc::new(SystemChance::new(7)),
        bell,
        gate,
        marks: Marks::default(),
    }
}

fn event() -> Event {
    Event {
        connection: "github/acme".parse().unwrap(),
        partner_id: "d-1".into(),
        received: SystemClock.now(),
        method: "POST".into(),
        path: Vec::new(),
        query: String::new(),
        headers: Vec::new(),
        body: Bytes::from_static(b"{}"),
        body_authenticated: BodyAuthenticated::Full,
    }
}

/// A mapper that panics, and a journal that may.
struct Broken {
    journal_too: bool,
    handed_in: Mutex<Vec<Completion>>,
}

impl Mapper for Broken {
    fn map(&self, _: &MapCall<'_>) -> MapReport {
        panic!("as a {}", "test");
    }
}

impl Routes for Broken {
    type Mapper = Self;

    fn route(&self, _: &ConnectionId, _: Option<PluginDigest>) -> MapRoute<Self> {
        let mapper = Self {
            journal_too: false,
            handed_in: Mutex::default(),
        };
        let rules = ConnectionRules::new(None, Bytes::from_static(b"{}"));
        MapRoute::Plugin(mapper, Arc::new(rules))
    }
}

impl Journal for Broken {
    async fn accept(&self, _: Vec<Event>) -> Result<Vec<Accepted>, NotStored> {
        Err(NotStored::ShuttingDown)
    }

    async fn complete(&self, completion: Completion) -> Result<(), NotStored> {
        assert!(!self.journal_too, "as another test");
        self.handed_in.lock().unwrap().push(completion);
        Ok(())
    }

    async fn advance(&self, _: SinkAdvance) -> Result<(), NotStored> {
        Err(NotStored::ShuttingDown)
    }
}

fn attempt_with(broken: &Broken) -> Result<(), MapError> {
    let runtime = Runtime::new().unwrap();
    let shop = workshop(&runtime);
    let claimed = shop.claims.claim(Work::Map, 1, SystemClock.now()).unwrap();
    let ports = MapPorts {
        routes: broken,
        events: &shop.reader,
        journal: broken,
        clock: &SystemClock,
        chance: &*shop.chance,
        retry: &RetryPolicy::default(),
    };
    attempt(claimed[0].clone(), runtime.handle(), &ports)
}

#[test]
fn a_panic_fails_the_attempt_by_name_and_the_worker_goes_on() {
    let broken = Broken {
        journal_too: false,
        handed_in: Mutex::default(),
    };
    attempt_with(&broken).unwrap();
    let handed_in = broken.handed_in.into_inner().unwrap();
    let [completion] = handed_in.as_slice() else {
        panic!("{handed_in:?}")
    };
    assert!(
        matches!(completion.end, End::Again(Again { attempt: 2, .. })),
        "{completion:?}"
    );
    assert_eq!(
        completion.attempt.failure.as_ref().unwrap().to_string(),
        "transient: the host broke off the attempt: as a test"
    );
}

#[test]
fn a_panic_outside_of_attempts_latches_the_gate() {
    let gate = Arc::new(Gate::new());
    let held = gate.clone();
    let thread = std::thread::spawn(move || {
        let _latch = LatchOnPanic::new(&held, "a worker's thread panicked");
        let broken = Broken {
            journal_too: true,
            handed_in: Mutex::default(),
        };
        drop(attempt_with(&broken));
    });
    assert!(thread.join().is_err(), "it cannot be handed in");
    assert_eq!(gate.admits(), Err(NotStored::Latched));
}

#[test]
fn nothing_is_claimed_while_the_disk_is_low() {
    let runtime = Runtime::new().unwrap();
    let shop = workshop(&runtime);
    shop.gate.disk(Some(7));
    let workers = start(2, &shop, runtime.handle()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let counts = shop.reader.counts();
    assert_eq!((counts.scheduled, counts.dead), (1, 0), "{counts:?}");

    shop.gate.disk(None);
    shop.bell.ring();
    let begun = Instant::now();
    // Of a connection that is not configured, so it ends as a dead letter.
    while shop.reader.counts().dead == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "still at rest");
        std::thread::sleep(Duration::from_millis(5));
    }
    shop.bell.stop();
    for worker in workers {
        worker.join().unwrap();
    }
}
