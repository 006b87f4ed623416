//! A receiver with a store beside it: every port of a sink's loop in one.

mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tidegate_core::change::{Change, EntityRef, Operation, Origin, ProposedChange};
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::{ChangeSeq, ConnectionId, TaskId};
use tidegate_core::ports::OutletCapacity;

use super::super::*;

/// How the receiver answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Fails(FailureClass),
    Hangs,
}

/// An open delivery as the store has it.
#[derive(Clone, Debug)]
struct Row {
    task: TaskId,
    attempt: u32,
    due: i64,
    limited_since: Option<Timestamp>,
    forced: bool,
    claimed: bool,
}

#[derive(Debug)]
struct State {
    log: Vec<u64>,
    log_from: u64,
    standing: SinkStanding,
    rows: BTreeMap<(u64, u64), Row>,
    parked: Vec<u64>,
    tasks: u64,
    stops: u32,
    now: i64,
    answers: BTreeMap<u64, VecDeque<Answer>>,
    chance: Option<u64>,
    taken: Vec<u64>,
    /// The last change that was taken since the last crash, by entity.
    last: BTreeMap<u64, u64>,
    flying: BTreeSet<u64>,
    ends: Vec<String>,
    receiver: Result<Option<u64>, ()>,
    capacity: OutletCapacity,
    hand_overs: usize,
    /// Whether the receiver takes its time to say where it stands, and how often it was
    /// asked.
    thinks: bool,
    asked: usize,
    /// Pages of the log and the mirror that were read.
    pages: usize,
}

#[derive(Debug)]
pub(super) struct World {
    state: Mutex<State>,
    filter: SinkFilter,
    retry: RetryPolicy,
}

pub(super) type Loop<'a> = SinkLoop<'a, World, World, World, World, World, World>;

fn connection() -> ConnectionId {
    "github/acme".parse().unwrap()
}

fn entity_of(number: u64) -> EntityRef {
    EntityRef {
        kind: "issue".into(),
        id: number.to_string(),
    }
}

fn change(seq: u64, entity: u64) -> Change {
    Change {
        seq: ChangeSeq::new(seq),
        connection: connection(),
        change: ProposedChange {
            entity: entity_of(entity),
            operation: Operation::Upsert,
            version: None,
            revision: String::new(),
            occurred: None,
            data: Some(Bytes::from_static(b"{}")),
        },
        origin: Origin::Webhook,
        event: None,
        committed: Timestamp::EPOCH,
    }
}

impl State {
    fn entity(&self, seq: u64) -> u64 {
        self.log[usize::try_from(seq).unwrap() - 1]
    }

    fn newest_of(&self, entity: u64) -> Option<u64> {
        let at = self.log.iter().rposition(|e| *e == entity)?;
        Some(at as u64 + 1)
    }

    /// What the receiver says to one change.
    fn answer(&mut self, seq: u64) -> Option<Answer> {
        if let Some(answer) = self.answers.get_mut(&seq).and_then(VecDeque::pop_front) {
            return Some(answer);
        }
        let class = match self.draw()? % 9 {
            0 | 1 => FailureClass::TRANSIENT,
            2 => FailureClass::Permanent,
            3 => FailureClass::RateLimited { delay: None },
            _ => return None,
        };
        Some(Answer::Fails(class))
    }

    /// A number of a sequence that its seed fixes; none where nothing is left to chance.
    fn draw(&mut self) -> Option<u64> {
        let state = self.chance.as_mut()?;
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        Some(*state >> 33)
    }

    fn open(&mut self, seq: u64, attempt: u32, due: i64, since: Option<Timestamp>) {
        if self.parked.contains(&seq) {
            return;
        }
        self.tasks += 1;
        let row = Row {
            task: TaskId::new(self.tasks),
            attempt,
            due,
            limited_since: since,
            forced: false,
            claimed: false,
        };
        let entity = self.entity(seq);
        self.rows.entry((entity, seq)).or_insert(row);
    }

    /// The first delivery of each entity: what the queue has.
    fn queued(&self) -> Vec<(u64, u64)> {
        let mut seen = BTreeSet::new();
        let rows = self.rows.keys().copied();
        rows.filter(|(entity, _)| seen.insert(*entity)).collect()
    }
}

impl World {
    pub(super) fn new(log: &[u64], concurrency: usize) -> Self {
        Self {
            state: Mutex::new(State {
                log: log.to_vec(),
                log_from: 0,
                standing: SinkStanding {
                    sink: "app".parse().unwrap(),
                    cursor: ChangeSeq::new(0),
                    mirror: None,
                    state: SinkState::Running,
                },
                rows: BTreeMap::new(),
                parked: Vec::new(),
                tasks: 0,
                stops: 0,
                now: 0,
                answers: BTreeMap::new(),
                chance: None,
                taken: Vec::new(),
                last: BTreeMap::new(),
                flying: BTreeSet::new(),
                ends: Vec::new(),
                receiver: Ok(None),
                capacity: OutletCapacity {
                    batch: 1,
                    concurrency,
                },
                hand_overs: 0,
                thinks: false,
                asked: 0,
                pages: 0,
            }),
            filter: SinkFilter::default(),
            retry: RetryPolicy::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn open(&self) -> Loop<'_> {
        let ports = DeliverPorts {
            log: self,
            claims: self,
            outlet: self,
            journal: self,
            clock: self,
            chance: self,
            filter: &self.filter,
            retry: &self.retry,
        };
        SinkLoop::open(self.standing(), ports).unwrap()
    }

    pub(super) fn standing(&self) -> SinkStanding {
        self.state().standing.clone()
    }

    pub(super) fn taken(&self) -> Vec<u64> {
        self.state().taken.clone()
    }

    pub(super) fn parked(&self) -> Vec<u64> {
        self.state().parked.clone()
    }

    pub(super) fn ends(&self) -> Vec<String> {
        self.state().ends.clone()
    }

    pub(super) fn hand_overs(&self) -> usize {
        self.state().hand_overs
    }

    pub(super) fn open_count(&self) -> usize {
        self.state().rows.len()
    }

    pub(super) fn claimed(&self) -> usize {
        self.state().rows.values().filter(|row| row.claimed).count()
    }

    pub(super) fn answers(&self, seq: u64, answers: impl IntoIterator<Item = Answer>) {
        self.state().answers.entry(seq).or_default().extend(answers);
    }

    pub(super) fn random_answers(&self, seed: u64) {
        self.state().chance = Some(seed);
    }

    pub(super) fn all_is_well(&self) {
        self.state().chance = None;
    }

    pub(super) fn append(&self, entities: &[u64]) {
        self.state().log.extend(entities);
    }

    pub(super) fn wait(&self, secs: i64) {
        self.state().now += secs;
    }

    pub(super) fn stops(&self, stops: u32) {
        self.state().stops = stops;
    }

    pub(super) fn capacity(&self, capacity: OutletCapacity) {
        self.state().capacity = capacity;
    }

    pub(super) fn receiver_stands_at(&self, seq: u64) {
        self.state().receiver = Ok(Some(seq));
    }

    pub(super) fn receiver_is_away(&self, away: bool) {
        self.state().receiver = if away { Err(()) } else { Ok(None) };
    }

    pub(super) fn receiver_thinks(&self) {
        self.state().thinks = true;
    }

    pub(super) fn asked(&self) -> usize {
        self.state().asked
    }

    /// The sink takes nothing that there is.
    pub(super) fn takes_nothing(mut self) -> Self {
        self.filter.kinds = vec!["push".into()];
        self
    }

    pub(super) fn pages(&self) -> usize {
        self.state().pages
    }

    pub(super) fn drop_log_before(&self, seq: u64) {
        self.state().log_from = seq - 1;
    }

    pub(super) fn resume(&self) {
        self.state().standing.state = SinkState::Running;
    }

    /// What was on its way is forgotten; a receiver may be given it again.
    pub(super) fn crash(&self) {
        let mut state = self.state();
        state.flying.clear();
        state.last.clear();
        for row in state.rows.values_mut() {
            row.claimed = false;
        }
    }

    pub(super) fn replay(&self, seq: u64, forced: bool) {
        let mut state = self.state();
        state.parked.retain(|parked| *parked != seq);
        state.last.clear();
        let now = state.now;
        state.open(seq, 1, now, None);
        let entity = state.entity(seq);
        if let Some(row) = state.rows.get_mut(&(entity, seq)) {
            row.forced = forced;
        }
    }

    /// One change reaches the receiver.
    async fn give(&self, seq: u64) -> Result<(), Failure> {
        let (entity, answer, pauses) = {
            let mut state = self.state();
            let entity = state.entity(seq);
            assert!(state.flying.insert(entity), "two of {entity} at once");
            let last = state.last.get(&entity).copied();
            assert!(last <= Some(seq), "{seq} of {entity} after {last:?}");
            let pauses = state.draw().map_or(1, |draw| draw % 5);
            (entity, state.answer(seq), pauses)
        };
        for _ in 0..pauses {
            pause().await;
        }
        if matches!(answer, Some(Answer::Hangs)) {
            std::future::pending::<()>().await;
        }
        let mut state = self.state();
        state.flying.remove(&entity);
        if let Some(Answer::Fails(class)) = answer {
            return Err(Failure::new(class, "no"));
        }
        state.taken.push(seq);
        state.last.insert(entity, seq);
        Ok(())
    }
}

/// Lets others go first, once.
async fn pause() {
    let mut passed = false;
    poll_fn(|context| {
        if passed {
            return Poll::Ready(());
        }
        passed = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Outlet for World {
    fn capacity(&self) -> OutletCapacity {
        self.state().capacity
    }

    async fn deliver(&self, changes: &[Change]) -> Vec<Result<(), Failure>> {
        self.state().hand_overs += 1;
        let mut results = Vec::new();
        for change in changes {
            results.push(self.give(change.seq.get()).await);
        }
        results
    }

    async fn cursor(&self) -> Result<Option<ChangeSeq>, Failure> {
        self.state().asked += 1;
        if self.state().thinks {
            pause().await;
        }
        let stands = self.state().receiver;
        stands
            .map(|kept| kept.map(ChangeSeq::new))
            .map_err(|()| Failure::new(FailureClass::TRANSIENT, "connection refused"))
    }
}

/// Polls that often at most.
pub(super) fn poll_some<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    for _ in 0..times {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}

pub(super) fn finish<F: Future>(future: F) -> F::Output {
    poll_some(future, 1_000_000).expect("the step ends")
}
