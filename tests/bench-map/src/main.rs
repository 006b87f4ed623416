//! Microseconds per mapped event, native against sandboxed, and the memory that one more
//! loaded plugin costs.
//!
//! The events are the plugin's own fixtures, each mapped in turn. Every call is timed by
//! itself; before the timing both sides must give the same answer.

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
use tidegate_core::event::{BodyAuthenticated, Event};
use tidegate_core::ids::EventId;
use tidegate_core::mapping::{MapCall, Mapped};
use tidegate_core::ports::Mapper;
use tidegate_core::time::Timestamp;
use tidegate_e2e::histogram::Histogram;
use tidegate_runtime::{Runtime, RuntimeOptions};
use tidegate_sdk::testing::load_fixtures;

mod memory;
mod native;

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
}

/// The events of one row.
struct Sample {
    name: &'static str,
    events: Vec<Event>,
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
    eprintln!("{:?}", runtime.facts());
    let length = Duration::from_secs(arguments.seconds);
    let mut rows = Vec::new();
    for sample in samples(&arguments.fixtures)? {
        check_same_answers(&sample, &plugin)?;
        for threads in [1, 2] {
            eprintln!("{} on {threads} threads", sample.name);
            rows.push(Row {
                events: sample.name,
                body_bytes: sample
                    .events
                    .iter()
                    .map(|event| event.body.len())
                    .sum::<usize>()
                    / sample.events.len(),
                threads,
                native: quantiles(&measure(&sample.events, &native::Native, threads, length)),
                sandboxed: quantiles(&measure(&sample.events, &plugin, threads, length)),
            });
        }
    }
    let kib = memory::of_one_more_plugin(&wasm, &samples(&arguments.fixtures)?[0].events)?;
    report(&arguments, &rows, kib);
    Ok(())
}

/// All fixtures that map, and the one that is as large as what GitHub really sends.
fn samples(folder: &std::path::Path) -> anyhow::Result<[Sample; 2]> {
    let mut all = Vec::new();
    let mut full_size = Vec::new();
    for fixture in load_fixtures(folder)? {
        let event = event(&fixture.webhook)?;
        let report = native::Native.map(&call(&event, 1));
        if !matches!(report.answer, Ok(Mapped::Mapping(_))) {
            continue;
        }
        if fixture.name == "pull_request_full_size" {
            full_size.push(event.clone());
        }
        all.push(event);
    }
    ensure!(
        full_size.len() == 1 && all.len() > 10,
        "{} fixtures map",
        all.len()
    );
    Ok([
        Sample {
            name: "all fixtures",
            events: all,
        },
        Sample {
            name: "full-size pull request",
            events: full_size,
        },
    ])
}

fn event(webhook: &tidegate_sdk::Webhook) -> anyhow::Result<Event> {
    let headers = webhook.headers.iter();
    Ok(Event {
        connection: "github/acme".parse()?,
        partner_id: webhook.event_id.clone(),
        received: Timestamp::from_micros(webhook.received_at.as_micros()),
        method: webhook.method.clone(),
        path: webhook.path.clone(),
        query: webhook.query.clone(),
        headers: headers
            .map(|header| (header.name.clone(), Bytes::copy_from_slice(&header.value)))
            .collect(),
        body: Bytes::copy_from_slice(&webhook.body),
        body_authenticated: BodyAuthenticated::Full,
    })
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
