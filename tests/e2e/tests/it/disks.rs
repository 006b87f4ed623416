//! Power cuts, a full disk and a failed sync, in few rounds; `cargo xtask sim` does many.

use tidegate_disk::{Names, Rules};
use tidegate_e2e::host::Engine;
use tidegate_e2e::{full_disk, powercut, sync_failure};

use crate::support::folder;

#[track_caller]
fn cut(engine: Engine, rounds: u32, rules: Rules) -> powercut::Report {
    let plan = powercut::Plan {
        rounds,
        seed: 20_260_304,
        engine,
        rules,
    };
    let report = powercut::run(&plan, folder().path(), &mut |_| {}).unwrap();
    assert_eq!(report.cuts, rounds);
    assert!(report.acknowledged > 0, "{report:?}");
    report
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let report = cut(Engine::Fjall, 4, Rules::STRICT);
    assert!(report.is_clean(), "{report:?}");
    let journaled = Rules {
        names: Names::Journaled,
        ..Rules::STRICT
    };
    let report = cut(Engine::Fjall, 2, journaled);
    assert!(report.is_clean(), "{report:?}");
}

/// Were nothing lost here, the recorder would not be one: sled syncs no file.
#[test]
fn a_power_cut_takes_from_sled_what_it_says_it_may() {
    let report = cut(Engine::Sled, 2, Rules::STRICT);
    assert!(report.missing > 0, "{report:?}");
}

#[test]
fn a_full_disk_acknowledges_nothing_and_is_left_without_help() {
    full_disk::run(folder().path()).unwrap();
}

#[test]
fn a_failed_sync_ends_the_host_and_the_next_start_recovers() {
    let plan = sync_failure::Plan { rounds: 2, seed: 3 };
    let report = sync_failure::run(&plan, folder().path(), &mut |_| {}).unwrap();
    assert_eq!(report.failures, 2);
}
