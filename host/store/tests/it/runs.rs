//! Runs of replays by filter: what they may take at once, and that nothing torn ends one.

use bytes::Bytes;
use tidegate_core::ids::{ChangeSeq, ReplayId};
use tidegate_core::limits::{PAGE_BYTES_MAX, SINK_DELIVERIES_MAX};
use tidegate_core::ports::End;
use tidegate_core::replay::{ReplayFilter, ReplayItem, ReplayMode, ReplayRun};
use tidegate_core::sink::FailedDelivery;
use tidegate_core::task::{DeadCause, Next};
use tidegate_store::engine::memory::Memory;
use tidegate_store::{Matching, ReplayBatch, Submission};

use crate::bed::{DAY, START, Store, acme, app, attempt, entity, later, open, parked, upsert};

/// A run that has not looked at anything yet.
fn run(store: &Store) -> ReplayRun {
    let newest = store.reader.newest_number();
    ReplayRun {
        id: ReplayId::new(1),
        filter: ReplayFilter::default(),
        mode: ReplayMode::default(),
        who: "ops".into(),
        reason: None,
        began: store.now,
        newest,
        before: newest + 1,
        total: 0,
        queued: 0,
        passed: 0,
        ended: None,
    }
}

/// Parks an event with a body of so many bytes.
fn park_large(store: &mut Store, name: &str, bytes: usize) {
    let mut event = store.event(name);
    event.body = Bytes::from(vec![b'x'; bytes]);
    let request = store.request(vec![event]);
    store.commit(vec![request]);
    let task = store.claim_one();
    store.complete(task, parked(DeadCause::Mapping));
}

#[test]
fn a_page_of_large_letters_ends_at_its_bytes() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    for name in ["a", "b", "c", "d", "e"] {
        park_large(&mut store, name, PAGE_BYTES_MAX / 2);
    }
    park_large(&mut store, "f", 3 * PAGE_BYTES_MAX);
    // Nothing but the letters has their events any more.
    store.pass(5 * DAY);
    store.map("newer", Vec::new());
    store.pass(40 * DAY);
    store.commit(vec![Submission::Retain]);
    let mut run = run(&store);
    run.filter.state = Some("dead".into());
    let mut pages = Vec::new();
    while run.before != 0 {
        let page = store.reader.replay_page(&run, 100).unwrap();
        run.before = page.before;
        pages.push(page.items.len());
        let (queued, passed) = store.replay(page.items);
        run.queued += queued;
        assert_eq!(passed, 0);
    }
    assert_eq!(pages, [1, 2, 2, 1]);
    assert_eq!(run.queued, 6);
}

#[track_caller]
fn check_weight(items: Vec<ReplayItem>, expect: std::ops::Range<usize>) {
    let batch = ReplayBatch {
        items,
        mode: ReplayMode::default(),
        run: None,
        audit: None,
    };
    let weight = Submission::Replay(Box::new(batch)).weight();
    assert!(expect.contains(&weight), "{weight}");
}

#[test]
fn letters_that_run_again_fill_a_commit() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    let id = store.park("a");
    let letter = ReplayItem::Letter(id.map_task());
    check_weight(vec![letter], PAGE_BYTES_MAX..2 * PAGE_BYTES_MAX);
    check_weight(vec![ReplayItem::Event(id)], 1..4_096);
}

#[test]
fn counting_stops_after_so_many_looks_and_says_so() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    for name in ["a", "b", "c"] {
        store.park(name);
    }
    let counted = |store: &Store, filter: &ReplayFilter, looks| {
        let Matching { count, at_least } = store.reader.count_matching(filter, looks).unwrap();
        (count, at_least)
    };
    let all = ReplayFilter::default();
    assert_eq!(counted(&store, &all, 3), (3, false));
    assert_eq!(counted(&store, &all, 2), (2, true));
    assert_eq!(counted(&store, &all, 0), (0, true));

    // An event has to be read for it, and counts by its size.
    let mut large = store.event("large");
    large.body = Bytes::from(vec![b'x'; 64 * 1_024]);
    let request = store.request(vec![large]);
    store.commit(vec![request]);
    let task = store.claim_one();
    store.complete(task, crate::bed::mapped(Vec::new()));
    assert_eq!(counted(&store, &all, 60), (1, true));
    assert_eq!(counted(&store, &all, 80), (4, false));
}

#[test]
fn a_run_that_finds_more_than_was_counted_says_so() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    let letters = ["a", "b"].map(|name| ReplayItem::Letter(store.park(name).map_task()));
    let mut run = run(&store);
    run.total = 1;
    for (letter, total) in letters.into_iter().zip([1, 2]) {
        let batch = ReplayBatch {
            items: vec![letter],
            mode: run.mode,
            run: Some(run.clone()),
            audit: None,
        };
        store.commit(vec![Submission::Replay(Box::new(batch))]);
        let stored = store.reader.replay(run.id).unwrap().unwrap();
        assert_eq!((stored.queued, stored.total), (total, total));
        run.queued = stored.queued;
    }
}

#[test]
fn a_letter_stays_while_its_sink_has_no_room() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    store.add_sink(app());
    let park = Next::Park {
        cause: DeadCause::Sink,
        reason: "refused".into(),
    };
    for version in 1..=2 {
        store.map(&version.to_string(), vec![upsert("1", Some(version))]);
        let seq = version.cast_unsigned();
        let failed = vec![store.failed(seq, Some(park.clone()))];
        let advance = store.advance(seq, failed);
        store.commit(vec![advance]);
    }
    let again = Next::Again(later(2, store.now, None));
    let failed = |number: u64| FailedDelivery {
        seq: ChangeSeq::new(2 + number),
        connection: acme(),
        entity: entity(&format!("other-{number}")),
        since: store.now,
        tried: Some((attempt(store.now), again.clone())),
    };
    let open = SINK_DELIVERIES_MAX as u64 - 1;
    let advance = store.advance(2, (1..=open).map(failed).collect());
    store.commit(vec![advance]);

    let letters = store.letters();
    let items = letters.iter().map(|one| ReplayItem::Letter(one.task.id));
    let items: Vec<_> = items.collect();
    assert_eq!(store.replay(items.clone()), (1, 1), "one place is left");
    assert_eq!(store.replay(items.clone()), (0, 2));
    assert_eq!(store.reader.counts().dead, 1);
    let claimed = store
        .claims
        .claim(tidegate_core::task::Work::Deliver, 1, store.now);
    let task = claimed.unwrap().remove(0).task;
    store.complete(task, End::Delivered);
    assert_eq!(store.replay(items), (1, 1), "as soon as there is room");
}

#[test]
fn a_replay_by_filter_passes_over_torn_rows_and_ends() {
    let memory = Memory::new();
    let mut store = open(&memory, START);
    let letters = ["a", "b"].map(|name| store.park(name));
    let events = ["c", "d", "e"].map(|name| store.map(name, vec![upsert(name, None)]));
    for room in ["dead-heads", "dead"] {
        memory.corrupt(room, &letters[1].get().to_be_bytes(), &[0xff]);
    }
    memory.corrupt("progress-00000001", &events[0].get().to_be_bytes(), &[0xff]);
    memory.corrupt("events-00000001", &events[1].get().to_be_bytes(), &[0xff]);
    memory.corrupt("progress-00000001", b"odd", &[0xff]);
    let store = open(&memory, START);
    let page = store.reader.replay_page(&run(&store), 100).unwrap();
    let expect = [
        ReplayItem::Event(events[2]),
        ReplayItem::Letter(letters[0].map_task()),
    ];
    assert_eq!((page.items.as_slice(), page.before), (&expect[..], 0));
    let counted = store.reader.count_matching(&ReplayFilter::default(), 100);
    let all = Matching {
        count: 2,
        at_least: false,
    };
    assert_eq!(counted.unwrap(), all);
}
