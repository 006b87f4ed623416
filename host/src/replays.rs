//! The replay desk: replays by filter, begun by a person and carried on by one loop.
//!
//! How far a run has come is stored in the commit that puts its tasks back, so a restart
//! goes on where it was and takes nothing twice. One run after the other, in small
//! batches, so that what comes in meanwhile is not kept waiting.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::audit::{AuditAction, AuditEntry};
use tidegate_core::errors::chain;
use tidegate_core::ids::ReplayId;
use tidegate_core::limits::REPLAY_LOOKS_MAX;
use tidegate_core::ports::{Clock as _, NotStored, ReadError};
use tidegate_core::replay::{ReplayFilter, ReplayMode, ReplayRun};
use tidegate_store::{Answer, Reader, ReplayBatch, ReplayPage, Submission};
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

use crate::carried::carried_through;
use crate::committer::JournalHandle;
use crate::gate::{Gate, GateState};
use crate::system::SystemClock;

/// Most items of one commit.
const BATCH_MAX: usize = 500;

/// The pause after something could not be read or stored.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs are looked for so often although none was heard to begin: a commit may be durable
/// although its answer was lost.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The replay desk.
#[derive(Debug)]
pub(crate) struct ReplayDesk {
    reader: Reader,
    journal: JournalHandle,
    gate: Arc<Gate>,
    begun: Notify,
    look_every: Duration,
    /// One begins after another, so that no two get the same id.
    beginning: Mutex<()>,
}

/// Why a run has not come further.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("could not read what it takes next")]
    Read(#[from] ReadError),
    #[error("could not store how far it has come")]
    NotStored(#[from] NotStored),
}

impl ReplayDesk {
    /// A desk; [`Self::run`] carries out what is begun.
    pub(crate) fn new(reader: Reader, journal: JournalHandle, gate: Arc<Gate>) -> Self {
        Self {
            reader,
            journal,
            gate,
            begun: Notify::new(),
            look_every: LOOK_EVERY,
            beginning: Mutex::default(),
        }
    }

    /// Begins a replay of all that the filter takes now; resolves once it is durable. It
    /// begins also where whoever asked hangs up meanwhile.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        filter: ReplayFilter,
        mode: ReplayMode,
        who: &str,
        reason: Option<String>,
    ) -> Result<ReplayRun, NotStored> {
        let (desk, who) = (self.clone(), who.to_owned());
        carried_through(async move { desk.put(filter, mode, who, reason).await }).await
    }

    async fn put(
        &self,
        filter: ReplayFilter,
        mode: ReplayMode,
        who: String,
        reason: Option<String>,
    ) -> Result<ReplayRun, NotStored> {
        let _one = self.beginning.lock().await;
        let prepared = self.read(move |reader| prepare(reader, filter, mode)).await;
        let mut run = prepared.map_err(|error| {
            tracing::error!(error = chain(&error), "a replay could not be begun");
            NotStored::Unreadable
        })?;
        run.who.clone_from(&who);
        run.reason.clone_from(&reason);
        let audit = AuditEntry {
            at: run.began,
            who,
            action: AuditAction::Replay,
            subject: format!("{}: {}", run.id, words(&run.filter)),
            reason,
            count: run.total,
        };
        let batch = ReplayBatch {
            items: Vec::new(),
            mode,
            run: Some(run.clone()),
            audit: Some(audit),
        };
        self.journal
            .submit(Submission::Replay(Box::new(batch)))
            .await?;
        self.begun.notify_one();
        Ok(run)
    }

    /// Carries runs out until the host ends.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            match self.read(Reader::replays).await {
                Ok(runs) => {
                    // The oldest first.
                    let open = runs.into_iter().rev().filter(|run| run.ended.is_none());
                    for run in open {
                        self.carry_out(run).await;
                    }
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "replays could not be read");
                    sleep(PAUSE).await;
                    continue;
                }
            }
            // Heard or not, what is stored counts.
            let _ = timeout(self.look_every, self.begun.notified()).await;
        }
    }

    async fn carry_out(&self, mut run: ReplayRun) {
        while run.ended.is_none() {
            let mut states = self.gate.watch();
            // The gate lives as long as the host.
            let _ = states.wait_for(|state| *state == GateState::Open).await;
            match self.next(run.clone()).await {
                Ok(moved) => run = moved,
                Err(error) => {
                    tracing::warn!(replay = %run.id, error = chain(&error), "a replay rests, and goes on");
                    sleep(PAUSE).await;
                }
            }
        }
        tracing::info!(replay = %run.id, queued = run.queued, passed = run.passed, "a replay has looked at everything");
    }

    /// Puts the next batch back into the queue, with how far the run has come by it.
    async fn next(&self, run: ReplayRun) -> Result<ReplayRun, RunError> {
        let asked = run.clone();
        let page = self.read(move |reader| reader.replay_page(&asked, BATCH_MAX));
        let ReplayPage { items, before } = page.await?;
        let mode = run.mode;
        let mut run = ReplayRun {
            before,
            ended: (before == 0).then(|| SystemClock.now()),
            ..run
        };
        let batch = ReplayBatch {
            items,
            mode,
            run: Some(run.clone()),
            audit: None,
        };
        let submission = Submission::Replay(Box::new(batch));
        if let Answer::Replayed { queued, passed } = self.journal.submit(submission).await? {
            run.queued += queued;
            run.passed += passed;
        }
        Ok(run)
    }

    /// Reads the store on a thread that may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let reader = self.reader.clone();
        let reading = tokio::task::spawn_blocking(move || read(&reader)).await;
        reading.unwrap_or_else(|error| {
            Err(ReadError {
                what: "what a replay takes".into(),
                source: Box::new(error),
            })
        })
    }
}

/// A run as it begins, but for who begins it and why.
fn prepare(
    reader: &Reader,
    filter: ReplayFilter,
    mode: ReplayMode,
) -> Result<ReplayRun, ReadError> {
    let newest = reader.newest_number();
    let total = reader.count_matching(&filter, REPLAY_LOOKS_MAX)?.count;
    let last = reader.replays()?.first().map_or(0, |run| run.id.get());
    Ok(ReplayRun {
        id: ReplayId::new(last + 1),
        filter,
        mode,
        who: String::new(),
        reason: None,
        began: SystemClock.now(),
        newest,
        before: newest.saturating_add(1),
        total,
        queued: 0,
        passed: 0,
        ended: None,
    })
}

/// A filter in words, for the audit log.
fn words(filter: &ReplayFilter) -> String {
    let parts = [
        filter
            .connector
            .as_ref()
            .map(|name| format!("connector {name}")),
        filter
            .connection
            .as_ref()
            .map(|id| format!("connection {id}")),
        filter.state.as_ref().map(|state| format!("state {state}")),
        filter.cause.map(|cause| format!("cause {}", cause.code())),
        filter.from.map(|from| format!("from {from}")),
        filter.until.map(|until| format!("until {until}")),
        filter.plugin.map(|plugin| format!("plugin {plugin}")),
    ];
    let said: Vec<String> = parts.into_iter().flatten().collect();
    if said.is_empty() {
        "everything".to_owned()
    } else {
        said.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tidegate_core::task::DeadCause;

    use super::*;
    use crate::bed::{Bed, until};

    fn desk(bed: &Bed) -> Arc<ReplayDesk> {
        let (reader, journal) = (bed.reader.clone(), bed.journal.clone());
        Arc::new(ReplayDesk::new(reader, journal, bed.gate.clone()))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_replay_takes_what_its_filter_does_and_goes_on_after_a_restart() {
        let bed = Bed::new();
        for _ in 0..3 {
            bed.letter("no such field").await;
        }
        bed.change("1").await;
        let filter = ReplayFilter {
            cause: Some(DeadCause::PartnerData),
            ..ReplayFilter::default()
        };
        let mode = ReplayMode::default();
        let first = desk(&bed);
        let begun = first.begin(filter, mode, "ann", Some("fixed".into()));
        let begun = begun.await.unwrap();
        assert_eq!((begun.id.get(), begun.total), (1, 3));
        let second = first.begin(ReplayFilter::default(), mode, "ann", None);
        assert_eq!(second.await.unwrap().id.get(), 2);
        assert_eq!(bed.reader.counts().dead, 3, "nobody carries it out yet");

        // As after a restart: another desk finds both.
        let running = tokio::spawn(desk(&bed).run());
        let ended = |run: &ReplayRun| run.ended.is_some();
        let all_ended = || bed.reader.replays().unwrap().iter().all(ended);
        until("they have ended", all_ended).await;
        let runs = bed.reader.replays().unwrap();
        let counts: Vec<_> = runs.iter().map(|run| (run.queued, run.passed)).collect();
        let reasons: Vec<_> = runs.iter().map(|run| run.reason.as_deref()).collect();
        assert_eq!(reasons, [None, Some("fixed")]);
        // The second one takes the event that was mapped, and what is open is not its.
        assert_eq!(counts, [(1, 0), (3, 0)]);
        let counts = bed.reader.counts();
        assert_eq!((counts.dead, counts.scheduled), (0, 4));
        let audit = bed.reader.audit(None, 9).unwrap().entries;
        let first = &audit[1].1;
        let said = "rpl_0000000000000001: cause partner-data";
        assert_eq!((first.subject.as_str(), first.count), (said, 3));
        running.abort();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_replay_runs_although_whoever_began_it_hung_up() {
        let bed = Bed::new();
        bed.letter("no such field").await;
        let desk = desk(&bed);
        let running = tokio::spawn(desk.clone().run());
        let begun = desk.begin(ReplayFilter::default(), ReplayMode::default(), "ann", None);
        // Dropped after its first step; seldom it has ended by then.
        drop(begun.now_or_never());
        until("it has put the letter back", || {
            bed.reader.counts().scheduled == 1
        })
        .await;
        running.abort();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_replay_runs_although_nobody_was_heard_to_begin_it() {
        let bed = Bed::new();
        bed.letter("no such field").await;
        let mut listener =
            ReplayDesk::new(bed.reader.clone(), bed.journal.clone(), bed.gate.clone());
        listener.look_every = Duration::from_millis(20);
        let running = tokio::spawn(Arc::new(listener).run());
        // Its first look is over.
        sleep(Duration::from_millis(10)).await;
        let other = desk(&bed);
        let begun = other.begin(ReplayFilter::default(), ReplayMode::default(), "ann", None);
        assert_eq!(begun.await.unwrap().total, 1);
        until("it has put the letter back", || {
            bed.reader.counts().scheduled == 1
        })
        .await;
        running.abort();
    }
}
