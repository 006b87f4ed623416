//! One connection has very many tasks that fail and come due again and again; another one
//! gets a fresh event now and then. How long that one's change takes to be visible to a
//! waiting reader, from the event's 200, should hardly show it.
//!
//! The failing tasks are of a connector whose plugin cannot be loaded, which is a reason
//! to try again. They come due every second, so that there are always more of them due
//! than the host can try.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tidegate_e2e::follow::{self, Follower};
use tidegate_e2e::histogram::Histogram;
use tidegate_e2e::host::{Host, PATH, SECRET, Site, write_private};
use tidegate_e2e::http;
use tidegate_e2e::load::{self, Load, Pace};
use tidegate_e2e::requests::{Requests, number_of_entity};

use super::{Pair, Plan, Quantiles, pairs_to_json, print_pairs};
use crate::deliver::case::tidegate;

/// The connection whose tasks fail.
const BROKEN_PATH: &str = "/in/broken/a";

/// Fresh events per second of the other one.
const RATE: u32 = 50;

/// Longest wait for a change of a fresh event.
const SEEN_WITHIN: Duration = Duration::from_mins(2);

const CONFIG: &str = r#"
[policy.retry]
schedule = ["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]

[connectors.broken]
plugin = "broken.wasm"
scheme = { algorithm = "hmac-sha256", key = "utf8", signature = { in = "header", name = "X-Hub-Signature-256", encoding = "hex", prefix = "sha256=" }, content = "{body}" }
event_id = { in = "header", name = "X-GitHub-Delivery" }

[connections."broken/a"]
secrets.webhook = ["file:webhook-secret"]
"#;

/// What was measured: one pair, since the tasks stay once they are there.
pub(super) struct Measured {
    pair: Pair,
    tasks: usize,
    /// Attempts at them while fresh events came, per second.
    attempts_per_second: f64,
}

pub(super) fn measure(plan: &Plan, folder: &Path) -> anyhow::Result<Measured> {
    write_private(&folder.join("broken.wasm"), "not a component")?;
    let each = usize::try_from(2 * plan.seconds * u64::from(RATE))?;
    let fresh = Requests::pull_requests(0..3 * each, PATH, SECRET);
    let (site, host) = tidegate(folder, CONFIG)?;
    eprintln!("fresh events alone");
    window(&site, &host, &fresh, 0..each)?;
    let without = window(&site, &host, &fresh, each..2 * each)?;
    stop(host)?;
    eprintln!("{} events of the failing connection", plan.tasks);
    fill(&site, plan.tasks)?;
    eprintln!("fresh events beside them");
    let host = site.start()?;
    let (before, began) = (attempts(&host)?, Instant::now());
    let with = window(&site, &host, &fresh, 2 * each..3 * each)?;
    let (tried, took) = (attempts(&host)? - before, began.elapsed());
    let pending = host.operator().pending()?;
    let tasks = u64::try_from(plan.tasks)?;
    ensure!(
        pending >= tasks,
        "only {pending} of {tasks} failing tasks are left: they were not there all the time"
    );
    Ok(Measured {
        pair: Pair { without, with },
        tasks: plan.tasks,
        attempts_per_second: tried / took.as_secs_f64(),
    })
}

fn stop(host: Host) -> anyhow::Result<()> {
    let ended = host.stop().context("the host did not end")?;
    ensure!(ended.success(), "the host ended with {ended}");
    Ok(())
}

/// Stores the events whose mapping will fail, by a host that maps none: all of them are
/// due when the next one starts.
fn fill(site: &Site, tasks: usize) -> anyhow::Result<()> {
    let config = fs::read_to_string(site.config())?;
    fs::write(
        site.config(),
        format!("{config}\n[workers]\nmap_threads = 0\n"),
    )?;
    let host = site.start()?;
    let failing = Requests::pull_requests(0..tasks, BROKEN_PATH, SECRET);
    send(site, &failing, Pace::AsAnswered, &mut (0..tasks))?;
    stop(host)?;
    fs::write(site.config(), config)?;
    Ok(())
}

/// Sends; says when each was answered.
fn send(
    site: &Site,
    requests: &Requests,
    pace: Pace<'_>,
    numbers: &mut dyn Iterator<Item = usize>,
) -> anyhow::Result<Vec<(usize, Instant)>> {
    let load = Load {
        address: site.ingress(),
        connections: 64,
        requests,
        pace,
        deadline: Instant::now() + Duration::from_mins(5),
        stop: &AtomicBool::new(false),
    };
    let mut answers = Vec::new();
    let mut refused = Vec::new();
    load::run(&load, numbers, &mut |outcome| match outcome.status {
        Some(200) => answers.push((outcome.request, outcome.answered)),
        other => refused.push(other),
    })?;
    ensure!(
        refused.is_empty(),
        "{} events were not answered 200: {:?}, …",
        refused.len(),
        refused.first()
    );
    Ok(answers)
}

fn window(
    site: &Site,
    host: &Host,
    requests: &Requests,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<Quantiles> {
    let all = numbers.end;
    let follower = Follower::start(host.operator().clone());
    let mut numbers = numbers;
    let answers = send(site, requests, Pace::PerSecond(RATE), &mut numbers)?;
    follower.wait_for(all, SEEN_WITHIN)?;
    let seen = follower.finish();
    follow::check_gapless_and_once(&seen)?;
    let mut latencies = Histogram::default();
    for (number, answered) in answers {
        let change = seen
            .iter()
            .find(|change| number_of_entity(&change.entity_id) == Some(number));
        let change = change.with_context(|| format!("event {number} has no change"))?;
        latencies.record(change.at.saturating_duration_since(answered));
    }
    Ok(Quantiles::of(&latencies))
}

/// Attempts at tasks of the failing connection so far.
fn attempts(host: &Host) -> anyhow::Result<f64> {
    let operator = host.operator();
    let answer = http::get(operator.address, "/metrics", &operator.token()?)?;
    let text = answer.text();
    let mut sum = 0.0;
    for line in text.lines() {
        if line.starts_with("tidegate_map_attempts_total{") && line.contains("\"broken\"") {
            let value = line.rsplit(' ').next().unwrap_or_default();
            sum += value.parse::<f64>().context("no number in a metric")?;
        }
    }
    Ok(sum)
}

pub(super) fn to_json(measured: &Measured) -> Value {
    json!({
        "tasks": measured.tasks,
        "attempts_per_second": measured.attempts_per_second.round(),
        "fresh": pairs_to_json(&[measured.pair]),
    })
}

pub(super) fn print(measured: &Measured) {
    println!(
        "\nFrom a fresh event's 200 to a waiting reader, alone and beside {} tasks of another\n\
         connection that fail {:.0} times a second",
        measured.tasks, measured.attempts_per_second
    );
    print_pairs(&[measured.pair], "alone", "beside");
}
