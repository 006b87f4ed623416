//! The window against a model of store and receiver, whatever order results come in.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::ports::End;
use crate::sink::SinkAdvance;
use crate::task::Next;

/// What is on its way.
enum Flight {
    HandOver(HandOver),
    Task(TaskRun),
    Advance(SinkAdvance),
}

/// A sink's whole world, and what has been seen of it.
struct Model {
    window: Window,
    /// The entity of change 1, 2, …
    log: Vec<u64>,
    now: i64,
    retry: RetryPolicy,
    flights: Vec<Flight>,
    /// The store: open deliveries by entity.
    open: BTreeMap<u64, BTreeSet<u64>>,
    in_advances: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    taken: BTreeSet<u64>,
    covered: BTreeSet<u64>,
    last_taken: BTreeMap<u64, u64>,
    flying: BTreeSet<u64>,
    alone: bool,
}

fn class(choice: u8) -> Option<FailureClass> {
    Some(match choice % 8 {
        0 | 1 => FailureClass::TRANSIENT,
        2 => FailureClass::Permanent,
        3 => FailureClass::RateLimited { delay: None },
        4 if choice > 200 => FailureClass::Unauthorized,
        _ => return None,
    })
}

impl Model {
    fn new(log: Vec<u64>, batch: usize, concurrency: usize) -> Self {
        Self {
            window: window(batch, concurrency),
            log,
            now: 0,
            retry: RetryPolicy::default(),
            flights: Vec::new(),
            open: BTreeMap::new(),
            in_advances: BTreeSet::new(),
            dead: BTreeSet::new(),
            taken: BTreeSet::new(),
            covered: BTreeSet::new(),
            last_taken: BTreeMap::new(),
            flying: BTreeSet::new(),
            alone: concurrency == 1,
        }
    }

    fn entity(&self, seq: u64) -> u64 {
        self.log[usize::try_from(seq).unwrap() - 1]
    }

    fn read(&mut self, most: u64) {
        let Some(Want::Log { after, .. }) = self.window.want() else {
            return;
        };
        let next = (after.get() + most).min(self.log.len() as u64);
        let changes = (after.get() + 1..=next)
            .map(|seq| change(seq, self.entity(seq)))
            // Filtered out: the cursor has to pass these as well.
            .filter(|change| change.seq.get() % 11 != 0)
            .collect();
        let next = ChangeSeq::new(next);
        self.window.offer_log(LogPage { changes, next });
    }

    fn starts(&mut self, given: &[u64]) {
        let before = self.flying.clone();
        for (index, seq) in given.iter().enumerate() {
            let entity = self.entity(*seq);
            assert!(!before.contains(&entity), "two of {entity} at once");
            let again = given[..index].iter().any(|s| self.entity(*s) == entity);
            assert!(self.alone || !again, "{entity} twice in {given:?}");
            assert!(
                self.last_taken.get(&entity).is_none_or(|last| last < seq),
                "{seq} of {entity} after a later one"
            );
            self.flying.insert(entity);
        }
        assert!(given.is_sorted());
    }

    fn hand_over(&mut self) {
        let probing = failing(&self.window).is_some();
        if let Some(hand_over) = self.window.next(at(self.now)) {
            let given = seqs(&hand_over);
            if probing {
                assert!(hand_over.is_probe() && given.len() == 1, "{given:?}");
                assert!(self.flying.is_empty(), "a probe beside something else");
            }
            self.starts(&given);
            self.flights.push(Flight::HandOver(hand_over));
        }
    }

    fn task(&mut self) {
        if self.window.task_room(0, at(self.now)) == 0 {
            return;
        }
        // The store has the first of each entity in its queue.
        let queue = self
            .open
            .iter()
            .filter_map(|(e, seqs)| Some((*e, *seqs.first()?)));
        let queue: Vec<(u64, u64)> = queue.filter(|(e, _)| !self.flying.contains(e)).collect();
        let Some((entity, seq)) = queue.first().copied() else {
            return;
        };
        let delivery = Delivery {
            sink: "app".parse().unwrap(),
            seq: ChangeSeq::new(seq),
            connection: "github/acme".parse().unwrap(),
            entity: change(seq, entity).change.entity,
            forced: false,
        };
        let tried = Try {
            attempt: 2,
            since: Timestamp::EPOCH,
            limited_since: None,
        };
        if let Some(run) = self.window.begin_task(&delivery, tried) {
            self.starts(&[seq]);
            self.flights.push(Flight::Task(run));
        }
    }

    fn advance(&mut self) {
        let Some(advance) = self.window.advance(at(self.now)) else {
            return;
        };
        for failed in &advance.failed {
            let seq = failed.seq.get();
            assert!(self.in_advances.insert(seq), "{seq} in two advances");
            assert!(!self.taken.contains(&seq), "{seq} was taken");
        }
        for seq in (1..=advance.standing.cursor.get()).filter(|seq| seq % 11 != 0) {
            let accounted = [&self.taken, &self.covered, &self.in_advances];
            assert!(
                accounted.iter().any(|set| set.contains(&seq)),
                "the cursor passed {seq}"
            );
        }
        self.flights.push(Flight::Advance(advance));
    }

    fn finish(&mut self, which: u8, fate: Option<FailureClass>) {
        if self.flights.is_empty() {
            return;
        }
        let which = usize::from(which) % self.flights.len();
        match self.flights.swap_remove(which) {
            Flight::Advance(advance) => self.durable(&advance),
            Flight::HandOver(hand_over) => self.results(hand_over, which, fate.as_ref()),
            Flight::Task(run) => self.ran(&run, fate),
        }
    }

    fn durable(&mut self, advance: &SinkAdvance) {
        for failed in &advance.failed {
            let seq = failed.seq.get();
            if matches!(failed.tried, Some((_, Next::Park { .. }))) {
                self.dead.insert(seq);
            } else {
                self.open.entry(self.entity(seq)).or_default().insert(seq);
            }
        }
        self.window.advanced();
    }

    fn results(&mut self, hand_over: HandOver, which: usize, fate: Option<&FailureClass>) {
        let given = seqs(&hand_over);
        // Sometimes a part of a batch only.
        let broken = |index: usize| which % 3 != 1 || index.is_multiple_of(2);
        let results: Vec<_> = (0..given.len())
            .map(|index| match fate {
                Some(class) if broken(index) => fail(class.clone()),
                _ => Ok(()),
            })
            .collect();
        for (seq, result) in given.iter().zip(&results) {
            let entity = self.entity(*seq);
            self.flying.remove(&entity);
            if result.is_ok() {
                self.takes(entity, *seq);
            }
        }
        let overtaken = |seq: &u64| {
            !self.taken.contains(seq) && self.last_taken.get(&self.entity(*seq)) > Some(seq)
        };
        let covered: Vec<u64> = given.iter().copied().filter(overtaken).collect();
        self.covered.extend(covered);
        let judgement = by(self.now, &self.retry);
        self.window.finished(hand_over, results, &judgement);
    }

    fn ran(&mut self, run: &TaskRun, fate: Option<FailureClass>) {
        let seq = run.delivery().seq.get();
        let entity = self.entity(seq);
        self.flying.remove(&entity);
        let result = fate.map_or(Ok(()), fail);
        if result.is_ok() {
            self.takes(entity, seq);
        }
        let judgement = by(self.now, &self.retry);
        let verdict = self.window.task_finished(run, result, &judgement);
        let open = match verdict {
            TaskVerdict::Released | TaskVerdict::Ended(End::Again(_), _) => true,
            TaskVerdict::Ended(End::Park { .. }, _) => {
                self.dead.insert(seq);
                false
            }
            TaskVerdict::Ended(..) => false,
        };
        if !open {
            self.open.entry(entity).or_default().remove(&seq);
        }
        self.window.task_left(run, open);
    }

    fn takes(&mut self, entity: u64, seq: u64) {
        assert!(self.taken.insert(seq), "{seq} was taken twice");
        self.last_taken.insert(entity, seq);
    }

    fn act(&mut self, [what, choice]: [u8; 2]) {
        match what % 8 {
            0 => self.read(u64::from(choice % 9) + 1),
            1 | 2 => self.hand_over(),
            3 => self.task(),
            4 | 5 => self.finish(choice, class(choice)),
            6 => self.advance(),
            _ => self.now += i64::from(choice % 16),
        }
    }

    /// Faults have stopped.
    fn drain(&mut self) {
        for _ in 0..2_000 {
            self.now += 20_000;
            self.read(50);
            self.hand_over();
            self.task();
            self.advance();
            self.finish(0, None);
            self.finish(1, None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_comes_in_which_order(
        log in prop::collection::vec(0_u64..6, 1..120),
        (batch, concurrency) in prop::sample::select(vec![(1, 4), (3, 2), (4, 1), (1, 1)]),
        story in prop::collection::vec(any::<[u8; 2]>(), 0..600),
    ) {
        let mut model = Model::new(log, batch, concurrency);
        for step in story {
            model.act(step);
        }
        model.drain();
        // Still failing it may be: where the last change was refused, nothing is left to
        // probe it with.
        let paused = matches!(model.window.standing().state, SinkState::Paused { .. });
        prop_assert!(!paused);
        prop_assert_eq!(model.window.standing().cursor.get(), model.log.len() as u64);
        prop_assert_eq!(model.window.open_deliveries(), 0);
        for seq in (1..=model.log.len() as u64).filter(|seq| seq % 11 != 0) {
            let ended = [&model.taken, &model.covered, &model.dead];
            prop_assert_eq!(ended.iter().filter(|set| set.contains(&seq)).count(), 1, "{}", seq);
        }
    }
}
