//! Nanoseconds per verification, beside the bare primitive of the same crate over the same
//! bytes with the same key, and the heap that one verification takes.
//!
//! Both sides take turns in short blocks, so that a clock that changes its speed meets both;
//! the medians of the blocks are compared. The bare side is what nobody can do without: a
//! keyed state is copied, hashes the signed bytes and is compared, or a public key verifies
//! them. The difference is finding, decoding and checking everything around it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "results are its output, progress goes to stderr"
)]

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;
use serde_json::json;
use tidegate_core::signature::{RawRequest, verify};

use crate::cases::{Case, NOW};

mod allocated;
mod cases;

/// The host's, counted.
#[global_allocator]
static ALLOCATOR: allocated::Counted = allocated::Counted;

const SIZES: [usize; 4] = [256, 2 * 1024, 64 * 1024, 1024 * 1024];

/// Verifications of one block. Few, so that a request is as warm as one that the server has
/// just read.
const BLOCK: usize = 16;

#[derive(Debug, Parser)]
#[command(about = "What verification costs beside its primitive")]
struct Arguments {
    /// Print one JSON object and nothing else on stdout.
    #[arg(long)]
    json: bool,
    /// Only this scheme of the published vectors.
    #[arg(long, value_parser = cases::NAMES)]
    scheme: Option<String>,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 1)]
    seconds: u64,
}

struct Row {
    scheme: &'static str,
    algorithm: String,
    body_bytes: usize,
    bare_ns: f64,
    verify_ns: f64,
    allocated_bytes: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let length = Duration::from_secs(arguments.seconds);
    let mut rows = Vec::new();
    let chosen = |name: &&str| arguments.scheme.as_deref().is_none_or(|one| one == *name);
    for name in cases::NAMES.into_iter().filter(chosen) {
        eprintln!("{name}");
        for body_bytes in SIZES {
            let case = Case::new(name, body_bytes)?;
            ensure!(case.bare.holds(), "{name}: the bare primitive refuses");
            let raw = case.raw.clone();
            let before = allocated::bytes();
            let verdict = verify(raw, &case.scheme, &case.keys, None, NOW);
            let allocated_bytes = allocated::bytes() - before;
            ensure!(verdict.is_ok(), "{name}: {verdict:?}");
            let (bare_ns, verify_ns) = measure(&case, length);
            rows.push(Row {
                scheme: name,
                algorithm: case.scheme.algorithm().text(),
                body_bytes,
                bare_ns,
                verify_ns,
                allocated_bytes,
            });
        }
    }
    report(&arguments, &rows);
    Ok(())
}

/// Medians over blocks that take turns: bare, and as ingress verifies.
fn measure(case: &Case, length: Duration) -> (f64, f64) {
    let (mut bare, mut verified) = (Vec::new(), Vec::new());
    let until = Instant::now() + length;
    while Instant::now() < until || bare.len() < 5 {
        let start = Instant::now();
        for _ in 0..BLOCK {
            std::hint::black_box(case.bare.holds());
        }
        bare.push(per_call(start));
        // Requests are made before and dropped after: both are the server's, not ours.
        let raws: Vec<RawRequest> = vec![case.raw.clone(); BLOCK];
        let mut done = Vec::with_capacity(BLOCK);
        let start = Instant::now();
        for raw in raws {
            done.push(verify(raw, &case.scheme, &case.keys, None, NOW));
        }
        verified.push(per_call(start));
        drop(std::hint::black_box(done));
    }
    (median(bare), median(verified))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 ns")]
fn per_call(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / BLOCK as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn report(arguments: &Arguments, rows: &[Row]) {
    if arguments.json {
        let rows = rows.iter().map(|row| {
            json!({
                "scheme": row.scheme,
                "algorithm": row.algorithm,
                "body_bytes": row.body_bytes,
                "bare_ns": row.bare_ns,
                "verify_ns": row.verify_ns,
                "ratio": row.verify_ns / row.bare_ns,
                "allocated_bytes": row.allocated_bytes,
            })
        });
        println!("{}", json!({ "rows": rows.collect::<Vec<_>>() }));
        return;
    }
    println!(
        "{:<18}{:<26}{:>9}{:>14}{:>14}{:>8}{:>12}",
        "scheme", "algorithm", "body", "bare", "verify", "ratio", "allocated"
    );
    for row in rows {
        println!(
            "{:<18}{:<26}{:>9}{:>11.0} ns{:>11.0} ns{:>7.2}x{:>10} B",
            row.scheme,
            row.algorithm,
            row.body_bytes,
            row.bare_ns,
            row.verify_ns,
            row.verify_ns / row.bare_ns,
            row.allocated_bytes,
        );
    }
}
