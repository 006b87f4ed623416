//! Runs a host's disk full, in the two ways that there are.
//!
//! **Seen coming**: free space falls below the reserve. The host must refuse with 503 and
//! a Retry-After, must go on reading, and must take events again by itself once there is
//! room.
//!
//! **Too late**: writes fail before the reserve was noticed. The host must latch: nothing
//! is acknowledged any more, it ends with exit code 3, and once there is room the next
//! start recovers without help.
//!
//! Either way every event that was answered 200 is on the disk as a power cut leaves it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tidegate_disk::Rules;
use tidegate_disk::control::{OFF, Word};

use crate::disk::{Kept, Moment, STORE, WatchedSite};
use crate::host::{PATH, PLAIN, SECRET, Storage};
use crate::http;
use crate::load::{self, Load, Pace};
use crate::requests::Requests;

/// Exit code of a host whose store has latched.
pub const LATCHED: i32 = 3;

/// Events a second. The host looks at its disk once a second: what this writes in that
/// time is less than the reserve.
const RATE: u32 = 800;

/// Room before the reserve is reached.
const ROOM: u64 = 24 * 1024 * 1024;

const RESERVE: u64 = 32 * 1024 * 1024;

/// Longest wait for the disk to be full, or free again.
const SOON: Duration = Duration::from_mins(1);

/// What was done, where all of it held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Events answered 200 before the reserve was reached.
    pub before: usize,
    /// Events refused with 503 while it was.
    pub refused: usize,
    /// From there being room again to the first 200.
    pub resumed_after: Duration,
    /// Events answered 200 after that.
    pub after: usize,
    /// Events answered 200 before a write failed.
    pub before_latch: usize,
    /// From the first refusal to the host's end.
    pub ended_after: Duration,
    /// What a host did that was started while the disk was still full.
    pub restarted_while_full: Option<i32>,
}

/// Runs in that folder, which must be empty.
pub fn run(folder: &Path) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let seen = folder.join("seen-coming");
    std::fs::create_dir(&seen)?;
    seen_coming(&seen, &mut report).context("a disk that fills up")?;
    let late = folder.join("too-late");
    std::fs::create_dir(&late)?;
    too_late(&late, &mut report).context("a disk that is full")?;
    Ok(report)
}

/// What became of events that were sent one after the other.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// By number.
    pub(crate) answered: HashSet<usize>,
    /// Answered 503.
    pub(crate) refused: usize,
    /// Numbers answered 200 although an earlier one was refused before they were sent.
    pub(crate) after_refusal: usize,
    /// When the first refusal came.
    pub(crate) first_refusal: Option<Instant>,
}

/// Sends these until so many were refused, or all are sent.
pub(crate) fn send(
    watched: &WatchedSite,
    numbers: std::ops::Range<usize>,
    refusals: usize,
) -> anyhow::Result<Sent> {
    let requests = Requests::pull_requests(numbers.clone(), PATH, SECRET);
    let stop = AtomicBool::new(false);
    let load = Load {
        address: watched.site.ingress(),
        connections: 16,
        requests: &requests,
        pace: Pace::PerSecond(RATE),
        deadline: Instant::now() + SOON,
        stop: &stop,
    };
    let mut sent = Sent::default();
    let mut strange = None;
    load::run(&load, &mut (0..requests.len()), &mut |outcome| {
        match outcome.status {
            Some(200) => {
                sent.answered.insert(numbers.start + outcome.request);
                let refused = sent.first_refusal;
                sent.after_refusal += usize::from(refused.is_some_and(|at| at < outcome.sent));
            }
            Some(503) => {
                sent.refused += 1;
                sent.first_refusal.get_or_insert(outcome.answered);
                if sent.refused >= refusals {
                    stop.store(true, std::sync::atomic::Ordering::Relaxed);
                }
            }
            Some(status) => strange = Some(status),
            // The host ended.
            None => {}
        }
    })?;
    ensure!(strange.is_none(), "an event was answered {strange:?}");
    Ok(sent)
}

fn seen_coming(folder: &Path, report: &mut Report) -> anyhow::Result<()> {
    let storage = Storage {
        folder: STORE,
        reserve: "32MiB",
        linger: "1s",
    };
    let mut watched = WatchedSite::new(folder, PLAIN, storage)?;
    let host = watched.site.start()?;
    let budget = watched.used()? + RESERVE + ROOM;
    watched.control.set(Word::Budget, budget)?;

    let most = usize::try_from(RATE)? * 55;
    let first = send(&watched, 0..most, 200)?;
    ensure!(first.refused >= 200, "the disk never ran full: {first:?}");
    ensure!(first.after_refusal == 0, "taken after a refusal");
    let refusal = one(&watched, most)?;
    ensure!(refusal.status == 503, "answered {}", refusal.status);
    let again = refusal.header("retry-after");
    ensure!(again.is_some(), "503 without Retry-After");
    let gate = host.operator().get("/v1/status")?.to_string();
    ensure!(gate.contains("disk-low"), "the status does not say why");
    (report.before, report.refused) = (first.answered.len(), first.refused);

    watched.control.set(Word::Budget, OFF)?;
    let freed = Instant::now();
    while one(&watched, most + 1)?.status != 200 {
        ensure!(freed.elapsed() < SOON, "nothing was taken after {SOON:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    report.resumed_after = freed.elapsed();
    let mut answered = first.answered;
    answered.insert(most + 1);
    let second = send(&watched, most + 2..most + 502, 1)?;
    ensure!(second.refused == 0, "refused although there is room");
    report.after = 1 + second.answered.len();
    answered.extend(second.answered);
    host.kill_9()?;
    recover(&mut watched, &answered)
}

fn too_late(folder: &Path, report: &mut Report) -> anyhow::Result<()> {
    let storage = Storage {
        folder: STORE,
        reserve: "1KiB",
        linger: "1s",
    };
    let mut watched = WatchedSite::new(folder, PLAIN, storage)?;
    let host = watched.site.start()?;
    let budget = watched.used()? + 6 * 1024 * 1024;
    watched.control.set(Word::Budget, budget)?;
    let most = usize::try_from(RATE)? * 55;
    let sent = send(&watched, 0..most, usize::MAX)?;
    let latched = sent
        .first_refusal
        .context("nothing was refused on a full disk")?;
    ensure!(sent.after_refusal == 0, "taken after a refusal");
    let status = host.ended(SOON)?;
    report.ended_after = latched.elapsed();
    report.before_latch = sent.answered.len();
    ensure!(status.code() == Some(LATCHED), "ended with {status}");

    watched.record_no_more()?;
    let still_full = watched.site.spawn()?;
    let ended = still_full.ended(Duration::from_secs(8));
    report.restarted_while_full = ended.ok().and_then(|status| status.code());
    watched.control.set(Word::Budget, OFF)?;
    restart_in_place(&watched, &sent.answered)?;
    recover(&mut watched, &sent.answered)
}

fn one(watched: &WatchedSite, number: usize) -> anyhow::Result<http::Answer> {
    let requests = Requests::pull_requests([number], PATH, SECRET);
    let request = requests.get(0).context("no request")?;
    http::exchange(watched.site.ingress(), request)
}

/// Starts a host as a service manager does, and checks what was answered.
pub(crate) fn restart_in_place(
    watched: &WatchedSite,
    answered: &HashSet<usize>,
) -> anyhow::Result<()> {
    let host = watched.site.start()?;
    Kept::read(host.operator())
        .and_then(|kept| kept.check(answered))
        .context("restarted in place")?;
    host.kill_9()
}

/// Cuts the power, starts a host on its own, and checks what was answered.
pub(crate) fn recover(watched: &mut WatchedSite, answered: &HashSet<usize>) -> anyhow::Result<()> {
    watched.cut_power(Moment::END, &Rules::STRICT)?;
    watched.leave_alone();
    let host = watched.site.start()?;
    Kept::read(host.operator())?.check(answered)?;
    let next = answered.iter().max().map_or(0, |last| last + 1_000_000);
    ensure!(one(watched, next)?.status == 200, "nothing is taken");
    ensure!(host.stop()?.success(), "the host did not end cleanly");
    Ok(())
}
