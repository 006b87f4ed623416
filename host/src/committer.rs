//! The committer's thread, and the handle through which everything is written.
//!
//! Group commit: the thread takes what is waiting, up to the bounds of one batch, hands
//! it to the store in one call (one atomic batch, one sync), and only then releases the
//! answers. No delay is added: while one batch syncs the next one gathers.
//!
//! A failed commit latches the gate. It is never retried: what a disk holds after a
//! failed sync is unknown until a restart has recovered it.

use std::sync::Arc;
use std::thread::JoinHandle;

use tidegate_core::errors::chain;
use tidegate_core::event::{Accepted, Event};
use tidegate_core::ids::ChangeSeq;
use tidegate_core::limits::{COMMIT_BATCH_BYTES_MAX, COMMIT_BATCH_MAX, COMMIT_QUEUE_MAX};
use tidegate_core::ports::{Clock, Completion, Journal, NotStored};
use tidegate_store::{Answer, Committer, Reader, Submission};
use tokio::sync::{mpsc, oneshot, watch};

use crate::gate::{Gate, GateState};
use crate::metrics::Metrics;
use crate::system::SystemClock;
use crate::workers::Bell;

/// A submission on its way to the committer, and who waits for its answer.
#[derive(Debug)]
struct Ticket {
    submission: Submission,
    answer: Option<oneshot::Sender<Result<Answer, NotStored>>>,
}

/// The way into the store, for everyone.
#[derive(Clone, Debug)]
pub(crate) struct JournalHandle {
    queue: mpsc::Sender<Ticket>,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
}

impl JournalHandle {
    /// Hands in a submission and waits until it is durable.
    pub(crate) async fn submit(&self, submission: Submission) -> Result<Answer, NotStored> {
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket {
            submission,
            answer: Some(answer),
        };
        self.queue.send(ticket).await.map_err(|_| self.closed())?;
        answered.await.unwrap_or_else(|_| Err(self.closed()))
    }

    fn closed(&self) -> NotStored {
        self.gate.admits().err().unwrap_or(NotStored::ShuttingDown)
    }
}

impl Journal for JournalHandle {
    async fn accept(&self, events: Vec<Event>) -> Result<Vec<Accepted>, NotStored> {
        self.gate.admits()?;
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket {
            submission: Submission::Accept(events),
            answer: Some(answer),
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

    async fn complete(&self, completion: Completion) -> Result<(), NotStored> {
        self.metrics.attempted(&completion);
        let ticket = Ticket {
            submission: Submission::Complete(Box::new(completion)),
            answer: None,
        };
        self.queue.send(ticket).await.map_err(|_| self.closed())
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

/// Starts the thread. It ends once every handle is gone and the queue is empty.
pub(crate) fn start(
    committer: Committer,
    reader: Reader,
    gate: Arc<Gate>,
    listeners: Listeners,
) -> std::io::Result<(JournalHandle, JoinHandle<()>)> {
    let (queue, waiting) = mpsc::channel(COMMIT_QUEUE_MAX);
    let handle = JournalHandle {
        queue,
        gate: gate.clone(),
        metrics: listeners.metrics.clone(),
    };
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
            let (batch, answers) = gather(first, &mut waiting, &mut held);
            if matches!(self.gate.state(), GateState::Latched { .. }) {
                refuse(answers);
            } else {
                self.commit(batch, answers);
            }
        }
    }

    fn commit(&mut self, batch: Vec<Submission>, answers: Answers) {
        let count = batch.len();
        match self.committer.commit(batch, SystemClock.now()) {
            Ok(results) => {
                for (waiter, result) in answers.into_iter().zip(results) {
                    deliver(waiter, result);
                }
                self.publish(count);
            }
            Err(error) => {
                let reason = chain(&error);
                tracing::error!(%reason, "the store failed: nothing is acknowledged until the host has restarted");
                self.gate.latch(reason);
                refuse(answers);
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

type Answers = Vec<Option<oneshot::Sender<Result<Answer, NotStored>>>>;

/// Takes what is waiting, within the bounds of one batch; what would break a bound is
/// held for the next.
fn gather(
    first: Ticket,
    waiting: &mut mpsc::Receiver<Ticket>,
    held: &mut Option<Ticket>,
) -> (Vec<Submission>, Answers) {
    let mut bytes = first.submission.weight();
    let mut batch = vec![first.submission];
    let mut answers = vec![first.answer];
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
        answers.push(ticket.answer);
    }
    (batch, answers)
}

fn deliver(waiter: Option<oneshot::Sender<Result<Answer, NotStored>>>, result: Answer) {
    match (waiter, result) {
        // A client that hung up gets its answer as a duplicate later.
        (Some(waiter), result) => drop(waiter.send(Ok(result))),
        // Its claim stays, so that a broken record does not become a loop of attempts.
        (None, Answer::Refused(error)) => tracing::error!(
            error = chain(&error),
            "the end of an attempt was not stored: its task is tried again after a restart"
        ),
        (None, _) => {}
    }
}

fn refuse(answers: Answers) {
    for waiter in answers.into_iter().flatten() {
        let _ = waiter.send(Err(NotStored::Latched));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
