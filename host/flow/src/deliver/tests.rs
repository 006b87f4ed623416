//! A sink's loop against a store and a receiver in memory.

mod world;

use std::pin::pin;

use proptest::prelude::*;
use tidegate_core::failure::FailureClass;
use tidegate_core::ids::ChangeSeq;
use tidegate_core::ports::OutletCapacity;
use tidegate_core::sink::{PauseCause, SinkState};

use super::*;
use world::{Answer, World, finish, poll_some};

fn step(world: &World) -> Rest {
    finish(world.open().step()).unwrap()
}

#[test]
fn everything_goes_through_and_then_it_rests() {
    let world = World::new(&[1, 2, 1, 3], 2);
    assert_eq!(step(&world), Rest { due: None });
    assert_eq!(world.taken(), [1, 2, 3, 4]);
    assert_eq!(world.standing().cursor, ChangeSeq::new(4));
}

#[test]
fn what_fails_is_retried_and_later_changes_of_its_entity_follow_it() {
    let world = World::new(&[1, 1, 2], 4);
    world.answers(1, [Answer::Fails(FailureClass::TRANSIENT)]);
    let rest = step(&world);
    assert_eq!(world.taken(), [3]);
    assert_eq!(rest.due.map(Timestamp::as_secs), Some(2));
    assert_eq!(world.standing().cursor, ChangeSeq::new(3));
    world.wait(2);
    assert_eq!(step(&world), Rest { due: None });
    assert_eq!(world.taken(), [3, 1, 2]);
    assert_eq!(world.ends(), ["1 delivered", "2 delivered"]);
}

#[test]
fn a_delivery_is_parked_after_its_last_attempt_and_frees_the_next() {
    let world = World::new(&[1, 1], 4);
    world.answers(1, vec![Answer::Fails(FailureClass::TRANSIENT); 8]);
    for _ in 0..9 {
        step(&world);
        world.wait(20_000);
    }
    assert_eq!(world.taken(), [2]);
    let ends = world.ends();
    assert_eq!(ends.len(), 8);
    assert!(ends[6].starts_with("1 sink: 8 attempts failed"), "{ends:?}");
    assert_eq!(ends[7], "2 delivered");
}

#[test]
fn a_change_with_a_dead_letter_that_fails_again_holds_nothing_back() {
    let world = World::new(&[1], 4);
    world.answers(1, [Answer::Fails(FailureClass::Permanent)]);
    step(&world);
    assert_eq!(world.parked(), [1]);
    // The receiver was set back, and is given it once more.
    world.receiver_stands_at(0);
    world.answers(1, [Answer::Fails(FailureClass::TRANSIENT)]);
    let mut sink = world.open();
    assert_eq!(finish(sink.step()).unwrap(), Rest { due: None });
    assert_eq!((sink.open_deliveries(), world.open_count()), (0, 0));
    world.append(&[1]);
    finish(sink.step()).unwrap();
    assert_eq!(world.taken(), [2]);
    assert_eq!(
        world.ends(),
        [""; 0],
        "not as a task behind one that never ends"
    );
    assert_eq!(world.parked(), [1], "still a person's to replay");
}

#[test]
fn a_replayed_delivery_gives_way_to_a_later_one_unless_it_is_forced() {
    let world = World::new(&[1, 1], 4);
    world.answers(1, [Answer::Fails(FailureClass::Permanent)]);
    step(&world);
    assert_eq!((world.taken(), world.parked()), (vec![2], vec![1]));
    world.replay(1, false);
    step(&world);
    assert_eq!(
        (world.taken(), world.ends()),
        (vec![2], vec!["1 superseded".to_owned()])
    );
    world.replay(1, true);
    step(&world);
    assert_eq!(world.taken(), [2, 1]);
}

#[test]
fn a_replayed_delivery_gives_way_also_where_the_newest_one_is_still_open() {
    let world = World::new(&[1, 1, 1], 4);
    world.answers(1, [Answer::Fails(FailureClass::Permanent)]);
    world.answers(3, [Answer::Fails(FailureClass::TRANSIENT)]);
    step(&world);
    assert_eq!(world.taken(), [2]);
    world.replay(1, false);
    step(&world);
    assert_eq!(world.ends(), ["1 superseded"]);
    world.wait(2);
    step(&world);
    assert_eq!(world.taken(), [2, 3]);
}

#[test]
fn a_replayed_delivery_goes_where_nothing_later_went_out() {
    let world = World::new(&[1, 2], 4);
    world.answers(1, [Answer::Fails(FailureClass::Permanent)]);
    step(&world);
    world.replay(1, false);
    step(&world);
    assert_eq!(world.taken(), [2, 1]);
}

/// A log in which another entity has many changes between the two of this one, the first of
/// them replayed while the second one is still open.
fn far_apart() -> World {
    let log = [vec![1], vec![2; 3_500], vec![1]].concat();
    let world = World::new(&log, 4);
    world.answers(1, [Answer::Fails(FailureClass::Permanent)]);
    let last = log.len() as u64;
    world.answers(last, [Answer::Fails(FailureClass::TRANSIENT)]);
    step(&world);
    world.replay(1, false);
    world
}

#[test]
fn a_search_of_the_log_lets_others_go_first_between_two_pages() {
    let world = far_apart();
    assert_eq!(step_page_by_page(&world), 4);
    assert_eq!(world.taken().last(), Some(&1), "nothing later went out");
}

/// Drives a loop to its end, and sees to it that each poll reads a page at most. How many.
#[track_caller]
fn step_page_by_page(world: &World) -> usize {
    let mut sink = world.open();
    let mut step = pin!(sink.step());
    let begun = world.pages();
    loop {
        let before = world.pages();
        let ended = poll_some(step.as_mut(), 1).is_some();
        assert!(world.pages() - before <= 1, "others wait for several pages");
        if ended {
            return world.pages() - begun;
        }
    }
}

#[test]
fn a_mirror_without_anything_for_the_sink_lets_others_go_first_between_two_pages() {
    let world = World::new(&[1, 2, 3, 4], 1).takes_nothing();
    step(&world);
    world.drop_log_before(4);
    world.receiver_stands_at(1);
    assert!(step_page_by_page(&world) > 4);
    assert_eq!(world.standing().mirror, None);
}

#[test]
fn a_search_goes_on_while_a_receiver_hangs() {
    let world = far_apart();
    world.append(&[3]);
    world.answers(3_503, [Answer::Hangs]);
    let mut sink = world.open();
    assert!(poll_some(sink.step(), 40).is_none());
    assert_eq!(world.taken().last(), Some(&1));
}

#[test]
fn a_search_gives_its_task_back_when_the_loop_is_stopped() {
    let world = far_apart();
    let sent = world.taken().len();
    let mut sink = world.open();
    assert!(poll_some(sink.step(), 2).is_none());
    assert_eq!(world.claimed(), 1);
    sink.stop();
    assert_eq!(finish(sink.step()).unwrap(), Rest { due: None });
    assert_eq!((world.claimed(), world.taken().len()), (0, sent));
    drop(sink);
    step(&world);
    assert_eq!(world.taken().last(), Some(&1), "the next loop sends it");
}

#[test]
fn what_brings_the_host_down_is_parked_and_not_sent() {
    let world = World::new(&[1], 4);
    world.answers(1, [Answer::Fails(FailureClass::TRANSIENT)]);
    step(&world);
    world.stops(3);
    world.wait(2);
    step(&world);
    assert_eq!(world.taken(), [0; 0]);
    assert_eq!(
        world.ends(),
        ["1 host-stopped: host stopped while running it, 3 times in a row"]
    );
}

#[test]
fn an_attempt_has_its_error_and_the_words_about_a_cut_delay() {
    let world = World::new(&[1], 4);
    let delay = Some(std::time::Duration::from_hours(25));
    let slow = Answer::Fails(FailureClass::Transient { delay });
    world.answers(1, [slow.clone(), slow]);
    step(&world);
    world.wait(86_400);
    step(&world);
    let said = "no (asked for 90000 s, granted 86400 s by policy.retry.delay_max)";
    assert_eq!(world.ends(), [format!("1 again 3: {said}")]);
}

#[test]
fn a_failing_sink_keeps_its_tasks_and_its_attempts() {
    let world = World::new(&[1, 2], 4);
    world.answers(1, [Answer::Fails(FailureClass::TRANSIENT)]);
    step(&world);
    world.answers(1, vec![Answer::Fails(FailureClass::Unauthorized); 3]);
    for wait in [2, 2, 5] {
        world.wait(wait);
        step(&world);
    }
    assert!(matches!(
        world.standing().state,
        SinkState::Failing { probes: 2, .. }
    ));
    assert_eq!(world.ends(), [""; 0]);
    world.wait(30);
    assert_eq!(step(&world), Rest { due: None });
    assert_eq!(world.standing().state, SinkState::Running);
    assert_eq!(world.taken(), [2, 1]);
}

#[test]
fn a_hand_over_that_hangs_keeps_nothing_else_back() {
    let world = World::new(&[1], 4);
    world.answers(1, [Answer::Hangs]);
    let mut sink = world.open();
    assert!(poll_some(sink.step(), 10).is_none());
    world.append(&[1, 2]);
    assert!(poll_some(sink.step(), 10).is_none());
    assert_eq!(world.taken(), [3]);
    assert_eq!(world.standing().cursor, ChangeSeq::new(0));
    drop(sink);
    world.crash();
    step(&world);
    assert_eq!(world.taken(), [3, 1, 3, 2]);
}

#[test]
fn stopped_it_ends_with_what_is_on_its_way() {
    let world = World::new(&[1, 2, 3], 1);
    let mut sink = world.open();
    assert!(poll_some(sink.step(), 1).is_none());
    sink.stop();
    assert_eq!(finish(sink.step()).unwrap(), Rest { due: None });
    let begun = world.taken().len() as u64;
    assert!((1..3).contains(&begun), "{begun}");
    assert_eq!(world.standing().cursor, ChangeSeq::new(begun));
}

#[test]
fn a_receivers_own_cursor_counts_where_it_is_behind() {
    let world = World::new(&[1, 2, 3], 1);
    step(&world);
    world.receiver_stands_at(1);
    step(&world);
    assert_eq!(world.taken(), [1, 2, 3, 2, 3]);
    world.receiver_stands_at(9);
    step(&world);
    assert_eq!(world.taken().len(), 5);
}

#[test]
fn a_receiver_behind_the_log_is_given_the_mirror_and_not_paused() {
    let world = World::new(&[1, 2, 1], 1);
    step(&world);
    world.drop_log_before(3);
    world.receiver_stands_at(1);
    step(&world);
    // The newest state of each entity.
    assert_eq!(world.taken(), [1, 2, 3, 3, 2]);
    assert_eq!(world.standing().state, SinkState::Running);
    assert_eq!(world.standing().mirror, None);
}

#[test]
fn a_receiver_that_takes_its_time_to_say_where_it_stands_is_asked_once() {
    let world = World::new(&[1], 1);
    world.receiver_thinks();
    let mut sink = world.open();
    // As of a host whose commits make it call again and again.
    for _ in 0..4 {
        assert!(poll_some(sink.step(), 1).is_none());
        if !world.taken().is_empty() {
            break;
        }
    }
    assert_eq!((world.asked(), world.taken()), (1, vec![1]));
}

#[test]
fn a_receiver_that_cannot_say_where_it_stands_counts_as_failing() {
    let world = World::new(&[1], 1);
    world.receiver_is_away(true);
    assert_eq!(step(&world).due.map(Timestamp::as_secs), Some(2));
    assert!(matches!(world.standing().state, SinkState::Failing { .. }));
    world.receiver_is_away(false);
    world.wait(2);
    step(&world);
    assert_eq!(world.standing().state, SinkState::Running);
    assert_eq!(world.taken(), [1]);
}

#[test]
fn a_sink_behind_the_log_is_paused_and_begins_again_with_the_mirror() {
    let world = World::new(&[1, 2, 1], 4);
    world.drop_log_before(3);
    assert_eq!(step(&world), Rest { due: None });
    let SinkState::Paused { why, .. } = world.standing().state else {
        panic!("{:?}", world.standing())
    };
    assert_eq!(why, PauseCause::Behind);
    world.append(&[3, 1]);
    world.resume();
    step(&world);
    // The newest state of each entity, in the order of the mirror.
    assert_eq!(world.taken(), [5, 2, 4]);
    assert_eq!(world.standing().mirror, None);
    assert_eq!(world.standing().cursor, ChangeSeq::new(5));
}

#[test]
fn claims_are_given_back_when_the_loop_is_dropped() {
    let world = World::new(&[1], 4);
    world.answers(1, [Answer::Fails(FailureClass::TRANSIENT), Answer::Hangs]);
    step(&world);
    world.wait(2);
    let mut sink = world.open();
    assert!(poll_some(sink.step(), 10).is_none());
    assert_eq!(world.claimed(), 1);
    drop(sink);
    assert_eq!(world.claimed(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Crashes at any moment, failures of every kind: each change is taken or parked, and
    /// but for what a crash repeats no entity ever goes back.
    #[test]
    fn nothing_is_lost_and_no_entity_goes_back(
        log in prop::collection::vec(1_u64..8, 1..150),
        concurrency in 1_usize..6,
        seed in any::<u64>(),
        lives in prop::collection::vec((1_usize..60, 0_i64..40), 1..30),
    ) {
        let world = World::new(&log, concurrency);
        world.random_answers(seed);
        for (polls, wait) in lives {
            let mut sink = world.open();
            let _ = poll_some(sink.step(), polls);
            drop(sink);
            world.crash();
            world.wait(wait);
        }
        world.all_is_well();
        let mut sink = world.open();
        for _ in 0..40 {
            finish(sink.step()).unwrap();
            world.wait(20_000);
        }
        let paused = matches!(world.standing().state, SinkState::Paused { .. });
        prop_assert!(!paused);
        prop_assert_eq!(world.standing().cursor.get(), log.len() as u64);
        let (taken, parked) = (world.taken(), world.parked());
        for seq in 1..=log.len() as u64 {
            prop_assert!(taken.contains(&seq) || parked.contains(&seq), "{} is lost", seq);
        }
        prop_assert_eq!(world.open_count(), 0);
    }
}

#[test]
fn a_sink_takes_what_its_capacity_says() {
    let world = World::new(&[1, 2, 3, 4, 5], 1);
    world.capacity(OutletCapacity {
        batch: 2,
        concurrency: 1,
    });
    step(&world);
    assert_eq!(world.hand_overs(), 3);
}
