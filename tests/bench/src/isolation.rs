//! What one owner's trouble costs another: a sink that hangs beside a sink that does not,
//! and a connection with very many failing tasks beside one with a fresh event.

mod connections;
mod sinks;

use std::path::Path;

use serde_json::{Map, Value};

/// What to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// A hanging sink beside a healthy one.
    Sinks,
    /// A connection with failing tasks beside one with fresh events.
    Connections,
}

/// How to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Print one JSON object and nothing else on stdout.
    #[arg(long)]
    json: bool,
    /// Both unless named.
    #[arg(long, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Seconds of each window.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Pairs of windows.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Events per second beside the hanging sink.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Failing tasks of the other connection.
    #[arg(long, default_value_t = 100_000)]
    tasks: usize,
}

/// Measures and prints.
pub(crate) fn run(plan: &Plan, folder: &Path) -> anyhow::Result<()> {
    let wanted = |part| plan.parts.is_empty() || plan.parts.contains(&part);
    let mut report = Map::new();
    if wanted(Part::Sinks) {
        let place = tempfile::tempdir_in(folder)?;
        let pairs = sinks::measure(plan, place.path())?;
        if plan.json {
            report.insert("sinks".to_owned(), sinks::to_json(&pairs));
        } else {
            sinks::print(&pairs);
        }
    }
    if wanted(Part::Connections) {
        let place = tempfile::tempdir_in(folder)?;
        let measured = connections::measure(plan, place.path())?;
        if plan.json {
            report.insert("connections".to_owned(), connections::to_json(&measured));
        } else {
            connections::print(&measured);
        }
    }
    if plan.json {
        println!("{}", Value::Object(report));
    }
    Ok(())
}

/// Latencies of two windows, one after the other.
#[derive(Clone, Copy, Debug)]
struct Pair {
    without: Quantiles,
    with: Quantiles,
}

/// Of one window, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Quantiles {
    p50: f64,
    p99: f64,
}

impl Quantiles {
    fn of(latencies: &tidegate_e2e::histogram::Histogram) -> Self {
        Self {
            p50: latencies.quantile_ms(0.5),
            p99: latencies.quantile_ms(0.99),
        }
    }

    fn to_json(self) -> Value {
        let rounded = |value: f64| (value * 1e3).round() / 1e3;
        serde_json::json!({ "p50_ms": rounded(self.p50), "p99_ms": rounded(self.p99) })
    }
}

/// The middle one of several; of two, the higher.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The medians of differences and ratios between the windows of pairs.
fn medians(pairs: &[Pair], of: impl Fn(Quantiles) -> f64) -> (f64, f64) {
    let both = || pairs.iter().map(|pair| (of(pair.with), of(pair.without)));
    (
        median(both().map(|(with, without)| with - without)),
        median(both().map(|(with, without)| with / without)),
    )
}

fn pairs_to_json(pairs: &[Pair]) -> Value {
    let (p50_difference, p50_ratio) = medians(pairs, |one| one.p50);
    let (p99_difference, p99_ratio) = medians(pairs, |one| one.p99);
    let pairs: Vec<Value> = pairs
        .iter()
        .map(|pair| serde_json::json!({ "without": pair.without.to_json(), "with": pair.with.to_json() }))
        .collect();
    serde_json::json!({
        "pairs": pairs,
        "median": {
            "p50_difference_ms": p50_difference,
            "p50_ratio": p50_ratio,
            "p99_difference_ms": p99_difference,
            "p99_ratio": p99_ratio,
        },
    })
}

fn print_pairs(pairs: &[Pair], without: &str, with: &str) {
    println!("{:<26}{without:>22}{with:>22}", "");
    println!(
        "{:<26}{:>11}{:>11}{:>11}{:>11}",
        "pair", "p50 ms", "p99 ms", "p50 ms", "p99 ms"
    );
    for (number, pair) in (1..).zip(pairs) {
        println!(
            "{number:<26}{:>11.2}{:>11.2}{:>11.2}{:>11.2}",
            pair.without.p50, pair.without.p99, pair.with.p50, pair.with.p99
        );
    }
    let (p50, p50_ratio) = medians(pairs, |one| one.p50);
    let (p99, p99_ratio) = medians(pairs, |one| one.p99);
    println!(
        "median of pairs: p50 {p50:+.2} ms ({p50_ratio:.2}x), p99 {p99:+.2} ms ({p99_ratio:.2}x)"
    );
}
