//! The committer: the only writer of the store.
//!
//! A commit takes a batch of submissions and makes one atomic, synced batch of them.
//! Each submission is first looked up and then staged, so that one that meets an
//! unreadable record leaves nothing behind and the others go on. What it decides, it
//! decides against the batch so far and the last commit: dedupe, whether a task is
//! still open, the version rule, every sequence.
//!
//! Readers, claims and the set of recent event keys change only after the sync. If the
//! write or sync fails, nothing of the batch is visible, and the committer takes no
//! more: whether the disk has it is not known until the store was reopened.

use bytes::Bytes;
use tidegate_core::event::Accepted;
use tidegate_core::ids::ConnectorName;
use tidegate_core::policy::Policy;
use tidegate_core::ports::{Completion, End, ReadError};
use tidegate_core::time::Timestamp;

use crate::engine::{Durability, EngineError};
use crate::keys::EventHasher;
use crate::queue::{Claims, QueueChanges};
use crate::recent::Recent;
use crate::rooms::{BucketRooms, Room};
use crate::sealed::{SealedEvent, Sealer};
use crate::view::{Published, View};

mod accept;
mod complete;
mod draft;

use draft::Draft;

/// What is handed to the committer.
#[derive(Clone, Debug)]
pub enum Submission {
    /// The events of one request: all or none.
    Accept(Vec<SealedEvent>),
    /// The end of an attempt. Of a task that is not open any more: nothing happens.
    Complete(Box<Completion>),
    /// What an operator has consented to, as JSON.
    PutGrant {
        /// For which connector.
        connector: ConnectorName,
        /// The grant.
        grant: Bytes,
    },
    /// Drops the buckets that the policy no longer keeps.
    Retain,
    /// Does what the engine needs done now and then; some need it while nothing comes.
    Touch,
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
                End::Skipped { .. } | End::Again { .. } | End::Park { .. } => 512,
            },
            Self::PutGrant { grant, .. } => grant.len(),
            Self::Retain | Self::Touch => 0,
        }
    }
}

/// The answer to a submission.
#[derive(Debug)]
pub enum Answer {
    /// The events are durable: one answer each, in their order.
    Accepted(Vec<Accepted>),
    /// It is durable.
    Done,
    /// A record that it needs cannot be read: nothing of it was stored. The other
    /// submissions of its batch were.
    Refused(ReadError),
}

/// Why a batch is not durable. Nothing of it is visible, and the committer takes no
/// more.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The engine could not write or sync it.
    #[error("a batch of {submissions} submissions was not made durable")]
    Write {
        /// How many it had.
        submissions: usize,
        /// What the engine says.
        #[source]
        source: EngineError,
    },
    /// An earlier batch has failed.
    #[error("the store takes nothing since an earlier batch failed")]
    Latched,
}

/// The only writer of an open store.
#[derive(Debug)]
pub struct Committer {
    published: Published,
    claims: Claims,
    policy: Policy,
    hasher: EventHasher,
    recent: Recent,
    latched: bool,
}

impl Committer {
    pub(crate) fn new(
        published: Published,
        claims: Claims,
        policy: Policy,
        hasher: EventHasher,
    ) -> Self {
        Self {
            published,
            claims,
            policy,
            hasher,
            recent: Recent::default(),
            latched: false,
        }
    }

    /// Makes events ready for this committer.
    pub fn sealer(&self) -> Sealer {
        Sealer::new(self.hasher.clone())
    }

    /// Makes a batch durable: one atomic write, one sync, then shows it to readers and
    /// claims. One answer a submission, in their order.
    pub fn commit(
        &mut self,
        submissions: Vec<Submission>,
        now: Timestamp,
    ) -> Result<Vec<Answer>, CommitError> {
        if self.latched {
            return Err(CommitError::Latched);
        }
        let count = submissions.len();
        self.try_commit(submissions, now).map_err(|source| {
            self.latched = true;
            CommitError::Write {
                submissions: count,
                source,
            }
        })
    }

    fn try_commit(
        &mut self,
        submissions: Vec<Submission>,
        now: Timestamp,
    ) -> Result<Vec<Answer>, EngineError> {
        let view = self.published.view();
        let mut draft = Draft::new(&view, now);
        self.roll_buckets(&mut draft, &submissions)?;
        let mut expired = Vec::new();
        let mut touch = false;
        let mut answers = Vec::with_capacity(submissions.len());
        for submission in submissions {
            answers.push(match submission {
                Submission::Accept(events) => {
                    match accept::stage(&mut draft, &self.recent, events) {
                        Ok(accepted) => Answer::Accepted(accepted),
                        Err(fault) => Answer::Refused(fault.reading("an event key")),
                    }
                }
                Submission::Complete(completion) => {
                    match complete::stage(&mut draft, *completion) {
                        Ok(()) => Answer::Done,
                        Err(fault) => Answer::Refused(fault.reading("an open task")),
                    }
                }
                Submission::PutGrant { connector, grant } => {
                    draft.put_grant(&connector, &grant);
                    Answer::Done
                }
                Submission::Retain => {
                    expired.extend(self.expire(&mut draft));
                    Answer::Done
                }
                Submission::Touch => {
                    touch = true;
                    Answer::Done
                }
            });
        }
        self.write(draft)?;
        self.drop_rooms(expired);
        if touch && let Err(error) = self.published.engine.tend() {
            // The batch is durable and shown; if the engine is broken the next one fails.
            tracing::warn!(?error, "the engine could not be tended to");
        }
        Ok(answers)
    }

    /// Opens the next buckets where it is time and something is about to come.
    fn roll_buckets(
        &self,
        draft: &mut Draft<'_>,
        submissions: &[Submission],
    ) -> Result<(), EngineError> {
        let retain = submissions
            .iter()
            .any(|one| matches!(one, Submission::Retain));
        let accept = submissions
            .iter()
            .any(|one| matches!(one, Submission::Accept(_)));
        let complete = submissions
            .iter()
            .any(|one| matches!(one, Submission::Complete(_)));
        let engine = &*self.published.engine;
        let now = draft.now;
        let next_number = draft.ledger.tally.last_number + 1;
        let next_change = draft.ledger.tally.last_change + 1;
        let Policy {
            dedupe, retention, ..
        } = &self.policy;
        let ledger = &mut draft.ledger;
        let mut rolled = false;
        if accept || retain {
            rolled |= ledger
                .events
                .roll_if_due(engine, next_number, retention.events, now)?;
            rolled |= ledger
                .keys
                .roll_if_due(engine, next_number, dedupe.window, now)?;
        }
        if complete || retain {
            rolled |= ledger
                .changes
                .roll_if_due(engine, next_change, retention.changes, now)?;
        }
        if rolled {
            draft.note_buckets_changed();
        }
        Ok(())
    }

    /// Takes what the policy no longer keeps out of the ledger.
    fn expire(&self, draft: &mut Draft<'_>) -> Vec<Room> {
        let Policy {
            dedupe, retention, ..
        } = &self.policy;
        let (ledger, now) = (&mut draft.ledger, draft.now);
        let events = ledger.events.take_expired(retention.events, now);
        let keys = ledger.keys.take_expired(dedupe.window, now);
        let changes = ledger.changes.take_expired(retention.changes, now);
        let mut rooms: Vec<Room> = events.into_iter().flat_map(BucketRooms::each).collect();
        rooms.extend(keys.into_iter().flat_map(BucketRooms::each));
        rooms.extend(changes.into_iter().flat_map(BucketRooms::each));
        if !rooms.is_empty() {
            draft.note_buckets_changed();
        }
        rooms
    }

    fn write(&mut self, draft: Draft<'_>) -> Result<(), EngineError> {
        self.published.add_clashes(draft.clashes);
        let Some(staged) = draft.finish() else {
            return Ok(());
        };
        let engine = &self.published.engine;
        engine.write(staged.batch, Durability::Synced)?;
        let view = View {
            snapshot: engine.snapshot()?,
            ledger: staged.ledger,
            rooms: staged.rooms,
        };
        self.claims.publish(view, staged.queue);
        self.recent.add(staged.keys);
        Ok(())
    }

    /// Drops keyspaces that the ledger no longer names. What fails here is found again
    /// when the store is next opened.
    fn drop_rooms(&self, rooms: Vec<Room>) {
        if rooms.is_empty() {
            return;
        }
        for room in rooms {
            if let Err(error) = self.published.engine.drop_keyspace(room.keyspace) {
                tracing::warn!(keyspace = %room.name, ?error, "an expired bucket was not dropped");
            }
        }
        // The view still holds the keyspaces open; one without them lets the space go.
        match self.published.engine.snapshot() {
            Ok(snapshot) => {
                let last = self.published.view();
                let view = View {
                    snapshot,
                    ledger: last.ledger.clone(),
                    rooms: last.rooms,
                };
                self.claims.publish(view, QueueChanges::default());
            }
            Err(error) => tracing::warn!(?error, "expired buckets keep their space for now"),
        }
    }
}
