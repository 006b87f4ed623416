//! A store in memory with its committer, for tests of what stands around it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use tidegate_core::change::{EntityRef, Operation, ProposedChange};
use tidegate_core::event::{BodyAuthenticated, Event};
use tidegate_core::ids::EventId;
use tidegate_core::policy::Policy;
use tidegate_core::ports::{Clock as _, Completion, End, Journal as _};
use tidegate_core::task::{Attempt, DeadCause, TaskKind, Work};
use tidegate_store::engine::memory::Memory;
use tidegate_store::{Claims, Marks, Opened, Options, Reader, Submission};
use tokio::sync::watch;

use crate::alerting::{AlertDesk, AlertParts, Outage};
use crate::committer::{self, JournalHandle, Listeners};
use crate::config::{Config, ConfigSource};
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::outlets::Outlets;
use crate::sinks::{SinkDesk, SinkParts};
use crate::system::{SystemChance, SystemClock};
use crate::workers::Bell;

/// Longest wait for what a loop does by itself.
const WITHIN: Duration = Duration::from_secs(20);

/// What a host stands on.
pub(crate) struct Bed {
    /// What the store stands in, to tear rows of it.
    pub(crate) memory: Memory,
    pub(crate) reader: Reader,
    pub(crate) claims: Claims,
    pub(crate) journal: JournalHandle,
    pub(crate) gate: Arc<Gate>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) metrics: Arc<Metrics>,
    chance: Arc<SystemChance>,
    delivery: AtomicU64,
    dir: TempDir,
}

impl Bed {
    /// An empty store; inside of a runtime.
    pub(crate) fn new() -> Self {
        let options = Options {
            policy: Policy::default(),
            seed: [7; 16],
            marks: Marks::default(),
        };
        let memory = Memory::new();
        let Opened {
            committer,
            reader,
            claims,
        } = tidegate_store::open(Arc::new(memory.clone()), options, SystemClock.now()).unwrap();
        let (gate, bell) = (Arc::new(Gate::new()), Arc::new(Bell::default()));
        let metrics = Arc::new(Metrics::new());
        let listeners = Listeners {
            published: watch::channel(reader.newest_change()).0,
            bell: bell.clone(),
            metrics: metrics.clone(),
            claims: claims.clone(),
        };
        let (journal, _) =
            committer::start(committer, reader.clone(), gate.clone(), listeners).unwrap();
        Self {
            memory,
            reader,
            claims,
            journal,
            gate,
            bell,
            metrics,
            chance: Arc::new(SystemChance::new(7)),
            delivery: AtomicU64::new(0),
            dir: TempDir::new().unwrap(),
        }
    }

    /// A path in the bed's own folder, which is the configuration's too.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What stands in a file there; nothing where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn config(&self, text: &str) -> Config {
        let file = self.path("tidegate.toml");
        fs::write(&file, text).unwrap();
        ConfigSource::new(Some(file)).load().unwrap()
    }

    fn outlets(&self) -> Arc<Outlets> {
        let operator = "127.0.0.1:8081".parse().unwrap();
        Arc::new(Outlets::new(&self.config(""), "0011", operator).unwrap())
    }

    pub(crate) fn sinks(&self) -> Arc<SinkDesk> {
        Arc::new(SinkDesk::new(SinkParts {
            reader: self.reader.clone(),
            claims: self.claims.clone(),
            journal: self.journal.clone(),
            gate: self.gate.clone(),
            bell: self.bell.clone(),
            chance: self.chance.clone(),
            metrics: self.metrics.clone(),
            outlets: self.outlets(),
        }))
    }

    pub(crate) fn alerts(&self) -> Arc<AlertDesk> {
        self.alerts_beside(self.dir.path())
    }

    /// The alert desk of a host that has its store in that folder.
    pub(crate) fn alerts_beside(&self, folder: &Path) -> Arc<AlertDesk> {
        Arc::new(AlertDesk::new(AlertParts {
            reader: self.reader.clone(),
            claims: self.claims.clone(),
            journal: self.journal.clone(),
            gate: self.gate.clone(),
            chance: self.chance.clone(),
            metrics: self.metrics.clone(),
            outlets: self.outlets(),
            outage: Arc::new(Outage::beside(Some(folder))),
        }))
    }

    /// An event comes in and ends so.
    async fn event(&self, end: End) -> EventId {
        let number = self.delivery.fetch_add(1, Ordering::Relaxed);
        let event = Event {
            connection: "tide/acme".parse().unwrap(),
            partner_id: number.to_string(),
            received: SystemClock.now(),
            method: "POST".into(),
            path: Vec::new(),
            query: String::new(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
            body_authenticated: BodyAuthenticated::Full,
        };
        let accepted = self.journal.accept(vec![event]).await.unwrap();
        let now = SystemClock.now();
        let claimed = self.claims.claim(Work::Map, 1, now).unwrap();
        let task = claimed.into_iter().next().unwrap().task;
        assert!(matches!(&task.kind, TaskKind::Map { event, .. } if *event == accepted[0].id));
        let attempt = Attempt {
            number: 1,
            started: now,
            took: Duration::ZERO,
            plugin: None,
            settings: None,
            failure: None,
            stderr: String::new(),
        };
        let completion = Completion { task, attempt, end };
        self.journal.complete(completion).await.unwrap();
        // Answered after all that was handed in before it.
        self.journal.submit(Submission::Touch).await.unwrap();
        accepted[0].id
    }

    /// A change of that entity goes into the log.
    pub(crate) async fn change(&self, id: &str) {
        let number = self.delivery.load(Ordering::Relaxed);
        let data = Bytes::from(format!("{{\"number\":{number}}}"));
        let change = ProposedChange {
            entity: EntityRef {
                kind: "ship".into(),
                id: id.into(),
            },
            operation: Operation::Upsert,
            version: None,
            revision: ProposedChange::content_revision(Some(&data)),
            occurred: None,
            data: Some(data),
        };
        self.event(End::Mapped {
            changes: vec![change],
            fetch: Vec::new(),
            poll_now: false,
        })
        .await;
    }

    /// The change at that place cannot be read any more.
    pub(crate) fn tear_change(&self, seq: u64) {
        let key = seq.to_be_bytes();
        self.memory.corrupt("changes-00000001", &key, &[0xff]);
    }

    /// An event is parked.
    pub(crate) async fn letter(&self, reason: &str) {
        self.event(End::Park {
            cause: DeadCause::PartnerData,
            reason: reason.into(),
        })
        .await;
    }
}

/// Waits until that is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WITHIN, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
