//! The host is killed once while it accepts, maps and delivers at full speed. After its
//! restart everything that was acknowledged has to arrive; what was in flight may come
//! twice, since a receiver's answer is lost with the host.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tidegate_e2e::load::{self, Load, Pace};
use tidegate_e2e::requests::Requests;

use super::case::{Case, Setting};
use super::{Accepted, DRAINED_WITHIN, Plan, missing};
use crate::destination::receipts::Receipts;

/// What a kill came to, where nothing was lost.
pub(super) struct Story {
    case: Case,
    acknowledged: u64,
    delivered_before: u64,
    duplicates: u64,
    /// From the start of the second host to being ready.
    ready: Duration,
    /// From there to the first event that is new to the destination.
    first: Duration,
    /// From there to all of them having arrived.
    all: Duration,
}

pub(super) fn run(
    case: Case,
    setting: Setting,
    plan: &Plan,
    requests: &Requests,
) -> anyhow::Result<Story> {
    let mut accepted = Accepted::new(requests.len());
    let counted = accepted.count.clone();
    let receipts = setting.receipts.clone();
    let load = Load {
        address: setting.address,
        connections: plan.connections,
        requests,
        pace: Pace::Unfinished {
            most: plan.backlog,
            done: receipts.delivered(),
        },
        deadline: Instant::now() + Duration::from_secs(plan.seconds),
        stop: &AtomicBool::new(false),
    };
    let middle = Duration::from_millis(plan.seconds * 500);
    let killed = std::thread::scope(|scope| {
        let killer = scope.spawn(move || {
            std::thread::sleep(middle);
            setting.kill_9()
        });
        // Ends when all connections are broken.
        load::run(&load, &mut (0..requests.len()), &mut |outcome| {
            accepted.observe(outcome);
        })?;
        let joined = killer.join();
        joined.map_err(|_| anyhow::anyhow!("the killer panicked"))?
    })?;
    let acknowledged = counted.load(Ordering::Relaxed);
    ensure!(acknowledged > 0, "nothing was acknowledged before the kill");
    // What the destination had taken in before the kill has been written down by then.
    std::thread::sleep(Duration::from_millis(200));
    let delivered_before = receipts.count();
    let started = Instant::now();
    let host = killed.site.start()?;
    let ready = started.elapsed();
    let began = Instant::now();
    ensure!(
        receipts.wait_for(delivered_before + 1, DRAINED_WITHIN),
        "{}: nothing new arrived after the restart",
        case.name()
    );
    let first = began.elapsed();
    // Some were stored and not answered: they arrive too, beyond what is waited for.
    let arrived = wait_for_all(&killed.receipts, &accepted);
    let all = began.elapsed();
    killed.destination.finish()?;
    let missing = missing(&receipts, accepted.numbers());
    ensure!(
        missing == 0 && arrived,
        "{}: of {acknowledged} events that were answered 200, {missing} did not arrive: {receipts:?}",
        case.name()
    );
    let ended = host.stop().context("the host did not end")?;
    ensure!(ended.success(), "the host ended with {ended}");
    Ok(Story {
        case,
        acknowledged,
        delivered_before,
        duplicates: receipts.duplicates(),
        ready,
        first,
        all,
    })
}

/// Waits until every acknowledged event has arrived, or as many in a destination that
/// tells them apart only when it is finished, and then until nothing comes any more.
fn wait_for_all(receipts: &Receipts, accepted: &Accepted) -> bool {
    let acknowledged = accepted.count.load(Ordering::Relaxed);
    let there = receipts.wait_for(acknowledged, DRAINED_WITHIN);
    let mut before = None;
    while before != Some(receipts.count()) {
        before = Some(receipts.count());
        std::thread::sleep(Duration::from_millis(300));
    }
    there
}

impl Story {
    fn to_json(&self) -> Value {
        json!({
            "case": self.case.name(),
            "acknowledged": self.acknowledged,
            "delivered_before_kill": self.delivered_before,
            "missing": 0,
            "duplicates": self.duplicates,
            "ready_ms": self.ready.as_millis(),
            "first_ms": self.first.as_millis(),
            "all_ms": self.all.as_millis(),
        })
    }
}

pub(super) fn print(stories: &[Story], as_json: bool) {
    if as_json {
        let stories: Vec<Value> = stories.iter().map(Story::to_json).collect();
        println!("{}", json!({ "kills": stories }));
        return;
    }
    println!(
        "{:<18}{:>14}{:>12}{:>9}{:>7}{:>10}{:>10}{:>9}",
        "case", "acknowledged", "before kill", "missing", "twice", "ready ms", "first ms", "all ms"
    );
    for story in stories {
        println!(
            "{:<18}{:>14}{:>12}{:>9}{:>7}{:>10}{:>10}{:>9}",
            story.case.name(),
            story.acknowledged,
            story.delivered_before,
            0,
            story.duplicates,
            story.ready.as_millis(),
            story.first.as_millis(),
            story.all.as_millis(),
        );
    }
}
