//! What the tests stand on: a store in each engine, and short ways to work it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tidegate_core::audit::{AuditAction, AuditEntry};
use tidegate_core::change::{Change, EntityRef, Operation, ProposedChange};
use tidegate_core::event::{Accepted, BodyAuthenticated, Event, EventState};
use tidegate_core::ids::{ChangeSeq, ConnectionId, EventId, PluginDigest, SinkName};
use tidegate_core::policy::Policy;
use tidegate_core::ports::{Claimed, Completion, End};
use tidegate_core::replay::{ReplayItem, ReplayMode};
use tidegate_core::sink::{FailedDelivery, SinkAdvance, SinkStanding, SinkStart};
use tidegate_core::task::{Again, Attempt, DeadCause, Next, Task, TaskKind, Work};
use tidegate_core::time::Timestamp;
use tidegate_store::engine::{Engine, fjall, memory::Memory};
use tidegate_store::{
    Answer, ChangeFilter, ChangesError, CommitError, Committer, DeadLetter, DeadLetterFilter,
    Marks, OpenError, Opened, Options, ReplayBatch, Submission,
};

pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// A place where one engine keeps its content between openings.
pub(crate) enum Bed {
    Memory(Memory),
    Fjall(TempDir),
    #[cfg(feature = "sled")]
    Sled(TempDir),
}

impl Bed {
    pub(crate) fn memory() -> Self {
        Self::Memory(Memory::new())
    }

    pub(crate) fn fjall() -> Self {
        Self::Fjall(tempfile::tempdir().unwrap())
    }

    #[cfg(feature = "sled")]
    pub(crate) fn sled() -> Self {
        Self::Sled(tempfile::tempdir().unwrap())
    }

    pub(crate) fn engine(&self) -> Arc<dyn Engine> {
        match self {
            Self::Memory(memory) => Arc::new(memory.clone()),
            Self::Fjall(dir) => Arc::new(fjall::open(dir.path()).unwrap()),
            #[cfg(feature = "sled")]
            Self::Sled(dir) => Arc::new(tidegate_store::engine::sled::open(dir.path()).unwrap()),
        }
    }

    /// Opens the store; the one before must have been dropped.
    pub(crate) fn open(&self) -> Store {
        self.open_at(START)
    }

    pub(crate) fn open_at(&self, now: Timestamp) -> Store {
        Store::open(self.engine(), now).unwrap()
    }
}

/// An open store with a clock of its own.
pub(crate) struct Store {
    pub(crate) committer: Committer,
    pub(crate) reader: tidegate_store::Reader,
    pub(crate) claims: tidegate_store::Claims,
    pub(crate) now: Timestamp,
}

impl Store {
    pub(crate) fn open(engine: Arc<dyn Engine>, now: Timestamp) -> Result<Self, OpenError> {
        Self::open_marked(engine, now, Marks::default())
    }

    pub(crate) fn open_marked(
        engine: Arc<dyn Engine>,
        now: Timestamp,
        marks: Marks,
    ) -> Result<Self, OpenError> {
        let options = Options {
            policy: Policy::default(),
            seed: *b"a seed for tests",
            marks,
        };
        let Opened {
            committer,
            reader,
            claims,
        } = tidegate_store::open(engine, options, now)?;
        Ok(Self {
            committer,
            reader,
            claims,
            now,
        })
    }

    pub(crate) fn pass(&mut self, span: Duration) {
        self.now = self.now.plus(span);
    }

    pub(crate) fn try_commit(
        &mut self,
        batch: Vec<Submission>,
    ) -> Result<Vec<Answer>, CommitError> {
        self.committer.commit(batch, self.now)
    }

    #[track_caller]
    pub(crate) fn commit(&mut self, batch: Vec<Submission>) -> Vec<Answer> {
        self.try_commit(batch).unwrap()
    }

    /// Accepts one event per id, one request each, in one commit.
    #[track_caller]
    pub(crate) fn accept(&mut self, ids: &[&str]) -> Vec<Accepted> {
        let batch = ids
            .iter()
            .map(|id| self.request(vec![self.event(id)]))
            .collect();
        let answers = self.commit(batch);
        answers.into_iter().flat_map(accepted).collect()
    }

    /// The events of one request.
    pub(crate) fn request(&self, events: Vec<Event>) -> Submission {
        request(&self.committer, events)
    }

    pub(crate) fn event(&self, partner_id: &str) -> Event {
        event(&acme(), partner_id, self.now)
    }

    /// Claims everything that is due, whoever's work it is.
    #[track_caller]
    pub(crate) fn claim(&self) -> Vec<Claimed> {
        let works = [Work::Map, Work::Partner, Work::Deliver, Work::Alert];
        let claim = |work| self.claims.claim(work, usize::MAX, self.now).unwrap();
        works.into_iter().flat_map(claim).collect()
    }

    /// Claims the only due task.
    #[track_caller]
    pub(crate) fn claim_one(&self) -> Task {
        let mut claimed = self.claim();
        assert_eq!(claimed.len(), 1, "due tasks");
        claimed.remove(0).task
    }

    /// Ends the attempt at a task.
    #[track_caller]
    pub(crate) fn complete(&mut self, task: Task, end: End) {
        let completion = self.completion(task, end);
        self.commit(vec![completion]);
    }

    pub(crate) fn completion(&self, task: Task, end: End) -> Submission {
        Submission::Complete(Box::new(Completion {
            task,
            attempt: attempt(self.now),
            end,
        }))
    }

    /// Accepts an event and maps it to these changes.
    #[track_caller]
    pub(crate) fn map(&mut self, partner_id: &str, changes: Vec<ProposedChange>) -> EventId {
        let id = self.accept(&[partner_id])[0].id;
        let task = self.claim_one();
        self.complete(task, mapped(changes));
        id
    }

    /// What is kept of the change log.
    #[track_caller]
    pub(crate) fn changes(&self) -> Vec<Change> {
        let read = |since| self.reader.changes(since, &ChangeFilter::default(), 1_000);
        match read(ChangeSeq::new(0)) {
            Err(ChangesError::CursorExpired { oldest, .. }) => read(oldest).unwrap().changes,
            page => page.unwrap().changes,
        }
    }

    /// What is kept of the change log, one word each.
    #[track_caller]
    pub(crate) fn log(&self) -> Vec<String> {
        self.changes()
            .iter()
            .map(|change| said(&change.change))
            .collect()
    }

    /// Every dead letter that one page has.
    #[track_caller]
    pub(crate) fn letters(&self) -> Vec<DeadLetter> {
        let filter = DeadLetterFilter::default();
        let page = self.reader.dead_letters(&filter, None, 1_000).unwrap();
        assert_eq!(page.next, None, "one page");
        page.letters
    }

    /// Accepts an event and parks it.
    #[track_caller]
    pub(crate) fn park(&mut self, partner_id: &str) -> EventId {
        let id = self.accept(&[partner_id])[0].id;
        let task = self.claim_one();
        self.complete(task, parked(DeadCause::Mapping));
        id
    }

    /// A sink that begins with what comes from now on.
    #[track_caller]
    pub(crate) fn add_sink(&mut self, sink: SinkName) {
        let standing = Box::new(self.reader.new_sink(sink, SinkStart::Now));
        self.commit(vec![Submission::PutSink {
            standing,
            audit: None,
        }]);
    }

    /// How the sink of these tests stands.
    #[track_caller]
    pub(crate) fn app(&self) -> SinkStanding {
        let standing = self.reader.sink(&app()).unwrap();
        standing.expect("it has a standing")
    }

    /// Moves the sink's cursor to there, with what failed.
    pub(crate) fn advance(&self, cursor: u64, failed: Vec<FailedDelivery>) -> Submission {
        let standing = SinkStanding {
            cursor: ChangeSeq::new(cursor),
            ..self.app()
        };
        Submission::Advance(Box::new(SinkAdvance { standing, failed }))
    }

    /// What became of the change at that place when it was handed over.
    #[track_caller]
    pub(crate) fn failed(&self, seq: u64, next: Option<Next>) -> FailedDelivery {
        let changes = self.changes();
        let change = changes.iter().find(|change| change.seq.get() == seq);
        let change = change.expect("there is such a change");
        FailedDelivery {
            seq: change.seq,
            connection: change.connection.clone(),
            entity: change.change.entity.clone(),
            since: change.committed,
            tried: next.map(|next| (attempt(self.now), next)),
        }
    }

    /// Replays items; says how many run again and how many were passed over.
    #[track_caller]
    pub(crate) fn replay(&mut self, items: Vec<ReplayItem>) -> (u64, u64) {
        let batch = ReplayBatch {
            items,
            mode: ReplayMode::default(),
            run: None,
            audit: None,
        };
        let answers = self.commit(vec![Submission::Replay(Box::new(batch))]);
        let Answer::Replayed { queued, passed } = answers[0] else {
            panic!("not replayed: {answers:?}");
        };
        (queued, passed)
    }

    #[track_caller]
    pub(crate) fn state(&self, id: EventId) -> EventState {
        self.reader.progress(id).unwrap().unwrap().state
    }
}

/// The sink of these tests.
pub(crate) fn app() -> SinkName {
    "app".parse().unwrap()
}

pub(crate) fn parked(cause: DeadCause) -> End {
    End::Park {
        cause,
        reason: "odd".into(),
    }
}

pub(crate) fn again(attempt: u32, due: Timestamp, limited_since: Option<Timestamp>) -> End {
    End::Again(later(attempt, due, limited_since))
}

pub(crate) fn later(attempt: u32, due: Timestamp, limited_since: Option<Timestamp>) -> Again {
    Again {
        attempt,
        due,
        since: START,
        limited_since,
        cut: None,
    }
}

pub(crate) fn note_of(action: AuditAction, now: Timestamp) -> AuditEntry {
    AuditEntry {
        at: now,
        who: "ops".into(),
        action,
        subject: "what it was about".into(),
        reason: Some("because".into()),
        count: 1,
    }
}

pub(crate) fn accepted(answer: Answer) -> Vec<Accepted> {
    match answer {
        Answer::Accepted(accepted) => accepted,
        other => panic!("not accepted: {other:?}"),
    }
}

pub(crate) fn said(change: &ProposedChange) -> String {
    let version = change
        .version
        .map_or(String::new(), |version| format!("@{version}"));
    let sign = if change.operation == Operation::Upsert {
        "+"
    } else {
        "-"
    };
    format!("{sign}{}{version}", change.entity.id)
}

pub(crate) fn acme() -> ConnectionId {
    "github/acme".parse().unwrap()
}

pub(crate) fn event(connection: &ConnectionId, partner_id: &str, received: Timestamp) -> Event {
    Event {
        connection: connection.clone(),
        partner_id: partner_id.into(),
        received,
        method: "POST".into(),
        path: vec!["hooks".into()],
        query: "a=b".into(),
        headers: vec![("x-github-event".into(), Bytes::from_static(b"issues"))],
        body: Bytes::from(format!("{{\"id\":\"{partner_id}\"}}")),
        body_authenticated: BodyAuthenticated::Full,
    }
}

pub(crate) fn attempt(now: Timestamp) -> Attempt {
    Attempt {
        number: 1,
        started: now,
        took: Duration::from_micros(40),
        plugin: Some(PluginDigest::new([7; 32])),
        settings: Some([8; 32]),
        failure: None,
        stderr: String::new(),
    }
}

pub(crate) fn entity(id: &str) -> EntityRef {
    EntityRef {
        kind: "issue".into(),
        id: id.into(),
    }
}

pub(crate) fn upsert(id: &str, version: Option<i64>) -> ProposedChange {
    let data = Bytes::from(format!(
        "{{\"id\":\"{id}\",\"version\":{}}}",
        version.unwrap_or(0)
    ));
    ProposedChange {
        entity: entity(id),
        operation: Operation::Upsert,
        version,
        revision: ProposedChange::content_revision(Some(&data)),
        occurred: None,
        data: Some(data),
    }
}

pub(crate) fn delete(id: &str, version: Option<i64>) -> ProposedChange {
    ProposedChange {
        entity: entity(id),
        operation: Operation::Delete,
        version,
        revision: String::new(),
        occurred: None,
        data: None,
    }
}

pub(crate) fn mapped(changes: Vec<ProposedChange>) -> End {
    End::Mapped {
        changes,
        fetch: Vec::new(),
        poll_now: false,
    }
}

pub(crate) fn event_of(task: &Task) -> EventId {
    match &task.kind {
        TaskKind::Map { event, .. } | TaskKind::Fetch { event, .. } => *event,
        other => panic!("{} has no event", other.code()),
    }
}

/// When stores of these tests begin.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_000_000);

/// Opens what is in a memory engine.
pub(crate) fn open(memory: &Memory, now: Timestamp) -> Store {
    Store::open(Arc::new(memory.clone()), now).unwrap()
}

/// Everything that a reader can see.
pub(crate) fn sight(store: &Store) -> impl PartialEq + std::fmt::Debug + use<> {
    let events: Vec<_> = (1..40)
        .map(|number| {
            let id = EventId::new(number);
            (
                store.reader.event(id).unwrap(),
                store.reader.progress(id).unwrap(),
            )
        })
        .collect();
    let letters = store.letters();
    let dead = store.reader.dead_counts();
    let deliveries = store.reader.deliveries(&app(), 100).unwrap();
    (
        store.reader.counts(),
        store.log(),
        store.reader.newest_change(),
        events,
        (letters, dead),
        (deliveries, store.reader.sinks().unwrap()),
        (
            store.reader.paused().unwrap(),
            store.reader.alerts().unwrap(),
        ),
        (
            store.reader.replays().unwrap(),
            store.reader.audit(None, 100).unwrap(),
        ),
    )
}

/// The events of one request to that committer.
pub(crate) fn request(committer: &Committer, events: Vec<Event>) -> Submission {
    let sealer = committer.sealer();
    Submission::Accept(events.into_iter().map(|event| sealer.seal(event)).collect())
}
