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
