//! Events accepted, mapped and delivered per second, side by side with an outbox as one
//! would write it.
//!
//! The load waits for answers and, beyond a bound, for deliveries: no more than
//! `--backlog` events are under way at any time, so what is accepted and what is delivered
//! keep pace and the rate is one that lasts. Load and destination share the machine with
//! the server. After each measurement everything that was acknowledged has to arrive.

pub(crate) mod case;
mod kill;
pub(crate) mod outbox;
mod report;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tidegate_e2e::histogram::Histogram;
use tidegate_e2e::host::{PATH, SECRET};
use tidegate_e2e::load::{self, Load, Outcome, Pace};
use tidegate_e2e::requests::Requests;

use crate::destination::receipts::Receipts;
use crate::postgres::Postgres;
use crate::usage;
use case::{Case, Setting};
use report::Row;

/// What is not counted at the start of each measurement.
const WARM_UP: Duration = Duration::from_secs(2);

/// Requests made for each second: more than any case can deliver on a small machine.
const REQUESTS_PER_SECOND_MAX: u64 = 25_000;

/// Longest wait for what was acknowledged to arrive.
const DRAINED_WITHIN: Duration = Duration::from_mins(2);

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Print one JSON object and nothing else on stdout.
    #[arg(long)]
    json: bool,
    /// Seconds of each measurement, after two of warm-up.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Cases to run, all unless named.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Connections of the load.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Most events that are sent and not delivered yet.
    #[arg(long, default_value_t = 2048)]
    backlog: u64,
    /// Workers of axum-outbox.
    #[arg(long, default_value_t = case::WORKERS)]
    workers: usize,
    /// Kill the host once in the middle of each case, and see that all arrives.
    #[arg(long)]
    kill: bool,
}

/// Measures and prints. Fails where anything acknowledged is not delivered.
pub(crate) fn run(plan: &Plan, folder: &Path) -> anyhow::Result<()> {
    let mut cases = if plan.cases.is_empty() {
        Case::ALL.to_vec()
    } else {
        plan.cases.clone()
    };
    if plan.kill {
        // What is not ours promises nothing here.
        cases.retain(|case| *case != Case::AxumOutbox);
    }
    let seconds = plan.seconds + WARM_UP.as_secs();
    let count = usize::try_from(seconds * REQUESTS_PER_SECOND_MAX)?;
    eprintln!("signing {count} requests");
    let requests = Requests::pull_requests(0..count, PATH, SECRET);
    let postgres = if cases.iter().any(|case| case.needs_postgres()) {
        eprintln!("starting PostgreSQL");
        Some(Postgres::start(folder)?)
    } else {
        None
    };
    let (mut rows, mut kills) = (Vec::new(), Vec::new());
    for &case in &cases {
        eprintln!("{}", case.name());
        let place = tempfile::tempdir_in(folder)?;
        let setting = Setting::start(case, place.path(), postgres.as_ref(), plan.workers, count)?;
        if plan.kill {
            kills.push(kill::run(case, setting, plan, &requests)?);
        } else {
            rows.push(measure(case, setting, plan, &requests)?);
        }
    }
    if plan.kill {
        kill::print(&kills, plan.json);
    } else {
        report::print(&rows, plan);
    }
    Ok(())
}

/// What the observer of the load writes down.
struct Accepted {
    answers: Vec<Option<Instant>>,
    count: Arc<AtomicU64>,
    refused: u64,
}

impl Accepted {
    fn new(requests: usize) -> Self {
        Self {
            answers: vec![None; requests],
            count: Arc::default(),
            refused: 0,
        }
    }

    fn observe(&mut self, outcome: Outcome) {
        match (outcome.status, self.answers.get_mut(outcome.request)) {
            (Some(200), Some(answer)) => {
                *answer = Some(outcome.answered);
                self.count.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.refused += 1,
        }
    }

    fn numbers(&self) -> impl Iterator<Item = (usize, Instant)> + '_ {
        let answers = self.answers.iter().enumerate();
        answers.filter_map(|(number, answer)| Some((number, (*answer)?)))
    }
}

/// What there was at one instant.
struct Sample {
    delivered: u64,
    accepted: u64,
    own: Duration,
    database: Duration,
    bench: Duration,
}

impl Sample {
    fn take(setting: &Setting, accepted: &AtomicU64) -> anyhow::Result<Self> {
        Ok(Self {
            delivered: setting.receipts.count(),
            accepted: accepted.load(Ordering::Relaxed),
            own: usage::cpu(&setting.processes)?,
            database: usage::cpu(&setting.database)?,
            bench: usage::own_cpu()?,
        })
    }
}

fn measure(case: Case, setting: Setting, plan: &Plan, requests: &Requests) -> anyhow::Result<Row> {
    let from = Instant::now() + WARM_UP;
    let to = from + Duration::from_secs(plan.seconds);
    let mut accepted = Accepted::new(requests.len());
    let counted = accepted.count.clone();
    let load = Load {
        address: setting.address,
        connections: plan.connections,
        requests,
        pace: Pace::Unfinished {
            most: plan.backlog,
            done: setting.receipts.delivered(),
        },
        deadline: to,
        stop: &AtomicBool::new(false),
    };
    let (before, after, resident) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| -> anyhow::Result<_> {
            std::thread::sleep(from - Instant::now());
            let before = Sample::take(&setting, &counted)?;
            std::thread::sleep(to.saturating_duration_since(Instant::now()));
            let after = Sample::take(&setting, &counted)?;
            Ok((before, after, usage::resident_bytes(&setting.processes)?))
        });
        load::run(&load, &mut (0..requests.len()), &mut |outcome| {
            accepted.observe(outcome);
        })?;
        let joined = sampler.join();
        joined.map_err(|_| anyhow::anyhow!("the sampler panicked"))?
    })?;
    ensure!(
        accepted.refused == 0,
        "{}: {} events were not answered 200",
        case.name(),
        accepted.refused
    );
    let total = counted.load(Ordering::Relaxed);
    let ended = Instant::now();
    let drained = setting.receipts.wait_for(total, DRAINED_WITHIN);
    let drain = ended.elapsed();
    let receipts = setting.receipts.clone();
    setting.destination.finish()?;
    let missing = missing(&receipts, accepted.numbers());
    ensure!(
        drained && missing == 0 && receipts.strangers() == 0,
        "{}: of {total} events that were answered 200, {missing} did not arrive: {receipts:?}",
        case.name()
    );
    let mut latencies = Histogram::default();
    for (number, answered) in accepted.numbers() {
        if let Some(received) = receipts.of(number)
            && (from..to).contains(&received)
        {
            // The receiver may be faster than the answer.
            latencies.record(received.saturating_duration_since(answered));
        }
    }
    Ok(
        Row::new(case, plan, (&before, &after), &latencies).with_rest(
            resident,
            drain,
            receipts.duplicates(),
        ),
    )
}

/// How many of these events have not arrived.
fn missing(receipts: &Receipts, events: impl Iterator<Item = (usize, Instant)>) -> usize {
    let came = |number: &usize| receipts.of(*number).is_some();
    events.filter(|(number, _)| !came(number)).count()
}
