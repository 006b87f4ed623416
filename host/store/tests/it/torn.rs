//! Rows that nobody can read: each concerns what it is of, and nothing beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_core::ids::{ChangeSeq, TaskId};
use tidegate_core::ports::{ChangeLog, LogError};
use tidegate_core::sink::SinkFilter;
use tidegate_core::task::Next;
use tidegate_store::DeadLetterFilter;
use tidegate_store::engine::memory::Memory;
use tracing::{Metadata, Subscriber, span};

use crate::bed::{START, Store, app, later, open, upsert};

/// What no record begins with.
const TORN: &[u8] = &[0xff];

/// A store whose sink has two open deliveries, the second behind the first.
fn with_deliveries(memory: &Memory) -> Store {
    let mut store = open(memory, START);
    store.add_sink(app());
    store.map("a", vec![upsert("1", Some(1))]);
    store.map("b", vec![upsert("1", Some(2))]);
    let again = Next::Again(later(2, store.now, None));
    let failed = vec![store.failed(1, Some(again)), store.failed(2, None)];
    let advance = store.advance(2, failed);
    store.commit(vec![advance]);
    store
}

#[track_caller]
fn check_open(store: &Store, listed: usize) {
    let open = store.reader.open_deliveries(&app()).unwrap();
    assert_eq!(open.values().sum::<usize>(), 2);
    let held = ChangeLog::open_deliveries(&store.reader, &app()).unwrap();
    let seqs: Vec<_> = held.iter().map(|open| open.seq.get()).collect();
    assert_eq!(seqs, [1, 2], "what its sink holds back");
    assert_eq!(store.reader.deliveries(&app(), 9).unwrap().len(), listed);
}

#[test]
fn a_torn_record_of_attempts_stops_no_sink() {
    let memory = Memory::new();
    drop(with_deliveries(&memory));
    for key in memory.keys("attempts") {
        memory.corrupt("attempts", &key, TORN);
    }
    let store = open(&memory, START);
    check_open(&store, 2);
    let listed = store.reader.deliveries(&app(), 9).unwrap();
    assert!(listed.iter().all(|open| open.attempts.is_empty()));
}

#[test]
fn a_torn_delivery_is_known_by_its_key() {
    let memory = Memory::new();
    drop(with_deliveries(&memory));
    let rows = memory.keys("deliveries");
    memory.corrupt("deliveries", &rows[1], TORN);
    check_open(&open(&memory, START), 1);
}

#[test]
fn a_torn_standing_hides_no_other_sink() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.add_sink(app());
    store.add_sink("other".parse().unwrap());
    memory.corrupt("sinks", b"app", TORN);
    let store = open(&memory, START);
    let sinks = store.reader.sinks().unwrap();
    let names: Vec<_> = sinks.iter().map(|one| one.sink.as_str()).collect();
    assert_eq!(names, ["other"]);
    let error = store.reader.sink(&app()).unwrap_err();
    assert_eq!(error.what, "sink app", "who asks for it is told");
}

/// Counts what is logged, and keeps none of it.
struct Lines(Arc<AtomicUsize>);

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// How many lines are logged meanwhile.
fn lines(of: impl FnOnce()) -> usize {
    let count = Arc::default();
    tracing::subscriber::with_default(Lines(Arc::clone(&count)), of);
    count.load(Ordering::Relaxed)
}

#[test]
fn a_torn_standing_is_said_once_however_often_it_is_read() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.add_sink(app());
    store.add_sink("other".parse().unwrap());
    memory.corrupt("sinks", b"app", TORN);
    let store = open(&memory, START);
    let read = || assert_eq!(store.reader.sinks().unwrap().len(), 1);
    assert_eq!(lines(|| (0..100).for_each(|_| read())), 1);
    memory.corrupt("sinks", b"other", TORN);
    let store = open(&memory, START);
    let read = || assert_eq!(store.reader.sinks().unwrap(), []);
    assert_eq!(lines(|| (0..100).for_each(|_| read())), 2, "each row");
}

#[test]
fn a_page_of_letters_names_the_torn_one_and_shows_the_others() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    let ids = ["a", "b", "c", "d"].map(|name| store.park(name).map_task());
    let tear = |room, id: TaskId| memory.corrupt(room, &id.get().to_be_bytes(), TORN);
    tear("dead", ids[1]);
    tear("dead", ids[2]);
    tear("dead-heads", ids[2]);
    let store = open(&memory, START);
    let page = |filter: &DeadLetterFilter, before, limit| {
        let page = store.reader.dead_letters(filter, before, limit).unwrap();
        let shown: Vec<_> = page.letters.iter().map(|letter| letter.task.id).collect();
        (shown, page.torn, page.next)
    };
    let all = DeadLetterFilter::default();
    let torn = vec![ids[2], ids[1]];
    assert_eq!(page(&all, None, 9), (vec![ids[3], ids[0]], torn, None));
    let first = page(&all, None, 2);
    let expect = (vec![ids[3]], vec![ids[2]], Some(ids[2]));
    assert_eq!(first, expect, "one that is torn takes a place too");
    let rest = (vec![ids[0]], vec![ids[1]], None);
    assert_eq!(page(&all, first.2, 2), rest);
    let elsewhere = DeadLetterFilter {
        connector: Some("other".parse().unwrap()),
        ..all
    };
    let unknown = (Vec::new(), vec![ids[2]], None);
    assert_eq!(page(&elsewhere, None, 9), unknown, "whose it is, is torn");
}

#[test]
fn what_stands_before_a_torn_change_goes_out() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    for name in ["1", "2", "3"] {
        store.map(name, vec![upsert(name, None)]);
    }
    memory.corrupt("changes-00000001", &3_u64.to_be_bytes(), TORN);
    let store = open(&memory, START);
    let page = |after| {
        store
            .reader
            .page(ChangeSeq::new(after), &SinkFilter::default(), 100)
    };
    let before = page(0).unwrap();
    assert_eq!((before.changes.len(), before.next.get()), (2, 2));
    let torn = page(before.next.get()).unwrap_err();
    assert!(matches!(torn, LogError::Read(_)), "{torn}");
}
