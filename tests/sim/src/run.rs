//! One run: the world begins, faults strike, faults stop, everything comes to rest.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::checks::end::{alerts_settled, unrest};
use crate::checks::{ALERTS, LIVENESS, REPEATABLE, SOUND, Violation};
use crate::exec::{Executor, Life};
use crate::faults::Fault;
use crate::host::{Machine, start};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::{Ending, World};
use crate::{operator, partner};

/// Steps within which everything has to come to rest.
const CALM_STEPS: u64 = 40_000;
/// Between two looks whether it has.
const LOOK_EVERY: u64 = 24;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What did not hold.
    pub violation: Option<Violation>,
    /// Equal where the whole story is.
    pub hash: u64,
    /// Steps that it took.
    pub steps: u64,
    /// The story, where it was to be kept.
    pub lines: Vec<String>,
}

/// Runs a plan to its end, or to the first violation.
pub fn run(plan: Plan, keeps_story: bool) -> Outcome {
    let world = Arc::new(World::new(plan, keeps_story));
    let mut executor = Executor::default();
    let mut machine = Machine::new(&world);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        drive(&world, &mut executor, &mut machine)
    }));
    let steps = ran.unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        world.fail(SOUND, said.unwrap_or_default());
        0
    });
    // Actors know the world, and the world knows the host: both are let go by hand.
    world.put_host(None);
    drop(executor);
    world.spawner.forget(None);
    let violation = world.checks().violation().cloned();
    if let Some(violation) = &violation {
        world.tell(violation.to_string());
    }
    let mut story = world.story();
    Outcome {
        violation,
        hash: story.hash(),
        steps,
        lines: story.take_lines(),
    }
}

/// Runs a plan twice: the two stories must be one.
pub fn run_twice(plan: Plan) -> Outcome {
    let mut first = run(plan, false);
    let second = run(plan, false);
    if first.hash != second.hash {
        first.violation = Some(Violation {
            checker: REPEATABLE,
            what: format!("{} steps, then {}", first.steps, second.steps),
        });
    }
    first
}

fn drive(world: &Arc<World>, executor: &mut Executor, machine: &mut Machine) -> u64 {
    let mut rng = Rng::new(world.plan.seed).fork(4);
    partner::begin(world);
    world
        .spawner
        .spawn(Life::World, operator::operate(world.clone()));
    world.start_host_in(Duration::ZERO);
    let mut alerts_since = None;
    for step in 0.. {
        world.begin_step(step);
        executor.adopt(&world.spawner);
        if world.checks().violation().is_some() {
            return step;
        }
        if step == world.plan.steps {
            world.calm_down();
            if let Some(host) = world.host() {
                host.journal.disk_is_low(false);
            }
            let people = operator::see_to_it(world.clone());
            world.spawner.spawn(Life::World, people);
        }
        if !world.is_calm() {
            strike(world);
        }
        if let Some(ending) = world.take_ending() {
            end_host(world, executor, machine, ending);
        }
        if world.take_start()
            && world.host().is_none()
            && let Err(error) = start(world, machine)
        {
            world.fail(LIVENESS, format!("the host does not start: {error}"));
        }
        executor.adopt(&world.spawner);
        go_on(world, executor, &mut rng);
        if world.is_calm()
            && step % LOOK_EVERY == 0
            && is_over(world, machine, step, &mut alerts_since)
        {
            return step;
        }
    }
    world.plan.steps
}

/// Lets one actor go on, or time pass where nobody can.
fn go_on(world: &World, executor: &mut Executor, rng: &mut Rng) {
    let ready = executor.ready();
    match rng.pick(&ready) {
        Some(index) => {
            executor.poll(*index);
            world.pass(rng.between(5, 300));
        }
        None => {
            if !world.pass_to_timer() {
                world.fail(LIVENESS, "everybody waits, and nobody will ever go on");
            }
        }
    }
}

/// Faults that no actor meets by itself.
fn strike(world: &World) {
    if world.strikes(Fault::Clock, 6) {
        let forward = i64::try_from(world.rng().between(1, 5_000)).unwrap_or(1);
        let back = i64::try_from(world.rng().between(1, 40)).unwrap_or(1);
        let back_now = world.rng().per_mille(400);
        world.jump(if back_now { -back } else { forward } * 1_000_000);
    }
    if world.strikes(Fault::Crash, 4) {
        let power = world.rng().per_mille(400);
        world.end_host(if power {
            Ending::PowerCut
        } else {
            Ending::Killed
        });
    }
    let low = world.host().is_some_and(|host| host.journal.is_disk_low());
    if world.strikes(Fault::FullStore, if low { 12 } else { 2 })
        && let Some(host) = world.host()
    {
        let low = !host.journal.is_disk_low();
        host.journal.disk_is_low(low);
        world.tell(if low {
            "free disk is low"
        } else {
            "there is free disk again"
        });
    }
}

fn end_host(world: &Arc<World>, executor: &mut Executor, machine: &mut Machine, ending: Ending) {
    if world.host().is_none() {
        return;
    }
    world.tell(format!("the host's process ends: {ending:?}"));
    world.put_host(None);
    world.spawner.forget(Some(Life::Host));
    executor.end_host();
    world.checks().host_ended(ending);
    machine.after(ending);
    let millis = world.rng().between(50, 4_000);
    world.start_host_in(Duration::from_millis(millis));
}

/// Whether everything has come to rest, and was checked.
fn is_over(world: &World, machine: &Machine, step: u64, alerts_since: &mut Option<u64>) -> bool {
    let late = step > world.plan.steps + CALM_STEPS;
    let Some(host) = world.host() else {
        if late {
            world.fail(LIVENESS, "the host does not stay up");
        }
        return late;
    };
    if let Some(why) = unrest(world, &host, machine) {
        if late {
            world.fail(LIVENESS, why);
        }
        return late;
    }
    let since = *alerts_since.get_or_insert(step);
    if !alerts_settled(&host) {
        let patience = step > since + CALM_STEPS / 2;
        if patience {
            world.fail(
                ALERTS,
                "the alerts that stand are not those that have a reason",
            );
        }
        return patience;
    }
    world.tell("everything has come to rest");
    let mut checks = std::mem::take(&mut *world.checks());
    checks.at_rest(world, &host, machine);
    *world.checks() = checks;
    true
}
