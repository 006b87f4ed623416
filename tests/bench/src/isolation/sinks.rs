//! Two webhook sinks take the same changes. In every second window the other one's
//! receiver takes requests and never answers; how long the healthy sink's receiver waits
//! for a change, from the 200 of its event, should not show it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tidegate_e2e::histogram::Histogram;
use tidegate_e2e::host::{Host, PATH, SECRET, Site};
use tidegate_e2e::load::{self, Load, Pace};
use tidegate_e2e::requests::Requests;

use super::{Pair, Plan, Quantiles, pairs_to_json, print_pairs};
use crate::deliver::case::{EGRESS, tidegate, webhook};
use crate::destination::receipts::Receipts;
use crate::destination::receiver::Receiver;

/// Connections of the load.
const CONNECTIONS: usize = 16;

/// Waits short enough for a receiver that is healthy again to be noticed soon.
const RETRY: &str = "\n[policy.retry]\nschedule = [\"500ms\", \"1s\", \"1s\", \"1s\", \"1s\", \
                     \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \
                     \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\"]\n";

/// The other sink's: a window has requests that hang and requests that have timed out.
const TIMEOUT: &str = "timeout = \"2s\"";

/// Longest wait between windows until both sinks have everything.
const CAUGHT_UP_WITHIN: Duration = Duration::from_mins(1);

struct Scene {
    site: Site,
    host: Host,
    requests: Requests,
    sent: usize,
    steady: (Receiver, Arc<Receipts>),
    other: (Receiver, Arc<Receipts>),
}

pub(super) fn measure(plan: &Plan, folder: &Path) -> anyhow::Result<Vec<Pair>> {
    let each = usize::try_from(plan.seconds * u64::from(plan.rate))?;
    let count = each * (2 * plan.pairs + 1);
    let start = || -> anyhow::Result<_> {
        let receipts = Arc::new(Receipts::new(count));
        Ok((Receiver::start(receipts.clone())?, receipts))
    };
    let (steady, other) = (start()?, start()?);
    let sinks = [
        webhook("steady", &steady.0.url(), ""),
        webhook("other", &other.0.url(), TIMEOUT),
    ];
    let (site, host) = tidegate(folder, &format!("{EGRESS}{RETRY}{}", sinks.concat()))?;
    let mut scene = Scene {
        site,
        host,
        requests: Requests::pull_requests(0..count, PATH, SECRET),
        sent: 0,
        steady,
        other,
    };
    eprintln!("warming up");
    scene.window(plan, each)?;
    let mut pairs = Vec::with_capacity(plan.pairs);
    for number in 0..plan.pairs {
        eprintln!("pair {} of {}", number + 1, plan.pairs);
        // Whatever slowly gets better or worse is in each half as often first as last.
        let hangs_first = number % 2 == 1;
        let mut window = |hangs| {
            scene.other.0.hang(hangs);
            scene.window(plan, each)
        };
        let first = window(hangs_first)?;
        let last = window(!hangs_first)?;
        let (with, without) = if hangs_first {
            (first, last)
        } else {
            (last, first)
        };
        pairs.push(Pair { without, with });
    }
    let ended = scene.host.stop().context("the host did not end")?;
    ensure!(ended.success(), "the host ended with {ended}");
    Ok(pairs)
}

impl Scene {
    /// One window, and afterwards whatever it takes for both sinks to have everything.
    fn window(&mut self, plan: &Plan, each: usize) -> anyhow::Result<Quantiles> {
        let mut answers = Vec::with_capacity(each);
        let mut refused = 0;
        let load = Load {
            address: self.site.ingress(),
            connections: CONNECTIONS,
            requests: &self.requests,
            pace: Pace::PerSecond(plan.rate),
            deadline: Instant::now() + Duration::from_secs(10 * plan.seconds),
            stop: &AtomicBool::new(false),
        };
        let mut numbers = self.sent..self.sent + each;
        load::run(&load, &mut numbers, &mut |outcome| {
            if outcome.status == Some(200) {
                answers.push((outcome.request, outcome.answered));
            } else {
                refused += 1;
            }
        })?;
        self.sent += answers.len();
        ensure!(refused == 0, "{refused} events were not answered 200");
        self.caught_up(&self.steady.1, "the healthy sink")?;
        self.other.0.hang(false);
        self.caught_up(&self.other.1, "the other sink")?;
        let mut latencies = Histogram::default();
        for (number, answered) in answers {
            let received = self.steady.1.of(number);
            let received = received.with_context(|| format!("event {number} is missing"))?;
            latencies.record(received.saturating_duration_since(answered));
        }
        Ok(Quantiles::of(&latencies))
    }

    fn caught_up(&self, receipts: &Receipts, which: &str) -> anyhow::Result<()> {
        let sent = u64::try_from(self.sent)?;
        ensure!(
            receipts.wait_for(sent, CAUGHT_UP_WITHIN),
            "{which} has {receipts:?} of {sent}; the host's log ends: {}",
            self.site.log_end()
        );
        Ok(())
    }
}

pub(super) fn to_json(pairs: &[Pair]) -> Value {
    pairs_to_json(pairs)
}

pub(super) fn print(pairs: &[Pair]) {
    println!("From an event's 200 to the healthy sink's receiver, while the other one is");
    print_pairs(pairs, "healthy", "hanging");
}
