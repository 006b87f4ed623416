//! Any history of work, faults and crashes keeps every promise.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidegate_core::ids::{ChangeSeq, EventId};
use tidegate_core::ports::End;
use tidegate_core::task::{DeadCause, Work};
use tidegate_core::time::Timestamp;
use tidegate_store::engine::memory::{Fault, Memory};
use tidegate_store::{Answer, ChangeFilter, ChangesError, Subject, Submission};

use crate::bed::{
    DAY, HOUR, START, Store, accepted, acme, again, event, event_of, mapped, open, said, sight,
    upsert,
};

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    /// Hands in events by these ids, one request each.
    Accept(Vec<u8>),
    /// Claims up to so many tasks and ends them, each in the way that its number says.
    Work(usize, u8),
    /// Claims tasks and gives them back.
    Release(usize),
    /// Time passes.
    Pass(u8),
    Retain,
    Touch,
    /// The next commit fails, and the host restarts.
    Fail(Fault),
    /// The power goes.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        Just(Fault::Write),
        Just(Fault::SyncLost),
        Just(Fault::SyncKept)
    ];
    prop_oneof![
        6 => proptest::collection::vec(0u8..40, 1..6).prop_map(Step::Accept),
        6 => (1usize..5, 0u8..12).prop_map(|(count, way)| Step::Work(count, way)),
        1 => (1usize..4).prop_map(Step::Release),
        3 => (0u8..60).prop_map(Step::Pass),
        1 => Just(Step::Retain),
        1 => Just(Step::Touch),
        2 => fault.prop_map(Step::Fail),
        2 => Just(Step::Crash),
    ]
}

/// A store, and what must be true of it.
struct World {
    memory: Memory,
    store: Store,
    now: Timestamp,
    fault: Option<Fault>,
    /// The event that was answered last for each partner id, and when it was accepted.
    known: BTreeMap<u8, (EventId, Timestamp)>,
    accepted: u64,
    /// Map tasks that have not ended.
    open: BTreeSet<EventId>,
    /// Events whose completion was committed as mapped.
    mapped: BTreeSet<EventId>,
    dead: BTreeSet<EventId>,
    /// What readers have seen of the change log.
    seen: Vec<String>,
}

impl World {
    fn new() -> Self {
        let memory = Memory::new();
        Self {
            store: open(&memory, START),
            memory,
            now: START,
            fault: None,
            known: BTreeMap::new(),
            accepted: 0,
            open: BTreeSet::new(),
            mapped: BTreeSet::new(),
            dead: BTreeSet::new(),
            seen: Vec::new(),
        }
    }

    fn restart(&mut self) {
        self.memory = self.memory.crash();
        self.store = open(&self.memory, self.now);
    }

    /// Commits, with the fault that is due. Says whether the batch is durable.
    fn commit(&mut self, batch: Vec<Submission>) -> (bool, Option<Vec<Answer>>) {
        let Some(fault) = self.fault.take() else {
            return (true, Some(self.store.commit(batch)));
        };
        self.memory.fail_next(fault);
        let before = sight(&self.store);
        let result = self.store.try_commit(batch);
        if result.is_err() {
            assert_eq!(sight(&self.store), before, "a failed batch shows");
        }
        let durable = result.is_ok() || fault == Fault::SyncKept;
        self.restart();
        (durable, result.ok())
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Accept(ids) => self.accept(&ids),
            Step::Work(count, way) => self.work(count, way),
            Step::Release(count) => {
                for claimed in self.store.claims.claim(Work::Map, count, self.now).unwrap() {
                    self.store.claims.release(claimed.id());
                }
            }
            Step::Pass(hours) => {
                self.now = self.now.plus(HOUR * u32::from(hours));
                self.store.now = self.now;
            }
            Step::Retain => drop(self.commit(vec![Submission::Retain])),
            Step::Touch => drop(self.commit(vec![Submission::Touch])),
            Step::Fail(fault) => self.fault = Some(fault),
            Step::Crash => self.restart(),
        }
    }

    fn accept(&mut self, ids: &[u8]) {
        let event = |id: &u8| event(&acme(), &id.to_string(), self.now);
        let batch = ids
            .iter()
            .map(|id| self.store.request(vec![event(id)]))
            .collect();
        let (durable, answers) = self.commit(batch);
        match answers {
            Some(answers) => {
                let answers = answers.into_iter().flat_map(accepted);
                for (id, answer) in ids.iter().zip(answers) {
                    self.note_accepted(*id, answer.id, answer.duplicate);
                }
            }
            // Nobody was told; a second try says what became of it.
            None => {
                for id in ids.iter().copied().collect::<BTreeSet<u8>>() {
                    let answer = self.store.accept(&[id.to_string().as_str()])[0];
                    let fresh = !self.known.contains_key(&id);
                    assert!(!fresh || answer.duplicate == durable, "whole or not at all");
                    self.note_accepted(id, answer.id, answer.duplicate);
                }
            }
        }
    }

    fn note_accepted(&mut self, id: u8, event: EventId, duplicate: bool) {
        if let Some((first, at)) = self.known.get(&id) {
            if *first == event {
                assert!(duplicate, "a number came twice");
                return;
            }
            assert!(
                self.now.since(*at) >= 30 * DAY,
                "forgotten within the window"
            );
        }
        let highest = self.known.values().map(|(event, _)| *event).max();
        assert!(
            highest.is_none_or(|highest| highest < event || duplicate),
            "a number came twice"
        );
        self.known.insert(id, (event, self.now));
        self.accepted += 1;
        self.open.insert(event);
    }

    fn work(&mut self, count: usize, way: u8) {
        let claimed = self.store.claims.claim(Work::Map, count, self.now).unwrap();
        let mut ends = Vec::new();
        let mut batch = Vec::new();
        for claimed in claimed {
            let event = event_of(&claimed.task);
            assert!(
                self.open.contains(&event),
                "{event} was claimed and has ended before"
            );
            let end = match (way + u8::try_from(event.get() % 12).unwrap()) % 6 {
                0 => End::Park {
                    cause: DeadCause::Mapping,
                    reason: "odd".into(),
                },
                1 => End::Skipped {
                    reason: "nothing".into(),
                },
                2 => again(2, self.now.plus(HOUR), None),
                // An entity of its own, so that each mapping is one change.
                _ => mapped(vec![upsert(&event.to_string(), Some(1))]),
            };
            let completion = self.store.completion(claimed.task, end.clone());
            // Handed in twice, as a worker might that did not hear the answer.
            batch.push(completion.clone());
            batch.push(completion);
            ends.push((event, end));
        }
        let (durable, _) = self.commit(batch);
        if durable {
            for (event, end) in ends {
                match end {
                    End::Mapped { .. } => drop(self.mapped.insert(event)),
                    End::Park { .. } => drop(self.dead.insert(event)),
                    End::Skipped { .. } | End::Delivered | End::Superseded | End::Pause { .. } => {}
                    End::Again(_) => continue,
                }
                self.open.remove(&event);
            }
        }
    }

    /// What must hold at any time.
    fn check(&mut self) {
        let log = self.log();
        assert!(
            log.starts_with(&self.seen),
            "a change that was seen is gone"
        );
        let mapped: BTreeSet<String> = self
            .mapped
            .iter()
            .map(|event| format!("+{event}@1"))
            .collect();
        assert_eq!(log.len(), mapped.len(), "one change a mapping");
        assert_eq!(log.iter().cloned().collect::<BTreeSet<_>>(), mapped);
        self.seen = log;
        let counts = self.store.reader.counts();
        assert_eq!(counts.events, self.accepted);
        assert_eq!(counts.scheduled, self.open.len() as u64);
        assert_eq!(counts.changes, self.mapped.len() as u64);
        let letters = self.store.letters();
        let dead: BTreeSet<_> = letters
            .iter()
            .map(|letter| event_of(&letter.task))
            .collect();
        assert_eq!(dead, self.dead);
        let whole = |subject: &Subject| matches!(subject, Subject::Event { event: Some(_), .. });
        assert!(letters.iter().all(|letter| whole(&letter.subject)));
        for event in &self.open {
            assert!(
                self.store.reader.event(*event).unwrap().is_some(),
                "an open event is gone"
            );
        }
    }

    /// The change log from its oldest cursor on; what was dropped before counts as seen.
    fn log(&self) -> Vec<String> {
        let filter = ChangeFilter::default();
        let oldest = match self.store.reader.changes(ChangeSeq::default(), &filter, 1) {
            Ok(_) => 0,
            Err(ChangesError::CursorExpired { oldest, .. }) => oldest.get(),
            Err(error) => panic!("{error}"),
        };
        let oldest = ChangeSeq::new(oldest);
        let kept = self
            .store
            .reader
            .changes(oldest, &filter, 1_000)
            .unwrap()
            .changes;
        let mut log: Vec<_> = self
            .seen
            .iter()
            .take(usize::try_from(oldest.get()).unwrap())
            .cloned()
            .collect();
        assert_eq!(
            log.len() as u64,
            oldest.get(),
            "changes were dropped that nobody saw"
        );
        for (place, change) in kept.iter().enumerate() {
            assert_eq!(change.seq.get(), oldest.get() + place as u64 + 1, "a gap");
            log.push(said(&change.change));
        }
        log
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_history_keeps_every_promise(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.play(step);
            world.check();
        }
        // In the end everything that is open is found, once, and can be finished.
        world.fault = None;
        world.restart();
        world.now = world.now.plus(DAY);
        world.store.now = world.now;
        let claimed: Vec<_> =
            world.store.claim().iter().map(|one| event_of(&one.task)).collect();
        prop_assert_eq!(claimed.len(), world.open.len());
        prop_assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), world.open.clone());
    }
}
