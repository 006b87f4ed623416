//! Seeds in a row, each a world of its own.

use tidegate_sim::plan::Plan;
use tidegate_sim::run::{run, run_twice};

#[track_caller]
fn check(first: u64, seeds: u64) {
    for seed in first..first + seeds {
        let plan = Plan::of(seed);
        if let Some(violation) = run(plan, false).violation {
            panic!("{plan}: {violation}\ncargo xtask sim --first {seed} --seeds 1 tells the story");
        }
    }
}

#[test]
fn a_the_same_seed_is_the_same_story() {
    for seed in 0..10 {
        let plan = Plan::of(seed);
        let twice = run_twice(plan);
        assert!(twice.violation.is_none(), "{plan}: {:?}", twice.violation);
    }
}

#[test]
fn other_seeds_are_other_stories() {
    let hashes: std::collections::BTreeSet<u64> = (0..10)
        .map(|seed| run(Plan::of(seed), false).hash)
        .collect();
    assert_eq!(hashes.len(), 10);
}

#[test]
fn seeds_of_the_first_half_hold() {
    check(0, 160);
}

#[test]
fn seeds_of_the_second_half_hold() {
    check(160, 160);
}
