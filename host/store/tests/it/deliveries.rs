//! Sinks and their deliveries, the same for every engine.

use tidegate_core::ids::ChangeSeq;
use tidegate_core::ports::{ChangeLog, End};
use tidegate_core::sink::{MirrorWalk, PauseCause, SinkStanding, SinkStart, SinkState};
use tidegate_core::task::{DeadCause, Delivery, Next, TaskKind, TaskState};
use tidegate_store::{Subject, Submission};

use crate::bed::{Bed, HOUR, Store, acme, again, app, attempt, entity, later, parked, upsert};

for_every_engine![
    a_new_sink_begins_where_it_should,
    a_mirror_walk_has_the_changes_as_they_went_out,
    what_failed_becomes_tasks_in_order,
    a_resumed_sink_is_given_at_once_what_waits,
    an_advance_handed_in_again_adds_nothing,
    an_advance_lifts_no_pause_and_moves_no_cursor_back,
    a_pause_moves_no_cursor_back,
    a_parked_delivery_takes_its_change_along_and_releases_the_next,
    a_delivery_that_is_refused_for_good_is_parked_at_once,
    a_retry_waits_and_keeps_its_attempts,
    a_completion_of_a_delivery_counts_once,
    a_dropped_sink_takes_its_deliveries_and_leaves_its_letters,
];

/// A store with a sink, and changes 1, 2, 3 of entity `1` and 4 of entity `2`.
fn stocked(bed: &Bed) -> Store {
    let mut store = bed.open();
    store.add_sink(app());
    for version in 1..=3 {
        store.map(&version.to_string(), vec![upsert("1", Some(version))]);
    }
    store.map("4", vec![upsert("2", Some(1))]);
    store
}

fn retry(store: &Store) -> Next {
    Next::Again(later(2, store.now.plus(HOUR), None))
}

/// Changes of the sink that can be claimed now.
fn due(store: &Store) -> Vec<u64> {
    let claimed = store.claim();
    let seqs = claimed
        .iter()
        .map(|one| match &one.task.kind {
            TaskKind::Deliver(delivery) => delivery.seq.get(),
            other => panic!("claimed {other:?}"),
        })
        .collect();
    for one in &claimed {
        store.claims.release(one.id());
    }
    seqs
}

fn a_new_sink_begins_where_it_should(bed: &Bed) {
    let mut store = stocked(bed);
    let begins = |start| store.reader.new_sink("late".parse().unwrap(), start);
    let newest = ChangeSeq::new(4);
    assert_eq!(begins(SinkStart::Now).cursor, newest);
    assert_eq!(begins(SinkStart::Start).cursor, ChangeSeq::new(0));
    let walk = MirrorWalk {
        after: None,
        then: newest,
    };
    assert_eq!(begins(SinkStart::Mirror).mirror, Some(walk));
    let late = begins(SinkStart::Mirror);
    let standing = Box::new(late.clone());
    store.commit(vec![Submission::PutSink {
        standing,
        audit: None,
    }]);
    drop(store);
    let store = bed.open();
    assert_eq!(store.reader.sinks().unwrap(), [store.app(), late]);
}

fn a_mirror_walk_has_the_changes_as_they_went_out(bed: &Bed) {
    let store = stocked(bed);
    let stands = store.reader.entity(&acme(), &entity("1")).unwrap().unwrap();
    assert_eq!(stands.into_change(), store.changes()[2]);
}

fn what_failed_becomes_tasks_in_order(bed: &Bed) {
    let mut store = stocked(bed);
    let failed = vec![
        store.failed(1, Some(retry(&store))),
        store.failed(3, None),
        store.failed(4, Some(retry(&store))),
    ];
    let advance = store.advance(4, failed);
    store.commit(vec![advance]);
    assert_eq!(store.app().cursor, ChangeSeq::new(4));
    let counts = store.reader.counts();
    assert_eq!((counts.scheduled, counts.waiting), (2, 1));
    assert!(due(&store).is_empty(), "their retry is not due yet");
    let open = store.reader.open_deliveries(&app()).unwrap();
    assert_eq!(open[&(acme(), entity("1"))], 2);
    assert_eq!(open[&(acme(), entity("2"))], 1);
    store.pass(HOUR);
    assert_eq!(due(&store), [1, 4]);
    let first = store.claim().remove(0).task;
    let TaskState::Scheduled { attempt, .. } = first.state else {
        panic!("{first:?}");
    };
    assert_eq!(attempt, 2, "the hand-over was its first");
    store.complete(first, End::Delivered);
    assert!(due(&store).contains(&3), "the next of the entity, at once");
    let is_open = |seq| {
        let entity = entity(if seq == 4 { "2" } else { "1" });
        let delivery = Delivery {
            sink: app(),
            seq: ChangeSeq::new(seq),
            connection: acme(),
            entity,
            forced: false,
        };
        ChangeLog::is_open(&store.reader, &delivery).unwrap()
    };
    assert_eq!([1, 2, 3, 4].map(is_open), [false, false, true, true]);
    drop(store);
    let store = bed.open_at(tidegate_core::time::Timestamp::from_secs(1_003_600));
    assert_eq!(due(&store).len(), 2, "as after a restart");
}

fn a_resumed_sink_is_given_at_once_what_waits(bed: &Bed) {
    let mut store = stocked(bed);
    let failed = vec![store.failed(1, Some(retry(&store))), store.failed(3, None)];
    let advance = store.advance(4, failed);
    store.commit(vec![advance]);
    assert!(due(&store).is_empty(), "its retry is not due yet");
    let standing = Box::new(store.app());
    store.commit(vec![Submission::PutSink {
        standing,
        audit: None,
    }]);
    assert_eq!(due(&store), [1], "the other waits for its turn");
    let first = store.claim().remove(0).task;
    assert!(
        matches!(first.state, TaskState::Scheduled { attempt: 2, .. }),
        "it counts on: {first:?}"
    );
    store.complete(first, End::Delivered);
    assert_eq!(due(&store), [3]);
}

fn an_advance_handed_in_again_adds_nothing(bed: &Bed) {
    let mut store = stocked(bed);
    let give_up = Next::Park {
        cause: DeadCause::Sink,
        reason: "never".into(),
    };
    let failed = vec![
        store.failed(1, Some(retry(&store))),
        store.failed(2, None),
        store.failed(4, Some(give_up)),
    ];
    let advance = store.advance(4, failed);
    store.commit(vec![advance.clone(), advance.clone()]);
    store.commit(vec![advance]);
    let counts = store.reader.counts();
    assert_eq!((counts.scheduled, counts.waiting, counts.dead), (1, 1, 1));
    assert_eq!(store.reader.deliveries(&app(), 10).unwrap().len(), 2);
}

fn an_advance_lifts_no_pause_and_moves_no_cursor_back(bed: &Bed) {
    let mut store = stocked(bed);
    let stale = store.advance(3, Vec::new());
    let advance = store.advance(4, Vec::new());
    let paused = SinkState::Paused {
        why: PauseCause::Operator,
        reason: "maintenance".into(),
        since: store.now,
    };
    let standing = Box::new(SinkStanding {
        state: paused.clone(),
        ..store.app()
    });
    let pause = Submission::PutSink {
        standing,
        audit: None,
    };
    store.commit(vec![pause, advance, stale]);
    assert_eq!(store.app().state, paused);
    assert_eq!(store.app().cursor, ChangeSeq::new(4));
    let failed = vec![store.failed(4, Some(retry(&store)))];
    let unheard = store.advance(4, failed);
    store.commit(vec![Submission::DropSink(app()), unheard]);
    assert_eq!(store.reader.sink(&app()).unwrap(), None, "it stays dropped");
    assert_eq!(store.reader.counts().scheduled, 0);
}

fn a_pause_moves_no_cursor_back(bed: &Bed) {
    let mut store = stocked(bed);
    let put = |standing: &SinkStanding, why| Submission::PutSink {
        standing: Box::new(SinkStanding {
            state: SinkState::Paused {
                why,
                reason: "maintenance".into(),
                since: tidegate_core::time::Timestamp::EPOCH,
            },
            ..standing.clone()
        }),
        audit: None,
    };
    let read_before = store.app();
    let advance = store.advance(4, Vec::new());
    store.commit(vec![advance, put(&read_before, PauseCause::Operator)]);
    let paused = store.app();
    assert_eq!(
        (paused.cursor, paused.state.code()),
        (ChangeSeq::new(4), "paused")
    );
    // As of a sink that retention leaves behind before a person's pause is stored.
    store.commit(vec![put(&paused, PauseCause::Behind)]);
    store.commit(vec![put(&read_before, PauseCause::Operator)]);
    let SinkState::Paused { why, .. } = store.app().state else {
        panic!("{:?}", store.app());
    };
    assert_eq!(why, PauseCause::Behind, "it begins again with the mirror");
}

fn a_parked_delivery_takes_its_change_along_and_releases_the_next(bed: &Bed) {
    let mut store = stocked(bed);
    let failed = vec![
        store.failed(1, Some(retry(&store))),
        store.failed(2, None),
        store.failed(3, None),
    ];
    let advance = store.advance(4, failed);
    store.commit(vec![advance]);
    store.pass(HOUR);
    let task = store.claim_one();
    let id = task.id;
    store.complete(task, parked(DeadCause::Sink));
    assert_eq!(due(&store), [2], "one at a time, in order");
    let letters = store.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        letters[0].subject,
        Subject::Change(Some(store.changes()[0].clone()))
    );
    assert_eq!(letters[0].attempts.len(), 2, "the hand-over and the retry");
    assert_eq!(
        store.reader.dead_letter(id).unwrap().as_ref(),
        Some(&letters[0])
    );
}

fn a_delivery_that_is_refused_for_good_is_parked_at_once(bed: &Bed) {
    let mut store = stocked(bed);
    let give_up = |reason: &str| Next::Park {
        cause: DeadCause::Sink,
        reason: reason.into(),
    };
    let failed = vec![
        store.failed(1, Some(give_up("too large"))),
        store.failed(2, Some(retry(&store))),
    ];
    let advance = store.advance(4, failed);
    store.commit(vec![advance]);
    let letters = store.letters();
    assert_eq!(
        letters[0].subject,
        Subject::Change(Some(store.changes()[0].clone()))
    );
    assert_eq!(letters[0].attempts, [attempt(store.now)]);
    let counts = store.reader.counts();
    assert_eq!(
        (counts.scheduled, counts.waiting),
        (1, 0),
        "nothing waits behind it"
    );
}

fn a_retry_waits_and_keeps_its_attempts(bed: &Bed) {
    let mut store = stocked(bed);
    let failed = vec![store.failed(4, Some(retry(&store)))];
    let advance = store.advance(4, failed);
    store.commit(vec![advance]);
    store.pass(HOUR);
    let task = store.claim_one();
    let due_at = store.now.plus(HOUR);
    store.complete(task, again(3, due_at, None));
    let open = store.reader.deliveries(&app(), 10).unwrap();
    assert_eq!((open[0].attempt, open[0].due), (3, Some(due_at)));
    assert_eq!(open[0].attempts.len(), 2);
    assert!(store.claim().is_empty());
    store.pass(HOUR);
    let task = store.claim_one();
    let TaskKind::Deliver(delivery) = &task.kind else {
        panic!("{task:?}");
    };
    let change = store.reader.change_for(task.id, delivery).unwrap();
    assert_eq!(change, Some(store.changes()[3].clone()));
}

fn a_completion_of_a_delivery_counts_once(bed: &Bed) {
    let mut store = stocked(bed);
    let failed = vec![store.failed(1, Some(retry(&store))), store.failed(2, None)];
    let advance = store.advance(4, failed);
    store.commit(vec![advance]);
    store.pass(HOUR);
    let task = store.claim_one();
    let twice = vec![
        store.completion(task.clone(), End::Superseded),
        store.completion(task.clone(), parked(DeadCause::Sink)),
    ];
    store.commit(twice);
    store.complete(task, parked(DeadCause::Sink));
    let counts = store.reader.counts();
    assert_eq!((counts.scheduled, counts.waiting, counts.dead), (1, 0, 0));
    assert_eq!(due(&store), [2]);
}

fn a_dropped_sink_takes_its_deliveries_and_leaves_its_letters(bed: &Bed) {
    let mut store = stocked(bed);
    let other = "other".parse().unwrap();
    store.add_sink(other);
    let give_up = Next::Park {
        cause: DeadCause::Sink,
        reason: "never".into(),
    };
    let failed = vec![
        store.failed(1, Some(retry(&store))),
        store.failed(2, None),
        store.failed(4, Some(give_up)),
    ];
    let advance = store.advance(4, failed);
    // In one batch with what it undoes.
    store.commit(vec![advance, Submission::DropSink(app())]);
    store.pass(HOUR);
    assert!(store.claim().is_empty());
    let counts = store.reader.counts();
    assert_eq!((counts.scheduled, counts.waiting, counts.dead), (0, 0, 1));
    assert_eq!(store.reader.sinks().unwrap().len(), 1);
    let letter = store.letters()[0].task.id;
    let item = tidegate_core::replay::ReplayItem::Letter(letter);
    assert_eq!(store.replay(vec![item]), (0, 1), "nobody would deliver it");
    assert_eq!(store.reader.counts().dead, 1);
}
