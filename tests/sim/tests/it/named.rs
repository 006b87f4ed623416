//! Seeds that tell of a mistake that was made once, as short as they could be made; named
//! by the mistake. Of each there is a mutation: where the world of a seed has changed since,
//! `cargo xtask sim mutations` says whether and where it is told again.

use tidegate_sim::faults::Faults;
use tidegate_sim::plan::Plan;
use tidegate_sim::run::run;

fn faults(names: &str) -> Faults {
    Faults::parse(names).expect("faults have these names")
}

#[track_caller]
fn check(plan: Plan) {
    let outcome = run(plan, true);
    if let Some(violation) = outcome.violation {
        panic!("{}\n{violation}", outcome.lines.join("\n"));
    }
}

#[test]
fn a_world_without_faults_comes_to_rest() {
    check(Plan {
        faults: faults(""),
        ..Plan::of(1)
    });
}

#[test]
fn a_replay_of_what_a_tied_delete_has_replaced_does_not_bring_it_back() {
    check(Plan {
        seed: 1,
        steps: 1_485,
        events: 23,
        connections: 1,
        sinks: 0,
        workers: 1,
        faults: faults(
            "clock,crash,slowstore,duplicates,reordered,altered,badsignature,ties,pluginaway,replay,pause",
        ),
    });
}

#[test]
fn a_replayed_delivery_waits_for_what_a_superseded_one_has_not_held_back() {
    check(Plan {
        seed: 122,
        steps: 494,
        events: 16,
        connections: 1,
        sinks: 1,
        workers: 1,
        faults: faults("clock,crash,slowstore,fullstore,lostanswer,rejects,replay"),
    });
}

#[test]
fn a_failing_sink_that_asks_for_patience_is_not_probed_before() {
    check(Plan {
        seed: 64,
        steps: 887,
        events: 29,
        connections: 1,
        sinks: 1,
        workers: 3,
        faults: faults("duplicates,plugin,retryafter,channel"),
    });
}

#[test]
fn a_parked_delivery_that_is_replayed_gives_way_to_what_went_out_behind_it() {
    check(Plan {
        seed: 8,
        steps: 1_587,
        events: 14,
        connections: 2,
        sinks: 1,
        workers: 1,
        faults: faults(
            "crash,failedcommit,slowstore,fullstore,duplicates,reordered,badsignature,ties,plugin,slowsink,rejects,retryafter,replay,discard,pause,retention",
        ),
    });
}

#[test]
fn a_state_of_the_mirror_gives_way_to_a_newer_one_once_the_log_has_forgotten_it() {
    check(Plan {
        seed: 8_062,
        steps: 2_258,
        events: 9,
        connections: 2,
        sinks: 3,
        workers: 2,
        faults: faults(
            "crash,slowstore,fullstore,duplicates,altered,badsignature,ties,plugin,lostanswer,rejects,vanishes,replay,retention",
        ),
    });
}
