//! Retention, the same for every engine.

use tidegate_core::ids::ChangeSeq;
use tidegate_core::ports::End;
use tidegate_core::sink::{MirrorWalk, PauseCause, SinkStanding, SinkState};
use tidegate_core::task::{DeadCause, Next};
use tidegate_store::{ChangeFilter, ChangesError, EventFilter, EventsFrom, Submission};

use crate::bed::{Bed, DAY, Store, acme, app, entity, event_of, later, mapped, upsert};

for_every_engine![
    retention_drops_what_is_old_and_keeps_what_is_needed,
    a_dead_letter_between_pinned_buckets_is_found,
    event_keys_outlive_events_and_their_window_ends,
    numbers_are_never_given_twice,
    a_sink_that_is_behind_holds_changes_until_the_last_bound,
    an_open_delivery_holds_its_change_until_the_last_bound,
];

/// A store with a sink at its first change, and later changes in later buckets.
fn with_sink(bed: &Bed) -> Store {
    let mut store = bed.open();
    store.add_sink(app());
    store.map("1", vec![upsert("1", Some(1))]);
    for day in 1..=2 {
        store.pass(5 * DAY);
        store.map(&format!("day {day}"), vec![upsert("2", Some(day))]);
    }
    store
}

/// Days pass, with what is kept.
fn age(store: &mut Store, days: u32) {
    store.pass(days * DAY);
    store.commit(vec![Submission::Retain]);
}

#[track_caller]
fn check_left_behind(store: &Store) {
    let standing = store.app();
    let SinkState::Paused { why, reason, .. } = &standing.state else {
        panic!("it is {standing:?}");
    };
    assert_eq!(*why, PauseCause::Behind);
    assert!(reason.contains("policy.retention.max"), "{reason}");
}

fn a_sink_that_is_behind_holds_changes_until_the_last_bound(bed: &Bed) {
    let mut store = with_sink(bed);
    age(&mut store, 60);
    assert_eq!(
        store.reader.oldest_cursor(),
        ChangeSeq::new(0),
        "it needs them"
    );
    assert_eq!(store.changes().len(), 3);
    let stale = store.advance(1, Vec::new());
    age(&mut store, 60);
    assert_eq!(
        store.reader.oldest_cursor(),
        ChangeSeq::new(3),
        "they go all the same"
    );
    check_left_behind(&store);
    store.commit(vec![stale]);
    check_left_behind(&store);
    drop(store);
    let mut store = bed.open_at(crate::bed::START.plus(131 * DAY));
    check_left_behind(&store);
    let standing = Box::new(SinkStanding {
        state: SinkState::Running,
        ..store.app()
    });
    store.commit(vec![Submission::PutSink {
        standing,
        audit: None,
    }]);
    let newest = ChangeSeq::new(3);
    let walk = MirrorWalk {
        after: None,
        then: newest,
    };
    let standing = store.app();
    assert_eq!((standing.cursor, standing.mirror), (newest, Some(walk)));
}

fn an_open_delivery_holds_its_change_until_the_last_bound(bed: &Bed) {
    let mut store = with_sink(bed);
    let again = Next::Again(later(2, store.now, None));
    let failed = vec![store.failed(1, Some(again))];
    let advance = store.advance(3, failed);
    store.commit(vec![advance]);
    age(&mut store, 60);
    assert_eq!(
        store.reader.oldest_cursor(),
        ChangeSeq::new(0),
        "its task needs it"
    );
    age(&mut store, 60);
    assert_eq!(store.reader.oldest_cursor(), ChangeSeq::new(3));
    check_left_behind(&store);
    assert!(
        store.claim().is_empty(),
        "the mirror says the same and more"
    );
    let counts = store.reader.counts();
    assert_eq!((counts.scheduled, counts.waiting), (0, 0));
    assert_eq!(store.reader.deliveries(&app(), 9).unwrap(), []);
}

fn retention_drops_what_is_old_and_keeps_what_is_needed(bed: &Bed) {
    let mut store = bed.open();
    let old = store.map("old", vec![upsert("1", None)]);
    let parked = store.accept(&["parked"])[0].id;
    let task = store.claim_one();
    let end = End::Park {
        cause: DeadCause::Mapping,
        reason: "odd".into(),
    };
    store.complete(task, end);
    // A month and two buckets later.
    store.pass(5 * DAY);
    let newer = store.map("newer", vec![upsert("2", None)]);
    store.pass(5 * DAY);
    let open = store.accept(&["open"])[0].id;
    store.pass(31 * DAY);
    store.commit(vec![Submission::Retain]);

    assert_eq!(
        store.reader.event(old).unwrap(),
        None,
        "an ended event goes"
    );
    assert_eq!(store.reader.event(newer).unwrap(), None);
    assert!(
        store.reader.event(open).unwrap().is_some(),
        "an open one stays"
    );
    let letter = store.reader.event(parked).unwrap().unwrap();
    assert_eq!(letter.partner_id, "parked", "a dead letter keeps its event");
    assert_eq!(store.state(parked).code(), "dead");
    let expired = store
        .reader
        .changes(ChangeSeq::new(0), &ChangeFilter::default(), 5);
    let Err(ChangesError::CursorExpired { oldest, .. }) = expired else {
        panic!("an old cursor was taken: {expired:?}");
    };
    assert_eq!(
        oldest,
        ChangeSeq::new(1),
        "kept for the policy's time after its bucket closed"
    );
    let page = store
        .reader
        .changes(oldest, &ChangeFilter::default(), 5)
        .unwrap();
    assert_eq!(page.changes.len(), 1);
    let stands = store.reader.entity(&acme(), &entity("1")).unwrap().unwrap();
    assert_eq!(
        stands.change,
        upsert("1", None),
        "the mirror keeps the newest state"
    );

    let task = store.claim_one();
    assert_eq!(event_of(&task), open);
    store.complete(task, mapped(vec![upsert("3", None)]));
    store.pass(40 * DAY);
    store.commit(vec![Submission::Retain]);
    store.pass(40 * DAY);
    store.commit(vec![Submission::Retain]);
    assert_eq!(
        store.reader.event(open).unwrap(),
        None,
        "it goes once it has ended"
    );
    drop(store);
    let store = bed.open();
    assert_eq!(store.reader.event(old).unwrap(), None);
    assert_eq!(store.reader.counts().dead, 1);
    assert_eq!(store.reader.newest_change(), ChangeSeq::new(3));
}

fn a_dead_letter_between_pinned_buckets_is_found(bed: &Bed) {
    let mut store = bed.open();
    let pin = store.accept(&["pin"])[0].id;
    store.claim_one();
    store.pass(5 * DAY);
    let parked = store.accept(&["parked"])[0].id;
    let task = store.claim_one();
    store.complete(
        task,
        End::Park {
            cause: DeadCause::Mapping,
            reason: "odd".into(),
        },
    );
    store.pass(5 * DAY);
    let last = store.accept(&["last"])[0].id;
    store.pass(40 * DAY);
    store.commit(vec![Submission::Retain]);
    let everything = EventsFrom {
        before: None,
        limit: 10,
    };
    let page = store
        .reader
        .events(&EventFilter::default(), everything)
        .unwrap();
    let listed: Vec<_> = page.rows.iter().map(|row| row.id).collect();
    assert_eq!(listed, [last, pin], "the bucket between them was dropped");
    assert_eq!(
        store.reader.event(parked).unwrap().unwrap().partner_id,
        "parked"
    );
    assert_eq!(store.state(parked).code(), "dead");
}

fn event_keys_outlive_events_and_their_window_ends(bed: &Bed) {
    let mut store = bed.open();
    let first = store.accept(&["a"])[0].id;
    let task = store.claim_one();
    store.complete(
        task,
        End::Skipped {
            reason: "nothing".into(),
        },
    );
    for day in 1..=29 {
        store.pass(DAY);
        store.commit(vec![Submission::Retain]);
        let filler = format!("day {day}");
        store.accept(&[filler.as_str()]);
    }
    let again = store.accept(&["a"])[0];
    assert_eq!(
        (again.id, again.duplicate),
        (first, true),
        "within the window"
    );
    // A bucket is dropped once its youngest key is older than the window.
    for _ in 0..8 {
        store.pass(DAY);
        store.commit(vec![Submission::Retain]);
    }
    drop(store);
    let mut store =
        bed.open_at(tidegate_core::time::Timestamp::from_secs(1_000_000).plus(38 * DAY));
    let after = store.accept(&["a"])[0];
    assert!(!after.duplicate, "after the window it is another event");
    assert!(after.id > first);
}

fn numbers_are_never_given_twice(bed: &Bed) {
    let mut store = bed.open();
    store.map("a", vec![upsert("1", None)]);
    let last = store.map("b", vec![upsert("2", None)]);
    store.pass(40 * DAY);
    store.commit(vec![Submission::Retain]);
    store.pass(40 * DAY);
    store.commit(vec![Submission::Retain]);
    assert_eq!(store.reader.event(last).unwrap(), None);
    let now = store.now;
    drop(store);
    let mut store = bed.open_at(now);
    let next = store.map("c", vec![upsert("3", None)]);
    assert_eq!(next.get(), last.get() + 1);
    assert_eq!(store.reader.newest_change(), ChangeSeq::new(3));
}
