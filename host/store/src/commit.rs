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

use tidegate_core::audit::AuditEntry;
use tidegate_core::policy::Policy;
use tidegate_core::time::Timestamp;

use crate::engine::{Durability, EngineError};
use crate::keys::EventHasher;
use crate::queue::{Claims, QueueChanges};
use crate::recent::Recent;
use crate::rooms::Room;
use crate::sealed::Sealer;
use crate::view::{Fault, Published, View};

mod accept;
mod advance;
mod alert;
mod aside;
mod audit;
mod complete;
mod deliver;
mod deliveries;
mod discard;
mod draft;
mod letters;
mod map;
mod overlay;
mod pause;
mod replay;
mod retain;
mod schedule;
mod secrets;
mod sinks;
mod submission;

use draft::Draft;
pub use submission::{Answer, ReplayBatch, Submission};

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

/// What a batch leaves to be done after its sync.
#[derive(Debug, Default)]
struct After {
    expired: Vec<Room>,
    touch: bool,
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

    /// What tells this store from every other, for as long as it exists.
    pub fn store_id(&self) -> String {
        format!("{:016x}", self.hasher.store_id())
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
        let mut after = After::default();
        let answers = submissions
            .into_iter()
            .map(|submission| self.stage(&mut draft, &mut after, submission))
            .collect();
        for torn in self.claims.torn() {
            aside::stage(&mut draft, torn);
        }
        self.write(draft)?;
        self.drop_rooms(after.expired);
        if after.touch
            && let Err(error) = self.published.engine.tend()
        {
            // The batch is durable and shown; if the engine is broken the next one fails.
            tracing::warn!(?error, "the engine could not be tended to");
        }
        Ok(answers)
    }

    /// Stages a submission, or nothing of it.
    fn stage(&self, draft: &mut Draft<'_>, after: &mut After, submission: Submission) -> Answer {
        match submission {
            Submission::Accept(events) => match accept::stage(draft, &self.recent, events) {
                Ok(accepted) => Answer::Accepted(accepted),
                Err(fault) => Answer::Refused(fault.reading("an event key")),
            },
            Submission::Complete(completion) => {
                done(complete::stage(draft, *completion), "an open task")
            }
            Submission::Advance(advance) => {
                done(advance::stage(draft, *advance), "the standing of a sink")
            }
            Submission::Retain => {
                after.expired.extend(retain::stage(draft, &self.policy));
                done(pause::go_on(draft), "paused connections")
            }
            Submission::Touch => {
                after.touch = true;
                done(pause::go_on(draft), "paused connections")
            }
            Submission::WishPoll(connection) => done(
                draft.wish_poll(&connection),
                "the waiting poll of a connection",
            ),
            Submission::PutAlerts(update) => {
                alert::put(draft, *update);
                Answer::Done
            }
            by_hand => stage_by_hand(draft, by_hand),
        }
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
        self.published.count_dead(staged.dead);
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

/// Stages what a person, or the configuration, asks for.
fn stage_by_hand(draft: &mut Draft<'_>, submission: Submission) -> Answer {
    match submission {
        Submission::PutGrant {
            connector,
            grant,
            audit,
        } => {
            draft.put_grant(&connector, &grant);
            note(draft, audit, Answer::Done)
        }
        Submission::Note(entry) => note(draft, Some(*entry), Answer::Done),
        Submission::PutSecrets {
            put,
            removed,
            audit,
        } => {
            secrets::stage(draft, &put, &removed);
            note(draft, audit, Answer::Done)
        }
        Submission::PutSink { standing, audit } => {
            let put = done(sinks::put(draft, *standing), "deliveries of a sink");
            note(draft, audit, put)
        }
        Submission::DropSink(sink) => done(sinks::drop(draft, &sink), "deliveries of a sink"),
        Submission::PauseConnection {
            connection,
            reason,
            secrets,
            audit,
        } => {
            pause::pause(draft, connection, reason, secrets);
            note(draft, audit, Answer::Done)
        }
        Submission::ResumeConnection { connection, audit } => {
            match pause::resume(draft, &connection) {
                Ok(pause::Resumed { queued, more }) => {
                    note(draft, audit, Answer::Resumed { queued, more })
                }
                Err(fault) => Answer::Refused(fault.reading("tasks of a paused connection")),
            }
        }
        Submission::Replay(batch) => {
            let replay::Replayed { queued, passed } = replay::stage(draft, *batch);
            Answer::Replayed { queued, passed }
        }
        Submission::Discard { letters, audit } => {
            let letters = discard::stage(draft, letters, *audit);
            Answer::Discarded { letters }
        }
        Submission::Accept(_)
        | Submission::Complete(_)
        | Submission::Advance(_)
        | Submission::PutAlerts(_)
        | Submission::WishPoll(_)
        | Submission::Retain
        | Submission::Touch => Answer::Done,
    }
}

fn note(draft: &mut Draft<'_>, audit: Option<AuditEntry>, answer: Answer) -> Answer {
    if let Some(entry) = audit {
        draft.audit(&entry);
    }
    answer
}

fn done(staged: Result<(), Fault>, what: &'static str) -> Answer {
    match staged {
        Ok(()) => Answer::Done,
        Err(fault) => Answer::Refused(fault.reading(what)),
    }
}
