//! Seeds that once told of a mistake, as short as they were made; named by the mistake.

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
        seed: 477,
        steps: 462,
        events: 11,
        connections: 1,
        sinks: 0,
        workers: 1,
        faults: faults("duplicates,ties,pluginaway,replay,pause"),
    });
}

#[test]
fn a_replayed_delivery_waits_for_what_a_superseded_one_has_not_held_back() {
    check(Plan {
        seed: 385,
        steps: 1_985,
        events: 21,
        connections: 1,
        sinks: 3,
        workers: 2,
        faults: faults(
            "clock,crash,failedcommit,slowstore,fullstore,duplicates,altered,ties,plugin,failingsink,lostanswer,rejects,retryafter,vanishes,channel,replay,pause",
        ),
    });
}

#[test]
fn a_failing_sink_that_asks_for_patience_is_not_probed_before() {
    check(Plan {
        seed: 245,
        steps: 1_852,
        events: 30,
        connections: 3,
        sinks: 3,
        workers: 3,
        faults: faults(
            "crash,failedcommit,fullstore,reordered,badsignature,plugin,pluginaway,slowsink,failingsink,lostanswer,rejects,retryafter,newplugin",
        ),
    });
}

#[test]
fn a_parked_delivery_that_is_replayed_gives_way_to_what_went_out_behind_it() {
    check(Plan {
        seed: 1_151,
        steps: 376,
        events: 6,
        connections: 1,
        sinks: 2,
        workers: 2,
        faults: faults("clock,slowstore,slowsink,failingsink,rejects,replay"),
    });
}
