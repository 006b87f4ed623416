//! The committer's thread, and the handle through which everything is written.
//!
//! Group commit: the thread takes what is waiting, up to the bounds of one batch, hands
//! it to the store in one call (one atomic batch, one sync), and only then releases the
//! answers. No delay is added: while one batch syncs the next one gathers.
//!
//! What waits is bounded in number and in bytes, events and completions each for
//! themselves: a backlog of mapping never makes ingress refuse. Whoever hangs up leaves
//! its ticket behind, so the ticket holds the memory's permit, not the one who waits.
//!
//! A failed commit latches the gate. It is never retried: what a disk holds after a
//! failed sync is unknown until a restart has recovered it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tidegate_core::errors::chain;
use tidegate_core::event::{Accepted, Event};
use tidegate_core::ids::ChangeSeq;
use tidegate_core::limits::{
    COMMIT_BATCH_BYTES_MAX, COMMIT_BATCH_MAX, COMMIT_QUEUE_MAX, COMPLETIONS_BYTES_MAX,
    COMPLETIONS_MAX,
};
use tidegate_core::ports::{Clock, Completion, Journal, NotStored};
use tidegate_store::{Answer, Committer, Reader, Sealer, Submission};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::gate::{Gate, GateState};
use crate::metrics::Metrics;
use crate::system::SystemClock;
use crate::workers::Bell;

/// The least that a completion counts, so that the bound on their bytes is one on their
/// number, too.
const COMPLETION_BYTES_MIN: usize = COMPLETIONS_BYTES_MAX / COMPLETIONS_MAX;

/// A submission on its way to the committer.
#[derive(Debug)]
struct Ticket {
    submission: Submission,
    waiter: Waiter,
}

/// Who waits for an answer, and the memory that is held until it is there.
#[derive(Debug, Default)]
struct Waiter {
    answer: Option<oneshot::Sender<Result<Answer, NotStored>>>,
    _hold: Option<OwnedSemaphorePermit>,
}

/// The way into the store, for everyone.
#[derive(Clone, Debug)]
pub(crate) struct JournalHandle {
    queue: mpsc::Sender<Ticket>,
    /// One permit a byte of the completions in the queue.
    completions: Arc<Semaphore>,
    sealer: Sealer,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
}

impl JournalHandle {
    fn new(
        queue: mpsc::Sender<Ticket>,
        sealer: Sealer,
        gate: Arc<Gate>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            queue,
            completions: Arc::new(Semaphore::new(COMPLETIONS_BYTES_MAX)),
            sealer,
            gate,
            metrics,
        }
    }

    /// Hands in a submission and waits until it is durable.
    pub(crate) async fn submit(&self, submission: Submission) -> Result<Answer, NotStored> {
        let (answer, answered) = oneshot::channel();
        let waiter = Waiter {
            answer: Some(answer),
            _hold: None,
        };
        let ticket = Ticket { submission, waiter };
        self.queue.send(ticket).await.map_err(|_| self.closed())?;
        answered.await.unwrap_or_else(|_| Err(self.closed()))
    }

    /// The journal for one request, whose memory counts until its events are durable.
    pub(crate) const fn holding(&self, hold: OwnedSemaphorePermit) -> Holding<'_> {
        Holding {
            journal: self,
            hold: Mutex::new(Some(hold)),
        }
    }

    async fn accept_holding(
        &self,
        events: Vec<Event>,
        hold: Option<OwnedSemaphorePermit>,
    ) -> Result<Vec<Accepted>, NotStored> {
        self.gate.admits()?;
        let sealed = events.into_iter().map(|event| self.sealer.seal(event));
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket {
            submission: Submission::Accept(sealed.collect()),
            waiter: Waiter {
                answer: Some(answer),
                _hold: hold,
            },
        };
        // A partner retries; a queue that hides a slow disk would only make it time out.
        self.queue.try_send(ticket).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotStored::QueueFull,
            mpsc::error::TrySendError::Closed(_) => self.closed(),
        })?;
        match answered.await {
            Ok(Ok(Answer::Accepted(accepted))) => Ok(accepted),
            Ok(Ok(Answer::Refused(_))) => Err(NotStored::Unreadable),
            Ok(Ok(Answer::Done)) | Err(_) => Err(self.closed()),
            Ok(Err(error)) => Err(error),
        }
    }

    /// Hands in a completion once there is room for it beside the others.
    async fn complete(&self, completion: Completion) -> Result<(), NotStored> {
        self.metrics.attempted(&completion);
        let submission = Submission::Complete(Box::new(completion));
        // The largest one goes alone.
        let weight = submission
            .weight()
            .clamp(COMPLETION_BYTES_MIN, COMPLETIONS_BYTES_MAX);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let hold = self.completions.clone().acquire_many_owned(weight).await;
        let waiter = Waiter {
            answer: None,
            _hold: Some(hold.map_err(|_| self.closed())?),
        };
        let ticket = Ticket { submission, waiter };
        self.queue.send(ticket).await.map_err(|_| self.closed())
    }

    fn closed(&self) -> NotStored {
        self.gate.admits().err().unwrap_or(NotStored::ShuttingDown)
    }
}

impl Journal for JournalHandle {
    async fn accept(&self, events: Vec<Event>) -> Result<Vec<Accepted>, NotStored> {
        self.accept_holding(events, None).await
    }

    async fn complete(&self, completion: Completion) -> Result<(), NotStored> {
        Self::complete(self, completion).await
    }
}

/// The journal for one request. The first events handed in take its memory's permit
/// with them.
#[derive(Debug)]
pub(crate) struct Holding<'j> {
    journal: &'j JournalHandle,
    hold: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Journal for Holding<'_> {
    async fn accept(&self, events: Vec<Event>) -> Result<Vec<Accepted>, NotStored> {
        let hold = self
            .hold
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.journal.accept_holding(events, hold).await
    }

    async fn complete(&self, completion: Completion) -> Result<(), NotStored> {
        self.journal.complete(completion).await
    }
}

/// What the committer's thread tells after each commit.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// Readers of the change log.
    pub(crate) published: watch::Sender<ChangeSeq>,
    /// Workers.
    pub(crate) bell: Arc<Bell>,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
}

/// Room for all requests and all completions that may wait: neither takes the other's.
fn line() -> (mpsc::Sender<Ticket>, mpsc::Receiver<Ticket>) {
    mpsc::channel(COMMIT_QUEUE_MAX + COMPLETIONS_MAX)
}

/// Starts the thread. It ends once every handle is gone and the queue is empty.
pub(crate) fn start(
    committer: Committer,
    reader: Reader,
    gate: Arc<Gate>,
    listeners: Listeners,
) -> std::io::Result<(JournalHandle, JoinHandle<()>)> {
    let (queue, waiting) = line();
    let handle = JournalHandle::new(
        queue,
        committer.sealer(),
        gate.clone(),
        listeners.metrics.clone(),
    );
    let thread = std::thread::Builder::new()
        .name("committer".into())
        .spawn(move || {
            let writer = Writer {
                committer,
                reader,
                gate,
                listeners,
            };
            writer.run(waiting);
        })?;
    Ok((handle, thread))
}

struct Writer {
    committer: Committer,
    reader: Reader,
    gate: Arc<Gate>,
    listeners: Listeners,
}

impl Writer {
    fn run(mut self, mut waiting: mpsc::Receiver<Ticket>) {
        let _latch = LatchOnPanic(self.gate.clone());
        let mut held = None;
        while let Some(first) = held.take().or_else(|| waiting.blocking_recv()) {
            let (batch, waiters) = gather(first, &mut waiting, &mut held);
            if matches!(self.gate.state(), GateState::Latched { .. }) {
                refuse(waiters);
            } else {
                self.commit(batch, waiters);
            }
        }
    }

    fn commit(&mut self, batch: Vec<Submission>, waiters: Vec<Waiter>) {
        let count = batch.len();
        match self.committer.commit(batch, SystemClock.now()) {
            Ok(results) => {
                // Each from here: a task that delivers them saves wake-ups, and costs more
                // time than they do where the machine is busy.
                for (waiter, result) in waiters.into_iter().zip(results) {
                    tell(waiter, Ok(result));
                }
                self.publish(count);
            }
            Err(error) => {
                let reason = chain(&error);
                tracing::error!(%reason, "the store failed: nothing is acknowledged until the host has restarted");
                self.gate.latch(reason);
                refuse(waiters);
            }
        }
    }

    fn publish(&self, submissions: usize) {
        self.listeners.metrics.committed(submissions);
        let newest = self.reader.newest_change();
        self.listeners.published.send_if_modified(|published| {
            let moved = newest > *published;
            *published = newest;
            moved
        });
        self.listeners.bell.ring();
    }
}

/// Without its committer the host can keep nothing: a panic there ends it like a failed
/// write does, instead of leaving it up and refusing for ever.
struct LatchOnPanic(Arc<Gate>);

impl Drop for LatchOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.latch("the committer's thread panicked".into());
        }
    }
}

/// Takes what is waiting, within the bounds of one batch; what would break a bound is
/// held for the next.
fn gather(
    first: Ticket,
    waiting: &mut mpsc::Receiver<Ticket>,
    held: &mut Option<Ticket>,
) -> (Vec<Submission>, Vec<Waiter>) {
    let mut bytes = first.submission.weight();
    let mut batch = vec![first.submission];
    let mut waiters = vec![first.waiter];
    while batch.len() < COMMIT_BATCH_MAX {
        let Ok(ticket) = waiting.try_recv() else {
            break;
        };
        bytes += ticket.submission.weight();
        if bytes > COMMIT_BATCH_BYTES_MAX {
            *held = Some(ticket);
            break;
        }
        batch.push(ticket.submission);
        waiters.push(ticket.waiter);
    }
    (batch, waiters)
}

fn refuse(waiters: Vec<Waiter>) {
    for waiter in waiters {
        tell(waiter, Err(NotStored::Latched));
    }
}

fn tell(waiter: Waiter, result: Result<Answer, NotStored>) {
    match (waiter.answer, result) {
        // A client that hung up gets its answer as a duplicate later.
        (Some(answer), result) => drop(answer.send(result)),
        // Its claim stays, so that a broken record does not become a loop of attempts.
        (None, Ok(Answer::Refused(error))) => tracing::error!(
            error = chain(&error),
            "the end of an attempt was not stored: its task is tried again after a restart"
        ),
        (None, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use tidegate_core::change::{EntityRef, Operation, ProposedChange};
    use tidegate_core::event::BodyAuthenticated;
    use tidegate_core::ids::{EventId, TaskId};
    use tidegate_core::limits::MIB;
    use tidegate_core::policy::Policy;
    use tidegate_core::ports::End;
    use tidegate_core::task::{Attempt, Task, TaskKind, TaskState};
    use tidegate_core::time::Timestamp;
    use tidegate_store::Options;
    use tidegate_store::engine::memory::Memory;

    use super::*;

    /// A handle whose committer does not get to its work.
    fn unattended() -> (JournalHandle, mpsc::Receiver<Ticket>) {
        let options = Options {
            policy: Policy::default(),
            seed: [7; 16],
        };
        let opened = tidegate_store::open(Arc::new(Memory::new()), options, Timestamp::EPOCH);
        let sealer = opened.unwrap().committer.sealer();
        let (queue, waiting) = line();
        let (gate, metrics) = (Arc::new(Gate::new()), Arc::new(Metrics::new()));
        (JournalHandle::new(queue, sealer, gate, metrics), waiting)
    }

    fn event() -> Event {
        Event {
            connection: "tide/acme".parse().unwrap(),
            partner_id: "d-1".into(),
            received: Timestamp::EPOCH,
            method: "POST".into(),
            path: Vec::new(),
            query: String::new(),
            headers: Vec::new(),
            body: Bytes::from_static(b"{}"),
            body_authenticated: BodyAuthenticated::Full,
        }
    }

    /// The end of a mapping to one change with so many bytes of data.
    fn completion(data_bytes: usize) -> Completion {
        let kind = TaskKind::Map {
            event: EventId::new(1),
            connection: "tide/acme".parse().unwrap(),
        };
        let data = Bytes::from(vec![b'x'; data_bytes]);
        let change = ProposedChange {
            entity: EntityRef {
                kind: "ship".into(),
                id: "1".into(),
            },
            operation: Operation::Upsert,
            version: None,
            revision: ProposedChange::content_revision(Some(&data)),
            occurred: None,
            data: Some(data),
        };
        Completion {
            task: Task {
                id: TaskId::new(1),
                kind,
                state: TaskState::Scheduled {
                    attempt: 1,
                    due: Timestamp::EPOCH,
                    limited_since: None,
                },
            },
            attempt: Attempt {
                number: 1,
                started: Timestamp::EPOCH,
                took: Duration::ZERO,
                plugin: None,
                settings: None,
                failure: None,
                stderr: String::new(),
            },
            end: End::Mapped {
                changes: vec![change],
                fetch: Vec::new(),
                poll_now: false,
            },
        }
    }

    /// Hands in completions of that size until one has to wait, and counts them.
    fn completions_that_fit(journal: &JournalHandle, data_bytes: usize) -> usize {
        let mut fit = 0;
        while let Some(done) = journal.complete(completion(data_bytes)).now_or_never() {
            done.unwrap();
            fit += 1;
        }
        fit
    }

    #[test]
    fn a_backlog_of_completions_leaves_ingress_its_places() {
        let (journal, mut waiting) = unattended();
        assert_eq!(completions_that_fit(&journal, 1), COMPLETIONS_MAX);
        for place in 0..COMMIT_QUEUE_MAX {
            let answer = journal.accept(vec![event()]).now_or_never();
            assert_eq!(answer, None, "place {place} is not there");
        }
        let answer = journal.accept(vec![event()]).now_or_never();
        assert_eq!(answer, Some(Err(NotStored::QueueFull)));
        drop(waiting.try_recv());
        assert_eq!(completions_that_fit(&journal, 1), 1, "one was taken");
    }

    #[test]
    fn completions_that_wait_are_bounded_by_their_bytes() {
        let (journal, mut waiting) = unattended();
        // Each change counts twice: for the log and for the mirror.
        assert_eq!(completions_that_fit(&journal, 2 * MIB - 1024), 4);
        while waiting.try_recv().is_ok() {}
        let alone = COMPLETIONS_BYTES_MAX;
        assert_eq!(completions_that_fit(&journal, alone), 1, "larger than all");
    }

    #[test]
    fn a_request_counts_until_its_ticket_is_gone() {
        let (journal, mut waiting) = unattended();
        let memory = Arc::new(Semaphore::new(100));
        let hold = memory.clone().try_acquire_many_owned(60).unwrap();
        // The client hangs up while its ticket waits.
        let answer = journal.holding(hold).accept(vec![event()]).now_or_never();
        assert_eq!(answer, None);
        assert_eq!(memory.available_permits(), 40);
        let ticket = waiting.try_recv().unwrap();
        let (_, waiters) = gather(ticket, &mut waiting, &mut None);
        assert_eq!(memory.available_permits(), 40, "it is being committed");
        for waiter in waiters {
            tell(waiter, Err(NotStored::Latched));
        }
        assert_eq!(memory.available_permits(), 100);
    }

    #[test]
    fn a_committer_that_panics_latches_the_gate_and_one_that_ends_does_not() {
        let gate = Arc::new(Gate::new());
        drop(LatchOnPanic(gate.clone()));
        assert_eq!(gate.admits(), Ok(()));
        let held = gate.clone();
        let thread = std::thread::spawn(move || {
            let _latch = LatchOnPanic(held);
            panic!("as a test");
        });
        assert!(thread.join().is_err());
        assert_eq!(gate.admits(), Err(NotStored::Latched));
    }
}
