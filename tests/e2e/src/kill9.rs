//! Kills the host with SIGKILL at random moments under load, again and again, and
//! checks what it promised.
//!
//! Every event names an entity of its own. What was answered 200 must be in the change
//! log exactly once; what was in flight when the host died is sent again, as a partner
//! would, and must be there once too. A reader that follows all the while must miss and
//! repeat nothing. With sinks attached, each of them must have it too, after every restart
//! and in the end exactly, and what was left to deliver must move again at once.
//!
//! Some rounds kill a host while it starts. Never two in a row: a task found running at
//! three starts in a row is parked on purpose.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::follow::{Follower, Seen, check_gapless_and_once, seq_and_entity};
use crate::host::{Host, Operator, Options, PATH, SECRET, Site};
use crate::load::{self, Load, Pace};
use crate::requests::{Requests, entity_id};
use crate::seed::Seed;
use crate::sinks::Sinks;

/// Longest wait, once the killing is over, until all is mapped and read.
const SETTLED_WITHIN: Duration = Duration::from_mins(2);

/// Longest time from a start, recovery included, to the first delivery of what a killed
/// host had left.
const MOVES_WITHIN: Duration = Duration::from_secs(2);

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often the host is killed under load.
    pub rounds: u32,
    /// What decides the moments.
    pub seed: u64,
    /// The host's options.
    pub options: Options,
    /// Whether a receiver, a file and a database are given the changes.
    pub sinks: bool,
}

/// What was done, where all of it held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Kills under load.
    pub kills: u32,
    /// Kills of a host that was starting.
    pub kills_while_starting: u32,
    /// Events sent, each counted once.
    pub events: usize,
    /// Of these, in flight at a kill and sent again.
    pub sent_again: usize,
    /// Streams that the reader opened.
    pub streams: usize,
    /// Longest start, recovery included.
    pub slowest_start: Duration,
    /// Restarts at which something was left to deliver.
    pub left_to_deliver: u32,
    /// Longest time from such a start to its first delivery.
    pub slowest_delivery: Duration,
    /// Changes that the receiver was given again.
    pub delivered_again: usize,
}

/// Runs the plan in that folder, which must be empty.
pub fn run(
    plan: &Plan,
    folder: &Path,
    progress: &mut dyn FnMut(&Report),
) -> anyhow::Result<Report> {
    let site = Site::new(folder, plan.options)?;
    let sinks = plan.sinks.then(|| Sinks::attach(&site, folder));
    let follower = Follower::start(site.operator());
    let mut story = Story {
        site,
        sinks: sinks.transpose()?,
        chance: Seed::new(plan.seed),
        report: Report::default(),
        answered: HashSet::new(),
        unanswered: Vec::new(),
    };
    for round in 0..plan.rounds {
        if round % 4 == 3 {
            story.kill_while_starting()?;
        }
        story
            .kill_under_load()
            .with_context(|| format!("round {round} of seed {}", plan.seed))?;
        progress(&story.report);
    }
    story.settle(follower)
}

struct Story {
    site: Site,
    sinks: Option<Sinks>,
    chance: Seed,
    report: Report,
    answered: HashSet<usize>,
    unanswered: Vec<usize>,
}

impl Story {
    fn kill_while_starting(&mut self) -> anyhow::Result<()> {
        let host = self.site.spawn()?;
        std::thread::sleep(Duration::from_millis(self.chance.below(80)));
        host.kill_9()?;
        self.report.kills_while_starting += 1;
        Ok(())
    }

    fn kill_under_load(&mut self) -> anyhow::Result<()> {
        let rate = 200 + self.chance.below(6_000);
        let connections = 16 + self.chance.below(49);
        let kill_after = Duration::from_millis(30 + self.chance.below(900));
        // More than can be sent before the kill.
        let fresh = usize::try_from(rate * (kill_after.as_secs() + 1))?;
        let mut numbers = std::mem::take(&mut self.unanswered);
        numbers.extend(self.report.events..self.report.events + fresh);
        let requests = Requests::pull_requests(numbers.iter().copied(), PATH, SECRET);

        let host = self.start()?;
        let load = Load {
            address: self.site.ingress(),
            connections: usize::try_from(connections)?,
            requests: &requests,
            pace: Pace::PerSecond(u32::try_from(rate)?),
            deadline: Instant::now() + Duration::from_mins(1),
            stop: &AtomicBool::new(false),
        };
        let mut outcomes = Vec::new();
        std::thread::scope(|scope| {
            let killer = scope.spawn(move || {
                std::thread::sleep(kill_after);
                host.kill_9()
            });
            load::run(&load, &mut (0..numbers.len()), &mut |outcome| {
                outcomes.push(outcome);
            })?;
            killer
                .join()
                .map_err(|_| anyhow::anyhow!("the killer panicked"))?
        })?;
        self.report.kills += 1;
        self.count(&numbers, &outcomes)
    }

    /// Starts a host, and waits until its sinks have what was acknowledged before.
    fn start(&mut self) -> anyhow::Result<Host> {
        let sinks = self.sinks.as_ref();
        let behind = sinks.map_or(0, |sinks| sinks.behind(&self.answered));
        let started = Instant::now();
        let host = self.site.start()?;
        self.report.slowest_start = self.report.slowest_start.max(started.elapsed());
        let Some(sinks) = &mut self.sinks else {
            return Ok(host);
        };
        if behind > 0 {
            let first = sinks.first(SETTLED_WITHIN)?.duration_since(started);
            ensure!(
                first <= MOVES_WITHIN,
                "the first delivery came after {first:?}"
            );
            self.report.left_to_deliver += 1;
            self.report.slowest_delivery = self.report.slowest_delivery.max(first);
        }
        sinks.wait_for(&self.answered, SETTLED_WITHIN)?;
        Ok(host)
    }

    /// Sorts what was sent into answered and not.
    fn count(&mut self, numbers: &[usize], outcomes: &[load::Outcome]) -> anyhow::Result<()> {
        let mut open: HashSet<usize> = HashSet::new();
        for outcome in outcomes {
            let number = *numbers.get(outcome.request).context("no such request")?;
            match outcome.status {
                Some(200) => {
                    self.answered.insert(number);
                }
                None => {
                    open.insert(number);
                }
                Some(status) => anyhow::bail!("event {number} was answered {status}"),
            }
        }
        self.report.sent_again += open.len();
        // What an earlier round left open and this one had no time for stays open.
        let sent_before = numbers
            .iter()
            .filter(|number| **number < self.report.events);
        open.extend(sent_before.filter(|number| !self.answered.contains(number)));
        let sent_last = self.answered.iter().chain(&open).max();
        self.report.events = sent_last.map_or(0, |last| last + 1);
        self.unanswered = open.into_iter().collect();
        self.unanswered.sort_unstable();
        Ok(())
    }

    /// Sends what is still open, waits until all is mapped, and compares.
    fn settle(mut self, follower: Follower) -> anyhow::Result<Report> {
        let host = self.start()?;
        let numbers = std::mem::take(&mut self.unanswered);
        let requests = Requests::pull_requests(numbers.iter().copied(), PATH, SECRET);
        let load = Load {
            address: self.site.ingress(),
            connections: 8,
            requests: &requests,
            pace: Pace::AsAnswered,
            deadline: Instant::now() + SETTLED_WITHIN,
            stop: &AtomicBool::new(false),
        };
        let mut outcomes = Vec::new();
        load::run(&load, &mut (0..numbers.len()), &mut |outcome| {
            outcomes.push(outcome);
        })?;
        self.count(&numbers, &outcomes)?;
        ensure!(
            self.unanswered.is_empty(),
            "the last host left {:?} open",
            self.unanswered
        );
        host.operator().wait_until_mapped(SETTLED_WITHIN)?;
        follower.wait_for(self.answered.len(), SETTLED_WITHIN)?;
        self.report.streams = follower.streams();
        let logged = compare(&self.answered, &follower.finish(), host.operator())?;
        if let Some(sinks) = &mut self.sinks {
            sinks.wait_for(&self.answered, SETTLED_WITHIN)?;
            self.report.delivered_again = sinks.compare(host.operator(), &logged)?;
        }
        ensure!(host.stop()?.success(), "the last host did not end cleanly");
        Ok(self.report)
    }
}

/// Answered, stored, logged and followed must be the same set, each once. Gives the log.
fn compare(
    answered: &HashSet<usize>,
    seen: &[Seen],
    operator: &Operator,
) -> anyhow::Result<Vec<Value>> {
    let followed = check_gapless_and_once(seen)?;
    for number in answered {
        let id = entity_id(*number);
        ensure!(
            followed.contains_key(id.as_str()),
            "event {number} was answered 200 and its change is missing"
        );
    }
    ensure!(
        followed.len() == answered.len(),
        "{} changes for {} events",
        followed.len(),
        answered.len()
    );
    let logged = operator.changes()?;
    ensure!(
        logged.len() == seen.len(),
        "{} logged, {} followed",
        logged.len(),
        seen.len()
    );
    for (change, seen) in logged.iter().zip(seen) {
        let (seq, entity) = seq_and_entity(change)?;
        ensure!(
            seq == seen.seq && entity == seen.entity_id,
            "place {seq} is of {entity} in the log, and was of {} for the reader",
            seen.entity_id
        );
    }
    let events = operator.events()?;
    ensure!(
        events.len() == answered.len(),
        "{} events for {}",
        events.len(),
        answered.len()
    );
    for event in &events {
        ensure!(event["state"] == "mapped", "not mapped: {event}");
    }
    Ok(logged)
}
