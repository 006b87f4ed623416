//! Replaces the plugin file again and again under load, and checks that no event is
//! lost and none is mapped twice.
//!
//! The replacements differ in a custom section only: another digest, the same mapping.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

use crate::follow::{Follower, check_gapless_and_once};
use crate::host::{Operator, PATH, PLAIN, SECRET, Site};
use crate::load::{self, Load, Pace};
use crate::requests::{Requests, entity_id};

/// Longest time from the new file to its version being active: compiling included.
const ACTIVE_WITHIN: Duration = Duration::from_mins(1);

/// Longest wait, once the replacing is over, until all is mapped and read.
const SETTLED_WITHIN: Duration = Duration::from_mins(1);

/// Events per second while plugins are replaced.
const RATE: u32 = 1_000;

/// Longest whole run, in seconds: the requests made beforehand last so long.
const RUN_SECONDS_MAX: usize = 240;

/// What was done, where all of it held.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// How often the plugin was replaced.
    pub replacements: u32,
    /// Events sent meanwhile.
    pub events: usize,
    /// Versions that mapped at least one event.
    pub versions: usize,
    /// Longest time from the new file to its version being active.
    pub slowest: Duration,
}

/// Runs in that folder, which must be empty.
pub fn run(replacements: u32, folder: &Path) -> anyhow::Result<Report> {
    let site = Site::new(folder, PLAIN)?;
    let plugin = std::fs::read(site.plugin())?;
    let host = site.start()?;
    let follower = Follower::start(host.operator().clone());
    let count = RUN_SECONDS_MAX * RATE as usize;
    let requests = Requests::pull_requests(0..count, PATH, SECRET);
    let stop = AtomicBool::new(false);
    let load = Load {
        address: site.ingress(),
        connections: 32,
        requests: &requests,
        pace: Pace::PerSecond(RATE),
        deadline: Instant::now() + Duration::from_secs(RUN_SECONDS_MAX as u64),
        stop: &stop,
    };
    let mut answered = HashSet::new();
    let mut refused = Vec::new();
    let slowest = std::thread::scope(|scope| {
        let replacer = scope.spawn(|| {
            let slowest = replace_again_and_again(replacements, &plugin, &site);
            stop.store(true, Ordering::Relaxed);
            slowest
        });
        load::run(&load, &mut (0..count), &mut |outcome| {
            if outcome.status == Some(200) {
                answered.insert(outcome.request);
            } else {
                refused.push(outcome);
            }
        })?;
        replacer
            .join()
            .map_err(|_| anyhow::anyhow!("the replacer panicked"))?
    })?;
    ensure!(refused.is_empty(), "not answered 200: {refused:?}");
    host.operator().wait_until_mapped(SETTLED_WITHIN)?;
    follower.wait_for(answered.len(), SETTLED_WITHIN)?;
    let seen = follower.finish();
    let logged = check_gapless_and_once(&seen)?;
    let lost = answered
        .iter()
        .find(|one| !logged.contains_key(entity_id(**one).as_str()));
    ensure!(lost.is_none(), "event {lost:?} is lost");
    ensure!(logged.len() == answered.len(), "changes that nobody sent");
    let versions = versions_that_mapped(host.operator())?;
    ensure!(host.stop()?.success(), "the host did not end cleanly");
    Ok(Report {
        replacements,
        events: answered.len(),
        versions,
        slowest,
    })
}

fn replace_again_and_again(
    replacements: u32,
    plugin: &[u8],
    site: &Site,
) -> anyhow::Result<Duration> {
    let mut slowest = Duration::ZERO;
    for number in 0..replacements {
        let bytes = variant(plugin, number);
        let digest = digest(&bytes);
        let replaced = Instant::now();
        site.replace_plugin(&bytes)?;
        wait_active(&site.operator(), &digest)
            .with_context(|| format!("replacement {number}; the log ends: {}", site.log_end()))?;
        slowest = slowest.max(replaced.elapsed());
        // Some events for each version.
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(slowest)
}

/// Waits until the GitHub connector serves with that plugin.
pub fn wait_active(operator: &Operator, digest: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let connector = github_connector(operator)?;
        if connector["plugin"]["digest"] == digest {
            return Ok(());
        }
        ensure!(start.elapsed() < ACTIVE_WITHIN, "not active: {connector}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the API says of the GitHub connector.
pub fn github_connector(operator: &Operator) -> anyhow::Result<serde_json::Value> {
    let connectors = operator.get("/v1/connectors")?;
    let items = connectors["items"].as_array();
    let github = items.and_then(|items| items.iter().find(|item| item["name"] == "github"));
    github
        .cloned()
        .with_context(|| format!("no github in {connectors}"))
}

/// How many versions mapped some event.
fn versions_that_mapped(operator: &Operator) -> anyhow::Result<usize> {
    let mut versions = HashSet::new();
    for event in operator.events()? {
        let plugin = event["plugin"].as_str();
        versions.insert(
            plugin
                .with_context(|| format!("no plugin in {event}"))?
                .to_owned(),
        );
    }
    Ok(versions.len())
}

/// How the host names those bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The same component with a custom section that tells it apart.
pub fn variant(component: &[u8], number: u32) -> Vec<u8> {
    const NAME: &[u8] = b"variant";
    let mut section = vec![u8::try_from(NAME.len()).unwrap_or(0)];
    section.extend_from_slice(NAME);
    section.extend_from_slice(&number.to_le_bytes());
    let mut bytes = component.to_vec();
    // Section 0, and a length below 128, which is its own LEB128.
    bytes.extend_from_slice(&[0, u8::try_from(section.len()).unwrap_or(0)]);
    bytes.extend_from_slice(&section);
    bytes
}
