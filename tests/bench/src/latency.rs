//! How long after its 200 a change is visible to a reader who waits for it.
//!
//! An open loop sends events at a steady rate; a follower holds one stream of changes.
//! Each change is matched with its event by the entity that both are about.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tidegate_e2e::follow::{self, Follower};
use tidegate_e2e::histogram::Histogram;
use tidegate_e2e::host::{PATH, PLAIN, SECRET, Site};
use tidegate_e2e::load::{self, Load, Pace};
use tidegate_e2e::requests::{Requests, number_of_entity};

/// What is not counted at the start.
const WARM_UP: Duration = Duration::from_secs(1);

/// How to measure.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Plan {
    /// Print one JSON object and nothing else on stdout.
    #[arg(long)]
    json: bool,
    /// Seconds, after one of warm-up.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Events per second.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Connections that carry them.
    #[arg(long, default_value_t = 16)]
    connections: usize,
}

/// Measures and prints.
pub(crate) fn run(plan: &Plan, folder: &Path) -> anyhow::Result<()> {
    let count = usize::try_from((plan.seconds + WARM_UP.as_secs()) * u64::from(plan.rate))?;
    let requests = Requests::pull_requests(0..count, PATH, SECRET);
    let place = tempfile::tempdir_in(folder)?;
    let site = Site::new(place.path(), PLAIN)?;
    let host = site.start()?;
    let follower = Follower::start(host.operator().clone());
    let started = Instant::now();
    let load = Load {
        address: site.ingress(),
        connections: plan.connections,
        requests: &requests,
        pace: Pace::PerSecond(plan.rate),
        deadline: started + Duration::from_secs(10 * plan.seconds),
        stop: &AtomicBool::new(false),
    };
    let mut answers: Vec<Option<Instant>> = vec![None; count];
    let mut answering = Histogram::default();
    let mut refused = 0;
    load::run(&load, &mut (0..count), &mut |outcome| {
        match (outcome.status, answers.get_mut(outcome.request)) {
            (Some(200), Some(answer)) => *answer = Some(outcome.answered),
            _ => refused += 1,
        }
        if outcome.sent >= started + WARM_UP {
            answering.record(outcome.answered - outcome.sent);
        }
    })?;
    let took = started.elapsed().as_secs_f64();
    ensure!(
        refused == 0,
        "{refused} of {count} events were not answered 200"
    );
    follower.wait_for(count, Duration::from_secs(30))?;
    let seen = follower.finish();
    follow::check_gapless_and_once(&seen)?;
    let mut visible = Histogram::default();
    for change in &seen {
        let answered = number_of_entity(&change.entity_id)
            .and_then(|number| answers.get(number).copied().flatten())
            .with_context(|| format!("entity {} was never sent", change.entity_id))?;
        if answered >= started + WARM_UP {
            visible.record(change.at.saturating_duration_since(answered));
        }
    }
    report(plan, took, &answering, &visible);
    Ok(())
}

fn report(plan: &Plan, took: f64, answering: &Histogram, visible: &Histogram) {
    let quantiles = |of: &Histogram| [0.5, 0.99, 0.999].map(|share| of.quantile_ms(share));
    let [answer_p50, answer_p99, answer_p999] = quantiles(answering);
    let [p50, p99, p999] = quantiles(visible);
    if plan.json {
        let report = json!({
            "events_per_second": plan.rate,
            "events": visible.count(),
            "answer": { "p50_ms": answer_p50, "p99_ms": answer_p99, "p999_ms": answer_p999 },
            "visible": { "p50_ms": p50, "p99_ms": p99, "p999_ms": p999 },
        });
        println!("{report}");
        return;
    }
    println!(
        "{} events measured at {}/s, {took:.1} s",
        visible.count(),
        plan.rate
    );
    println!(
        "{:<34}{:>9}{:>9}{:>9}",
        "milliseconds", "p50", "p99", "p99.9"
    );
    println!(
        "{:<34}{answer_p50:>9.2}{answer_p99:>9.2}{answer_p999:>9.2}",
        "request to 200"
    );
    println!(
        "{:<34}{p50:>9.2}{p99:>9.2}{p999:>9.2}",
        "200 to a waiting reader"
    );
}
