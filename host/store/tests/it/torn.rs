//! Rows that nobody can read: each concerns what it is of, and nothing beside it.

use tidegate_core::ids::ChangeSeq;
use tidegate_core::ports::{ChangeLog, LogError};
use tidegate_core::sink::SinkFilter;
use tidegate_core::task::Next;
use tidegate_store::engine::memory::Memory;

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
