//! Requests per second that each server verifies, stores and answers, side by side.
//!
//! For each number of connections every case runs in turn, on a server that was just
//! started and a store that is empty, with the same signed requests. A second of
//! warm-up is not counted. The load generator runs on one thread of this process and
//! shares the machine with the server, as a reverse proxy would.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};
use tidegate_e2e::histogram::Histogram;
use tidegate_e2e::host::{PATH, SECRET};
use tidegate_e2e::load::{self, Load, Outcome, Pace};
use tidegate_e2e::requests::Requests;

use crate::baseline;
use crate::postgres::Postgres;
use crate::server::{Case, Server};
use crate::usage;

/// What is not counted at the start of each measurement.
const WARM_UP: Duration = Duration::from_secs(1);

/// Requests made for each second: more than the load generator can send.
const REQUESTS_PER_SECOND_MAX: u64 = 90_000;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Print `{"rows":[…]}` and nothing else on stdout.
    #[arg(long)]
    json: bool,
    /// Seconds of each measurement, after one of warm-up.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Cases to run, all unless named.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Numbers of connections.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    connections: Vec<usize>,
    /// Connections of axum-postgres to its database.
    #[arg(long, default_value_t = baseline::POOL_SIZE)]
    pool: usize,
}

struct Row {
    case: Case,
    connections: usize,
    requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    cpu_us: f64,
    rss_mib: f64,
    changes_per_second: Option<f64>,
    errors: BTreeMap<String, u64>,
}

/// Measures and prints. Fails where any request was not answered 200.
pub(crate) fn run(plan: &Plan, folder: &Path) -> anyhow::Result<()> {
    let cases = if plan.cases.is_empty() {
        Case::ALL.to_vec()
    } else {
        plan.cases.clone()
    };
    let seconds = plan.seconds + WARM_UP.as_secs();
    let count = usize::try_from(seconds * REQUESTS_PER_SECOND_MAX)?;
    eprintln!("signing {count} requests");
    let requests = Requests::pull_requests(0..count, PATH, SECRET);
    let postgres = if cases.contains(&Case::AxumPostgres) {
        eprintln!("starting PostgreSQL");
        Some(Postgres::start(folder)?)
    } else {
        None
    };
    let mut rows = Vec::new();
    for &connections in &plan.connections {
        for &case in &cases {
            eprintln!("{} with {connections} connections", case.name());
            let place = tempfile::tempdir_in(folder)?;
            let server = Server::start(case, place.path(), postgres.as_ref(), plan.pool)?;
            // What the case before has left to be written is not this one's to wait for.
            rustix::fs::sync();
            rows.push(measure(
                case,
                &server,
                connections,
                plan.seconds,
                &requests,
            )?);
        }
    }
    if plan.json {
        let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
        println!("{}", json!({ "rows": rows }));
    } else {
        print_table(&rows);
        print_ratios(&rows, &plan.connections);
    }
    let failed: u64 = rows.iter().flat_map(|row| row.errors.values()).sum();
    ensure!(failed == 0, "{failed} requests were not answered 200");
    Ok(())
}

/// What the observer counts within the measured window.
#[derive(Default)]
struct Counts {
    latencies: Histogram,
    errors: BTreeMap<String, u64>,
    last: Option<Instant>,
}

impl Counts {
    fn observe(&mut self, outcome: Outcome, from: Instant, to: Instant) {
        if outcome.status != Some(200) {
            let what = outcome
                .status
                .map_or_else(|| "connection broke".into(), |status| status.to_string());
            *self.errors.entry(what).or_default() += 1;
        } else if outcome.answered >= from && outcome.answered < to {
            self.latencies.record(outcome.answered - outcome.sent);
            self.last = Some(outcome.answered);
        }
    }
}

/// What the second thread reads while the first is busy sending.
struct Sampled {
    cpu: Duration,
    resident_bytes: u64,
    changes: Option<u64>,
}

fn measure(
    case: Case,
    server: &Server,
    connections: usize,
    seconds: u64,
    requests: &Requests,
) -> anyhow::Result<Row> {
    let from = Instant::now() + WARM_UP;
    let to = from + Duration::from_secs(seconds);
    let mut counts = Counts::default();
    let load = Load {
        address: server.address,
        connections,
        requests,
        pace: Pace::AsAnswered,
        deadline: to,
        stop: &AtomicBool::new(false),
    };
    let sampled = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(server, from, to));
        load::run(&load, &mut (0..requests.len()), &mut |outcome| {
            counts.observe(outcome, from, to);
        })?;
        sampler
            .join()
            .map_err(|_| anyhow::anyhow!("the sampler panicked"))?
    })?;
    // Where the requests ran out, the window ends with the last answer.
    let window = counts
        .last
        .map_or(Duration::ZERO, |last| last - from)
        .as_secs_f64();
    let answered = as_f64(counts.latencies.count());
    Ok(Row {
        case,
        connections,
        requests_per_second: answered / window,
        p50_ms: counts.latencies.quantile_ms(0.5),
        p99_ms: counts.latencies.quantile_ms(0.99),
        p999_ms: counts.latencies.quantile_ms(0.999),
        cpu_us: sampled.cpu.as_secs_f64() * 1e6 / answered,
        rss_mib: as_f64(sampled.resident_bytes) / f64::from(1 << 20),
        changes_per_second: sampled.changes.map(|changes| as_f64(changes) / window),
        errors: counts.errors,
    })
}

fn sample(server: &Server, from: Instant, to: Instant) -> anyhow::Result<Sampled> {
    let changes = |server: &Server| server.changes();
    std::thread::sleep(from - Instant::now());
    let cpu_before = usage::cpu(&server.processes)?;
    let changes_before = changes(server)?;
    std::thread::sleep(to.saturating_duration_since(Instant::now()));
    let cpu = usage::cpu(&server.processes)?.saturating_sub(cpu_before);
    let changes_after = changes(server)?;
    Ok(Sampled {
        cpu,
        resident_bytes: usage::resident_bytes(&server.processes)?,
        changes: changes_after
            .zip(changes_before)
            .map(|(after, before)| after - before),
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

impl Row {
    fn to_json(&self) -> Value {
        let rounded = |value: f64, places: i32| {
            let unit = 10_f64.powi(places);
            (value * unit).round() / unit
        };
        json!({
            "case": self.case.name(),
            "connections": self.connections,
            "requests_per_second": self.requests_per_second.round(),
            "p50_ms": rounded(self.p50_ms, 3),
            "p99_ms": rounded(self.p99_ms, 3),
            "p999_ms": rounded(self.p999_ms, 3),
            "cpu_us": rounded(self.cpu_us, 1),
            "rss_mib": rounded(self.rss_mib, 1),
            "changes_per_second": self.changes_per_second.map(f64::round),
            "errors": self.errors,
        })
    }
}

fn print_table(rows: &[Row]) {
    println!(
        "{:<19}{:>6}{:>11}{:>10}{:>10}{:>10}{:>9}{:>9}{:>11}  errors",
        "case", "conns", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU µs", "MiB", "changes/s"
    );
    for row in rows {
        let changes = match row.changes_per_second {
            Some(rate) if row.case == Case::TidegateFjallMap => format!("{rate:.0}"),
            _ => "-".into(),
        };
        let errors = if row.errors.is_empty() {
            "none".into()
        } else {
            format!("{:?}", row.errors)
        };
        println!(
            "{:<19}{:>6}{:>11.0}{:>10.2}{:>10.2}{:>10.2}{:>9.1}{:>9.1}{:>11}  {errors}",
            row.case.name(),
            row.connections,
            row.requests_per_second,
            row.p50_ms,
            row.p99_ms,
            row.p999_ms,
            row.cpu_us,
            row.rss_mib,
            changes,
        );
    }
}

/// The comparisons that the bench is for.
const RATIOS: [(Case, Case); 5] = [
    (Case::TidegateFjall, Case::AxumPostgres),
    (Case::TidegateFjall, Case::AxumHmac),
    (Case::TidegateFjallMap, Case::AxumPostgres),
    (Case::TidegateFjallMap, Case::TidegateFjall),
    (Case::TidegateSled, Case::AxumPostgres),
];

fn print_ratios(rows: &[Row], connections: &[usize]) {
    println!(
        "\n{:<36}{:>6}{:>13}{:>9}",
        "ratio", "conns", "requests/s", "p99"
    );
    for (over, under) in RATIOS {
        for &connections in connections {
            let find = |case| {
                rows.iter()
                    .find(|row| row.case == case && row.connections == connections)
            };
            if let (Some(over), Some(under)) = (find(over), find(under)) {
                println!(
                    "{:<36}{connections:>6}{:>12.2}x{:>8.2}x",
                    format!("{} / {}", over.case.name(), under.case.name()),
                    over.requests_per_second / under.requests_per_second,
                    over.p99_ms / under.p99_ms,
                );
            }
        }
    }
}
