//! The laws of claims, whatever happens to the queue.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use proptest::prelude::*;
use tidegate_core::ids::TaskId;
use tidegate_core::task::{Owner, Task, TaskKind, Work};
use tidegate_core::time::Timestamp;

use super::{Bed, TIGHT, at, deliver, due_of, key_of, map, poll, scheduled, since_of};
use crate::keys::LaneKey;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add { work: u64, owner: u64, due: u8 },
    Claim { work: u64, max: usize },
    ClaimOf { work: u64, owner: u64, max: usize },
    End(prop::sample::Index),
    Again(prop::sample::Index, u8),
    Release(prop::sample::Index),
    ReleaseLater(prop::sample::Index, u8),
    Pass(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let (work, owner) = (0u64..3, 0u64..4);
    prop_oneof![
        12 => (work.clone(), owner.clone(), 0u8..120)
            .prop_map(|(work, owner, due)| Step::Add { work, owner, due }),
        6 => (work.clone(), 1usize..6).prop_map(|(work, max)| Step::Claim { work, max }),
        1 => (work, owner, 1usize..4)
            .prop_map(|(work, owner, max)| Step::ClaimOf { work, owner, max }),
        3 => index().prop_map(Step::End),
        2 => (index(), 0u8..200).prop_map(|(task, due)| Step::Again(task, due)),
        1 => index().prop_map(Step::Release),
        1 => (index(), 0u8..100).prop_map(|(task, wait)| Step::ReleaseLater(task, wait)),
        1 => (0u8..30).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

fn kind(work: u64, owner: u64, number: u64) -> TaskKind {
    match work {
        0 => map(owner, number),
        1 => poll(owner),
        _ => deliver(owner, number),
    }
}

/// What must be so, by the simplest means.
struct Model {
    bed: Bed,
    now: Timestamp,
    /// Open and unclaimed, of each lane.
    free: BTreeMap<LaneKey, BTreeSet<(Timestamp, u64)>>,
    held: Vec<Task>,
    resting: Vec<(Timestamp, Task)>,
    /// How often another lane was served while this one had something due.
    passed: HashMap<(LaneKey, LaneKey), u32>,
}

impl Model {
    fn new() -> Self {
        Self {
            bed: Bed::new(TIGHT),
            now: at(30),
            free: BTreeMap::new(),
            held: Vec::new(),
            resting: Vec::new(),
            passed: HashMap::new(),
        }
    }

    fn free(&mut self, task: &Task) {
        let key = key_of(task);
        let lane = self.free.entry(key.lane).or_default();
        assert!(lane.insert((key.due, task.id.get())));
    }

    fn first_due(&self, lane: LaneKey) -> Option<(Timestamp, u64)> {
        let first = self.free.get(&lane)?.first()?;
        (first.0 <= self.now).then_some(*first)
    }

    fn wake(&mut self) {
        let now = self.now;
        let (rested, resting) = std::mem::take(&mut self.resting)
            .into_iter()
            .partition(|(until, _)| *until <= now);
        self.resting = resting;
        for (_, task) in rested {
            self.free(&task);
        }
    }

    fn take(&mut self, task: Task) {
        let key = key_of(&task);
        let first = self.first_due(key.lane);
        assert_eq!(
            first,
            Some((key.due, task.id.get())),
            "the lane's longest due"
        );
        self.free.get_mut(&key.lane).unwrap().pop_first();
        self.held.push(task);
    }

    /// Another lane is served at most once while one waits for its turn.
    fn serve(&mut self, served: LaneKey) {
        let due: Vec<_> = self.free.keys().copied().collect();
        for lane in due {
            if lane == served || self.first_due(lane).is_none() {
                self.passed.retain(|(waiting, _), _| *waiting != lane);
            } else if lane.work == served.work {
                let passed = self.passed.entry((lane, served)).or_default();
                *passed += 1;
                assert!(*passed < 2, "{lane:?} was passed over twice by {served:?}");
            }
        }
    }

    fn claim(&mut self, work: Work, max: usize) {
        self.wake();
        let claims = &self.bed.store.claims;
        let claimed = claims.claim(work, max, self.now).unwrap();
        let found = claimed.len();
        for one in claimed {
            let lane = LaneKey::of(&one.task.kind);
            assert_eq!(lane.work, work);
            self.serve(lane);
            self.take(one.task);
        }
        let mut lanes = self.free.keys().filter(|lane| lane.work == work);
        let left = lanes.any(|lane| self.first_due(*lane).is_some());
        assert!(found == max || !left, "something due was not found");
        if found < max {
            let next = self.bed.store.claims.next_due(work);
            assert_eq!(next, self.next_due(|lane| lane.work == work));
        }
    }

    fn claim_of(&mut self, lane: LaneKey, owner: &Owner, max: usize) {
        self.wake();
        let claims = &self.bed.store.claims;
        let claimed = claims.claim_of(owner, lane.work, max, self.now).unwrap();
        let found = claimed.len();
        for one in claimed {
            assert_eq!(one.task.kind.owner(), *owner);
            self.take(one.task);
        }
        assert!(found == max || self.first_due(lane).is_none());
        let next = self.bed.store.claims.next_due_of(owner, lane.work);
        assert_eq!(next, self.next_due(|other| other == lane));
    }

    fn next_due(&self, of: impl Fn(LaneKey) -> bool) -> Option<Timestamp> {
        let free = self.free.iter().filter(|(lane, _)| of(**lane));
        let free = free.filter_map(|(_, tasks)| tasks.first().map(|(due, _)| *due));
        let resting = self
            .resting
            .iter()
            .filter(|(_, task)| of(key_of(task).lane));
        free.chain(resting.map(|(until, _)| *until)).min()
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Add { work, owner, due } => {
                let number = self.bed.last + 1;
                let kind = kind(work, owner, number);
                let (_, task) = scheduled(kind.clone(), number, at(due.into()));
                self.bed.add(|_| kind, at(due.into()));
                self.free(&task);
            }
            Step::Claim { work, max } => self.claim(kind(work, 0, 0).work(), max),
            Step::ClaimOf { work, owner, max } => {
                let kind = kind(work, owner, 0);
                self.claim_of(LaneKey::of(&kind), &kind.owner(), max);
            }
            Step::Pass(seconds) => {
                self.now = self.now.plus(Duration::from_secs(seconds.into()));
            }
            Step::Restart => {
                self.bed.reopen();
                self.passed.clear();
                let resting = self.resting.drain(..).map(|(_, task)| task);
                let open: Vec<_> = self.held.drain(..).chain(resting).collect();
                for task in &open {
                    self.free(task);
                }
            }
            Step::End(index) if !self.resting.is_empty() && index.index(3) == 0 => {
                let (_, task) = self.resting.remove(0);
                self.bed.end(&task);
            }
            Step::End(index)
            | Step::Again(index, _)
            | Step::Release(index)
            | Step::ReleaseLater(index, _)
                if !self.held.is_empty() =>
            {
                let task = self.held.swap_remove(index.index(self.held.len()));
                self.give_back(&step, task);
            }
            Step::End(_) | Step::Again(..) | Step::Release(_) | Step::ReleaseLater(..) => {}
        }
    }

    fn give_back(&mut self, step: &Step, task: Task) {
        match step {
            Step::Again(_, wait) => {
                // A retry is never due at the instant that it failed at.
                let wait = Duration::from_secs(u64::from(*wait) + 1);
                let due = due_of(&task).plus(wait);
                let again = scheduled(task.kind.clone(), task.id.get(), due);
                self.free(&again.1);
                self.bed.commit(vec![again], vec![key_of(&task)]);
            }
            Step::Release(_) => {
                self.bed.store.claims.release(task.id);
                self.free(&task);
            }
            Step::ReleaseLater(_, wait) => {
                let until = self.now.plus(Duration::from_secs((*wait).into()));
                self.bed.store.claims.release_later(task.id, until);
                // Beyond the bound the first of them goes early.
                self.resting.push((until, task));
                self.rest_few();
            }
            _ => self.bed.end(&task),
        }
    }

    fn oldest_since(&self, owner: &Owner, work: Work) -> Option<Timestamp> {
        let free = self.free.get(&LaneKey::of_owner(work, owner)).into_iter();
        let free = free.flatten().map(|(_, task)| *task);
        let held = self
            .held
            .iter()
            .filter(|task| task.kind.work() == work && task.kind.owner() == *owner);
        let resting = self
            .resting
            .iter()
            .map(|(_, task)| task)
            .filter(|task| task.kind.work() == work && task.kind.owner() == *owner);
        let claimed = held.chain(resting).map(|task| task.id.get());
        free.chain(claimed)
            .map(|id| since_of(TaskId::new(id)))
            .min()
    }

    fn rest_few(&mut self) {
        let work = key_of(&self.resting.last().unwrap().1).lane.work;
        let of_work = |(_, task): &&(Timestamp, Task)| key_of(task).lane.work == work;
        if self.resting.iter().filter(of_work).count() > TIGHT.tasks {
            let first = self.resting.iter().filter(of_work);
            let first = first.min_by_key(|(until, task)| (*until, task.id)).unwrap();
            let first = first.1.clone();
            self.resting.retain(|(_, task)| task.id != first.id);
            self.free(&first);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens: what is claimed is open and unclaimed, each lane comes in the
    /// order in which it is due, no lane with something due is passed over twice while
    /// another is served; and in the end each task is found once.
    #[test]
    fn claims_are_the_queue_by_turns(steps in proptest::collection::vec(step(), 1..150)) {
        let mut model = Model::new();
        for step in steps {
            model.play(step);
        }
        model.now = at(100_000);
        for work in [Work::Map, Work::Partner, Work::Deliver] {
            let backlogs = model.bed.store.claims.backlogs(work);
            let counted: u64 = backlogs.iter().map(|backlog| backlog.open).sum();
            model.wake();
            let free = model.free.iter().filter(|(lane, _)| lane.work == work);
            let held = model.held.iter().filter(|task| task.kind.work() == work).count();
            let open = free.map(|(_, tasks)| tasks.len()).sum::<usize>() + held;
            prop_assert_eq!(counted, open as u64);
            for backlog in backlogs {
                let oldest = model.oldest_since(&backlog.owner, work).unwrap();
                prop_assert!(backlog.oldest <= oldest && oldest.since(backlog.oldest).as_secs() <= 8);
            }
            model.claim(work, usize::MAX);
        }
        prop_assert!(model.free.values().all(BTreeSet::is_empty));
        for task in std::mem::take(&mut model.held) {
            model.bed.end(&task);
        }
        let lanes = model.bed.store.claims.lock();
        prop_assert!(lanes.is_empty(), "{:?}", lanes);
    }
}
