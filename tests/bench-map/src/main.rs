//! Microseconds per mapped event, native against sandboxed, and the memory that one more
//! loaded plugin costs.
//!
//! The events are those of [`samples`], each mapped in turn. Every call is timed by itself;
//! before the timing both sides must give the same answer. Native and sandboxed go through
//! one port, from the event that the host holds to its own checked types, on the host's
//! allocator; [`native`] says what is left between the two.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "results are its output, progress goes to stderr"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::Parser;
use serde_json::json;
use tidegate_core::event::Event;
use tidegate_core::ids::EventId;
use tidegate_core::mapping::MapCall;
use tidegate_core::ports::Mapper;
use tidegate_e2e::histogram::Histogram;
use tidegate_runtime::{Runtime, RuntimeOptions};

use crate::samples::Sample;

mod memory;
mod native;
mod samples;

/// The host's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(about = "What the sandbox costs")]
struct Arguments {
    /// Print one JSON object and nothing else on stdout.
    #[arg(long)]
    json: bool,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Where the fixtures are.
    #[arg(long, default_value = "plugins/github/fixtures")]
    fixtures: PathBuf,
    /// GitHub's example payloads, where `cargo xtask test` installs them; without them
    /// their rows are left out.
    #[arg(
        long,
        default_value = ".tools/octokit/node_modules/@octokit/webhooks-examples/api.github.com/index.json"
    )]
    examples: PathBuf,
}

/// Times of one call, in microseconds.
struct Row {
    events: &'static str,
    body_bytes: usize,
    threads: usize,
    native: [f64; 2],
    sandboxed: [f64; 2],
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let cache = tempfile::tempdir()?;
    let runtime = Runtime::new(RuntimeOptions {
        cache_dir: Some(cache.path().join("compiled")),
        ..RuntimeOptions::default()
    })?;
    let wasm = std::fs::read(tidegate_e2e::host::plugin()?)?;
    let plugin = runtime.load(&wasm)?;
    let tells = if runtime.facts().pagemap_scan {
        "tells"
    } else {
        "does not tell"
    };
    eprintln!("the kernel {tells} which pages were written");
    let length = Duration::from_secs(arguments.seconds);
    let mut samples = samples::fixtures(&arguments.fixtures)?;
    let smallest = samples.first().context("no fixtures")?;
    let kib = memory::of_one_more_plugin(&wasm, &smallest.events)?;
    match samples::examples(&arguments.examples, smallest)? {
        Some(examples) => samples.push(examples),
        None => eprintln!(
            "GitHub's examples are left out: {} is not there",
            arguments.examples.display()
        ),
    }
    let mut rows = Vec::new();
    for sample in samples {
        check_same_answers(&sample, &plugin)?;
        for threads in [1, 2] {
            eprintln!("{} on {threads} threads", sample.name);
            rows.push(Row {
                events: sample.name,
                body_bytes: sample.mean_body_bytes(),
                threads,
                native: quantiles(&measure(&sample.events, &native::Native, threads, length)),
                sandboxed: quantiles(&measure(&sample.events, &plugin, threads, length)),
            });
        }
    }
    report(&arguments, &rows, kib);
    Ok(())
}

const fn call(event: &Event, number: u64) -> MapCall<'_> {
    static SETTINGS: Bytes = Bytes::from_static(b"{}");
    MapCall {
        id: EventId::new(number),
        event,
        base_url: None,
        settings: &SETTINGS,
    }
}

fn check_same_answers(sample: &Sample, plugin: &impl Mapper) -> anyhow::Result<()> {
    for event in &sample.events {
        let (native, sandboxed) = (
            native::Native.map(&call(event, 1)),
            plugin.map(&call(event, 1)),
        );
        let native = native.answer.ok().context("the native mapping failed")?;
        let sandboxed = sandboxed
            .answer
            .map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
        ensure!(
            native == sandboxed,
            "different answers: {native:?} and {sandboxed:?}"
        );
    }
    Ok(())
}

/// Maps the events in turn on so many threads at once, each call timed by itself.
fn measure(events: &[Event], mapper: &impl Mapper, threads: usize, length: Duration) -> Histogram {
    let warm_until = Instant::now() + length / 10;
    let until = warm_until + length;
    let one_thread = || {
        let mut times = Histogram::default();
        for (number, event) in (1..).zip(events.iter().cycle()) {
            let start = Instant::now();
            let report = mapper.map(&call(event, number));
            let end = Instant::now();
            std::hint::black_box(report);
            if start >= warm_until {
                times.record(end - start);
            }
            if end >= until {
                break;
            }
        }
        times
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one_thread)).collect();
        let mut all = Histogram::default();
        for thread in running {
            // A panic on one side shows as a lower count, and was printed.
            all.merge(&thread.join().unwrap_or_default());
        }
        all
    })
}

fn quantiles(times: &Histogram) -> [f64; 2] {
    [0.5, 0.99].map(|share| times.quantile_ms(share) * 1000.0)
}

fn report(arguments: &Arguments, rows: &[Row], plugin_kib: f64) {
    if arguments.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "events": row.events,
                    "body_bytes": row.body_bytes,
                    "threads": row.threads,
                    "native_p50_us": row.native[0],
                    "native_p99_us": row.native[1],
                    "sandboxed_p50_us": row.sandboxed[0],
                    "sandboxed_p99_us": row.sandboxed[1],
                    "ratio_p50": row.sandboxed[0] / row.native[0],
                })
            })
            .collect();
        println!("{}", json!({ "rows": rows, "plugin_kib": plugin_kib }));
        return;
    }
    println!(
        "{:<24}{:>7}{:>9}{:>12}{:>12}{:>14}{:>14}{:>9}",
        "events",
        "bytes",
        "threads",
        "native p50",
        "native p99",
        "sandboxed p50",
        "sandboxed p99",
        "p50"
    );
    for row in rows {
        println!(
            "{:<24}{:>7}{:>9}{:>9.1} µs{:>9.1} µs{:>11.1} µs{:>11.1} µs{:>8.2}x",
            row.events,
            row.body_bytes,
            row.threads,
            row.native[0],
            row.native[1],
            row.sandboxed[0],
            row.sandboxed[1],
            row.sandboxed[0] / row.native[0],
        );
    }
    println!("one more loaded plugin: {plugin_kib:.0} KiB resident");
}
