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
use std::time::Duration;

use tidegate_core::errors::chain;
use tidegate_core::event::{Accepted, Event};
use tidegate_core::ids::{ChangeSeq, ConnectionId, TaskId};
use tidegate_core::limits::{
    COMMIT_BATCH_BYTES_MAX, COMMIT_BATCH_MAX, COMMIT_QUEUE_MAX, COMPLETIONS_BYTES_MAX,
    COMPLETIONS_MAX,
};
use tidegate_core::ports::{Clock, Completion, Journal, NotStored, PollWishes};
use tidegate_core::sink::SinkAdvance;
use tidegate_store::{Answer, Claims, Committer, Reader, Sealer, Submission};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::gate::{Gate, GateState, LatchOnPanic};
use crate::metrics::Metrics;
use crate::system::SystemClock;
use crate::workers::Bell;

/// The least that a completion counts, so that the bound on their bytes is one on their
/// number, too.
const COMPLETION_BYTES_MIN: usize = COMPLETIONS_BYTES_MAX / COMPLETIONS_MAX;

/// How long a task rests whose attempt's end was refused.
const REFUSED_REST: Duration = Duration::from_mins(1);

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
    /// The task whose attempt it ends, where it does and nobody waits.
    task: Option<TaskId>,
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
            ..Waiter::default()
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
                task: None,
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
            Ok(Ok(_)) | Err(_) => Err(self.closed()),
            Ok(Err(error)) => Err(error),
        }
    }

    /// Hands in a completion once there is room for it beside the others.
    async fn complete(&self, completion: Completion) -> Result<(), NotStored> {
        self.metrics.attempted(&completion);
        let task = completion.task.id;
        let submission = Submission::Complete(Box::new(completion));
        // The largest one goes alone.
        let weight = submission
            .weight()
            .clamp(COMPLETION_BYTES_MIN, COMPLETIONS_BYTES_MAX);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let hold = self.completions.clone().acquire_many_owned(weight).await;
        let waiter = Waiter {
            answer: None,
            task: Some(task),
            _hold: Some(hold.map_err(|_| self.closed())?),
        };
        let ticket = Ticket { submission, waiter };
        self.queue.send(ticket).await.map_err(|_| self.closed())
    }

    async fn advance(&self, advance: SinkAdvance) -> Result<(), NotStored> {
        match self.submit(Submission::Advance(Box::new(advance))).await? {
            Answer::Refused(error) => {
                tracing::error!(error = chain(&error), "a sink's cursor could not be moved");
                Err(NotStored::Unreadable)
            }
            _ => Ok(()),
        }
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

    async fn advance(&self, advance: SinkAdvance) -> Result<(), NotStored> {
        Self::advance(self, advance).await
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

    async fn advance(&self, advance: SinkAdvance) -> Result<(), NotStored> {
        self.journal.advance(advance).await
    }
}

impl PollWishes for Holding<'_> {
    async fn wish_poll(&self, connection: ConnectionId) -> Result<(), NotStored> {
        self.journal.wish_poll(connection).await
    }
}

impl PollWishes for JournalHandle {
    async fn wish_poll(&self, connection: ConnectionId) -> Result<(), NotStored> {
        self.gate.admits()?;
        match self.submit(Submission::WishPoll(connection)).await? {
            Answer::Refused(_) => Err(NotStored::Unreadable),
            _ => Ok(()),
        }
    }
}

/// What the committer's thread tells after each commit.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// Readers of the change log.
    pub(crate) published: watch::Sender<ChangeSeq>,
    /// Workers, and the loops of sinks and alerts.
    pub(crate) bell: Arc<Bell>,
    /// Where the claim of a task is given back whose attempt's end was refused.
    pub(crate) claims: Claims,
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
        let _latch = LatchOnPanic::new(&self.gate, "the committer's thread panicked");
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
                    if let Some(task) = tell(waiter, Ok(result)) {
                        let until = SystemClock.now().plus(REFUSED_REST);
                        self.listeners.claims.release_later(task, until);
                    }
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

/// Tells whoever waits. The task whose attempt's end was refused is left over: at once it
/// would be again, and a broken record must not become a loop of attempts.
fn tell(waiter: Waiter, result: Result<Answer, NotStored>) -> Option<TaskId> {
    match (waiter.answer, result) {
        (Some(answer), result) => {
            // A client that hung up gets its answer as a duplicate later.
            let _ = answer.send(result);
            None
        }
        (None, Ok(Answer::Refused(error))) => {
            let rest_s = REFUSED_REST.as_secs();
            tracing::error!(task = ?waiter.task, rest_s, error = chain(&error), "the end of an attempt was not stored: its task is tried again after a rest");
            waiter.task
        }
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests;
