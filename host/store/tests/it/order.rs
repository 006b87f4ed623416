//! Whatever happens to them, the deliveries of an entity keep their order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidegate_core::ids::{ChangeSeq, SinkName, TaskId};
use tidegate_core::ports::End;
use tidegate_core::replay::ReplayItem;
use tidegate_core::sink::{FailedDelivery, SinkAdvance, SinkStanding};
use tidegate_core::task::{DeadCause, Next, TaskKind};
use tidegate_store::engine::memory::Memory;
use tidegate_store::{DeadLetterFilter, Submission};

use crate::bed::{HOUR, START, Store, again, attempt, later, open, parked, upsert};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A change of an entity, not taken by a sink: in that way.
    Fail {
        sink: usize,
        entity: usize,
        way: u8,
    },
    /// A due delivery ends, in that way.
    End {
        pick: prop::sample::Index,
        way: u8,
    },
    /// Letters run again.
    Replay(prop::sample::Index),
    /// An advance comes a second time.
    Repeat,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0usize..2, 0usize..2, 0u8..8)
            .prop_map(|(sink, entity, way)| Step::Fail { sink, entity, way }),
        6 => (index(), 0u8..4).prop_map(|(pick, way)| Step::End { pick, way }),
        2 => index().prop_map(Step::Replay),
        1 => Just(Step::Repeat),
        1 => Just(Step::Crash),
    ]
}

/// The deliveries of one entity to one sink, as they should be.
#[derive(Debug, Default)]
struct Lane {
    /// Which has its turn.
    turn: Option<u64>,
    waiting: BTreeSet<u64>,
}

impl Lane {
    fn add(&mut self, seq: u64) {
        if self.turn.is_none() {
            self.turn = Some(seq);
        } else {
            self.waiting.insert(seq);
        }
    }

    fn end(&mut self) {
        self.turn = self.waiting.pop_first();
    }
}

type Of = (SinkName, String);

struct World {
    memory: Memory,
    store: Store,
    lanes: BTreeMap<Of, Lane>,
    dead: BTreeSet<(Of, u64)>,
    last: Option<Submission>,
}

impl World {
    fn new() -> Self {
        let memory = Memory::new();
        let mut store = open(&memory, START);
        for name in ["one", "two"] {
            store.add_sink(name.parse().unwrap());
        }
        Self {
            memory,
            store,
            lanes: BTreeMap::new(),
            dead: BTreeSet::new(),
            last: None,
        }
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Fail { sink, entity, way } => self.fail(["one", "two"][sink], entity, way),
            Step::End { pick, way } => self.end(pick, way),
            Step::Replay(pick) => self.replay(pick),
            Step::Repeat => self
                .store
                .commit(self.last.clone().into_iter().collect())
                .clear(),
            Step::Crash => {
                self.memory = self.memory.crash();
                let now = self.store.now;
                self.store = open(&self.memory, now);
            }
        }
        self.store.pass(HOUR);
    }

    fn fail(&mut self, sink: &str, entity: usize, way: u8) {
        let newest = self.store.reader.newest_change().get() + 1;
        let id = ["a", "b"][entity];
        self.map(newest, id);
        let change = self.store.changes().pop().unwrap();
        let sink: SinkName = sink.parse().unwrap();
        let of = (sink.clone(), id.to_owned());
        let lane = self.lanes.entry(of.clone()).or_default();
        // The sink's loop does not try a change while an earlier one is open.
        let now = self.store.now;
        let next = match way {
            _ if lane.turn.is_some() && way < 6 => None,
            0 | 7 => Some(Next::Park {
                cause: DeadCause::Sink,
                reason: "no".into(),
            }),
            _ => Some(Next::Again(later(2, now, None))),
        };
        match next {
            Some(Next::Park { .. }) => drop(self.dead.insert((of, newest))),
            _ => lane.add(newest),
        }
        let failed = FailedDelivery {
            seq: change.seq,
            connection: change.connection,
            entity: change.change.entity,
            since: change.committed,
            tried: next.map(|next| (attempt(now), next)),
        };
        let stands = self.store.reader.sink(&sink).unwrap().unwrap();
        let standing = SinkStanding {
            cursor: ChangeSeq::new(newest),
            ..stands
        };
        let failed = vec![failed];
        let advance = Submission::Advance(Box::new(SinkAdvance { standing, failed }));
        self.store.commit(vec![advance.clone()]);
        // What has ended since may be added again; only a copy at once may not.
        self.last = Some(advance);
    }

    /// Maps an event without touching deliveries that are due.
    fn map(&mut self, number: u64, id: &str) {
        self.store.accept(&[number.to_string().as_str()]);
        let (mapping, others): (Vec<_>, Vec<_>) = self
            .store
            .claim()
            .into_iter()
            .partition(|one| matches!(one.task.kind, TaskKind::Map { .. }));
        for other in others {
            self.store.claims.release(other.id());
        }
        let change = upsert(id, Some(number.cast_signed()));
        let task = mapping.into_iter().next().unwrap().task;
        self.store.complete(task, crate::bed::mapped(vec![change]));
    }

    fn end(&mut self, pick: prop::sample::Index, way: u8) {
        self.last = None;
        let mut claimed = self.store.claim();
        if claimed.is_empty() {
            return;
        }
        let task = claimed.swap_remove(pick.index(claimed.len())).task;
        for other in claimed {
            self.store.claims.release(other.id());
        }
        let TaskKind::Deliver(delivery) = &task.kind else {
            panic!("claimed {task:?}");
        };
        let of = (delivery.sink.clone(), delivery.entity.id.clone());
        let seq = delivery.seq.get();
        let end = match way {
            0 => End::Delivered,
            1 => End::Superseded,
            2 => again(3, self.store.now, None),
            _ => parked(DeadCause::Sink),
        };
        let lane = self.lanes.get_mut(&of).unwrap();
        if way != 2 {
            lane.end();
        }
        if way == 3 {
            self.dead.insert((of, seq));
        }
        let completion = self.store.completion(task, end);
        self.store.commit(vec![completion.clone(), completion]);
    }

    fn replay(&mut self, pick: prop::sample::Index) {
        self.last = None;
        let filter = DeadLetterFilter::default();
        let mut letters = self
            .store
            .reader
            .dead_letters(&filter, None, 1_000)
            .unwrap()
            .letters;
        if letters.is_empty() {
            return;
        }
        let letter = letters.swap_remove(pick.index(letters.len()));
        let TaskKind::Deliver(delivery) = &letter.task.kind else {
            panic!("{letter:?}");
        };
        let of = (delivery.sink.clone(), delivery.entity.id.clone());
        self.dead.remove(&(of.clone(), delivery.seq.get()));
        self.lanes.get_mut(&of).unwrap().add(delivery.seq.get());
        let item = ReplayItem::Letter(letter.task.id);
        assert_eq!(self.store.replay(vec![item, item]), (1, 1));
    }

    fn check(&self) {
        let claimed = self.store.claim();
        let mut due = BTreeSet::new();
        for one in &claimed {
            let TaskKind::Deliver(delivery) = &one.task.kind else {
                panic!("claimed {one:?}");
            };
            let of = (delivery.sink.clone(), delivery.entity.id.clone());
            due.insert((of, delivery.seq.get()));
            self.store.claims.release(one.id());
        }
        let turns = self
            .lanes
            .iter()
            .filter_map(|(of, lane)| Some((of.clone(), lane.turn?)));
        assert_eq!(due, turns.collect(), "one of each entity has its turn");
        let counts = self.store.reader.counts();
        let waiting: usize = self.lanes.values().map(|lane| lane.waiting.len()).sum();
        assert_eq!(counts.scheduled, due.len() as u64);
        assert_eq!(counts.waiting, waiting as u64);
        assert_eq!(counts.dead, self.dead.len() as u64);
        let counted: u64 = self
            .store
            .reader
            .dead_counts()
            .iter()
            .map(|one| one.count)
            .sum();
        assert_eq!(counted, counts.dead, "the counts equal a recount");
        let tasks: BTreeSet<TaskId> = claimed
            .iter()
            .map(tidegate_core::ports::Claimed::id)
            .collect();
        assert_eq!(tasks.len(), claimed.len());
        for name in ["one", "two"] {
            let sink: SinkName = name.parse().unwrap();
            let open = self.store.reader.deliveries(&sink, 1_000).unwrap();
            let lanes = self.lanes.iter().filter(|((of, _), _)| *of == sink);
            let expect: usize = lanes
                .map(|(_, lane)| lane.waiting.len() + usize::from(lane.turn.is_some()))
                .sum();
            assert_eq!(open.len(), expect);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn deliveries_keep_the_order_of_their_entity(
        steps in proptest::collection::vec(step(), 1..50),
    ) {
        let mut world = World::new();
        for step in steps {
            world.play(step);
            world.check();
        }
        // In the end everything goes out, each entity in its order.
        while let Some(one) = world.store.claim().into_iter().next() {
            let TaskKind::Deliver(delivery) = &one.task.kind else {
                panic!("claimed {one:?}");
            };
            let of = (delivery.sink.clone(), delivery.entity.id.clone());
            let lane = world.lanes.get_mut(&of).unwrap();
            prop_assert_eq!(lane.turn, Some(delivery.seq.get()));
            lane.end();
            world.store.complete(one.task, End::Delivered);
            world.store.pass(HOUR);
            let now = world.store.now;
            world.memory = world.memory.crash();
            world.store = open(&world.memory, now);
        }
        let counts = world.store.reader.counts();
        prop_assert_eq!((counts.scheduled, counts.waiting), (0, 0));
    }
}
