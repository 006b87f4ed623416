//! What a start finds: tasks that stopped the host, and rows that cannot be read.

use std::sync::Arc;

use tidegate_core::event::EventState;
use tidegate_core::ids::TaskId;
use tidegate_core::task::{Again, Work};
use tidegate_store::engine::memory::Memory;
use tidegate_store::{Marks, Submission};

use crate::bed::*;

/// Where a worker's host stopped.
fn stops(store: &Store) -> Vec<(u64, u32)> {
    let claimed = store.claim();
    let stops = claimed.iter().map(|one| (one.id().get(), one.stops));
    stops.collect()
}

#[test]
fn a_task_that_stops_the_host_is_charged_in_a_row() {
    let (memory, marks) = (Memory::new(), Marks::in_memory(2));
    let reopen = || Store::open_marked(Arc::new(memory.clone()), START, marks.clone()).unwrap();
    let mut store = reopen();
    store.accept(&["a", "b", "c"]);
    assert_eq!(stops(&store), [(1, 0), (2, 0), (3, 0)]);
    marks.begin(0, TaskId::new(1));
    marks.begin(1, TaskId::new(2));
    drop(store);

    let store = reopen();
    assert_eq!(stops(&store), [(1, 1), (2, 1), (3, 0)]);
    marks.begin(0, TaskId::new(3));
    marks.begin(1, TaskId::new(1));
    marks.begin(0, TaskId::new(1));
    drop(store);

    let store = reopen();
    assert_eq!(
        stops(&store),
        [(1, 2), (2, 0), (3, 0)],
        "twice in a row, and no more than once a stop"
    );
    drop(store);
    assert_eq!(stops(&reopen()), [(1, 0), (2, 0), (3, 0)], "none ran");
}

#[test]
fn an_attempt_that_ends_begins_the_row_of_stops_anew() {
    let (memory, marks) = (Memory::new(), Marks::in_memory(1));
    let reopen = || Store::open_marked(Arc::new(memory.clone()), START, marks.clone()).unwrap();
    let mut store = reopen();
    store.accept(&["a"]);
    marks.begin(0, TaskId::new(1));
    drop(store);
    let mut store = reopen();
    let task = store.claim_one();
    marks.begin(0, task.id);
    let again = Again {
        attempt: 2,
        due: START,
        since: START,
        limited_since: None,
        cut: None,
    };
    store.complete(task, tidegate_core::ports::End::Again(again));
    drop(store);
    let mut store = reopen();
    store.pass(HOUR);
    assert_eq!(
        stops(&store),
        [(1, 1)],
        "the stop before the attempt is forgotten"
    );
}

#[test]
fn a_mark_of_no_task_is_nothing() {
    let (memory, marks) = (Memory::new(), Marks::in_memory(1));
    let reopen = || Store::open_marked(Arc::new(memory.clone()), START, marks.clone()).unwrap();
    let mut store = reopen();
    store.accept(&["a"]);
    marks.begin(0, TaskId::new(u64::MAX));
    drop(store);
    assert_eq!(stops(&reopen()), [(1, 0)]);
}

/// Rows of the queue that are torn while the host runs or stands still.
fn check_torn(while_open: bool) {
    let memory = Memory::new();
    let open = || Store::open(Arc::new(memory.clone()), START).unwrap();
    let mut store = open();
    let ids = store.accept(&["a", "b", "c"]);
    let torn = memory.keys("queue")[1].clone();
    memory.corrupt("queue", &torn, b"torn");
    memory.corrupt("queue", b"no key", b"nor a record");
    if !while_open {
        store = open();
        assert_eq!(store.claim().len(), 2, "the others are given");
        store.commit(vec![Submission::Touch]);
        let EventState::Dead { reason, .. } = store.state(ids[1].id) else {
            panic!("it is {:?}", store.state(ids[1].id));
        };
        assert!(
            reason.contains("keyspace queue") || reason.contains("row in the queue"),
            "{reason}"
        );
        let aside = memory.keys("unreadable");
        assert_eq!(
            aside,
            [[b"queue\0", &*torn].concat(), b"queue\0no key".to_vec()]
        );
        assert_eq!(store.reader.counts().unreadable, 2);
        assert_eq!(store.reader.counts().dead, 1, "a person can replay it");
        store.commit(vec![Submission::Touch]);
        assert_eq!(store.reader.counts().unreadable, 2, "set aside once");
        drop(store);
        store = open();
    }
    // What memory still has of a row that was torn since is as good as ever.
    assert_eq!(store.claim().len(), if while_open { 3 } else { 2 });
}

#[test]
fn a_torn_queue_row_is_set_aside_by_name() {
    check_torn(false);
}

#[test]
fn a_queue_row_torn_behind_memory_is_no_trouble() {
    check_torn(true);
}

#[test]
fn a_torn_row_of_an_event_that_is_torn_too_blocks_nothing() {
    let memory = Memory::new();
    let open = || Store::open(Arc::new(memory.clone()), START).unwrap();
    open().accept(&["a", "b"]);
    let torn = memory.keys("queue")[0].clone();
    memory.corrupt("queue", &torn, b"torn");
    memory.corrupt("events-00000001", &1u64.to_be_bytes(), b"torn");
    let mut store = open();
    assert_eq!(store.claim_one().id, TaskId::new(2));
    store.commit(vec![Submission::Touch]);
    let counts = store.reader.counts();
    assert_eq!(
        (counts.unreadable, counts.dead, counts.scheduled),
        (1, 0, 1)
    );
    assert_eq!(store.claims.backlogs(Work::Map)[0].open, 1);
    assert_eq!(open().claim_one().id, TaskId::new(2));
}
