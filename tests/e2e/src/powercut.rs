//! Cuts the power under a host again and again, and compares what it acknowledged with
//! what is there when it starts on what the disk still held.
//!
//! Each round starts a recorded host on what the last cut left, checks it, loads it with
//! events that each name an entity of their own, and kills it. The cut is at the kill, or,
//! in every second round, at a random moment of the load; what was answered 200 before
//! it, and what a reader was shown before it, must be there after. What was not is sent
//! again, as a partner would, and must be there once.
//!
//! The host that recovers is recorded as well: a later cut meets what recovery wrote.
//! The last check of a store is by a host on its own.
//!
//! Losses are counted, not fatal: an engine that says it cannot keep this promise (sled)
//! is to be measured too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tidegate_disk::Rules;

use crate::disk::{Clock, Kept, Moment, STORE, WatchedSite};
use crate::follow::{Follower, Seen};
use crate::host::{Engine, Host, Options, PATH, SECRET, Storage};
use crate::load::{self, Load, Outcome, Pace};
use crate::requests::Requests;
use crate::seed::Seed;

/// A new store is begun after so many rounds: each round copies the store.
const ROUNDS_A_STORE: u32 = 12;

/// Every so many rounds one is ten times as long, so that an engine begins new journals,
/// writes out what is in memory and compacts.
const LONG_EVERY: u32 = 8;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often the power is cut.
    pub rounds: u32,
    /// What decides the moments.
    pub seed: u64,
    /// Which engine.
    pub engine: Engine,
    /// What survives. Every second pair of rounds tears what was not synced.
    pub rules: Rules,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Power cuts.
    pub cuts: u32,
    /// Of these, at a moment before the kill.
    pub cuts_under_load: u32,
    /// Events that were answered 200 before a cut.
    pub acknowledged: usize,
    /// Of these, not in the change log afterwards.
    pub missing: usize,
    /// Cuts after which some was missing.
    pub cuts_with_losses: u32,
    /// Entities that changed twice.
    pub twice: usize,
    /// Changes that a reader was shown and that were gone or elsewhere afterwards.
    pub unshown: usize,
    /// Cuts after which the host did not start, and why the first of them did not.
    pub not_opened: u32,
    /// Its reason.
    pub first_reason: Option<String>,
    /// Longest start on what a cut left.
    pub slowest_start: Duration,
    /// Bytes that were recorded.
    pub recorded: u64,
}

impl Report {
    /// Whether nothing was lost.
    pub const fn is_clean(&self) -> bool {
        self.missing == 0 && self.twice == 0 && self.unshown == 0 && self.not_opened == 0
    }

    /// In one line, while it goes on.
    pub fn line(&self) -> String {
        format!(
            "{} events acknowledged, {} missing, {} twice, {} shown and gone, {} not opened, slowest start {:.1?}",
            self.acknowledged,
            self.missing,
            self.twice,
            self.unshown,
            self.not_opened,
            self.slowest_start
        )
    }

    /// A row below [`HEAD`].
    pub fn row(&self, engine: Engine) -> String {
        format!(
            "{:<9} {:>5} {:>13} {:>8} {:>17} {:>6} {:>15} {:>11} {:>13.1?}",
            engine.name(),
            self.cuts,
            self.acknowledged,
            self.missing,
            self.cuts_with_losses,
            self.twice,
            self.unshown,
            self.not_opened,
            self.slowest_start
        )
    }

    /// For machines.
    pub fn to_json(&self, engine: Engine) -> Value {
        json!({
            "engine": engine.name(),
            "cuts": self.cuts,
            "cuts_under_load": self.cuts_under_load,
            "acknowledged": self.acknowledged,
            "missing": self.missing,
            "cuts_with_losses": self.cuts_with_losses,
            "twice": self.twice,
            "unshown": self.unshown,
            "not_opened": self.not_opened,
            "first_reason": self.first_reason,
            "slowest_start_ms": u64::try_from(self.slowest_start.as_millis()).unwrap_or(u64::MAX),
            "recorded_bytes": self.recorded,
        })
    }
}

/// Head of a table of [`Report::row`]s.
pub const HEAD: &str = "engine     cuts  acknowledged  missing  cuts with losses  twice  shown and gone  not opened  slowest start";

/// Runs the plan in that folder, which must be empty.
pub fn run(
    plan: &Plan,
    folder: &Path,
    progress: &mut dyn FnMut(&Report),
) -> anyhow::Result<Report> {
    let mut chance = Seed::new(plan.seed);
    let mut report = Report::default();
    let mut stores = 0;
    while report.cuts < plan.rounds {
        let place = folder.join(stores.to_string());
        fs::create_dir(&place)?;
        let mut story = Story::begin(plan, &place, chance.clone(), report)?;
        let until = (story.report.cuts + ROUNDS_A_STORE).min(plan.rounds);
        while story.report.cuts < until && story.round()? {
            progress(&story.report);
        }
        story.finish()?;
        progress(&story.report);
        (chance, report) = (story.chance, story.report);
        fs::remove_dir_all(&place)?;
        stores += 1;
    }
    Ok(report)
}

struct Story {
    watched: WatchedSite,
    rules: Rules,
    chance: Seed,
    report: Report,
    /// Answered 200 before a cut, and not known to be lost.
    acknowledged: BTreeSet<usize>,
    /// What a reader was shown before a cut, by its place, and is not known to be gone.
    shown: BTreeMap<u64, String>,
    /// Sent, and answered after a cut or never.
    open: Vec<usize>,
    sent: usize,
    /// A cut whose consequences nobody has looked at yet.
    unchecked: bool,
}

/// What a load did, until its host was killed.
struct Loaded {
    numbers: Vec<usize>,
    outcomes: Vec<Outcome>,
    seen: Vec<Seen>,
    began: Instant,
    killed: Instant,
    clock: Clock,
}

impl Story {
    fn begin(plan: &Plan, folder: &Path, chance: Seed, report: Report) -> anyhow::Result<Self> {
        let options = Options {
            engine: plan.engine,
            mapping: true,
        };
        let storage = Storage {
            folder: STORE,
            reserve: "64MiB",
            linger: "1s",
        };
        Ok(Self {
            watched: WatchedSite::new(folder, options, storage)?,
            rules: plan.rules,
            chance,
            report,
            acknowledged: BTreeSet::new(),
            shown: BTreeMap::new(),
            open: Vec::new(),
            sent: 0,
            unchecked: false,
        })
    }

    /// One load and one cut. False where the store cannot go on.
    fn round(&mut self) -> anyhow::Result<bool> {
        self.watched.record()?;
        let Some(host) = self.start()? else {
            return Ok(false);
        };
        self.check(&host)?;
        let loaded = self.load_and_kill(host)?;
        self.report.recorded += self.watched.log_bytes()?;
        let at = self.moment(&loaded);
        self.count(&loaded, at)?;
        let torn = self.report.cuts % 4 >= 2;
        let rules = Rules {
            torn: torn.then(|| self.chance.below(u64::MAX)),
            ..self.rules
        };
        self.watched.cut_power(at, &rules)?;
        self.report.cuts += 1;
        self.unchecked = true;
        Ok(true)
    }

    /// Checks what the last cut left, by a host on its own.
    fn finish(&mut self) -> anyhow::Result<()> {
        self.watched.leave_alone();
        if !self.unchecked {
            return Ok(());
        }
        if let Some(host) = self.start()? {
            self.check(&host)?;
            ensure!(host.stop()?.success(), "the last host did not end cleanly");
        }
        Ok(())
    }

    fn start(&mut self) -> anyhow::Result<Option<Host>> {
        let started = Instant::now();
        let problem = match self.watched.site.start() {
            Ok(host) => {
                self.report.slowest_start = self.report.slowest_start.max(started.elapsed());
                return Ok(Some(host));
            }
            Err(problem) if self.unchecked => problem,
            Err(problem) => return Err(problem),
        };
        self.unchecked = false;
        self.report.not_opened += 1;
        self.report.missing += self.acknowledged.len();
        self.report.cuts_with_losses += 1;
        self.report
            .first_reason
            .get_or_insert_with(|| format!("{problem:#}"));
        Ok(None)
    }

    /// Compares what was promised with what is there.
    fn check(&mut self, host: &Host) -> anyhow::Result<()> {
        if !std::mem::take(&mut self.unchecked) {
            return Ok(());
        }
        let kept = Kept::read(host.operator())?;
        let missing = kept.missing(&self.acknowledged);
        self.report.missing += missing.len();
        self.report.cuts_with_losses += u32::from(!missing.is_empty());
        self.report.twice += kept.twice();
        self.acknowledged
            .retain(|event| missing.binary_search(event).is_err());
        // A partner sends nothing again that was acknowledged.
        let before = self.shown.len();
        self.shown.retain(|seq, entity| kept.holds(*seq, entity));
        self.report.unshown += before - self.shown.len();
        Ok(())
    }

    fn load_and_kill(&mut self, host: Host) -> anyhow::Result<Loaded> {
        let rate = 200 + self.chance.below(2_500);
        let connections = usize::try_from(8 + self.chance.below(41))?;
        let mut kill_after = Duration::from_millis(50 + self.chance.below(850));
        if self.report.cuts % LONG_EVERY == LONG_EVERY - 1 {
            kill_after *= 10;
        }
        let mut numbers = std::mem::take(&mut self.open);
        // More than can be sent before the kill.
        let fresh = usize::try_from(rate * (kill_after.as_secs() + 1))?;
        numbers.extend(self.sent..self.sent + fresh);
        let requests = Requests::pull_requests(numbers.iter().copied(), PATH, SECRET);
        let follower = Follower::start(host.operator().clone());
        let clock = Clock::now();
        let began = Instant::now();
        let load = Load {
            address: self.watched.site.ingress(),
            connections,
            requests: &requests,
            pace: Pace::PerSecond(u32::try_from(rate)?),
            deadline: began + Duration::from_mins(1),
            stop: &AtomicBool::new(false),
        };
        let mut outcomes = Vec::new();
        let killed = std::thread::scope(|scope| {
            let killer = scope.spawn(move || {
                std::thread::sleep(kill_after);
                host.kill_9().map(|()| Instant::now())
            });
            load::run(&load, &mut (0..numbers.len()), &mut |outcome| {
                outcomes.push(outcome);
            })?;
            killer
                .join()
                .map_err(|_| anyhow::anyhow!("the killer panicked"))?
        })?;
        Ok(Loaded {
            numbers,
            outcomes,
            seen: follower.finish(),
            began,
            killed,
            clock,
        })
    }

    /// When the power goes.
    fn moment(&mut self, loaded: &Loaded) -> Moment {
        if self.report.cuts.is_multiple_of(2) {
            return Moment::END;
        }
        self.report.cuts_under_load += 1;
        let micros = loaded.killed.duration_since(loaded.began).as_micros();
        let micros = u64::try_from(micros).unwrap_or(1).max(1);
        let after = Duration::from_micros(self.chance.below(micros));
        loaded.clock.moment(loaded.began + after)
    }

    /// Sorts what was sent into acknowledged before the cut and not.
    fn count(&mut self, loaded: &Loaded, at: Moment) -> anyhow::Result<()> {
        let before = |instant| loaded.clock.moment(instant) < at;
        for outcome in &loaded.outcomes {
            let number = *loaded
                .numbers
                .get(outcome.request)
                .context("no such request")?;
            self.sent = self.sent.max(number + 1);
            match outcome.status {
                Some(200) if before(outcome.answered) => {
                    self.report.acknowledged += 1;
                    self.acknowledged.insert(number);
                }
                Some(200) | None => self.open.push(number),
                Some(status) => anyhow::bail!("event {number} was answered {status}"),
            }
        }
        let shown = loaded.seen.iter().filter(|seen| before(seen.at));
        self.shown
            .extend(shown.map(|seen| (seen.seq, seen.entity_id.clone())));
        Ok(())
    }
}
