//! Lets one sync of a host fail, again and again, each time a later one.
//!
//! Linux tells of a failed write-back once and then takes the pages for written, so a
//! sync that is tried again succeeds and proves nothing. The host must not try again: it
//! latches, acknowledges nothing any more, answers reads for its linger time and ends
//! with exit code 3. The next start recovers without help, whether the pages are still in
//! memory or, after a power cut, what the failed sync was for is gone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tidegate_disk::control::{OFF, Word};

use crate::disk::{STORE, WatchedSite};
use crate::full_disk::{LATCHED, recover, restart_in_place, send};
use crate::host::{Engine, Options, Storage};
use crate::seed::Seed;

/// Longest time from the failure to the host's end, linger time included.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// Events sent in a round, if the host took them all.
const EVENTS: usize = 16_000;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often a sync fails.
    pub rounds: u32,
    /// What decides which.
    pub seed: u64,
}

/// What was done, where all of it held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Syncs that failed.
    pub failures: u32,
    /// Events answered 200 before.
    pub acknowledged: usize,
    /// Events refused with 503 after.
    pub refused: usize,
    /// Longest time from the first refusal to the host's end.
    pub slowest_end: Duration,
}

/// Runs in that folder, which must be empty.
pub fn run(
    plan: &Plan,
    folder: &Path,
    progress: &mut dyn FnMut(&Report),
) -> anyhow::Result<Report> {
    let mut chance = Seed::new(plan.seed);
    let mut report = Report::default();
    for number in 0..plan.rounds {
        // From the first one on, and among them those of files that are flushed beside.
        let failing = 1 + chance.below(1 << (1 + number % 9));
        let place = folder.join(number.to_string());
        std::fs::create_dir(&place)?;
        round(&place, failing, &mut report)
            .with_context(|| format!("sync {failing} of round {number} failed"))?;
        std::fs::remove_dir_all(&place)?;
        progress(&report);
    }
    Ok(report)
}

fn round(folder: &Path, failing: u64, report: &mut Report) -> anyhow::Result<()> {
    let options = Options {
        engine: Engine::Fjall,
        mapping: true,
    };
    let storage = Storage {
        folder: STORE,
        reserve: "64MiB",
        linger: "1s",
    };
    let mut watched = WatchedSite::new(folder, options, storage)?;
    let host = watched.site.start()?;
    watched.control.set(Word::FailingSync, failing)?;
    let sent = send(&watched, 0..EVENTS, usize::MAX)?;
    let failed = watched.control.get(Word::FailingSync)? == OFF;
    ensure!(failed, "the host made fewer syncs");
    let latched = sent.first_refusal.context("the host went on")?;
    ensure!(
        sent.after_refusal == 0,
        "{} events were taken after the failure",
        sent.after_refusal
    );
    let status = host.ended(ENDED_WITHIN)?;
    report.slowest_end = report.slowest_end.max(latched.elapsed());
    ensure!(
        status.code() == Some(LATCHED),
        "the host ended with {status}"
    );
    report.failures += 1;
    report.acknowledged += sent.answered.len();
    report.refused += sent.refused;
    watched.record_no_more()?;
    restart_in_place(&watched, &sent.answered)?;
    // The same failure, and then the power goes too.
    recover(&mut watched, &sent.answered)
}
