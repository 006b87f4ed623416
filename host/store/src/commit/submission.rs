//! What is handed to the committer, and what it answers.

use bytes::Bytes;
use tidegate_core::alert::AlertUpdate;
use tidegate_core::audit::AuditEntry;
use tidegate_core::event::Accepted;
use tidegate_core::ids::{ConnectionId, ConnectorName, SinkName, TaskId};
use tidegate_core::limits::PAGE_BYTES_MAX;
use tidegate_core::ports::{Completion, End, ReadError};
use tidegate_core::replay::{ReplayItem, ReplayMode, ReplayRun};
use tidegate_core::sink::{SinkAdvance, SinkStanding};

use crate::received::{ReceivedSecret, SealedSecret};
use crate::sealed::SealedEvent;

/// What is handed to the committer: one atomic step each.
#[derive(Clone, Debug)]
pub enum Submission {
    /// The events of one request: all or none.
    Accept(Vec<SealedEvent>),
    /// The end of an attempt. Of a task that is not open any more: nothing happens.
    Complete(Box<Completion>),
    /// A sink's cursor moves, and what failed before it becomes tasks. Handed in again:
    /// nothing is added. Of a sink that has no standing: nothing happens.
    Advance(Box<SinkAdvance>),
    /// A new sink, or one that is paused or resumed. Of one that there is already its state
    /// alone is taken.
    PutSink {
        /// The standing.
        standing: Box<SinkStanding>,
        /// Who did it, where a person did.
        audit: Option<AuditEntry>,
    },
    /// A sink goes, with its open deliveries. Its dead letters stay.
    DropSink(SinkName),
    /// A connection's outgoing work rests.
    PauseConnection {
        /// Which.
        connection: ConnectionId,
        /// The words for a person.
        reason: String,
        /// Digest of the credentials that were refused; none for a person's pause.
        secrets: Option<[u8; 32]>,
        /// Who did it, where a person did.
        audit: Option<AuditEntry>,
    },
    /// A connection's waiting tasks go back into the queue, due now.
    ResumeConnection {
        /// Which.
        connection: ConnectionId,
        /// Who did it, where a person did.
        audit: Option<AuditEntry>,
    },
    /// Parked and past tasks run again.
    Replay(Box<ReplayBatch>),
    /// Dead letters are given up.
    Discard {
        /// Which.
        letters: Vec<TaskId>,
        /// Who did it and why; its count becomes the number of letters that went.
        audit: Box<AuditEntry>,
    },
    /// Alerts stand from now on, differently, or no longer; notices become tasks.
    PutAlerts(Box<AlertUpdate>),
    /// Secrets that a partner handed over stand from now on, differently, or no longer.
    PutSecrets {
        /// Those that stand.
        put: Vec<SealedSecret>,
        /// Those that go.
        removed: Vec<ReceivedSecret>,
        /// Who did it.
        audit: Option<AuditEntry>,
    },
    /// A connection is to be polled. While a poll of it waits already: nothing happens.
    WishPoll(ConnectionId),
    /// What somebody did that changes nothing here.
    Note(Box<AuditEntry>),
    /// What an operator has consented to, as JSON.
    PutGrant {
        /// For which connector.
        connector: ConnectorName,
        /// The grant.
        grant: Bytes,
        /// Who did it, where a person did: the first grant is what the first version asks for.
        audit: Option<AuditEntry>,
    },
    /// Drops the buckets that the policy no longer keeps.
    Retain,
    /// Does what the engine needs done now and then; some need it while nothing comes.
    Touch,
}

/// Tasks that run again: one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayBatch {
    /// What runs again.
    pub items: Vec<ReplayItem>,
    /// How.
    pub mode: ReplayMode,
    /// The run that they are of, as it stood before them but for its `before`: what
    /// this batch queues and passes is added to what is stored.
    pub run: Option<ReplayRun>,
    /// Who did it and why. Without a run, its count becomes the number that was queued.
    pub audit: Option<AuditEntry>,
}

impl ReplayBatch {
    /// Letters may take their events or changes along, and only the store knows how large
    /// those are: a page of them is bounded by `PAGE_BYTES_MAX`, and goes alone.
    fn taken_along(&self) -> usize {
        let is_letter = |item: &ReplayItem| matches!(item, ReplayItem::Letter(_));
        if self.items.iter().any(is_letter) {
            PAGE_BYTES_MAX
        } else {
            0
        }
    }
}

impl Submission {
    /// The bytes it holds, for the bound on a batch.
    pub fn weight(&self) -> usize {
        match self {
            Self::Accept(events) => events.iter().map(SealedEvent::weight).sum(),
            Self::Complete(completion) => match &completion.end {
                // Each change is written to the log and to the mirror.
                End::Mapped { changes, .. } => {
                    512 + changes
                        .iter()
                        .map(|change| 2 * change.weight())
                        .sum::<usize>()
                }
                End::Skipped { .. }
                | End::Delivered
                | End::Superseded
                | End::Again(_)
                | End::Park { .. }
                | End::Pause { .. } => 512,
            },
            Self::Advance(advance) => 512 + 1_024 * advance.failed.len(),
            Self::Replay(batch) => 512 + 1_024 * batch.items.len() + batch.taken_along(),
            Self::Discard { letters, .. } => 512 + 512 * letters.len(),
            Self::PutAlerts(update) => {
                1_024 * (update.put.len() + update.removed.len() + update.notices.len())
            }
            Self::PutGrant { grant, .. } => 1_024 + grant.len(),
            Self::PutSecrets { put, removed, .. } => {
                1_024 + 4_096 * put.len() + 256 * removed.len()
            }
            Self::PutSink { .. }
            | Self::DropSink(_)
            | Self::Note(_)
            | Self::WishPoll(_)
            | Self::PauseConnection { .. }
            | Self::ResumeConnection { .. } => 1_024,
            Self::Retain | Self::Touch => 0,
        }
    }
}

/// The answer to a submission.
#[derive(Debug)]
pub enum Answer {
    /// The events are durable: one answer each, in their order.
    Accepted(Vec<Accepted>),
    /// So many run again.
    Replayed {
        /// They are in the queue, or wait for their turn.
        queued: u64,
        /// Open again already, no longer kept, or not to be read.
        passed: u64,
    },
    /// So many dead letters are gone.
    Discarded {
        /// How many.
        letters: u64,
    },
    /// So many tasks of the connection are in the queue again.
    Resumed {
        /// How many.
        queued: u64,
        /// There are more than one commit takes: they follow with each further
        /// resumption, `Retain` and `Touch`.
        more: bool,
    },
    /// It is durable.
    Done,
    /// A record that it needs cannot be read: nothing of it was stored. The other
    /// submissions of its batch were.
    Refused(ReadError),
}
