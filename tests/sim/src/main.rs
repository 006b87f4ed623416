//! `tidegate-sim`: seeds on the command line, stories on the terminal.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool: results on stdout, progress on stderr"
)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tidegate_sim::checks::Violation;
use tidegate_sim::faults::Faults;
use tidegate_sim::mutations;
use tidegate_sim::plan::Plan;
use tidegate_sim::run::{run, run_twice};
use tidegate_sim::shrink::shrink;

const USAGE: &str = "\
usage: tidegate-sim [--seeds N] [--first N] [--jobs N] [--story] [--brief]
                    [--steps N] [--events N] [--sinks N] [--workers N] [--connections N]
                    [--faults NAME,NAME]
       tidegate-sim mutations [--seeds N] [--only NAME]

Each seed is a world with its own faults. --story tells what happens in the first one,
--brief goes on to the twentieth that fails and tells only how many did, which first and
why; the numbers and kinds of faults replace those that the seeds have.";

/// Seeds that are run twice before all others.
const REPEATED: u64 = 3;

#[derive(Default)]
struct Options {
    seeds: Option<u64>,
    first: u64,
    jobs: Option<usize>,
    story: bool,
    brief: bool,
    only: Option<String>,
    steps: Option<u64>,
    events: Option<usize>,
    sinks: Option<usize>,
    workers: Option<usize>,
    connections: Option<usize>,
    faults: Option<Faults>,
}

impl Options {
    fn read(words: &[String]) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--story" => options.story = true,
                "--brief" => options.brief = true,
                "--seeds" => options.seeds = Some(number(words.next())?),
                "--first" => options.first = number(words.next())?,
                "--jobs" => options.jobs = Some(number(words.next())?),
                "--only" => options.only = words.next().cloned(),
                "--steps" => options.steps = Some(number(words.next())?),
                "--events" => options.events = Some(number(words.next())?),
                "--sinks" => options.sinks = Some(number(words.next())?),
                "--workers" => options.workers = Some(number(words.next())?),
                "--connections" => options.connections = Some(number(words.next())?),
                "--faults" => {
                    let names = words.next().map_or("", String::as_str);
                    let faults = Faults::parse(names);
                    options.faults = Some(faults.context("a fault of that name is not known")?);
                }
                other => bail!("{other} is not an option\n\n{USAGE}"),
            }
        }
        Ok(options)
    }

    fn plan(&self, seed: u64) -> Plan {
        let plan = Plan::of(seed);
        Plan {
            seed,
            steps: self.steps.unwrap_or(plan.steps),
            events: self.events.unwrap_or(plan.events),
            connections: self.connections.unwrap_or(plan.connections),
            sinks: self.sinks.unwrap_or(plan.sinks),
            workers: self.workers.unwrap_or(plan.workers),
            faults: self.faults.unwrap_or(plan.faults),
        }
    }

    fn jobs(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.unwrap_or(cores).max(1)
    }
}

fn number<T: std::str::FromStr>(word: Option<&String>) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    word.context("a number is missing")?
        .parse()
        .context("that is no number")
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // A panic of what is under test is a violation, told with the story.
    std::panic::set_hook(Box::new(|_| {}));
    let done = match words.split_first() {
        Some((word, _)) if word == "--help" || word == "-h" => {
            println!("{USAGE}");
            Ok(true)
        }
        Some((word, rest)) if word == "mutations" => Options::read(rest).and_then(|options| {
            mutations::run_all(options.only.as_deref(), options.seeds.unwrap_or(1_000))
        }),
        _ => Options::read(&words).map(|options| simulate(&options)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tidegate-sim: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every seed holds.
fn simulate(options: &Options) -> bool {
    if options.story {
        let outcome = run(options.plan(options.first), true);
        for line in &outcome.lines {
            println!("{line}");
        }
        return outcome.violation.is_none();
    }
    let began = Instant::now();
    let seeds = options.seeds.unwrap_or(10_000);
    let mut failures = failures(options, seeds);
    let (failed, of) = failures.share(options.first, seeds);
    let Some((_, (plan, violation))) = failures.0.pop_first() else {
        let took = began.elapsed();
        println!(
            "{seeds} seeds from {} hold, in {:.1} s",
            options.first,
            took.as_secs_f64()
        );
        return true;
    };
    if options.brief {
        println!(
            "violation\t{}\t{}\t{failed} of {of}\t{}",
            plan.seed, violation.checker, violation.what
        );
    } else {
        tell(plan, violation);
    }
    false
}

/// Failing seeds that are enough to know how often a mistake shows.
const FAILURES_MAX: usize = 20;

/// What failed, the lowest seed first.
#[derive(Default)]
struct Failures(BTreeMap<u64, (Plan, Violation)>);

impl Failures {
    fn note(&mut self, plan: Plan, violation: Violation) {
        self.0.insert(plan.seed, (plan, violation));
    }

    /// How many fail of how many: the same, whoever was faster.
    fn share(&self, first: u64, seeds: u64) -> (usize, u64) {
        let enough = self.0.keys().nth(FAILURES_MAX - 1);
        let of = enough.map_or(seeds, |seed| seed - first + 1);
        (self.0.len().min(FAILURES_MAX), of)
    }
}

/// Runs the seeds: up to the first failure, or on where it is to be brief.
fn failures(options: &Options, seeds: u64) -> Failures {
    let enough = if options.brief { FAILURES_MAX } else { 1 };
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Failures::default()));
    let began = Instant::now();
    let work = || {
        let mut told = Duration::ZERO;
        loop {
            let index = next.fetch_add(1, Ordering::SeqCst);
            if index >= seeds {
                return;
            }
            let plan = options.plan(options.first + index);
            let outcome = if index < REPEATED {
                run_twice(plan)
            } else {
                run(plan, false)
            };
            if let Some(violation) = outcome.violation {
                let mut failed = failed
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                failed.note(plan, violation);
                if failed.0.len() >= enough {
                    next.store(seeds, Ordering::SeqCst);
                }
            }
            let elapsed = began.elapsed();
            if elapsed > told + Duration::from_secs(20) && !options.brief {
                told = elapsed;
                eprintln!("tidegate-sim: {index} of {seeds} seeds hold so far");
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs() {
            scope.spawn(work);
        }
    });
    failed
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The shortest story of a failure, and how it becomes a test.
fn tell(plan: Plan, violation: Violation) {
    eprintln!("tidegate-sim: {plan} fails: {violation}");
    eprintln!("tidegate-sim: looking for a shorter story");
    let smallest = shrink(plan, violation);
    let plan = smallest.plan;
    for line in run(plan, true).lines {
        println!("{line}");
    }
    println!("\n{plan}\n{}\n", smallest.violation);
    println!(
        "told again by: tidegate-sim --story --first {} --steps {} --events {} --connections {} --sinks {} --workers {} --faults '{}'",
        plan.seed, plan.steps, plan.events, plan.connections, plan.sinks, plan.workers, plan.faults
    );
    println!("as a test, in tests/sim/tests/it/named.rs, with a name that says what was wrong:\n");
    println!(
        "#[test]\nfn name_it() {{\n    check(Plan {{\n        seed: {},\n        steps: {},\n        events: {},\n        connections: {},\n        sinks: {},\n        workers: {},\n        faults: faults(\"{}\"),\n    }});\n}}",
        plan.seed, plan.steps, plan.events, plan.connections, plan.sinks, plan.workers, plan.faults
    );
}
