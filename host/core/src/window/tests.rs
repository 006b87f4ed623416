//! The window by table, and against a model of the store under random results.

mod model;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::change::{EntityRef, Operation, Origin, ProposedChange};
use crate::failure::{Failure, FailureClass};
use crate::sink::{MirrorWalk, PauseCause};
use crate::task::Try;

fn change(seq: u64, entity: u64) -> Change {
    Change {
        seq: ChangeSeq::new(seq),
        connection: "github/acme".parse().unwrap(),
        change: ProposedChange {
            entity: EntityRef {
                kind: "issue".into(),
                id: entity.to_string(),
            },
            operation: Operation::Upsert,
            version: None,
            revision: String::new(),
            occurred: None,
            data: Some(Bytes::from_static(b"{}")),
        },
        origin: Origin::Webhook,
        event: None,
        committed: Timestamp::EPOCH,
    }
}

fn standing(cursor: u64) -> SinkStanding {
    SinkStanding {
        sink: "app".parse().unwrap(),
        cursor: ChangeSeq::new(cursor),
        mirror: None,
        state: SinkState::Running,
    }
}

fn window(batch: usize, concurrency: usize) -> Window {
    Window::open(standing(0), OutletCapacity { batch, concurrency }, [])
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn by(secs: i64, retry: &RetryPolicy) -> Judgement<'_> {
    Judgement {
        started: at(secs),
        now: at(secs),
        retry,
        jitter: Jitter::new(0),
    }
}

/// Offers changes 1, 2, … of those entities.
fn offer(window: &mut Window, entities: &[u64]) {
    let from = window.read_to().get() + 1;
    let changes: Vec<Change> = (from..).zip(entities).map(|(s, e)| change(s, *e)).collect();
    let next = changes.last().map_or(window.read_to(), |last| last.seq);
    window.offer_log(LogPage { changes, next });
}

fn seqs(hand_over: &HandOver) -> Vec<u64> {
    hand_over.changes().iter().map(|c| c.seq.get()).collect()
}

fn fail(class: FailureClass) -> Result<(), Failure> {
    Err(Failure::new(class, "it broke"))
}

/// Hands over what may go at `secs` and says that it ended so; which changes it was.
fn go(window: &mut Window, secs: i64, result: &Result<(), Failure>) -> Vec<u64> {
    let Some(hand_over) = window.next(at(secs)) else {
        return Vec::new();
    };
    let given = seqs(&hand_over);
    let results = vec![result.clone(); given.len()];
    window.finished(hand_over, results, &by(secs, &RetryPolicy::default()));
    given
}

/// The cursor and what failed of the next advance, which is durable at once.
fn moved(window: &mut Window) -> (u64, Vec<(u64, bool)>) {
    let Some(advance) = window.advance(at(0)) else {
        return (window.standing().cursor.get(), Vec::new());
    };
    window.advanced();
    let failed = advance.failed.iter();
    let failed = failed.map(|f| (f.seq.get(), f.tried.is_some())).collect();
    (advance.standing.cursor.get(), failed)
}

#[test]
fn one_entity_goes_one_after_the_other_and_others_beside_it() {
    let mut window = window(1, 4);
    offer(&mut window, &[1, 1, 2]);
    let first = window.next(at(0)).unwrap();
    let other = window.next(at(0)).unwrap();
    assert_eq!((seqs(&first), seqs(&other)), (vec![1], vec![3]));
    assert!(window.next(at(0)).is_none());
    let retry = RetryPolicy::default();
    window.finished(other, vec![Ok(())], &by(0, &retry));
    assert_eq!(moved(&mut window), (0, vec![]));
    window.finished(first, vec![Ok(())], &by(0, &retry));
    assert_eq!(moved(&mut window), (1, vec![]));
    assert_eq!(go(&mut window, 0, &Ok(())), [2]);
    assert_eq!(moved(&mut window), (3, vec![]));
}

#[test]
fn later_changes_of_an_entity_wait_behind_what_failed() {
    let mut window = window(1, 4);
    offer(&mut window, &[1, 1, 2]);
    assert_eq!(go(&mut window, 0, &fail(FailureClass::TRANSIENT)), [1]);
    assert_eq!(go(&mut window, 0, &Ok(())), [3]);
    assert_eq!(moved(&mut window), (3, vec![(1, true), (2, false)]));
    assert_eq!(window.open_deliveries(), 2);
}

#[test]
fn what_will_never_work_leaves_and_holds_nothing_back() {
    let mut window = window(1, 4);
    offer(&mut window, &[1, 1]);
    assert_eq!(go(&mut window, 0, &fail(FailureClass::Permanent)), [1]);
    assert_eq!(go(&mut window, 0, &Ok(())), [2]);
    assert_eq!(moved(&mut window), (2, vec![(1, true)]));
    assert_eq!(window.open_deliveries(), 0);
}

#[test]
fn a_refused_batch_is_tried_one_by_one() {
    let mut window = window(3, 2);
    offer(&mut window, &[1, 2, 3]);
    assert_eq!(
        go(&mut window, 0, &fail(FailureClass::Permanent)),
        [1, 2, 3]
    );
    assert_eq!(moved(&mut window), (0, vec![]));
    assert_eq!(go(&mut window, 0, &Ok(())), [1]);
    assert_eq!(go(&mut window, 0, &fail(FailureClass::Permanent)), [2]);
    assert_eq!(go(&mut window, 0, &Ok(())), [3]);
    assert_eq!(moved(&mut window), (3, vec![(2, true)]));
}

#[test]
fn one_at_a_time_takes_an_entity_several_times_in_order() {
    let mut window = window(4, 1);
    offer(&mut window, &[1, 2, 1, 1, 2]);
    assert_eq!(go(&mut window, 0, &Ok(())), [1, 2, 3, 4]);
    assert_eq!(go(&mut window, 0, &Ok(())), [5]);
}

#[test]
fn a_later_state_in_the_same_hand_over_covers_an_earlier_failure() {
    let mut window = window(4, 1);
    offer(&mut window, &[1, 1]);
    let hand_over = window.next(at(0)).unwrap();
    let results = vec![fail(FailureClass::TRANSIENT), Ok(())];
    window.finished(hand_over, results, &by(0, &RetryPolicy::default()));
    assert_eq!(moved(&mut window), (2, vec![]));
}

fn failing(window: &Window) -> Option<(u32, i64)> {
    match &window.standing().state {
        SinkState::Failing { probes, next, .. } => Some((*probes, next.as_secs())),
        SinkState::Running | SinkState::Paused { .. } => None,
    }
}

#[test]
fn a_sink_that_keeps_failing_is_probed_at_the_pace_of_the_schedule() {
    let mut window = window(1, 4);
    offer(&mut window, &(1..=20).collect::<Vec<_>>());
    let broken = fail(FailureClass::TRANSIENT);
    for _ in 1..16 {
        assert_eq!(failing(&window), None);
        go(&mut window, 0, &broken);
    }
    assert_eq!(go(&mut window, 0, &broken), [16]);
    assert_eq!(failing(&window), Some((0, 2)));
    // What made it fail stays in the window, and is the probe.
    assert_eq!(moved(&mut window).0, 15);
    assert_eq!(go(&mut window, 1, &broken), [0; 0]);
    // Each probe is another change: the receiver may refuse one alone, for ever.
    assert_eq!(go(&mut window, 2, &broken), [16]);
    assert_eq!(failing(&window), Some((1, 7)));
    assert_eq!(moved(&mut window), (16, vec![(16, true)]));
    let mut now = 7;
    for probes in 2..4 {
        assert_eq!(go(&mut window, now, &broken), [15 + u64::from(probes)]);
        now = failing(&window).filter(|(n, _)| *n == probes).unwrap().1;
    }
    assert_eq!(window.due(None), Some(at(now)));
    assert_eq!(go(&mut window, now, &Ok(())), [19]);
    assert_eq!(failing(&window), None);
    assert_eq!(go(&mut window, now, &Ok(())), [20]);
}

#[test]
fn refused_credentials_make_it_fail_at_once_and_lose_nothing() {
    let mut window = window(1, 4);
    offer(&mut window, &[1]);
    go(&mut window, 0, &fail(FailureClass::Unauthorized));
    assert_eq!(failing(&window), Some((0, 2)));
    assert_eq!(moved(&mut window), (0, vec![]));
    assert_eq!(go(&mut window, 2, &fail(FailureClass::Unauthorized)), [1]);
    assert_eq!(moved(&mut window), (0, vec![]), "no dead letter either");
}

#[test]
fn a_receiver_that_is_gone_pauses_it() {
    let mut window = window(1, 4);
    offer(&mut window, &[1, 2]);
    go(&mut window, 0, &fail(FailureClass::NotFound));
    let SinkState::Paused { why, .. } = &window.standing().state else {
        panic!("{:?}", window.standing())
    };
    assert_eq!(*why, PauseCause::Gone);
    assert_eq!(
        (window.next(at(9_999)).is_none(), window.want()),
        (true, None)
    );
    // The pause itself is durable.
    assert_eq!(window.advance(at(0)).unwrap().standing, *window.standing());
}

#[test]
fn a_delay_that_was_asked_for_holds_for_everything() {
    let mut window = window(1, 4);
    offer(&mut window, &[1, 2]);
    let delay = Some(Duration::from_mins(1));
    go(&mut window, 0, &fail(FailureClass::RateLimited { delay }));
    assert_eq!(window.due(Some(at(60))), Some(at(60)));
    assert_eq!(
        (window.task_room(0, at(59)), window.task_room(0, at(60))),
        (0, 1)
    );
    assert_eq!(go(&mut window, 59, &Ok(())), [0; 0]);
    assert_eq!(go(&mut window, 60, &Ok(())), [2]);
}

#[test]
fn a_sink_with_too_many_failures_is_paused_and_drains_before_it_goes_on() {
    let open = |seq| Delivery {
        sink: "app".parse().unwrap(),
        seq: ChangeSeq::new(seq),
        connection: "github/acme".parse().unwrap(),
        entity: change(seq, 1).change.entity,
        forced: false,
    };
    let last = SINK_DELIVERIES_MAX as u64;
    let capacity = OutletCapacity {
        batch: 1,
        concurrency: 4,
    };
    let mut window = Window::open(standing(last), capacity, (1..last).map(open));
    offer(&mut window, &[1, 1]);
    assert_eq!(moved(&mut window), (last + 1, vec![(last + 1, false)]));
    let SinkState::Paused { why, .. } = &window.standing().state else {
        panic!("{:?}", window.standing())
    };
    assert_eq!(*why, PauseCause::Full);

    let mut window = Window::open(standing(last + 1), capacity, (1..=last).map(open));
    offer(&mut window, &[1, 2]);
    assert_eq!(
        (window.next(at(0)).is_none(), moved(&mut window).0),
        (true, last + 1)
    );
    assert_eq!(window.standing().state, SinkState::Running);
    assert_eq!(window.task_room(0, at(0)), 1);
}

#[test]
fn a_replayed_delivery_waits_for_what_is_on_its_way_and_is_looked_up() {
    let mut window = window(1, 4);
    offer(&mut window, &[2, 1, 1]);
    let replayed = Delivery {
        sink: "app".parse().unwrap(),
        seq: ChangeSeq::new(1),
        connection: "github/acme".parse().unwrap(),
        entity: change(1, 1).change.entity,
        forced: false,
    };
    assert_eq!(go(&mut window, 0, &Ok(())), [1]);
    let flying = window.next(at(0)).unwrap();
    let tried = Try {
        attempt: 1,
        since: Timestamp::EPOCH,
        limited_since: None,
    };
    assert!(window.begin_task(&replayed, tried).is_none());
    window.finished(flying, vec![Ok(())], &by(0, &RetryPolicy::default()));
    let run = window.begin_task(&replayed, tried).unwrap();
    assert!(run.is_unsure());
    // The later change of its entity waits for it.
    assert!(window.next(at(0)).is_none());
}

#[test]
fn the_window_is_bounded_also_by_what_is_not_durable_yet() {
    let mut window = window(1, 4);
    let Some(Want::Log { limit, .. }) = window.want() else {
        panic!("wants nothing")
    };
    assert_eq!(limit, SINK_WINDOW_MAX);
    offer(&mut window, &(1..=limit as u64).collect::<Vec<_>>());
    assert_eq!(window.want(), None);
    while !go(&mut window, 0, &Ok(())).is_empty() {}
    let advance = window.advance(at(0)).unwrap();
    assert_eq!(advance.standing.cursor.get(), limit as u64);
    assert_eq!(window.want(), None);
    window.advanced();
    assert!(window.want().is_some());
}

#[test]
fn a_walk_over_the_mirror_leads_into_the_log() {
    let walk = |after| MirrorWalk {
        after,
        then: ChangeSeq::new(10),
    };
    let began = SinkStanding {
        mirror: Some(walk(None)),
        ..standing(3)
    };
    let capacity = OutletCapacity {
        batch: 1,
        concurrency: 4,
    };
    let mut window = Window::open(began, capacity, []);
    let key = |entity| {
        let change = change(0, entity);
        (change.connection, change.change.entity)
    };
    // The second one is newer than the walk: the log brings it, in its order.
    window.offer_mirror(MirrorPage {
        changes: vec![change(7, 1), change(12, 2), change(4, 3)],
        next: Some(key(3)),
    });
    assert_eq!(go(&mut window, 0, &Ok(())), [7]);
    let advance = window.advance(at(0)).unwrap();
    assert_eq!(advance.standing.mirror, Some(walk(Some(key(1)))));
    window.advanced();
    assert_eq!(go(&mut window, 0, &fail(FailureClass::TRANSIENT)), [4]);
    let advance = window.advance(at(0)).unwrap();
    assert_eq!(advance.failed.len(), 1);
    assert_eq!(advance.standing.mirror, Some(walk(Some(key(3)))));
    window.advanced();
    window.offer_mirror(MirrorPage {
        changes: Vec::new(),
        next: None,
    });
    assert_eq!(window.want(), None);
    assert_eq!(moved(&mut window), (10, vec![]));
    assert_eq!(window.standing().mirror, None);
    let Some(Want::Log { after, .. }) = window.want() else {
        panic!("wants nothing")
    };
    assert_eq!(after.get(), 10);
}
