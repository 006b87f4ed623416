//! Cases of claims, on a queue with a committer of its own.

use std::collections::BTreeSet;

use tidegate_core::change::EntityRef;
use tidegate_core::ids::{ChangeSeq, EventId};
use tidegate_core::policy::Policy;
use tidegate_core::task::{Delivery, TaskKind, TaskState};

use super::*;
use crate::codec::{QueueEntry, Record};
use crate::engine::memory::Memory;
use crate::engine::{Batch, Durability};
use crate::ledger::LEDGER;
use crate::marks::Marks;
use crate::open::open_with;
use crate::{Opened, Options};

mod law;

/// Fewer than there are tasks, so that lanes go back to disk all the time.
const TIGHT: Bounds = Bounds {
    tasks: 8,
    lane: 5,
    crowded: 2,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

fn map(owner: u64, number: u64) -> TaskKind {
    TaskKind::Map {
        event: EventId::new(number),
        connection: format!("github/account-{owner}").parse().unwrap(),
        with: None,
    }
}

fn poll(owner: u64) -> TaskKind {
    let connection = format!("github/account-{owner}").parse().unwrap();
    TaskKind::Poll { connection }
}

fn deliver(owner: u64, number: u64) -> TaskKind {
    TaskKind::Deliver(Delivery {
        sink: format!("sink-{owner}").parse().unwrap(),
        seq: ChangeSeq::new(number),
        connection: "github/acme".parse().unwrap(),
        entity: EntityRef {
            kind: "issue".into(),
            id: number.to_string(),
        },
        forced: false,
    })
}

fn scheduled(kind: TaskKind, number: u64, due: Timestamp) -> (QueueKey, Task) {
    let id = TaskId::new(number);
    let key = QueueKey::of(&kind, due, since_of(id), id);
    let entry = QueueEntry {
        kind,
        attempt: 1,
        limited_since: None,
    };
    (key, entry.at(key))
}

fn due_of(task: &Task) -> Timestamp {
    match task.state {
        TaskState::Scheduled { due, .. } => due,
        ref other => panic!("a claimed task is {other:?}"),
    }
}

fn key_of(task: &Task) -> QueueKey {
    QueueKey::of(&task.kind, due_of(task), since_of(task.id), task.id)
}

/// In these tests a task's number says since when it is, in no order.
fn since_of(id: TaskId) -> Timestamp {
    at((id.get() * 37 % 1_009).cast_signed())
}

fn ids(claimed: &[Claimed]) -> Vec<u64> {
    claimed.iter().map(|one| one.id().get()).collect()
}

/// A queue of tasks of any kind, with a committer of its own.
struct Bed {
    memory: Memory,
    store: Opened,
    bounds: Bounds,
    last: u64,
}

impl Bed {
    fn new(bounds: Bounds) -> Self {
        let memory = Memory::new();
        let store = open(&memory, bounds);
        Self {
            memory,
            store,
            bounds,
            last: 0,
        }
    }

    fn reopen(&mut self) {
        self.store = open(&self.memory, self.bounds);
    }

    /// Puts a task into the queue and says its number.
    fn add(&mut self, kind: impl FnOnce(u64) -> TaskKind, due: Timestamp) -> u64 {
        self.last += 1;
        let kind = kind(self.last);
        self.commit(vec![scheduled(kind, self.last, due)], vec![]);
        self.last
    }

    fn end(&mut self, task: &Task) {
        self.commit(vec![], vec![key_of(task)]);
    }

    fn commit(&mut self, added: Vec<(QueueKey, Task)>, ended: Vec<QueueKey>) {
        let published = &self.store.claims.published;
        let view = published.view();
        let mut ledger = view.ledger.clone();
        ledger.tally.last_number = self.last;
        let queue = view.rooms.queue.keyspace;
        let mut batch = Batch::default();
        for key in &ended {
            batch.remove(queue, key.to_bytes());
        }
        for (key, task) in &added {
            let entry = QueueEntry {
                kind: task.kind.clone(),
                attempt: 1,
                limited_since: None,
            };
            batch.put(queue, key.to_bytes(), entry.to_record());
        }
        batch.put(view.rooms.meta.keyspace, LEDGER, ledger.to_record());
        published.engine.write(batch, Durability::Synced).unwrap();
        let view = View {
            snapshot: published.engine.snapshot().unwrap(),
            ledger,
            rooms: view.rooms,
        };
        let changes = QueueChanges {
            added,
            ended,
            aside: vec![],
        };
        self.store.claims.publish(view, changes);
    }

    fn claim(&self, max: usize, now: i64) -> Vec<Claimed> {
        self.store.claims.claim(Work::Map, max, at(now)).unwrap()
    }
}

fn open(memory: &Memory, bounds: Bounds) -> Opened {
    let options = Options {
        policy: Policy::default(),
        seed: [1; 16],
        marks: Marks::default(),
    };
    open_with(Arc::new(memory.clone()), options, at(0), bounds).unwrap()
}

#[test]
fn a_backlog_beyond_memory_comes_in_order() {
    let mut bed = Bed::new(TIGHT);
    for number in 1..=50 {
        bed.add(|id| map(0, id), at(number));
    }
    let mut given = Vec::new();
    while let Some(claimed) = bed.claim(1, 1_000).pop() {
        let oldest = (claimed.id().get()..=50).map(|id| since_of(TaskId::new(id)));
        let (oldest, said) = (oldest.min().unwrap(), bed.store.claims.oldest().unwrap());
        assert!(said <= oldest, "the claimed one counts: {said} {oldest}");
        assert!(oldest.since(said).as_secs() <= 8, "{said} {oldest}");
        given.push(claimed.id().get());
        bed.end(&claimed.task);
    }
    assert_eq!(given, (1..=50).collect::<Vec<_>>());
    assert_eq!(bed.store.claims.next_due(Work::Map), None);
    assert_eq!(bed.store.claims.backlogs(Work::Map), []);
}

#[test]
fn an_earlier_task_overtakes_a_backlog_on_disk() {
    let mut bed = Bed::new(TIGHT);
    for _ in 0..50 {
        bed.add(|id| map(0, id), at(1_000));
    }
    bed.add(|id| map(0, id), at(5));
    assert_eq!(bed.store.claims.next_due(Work::Map), Some(at(5)));
    assert_eq!(ids(&bed.claim(10, 10)), [51]);
    assert!(bed.claim(10, 999).is_empty());
}

#[test]
fn a_claim_behind_the_horizon_is_not_given_again() {
    let mut bed = Bed::new(TIGHT);
    bed.add(|id| map(0, id), at(100));
    let held = bed.claim(1, 100);
    // Enough earlier ones to pull the horizon in, before the claimed task.
    for number in 1..20 {
        bed.add(|id| map(0, id), at(number));
    }
    let rest = bed.claim(usize::MAX, 100);
    assert_eq!(rest.len(), 19);
    assert!(!rest.contains(&held[0]));
}

#[test]
fn a_fresh_task_waits_for_no_backlog_of_another() {
    const BACKLOG: u64 = 100_000;
    for restart in [false, true] {
        let mut bed = Bed::new(BOUNDS);
        bed.last = BACKLOG;
        let backlog = (1..=BACKLOG).map(|id| scheduled(map(0, id), id, at(0)));
        bed.commit(backlog.collect(), vec![]);
        assert_eq!(bed.claim(32, 10).len(), 32, "the backlog is at work");
        let fresh = bed.add(|id| map(1, id), at(10));
        if restart {
            bed.reopen();
        }
        assert!(ids(&bed.claim(2, 10)).contains(&fresh));
    }
}

#[test]
fn a_hundred_thousand_owners_hold_few_tasks_in_memory() {
    const OWNERS: u64 = 100_000;
    let mut bed = Bed::new(BOUNDS);
    bed.last = OWNERS + 2_000;
    let of = |id: u64| map(id.saturating_sub(2_000), id);
    let tasks = (1..=bed.last).map(|id| scheduled(of(id), id, at(0)));
    bed.commit(tasks.collect(), vec![]);
    bed.reopen();
    let first = bed.claim(usize::try_from(OWNERS).unwrap() + 1, 1);
    let owners: BTreeSet<_> = first.iter().map(|one| one.task.kind.owner()).collect();
    assert_eq!(owners.len() as u64, OWNERS + 1, "one each before a second");
    assert_eq!(bed.claim(usize::MAX, 1).len(), 1_999);
}

#[test]
fn each_work_and_owner_is_claimed_by_itself() {
    let mut bed = Bed::new(TIGHT);
    let sink = |owner: u64| Owner::Sink(format!("sink-{owner}").parse().unwrap());
    for _ in 0..20 {
        bed.add(|id| map(0, id), at(1));
        bed.add(|id| deliver(0, id), at(1));
    }
    let second = bed.add(|id| deliver(1, id), at(7));
    let polled = bed.add(|_| poll(0), at(8));
    let claims = &bed.store.claims;
    assert_eq!(claims.next_due(Work::Partner), Some(at(8)));
    assert_eq!(claims.next_due_of(&sink(1), Work::Deliver), Some(at(7)));
    assert_eq!(claims.next_due_of(&sink(2), Work::Deliver), None);
    let claim_of = |owner, now| claims.claim_of(&sink(owner), Work::Deliver, 100, at(now));
    assert_eq!(ids(&claim_of(1, 6).unwrap()), Vec::<u64>::new());
    assert_eq!(ids(&claim_of(1, 7).unwrap()), [second]);
    assert_eq!(claim_of(0, 7).unwrap().len(), 20);
    let claimed = claims.claim(Work::Partner, 9, at(8)).unwrap();
    assert_eq!(ids(&claimed), [polled]);
    let [backlog] = claims
        .backlogs(Work::Deliver)
        .into_iter()
        .filter(|backlog| backlog.owner == sink(0))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!(backlog.open, 20, "claimed ones count");
}

#[test]
fn a_claim_that_rests_is_given_again_later() {
    let mut bed = Bed::new(TIGHT);
    let first = bed.add(|id| map(0, id), at(1));
    let second = bed.add(|id| map(0, id), at(2));
    let task = bed.claim(1, 5).remove(0).task;
    let claims = &bed.store.claims;
    claims.release_later(task.id, at(60));
    assert_eq!(ids(&bed.claim(9, 59)), [second]);
    assert_eq!(claims.next_due(Work::Map), Some(at(60)));
    let owner = task.kind.owner();
    assert_eq!(claims.next_due_of(&owner, Work::Map), Some(at(60)));
    assert_eq!(ids(&bed.claim(9, 60)), [first], "again, without a restart");
    claims.release_later(task.id, at(90));
    bed.end(&task);
    assert_eq!(bed.store.claims.next_due(Work::Map), None);
    assert!(
        bed.claim(9, 90).is_empty(),
        "one that ends while it rests is gone"
    );
}

#[test]
fn a_row_that_cannot_be_read_is_passed_over() {
    for reopen in [false, true] {
        let mut bed = Bed::new(TIGHT);
        for number in 1..=20 {
            bed.add(|id| map(0, id), at(number));
        }
        let torn = bed.memory.keys("queue")[12].clone();
        bed.memory.corrupt("queue", &torn, &[0xff]);
        bed.memory.corrupt("queue", b"no key of the queue", &[]);
        if reopen {
            bed.reopen();
        }
        let expect: Vec<u64> = (1..=20).filter(|id| *id != 13).collect();
        assert_eq!(ids(&bed.claim(usize::MAX, 100)), expect);
    }
}

#[test]
fn a_row_in_anothers_lane_is_torn() {
    let mut bed = Bed::new(TIGHT);
    bed.add(|id| map(0, id), at(1));
    let (key, task) = scheduled(map(0, 2), 2, at(2));
    let elsewhere = scheduled(map(1, 2), 2, at(2)).0;
    assert_ne!(key.lane, elsewhere.lane);
    bed.last = 2;
    bed.commit(vec![(elsewhere, task)], vec![]);
    bed.reopen();
    assert_eq!(ids(&bed.claim(9, 9)), [1]);
    assert_eq!(bed.store.claims.torn().len(), 1);
}
