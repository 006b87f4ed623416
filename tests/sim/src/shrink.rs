//! The shortest story of a seed that fails: fewer steps, fewer events, fewer kinds of
//! faults, for as long as the same checker still objects.

use crate::checks::Violation;
use crate::faults::Faults;
use crate::plan::Plan;
use crate::run::run;

/// A plan that fails, as small as it was made, and what fails.
#[derive(Clone, Debug)]
pub struct Smallest {
    /// The plan.
    pub plan: Plan,
    /// What does not hold.
    pub violation: Violation,
}

/// Makes a failing plan smaller.
pub fn shrink(plan: Plan, violation: Violation) -> Smallest {
    let mut smallest = Smallest { plan, violation };
    for _ in 0..2 {
        fewer_faults(&mut smallest);
        fewer(&mut smallest, 0, |plan| &mut plan.sinks);
        fewer(&mut smallest, 1, |plan| &mut plan.workers);
        fewer_events(&mut smallest);
        fewer_steps(&mut smallest);
    }
    smallest
}

/// Takes the plan where it fails in the same way.
fn try_plan(smallest: &mut Smallest, plan: Plan) -> bool {
    match run(plan, false).violation {
        Some(violation) if violation.checker == smallest.violation.checker => {
            *smallest = Smallest { plan, violation };
            true
        }
        Some(_) | None => false,
    }
}

fn fewer_faults(smallest: &mut Smallest) {
    let none = Plan {
        faults: Faults::NONE,
        ..smallest.plan
    };
    if try_plan(smallest, none) {
        return;
    }
    for fault in smallest.plan.faults.iter() {
        let without = Plan {
            faults: smallest.plan.faults.without(fault),
            ..smallest.plan
        };
        try_plan(smallest, without);
    }
}

fn fewer(smallest: &mut Smallest, least: usize, number: fn(&mut Plan) -> &mut usize) {
    for fewer in least..*number(&mut smallest.plan.clone()) {
        let mut plan = smallest.plan;
        *number(&mut plan) = fewer;
        if try_plan(smallest, plan) {
            return;
        }
    }
}

fn fewer_events(smallest: &mut Smallest) {
    let mut events = 1;
    while events < smallest.plan.events {
        let plan = Plan {
            events,
            connections: 1,
            ..smallest.plan
        };
        if try_plan(smallest, plan)
            || try_plan(
                smallest,
                Plan {
                    events,
                    ..smallest.plan
                },
            )
        {
            return;
        }
        events += events.div_ceil(3);
    }
}

fn fewer_steps(smallest: &mut Smallest) {
    let (mut low, mut high) = (0_u64, smallest.plan.steps);
    for _ in 0..8 {
        let steps = low.midpoint(high);
        let plan = Plan {
            steps,
            ..smallest.plan
        };
        if try_plan(smallest, plan) {
            high = steps;
        } else {
            low = steps + 1;
        }
        if low >= high {
            return;
        }
    }
}
