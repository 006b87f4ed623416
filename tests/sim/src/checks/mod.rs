//! The checkers: one for each invariant of the concepts, by its number, and for sinks,
//! alerts and liveness.
//!
//! They are told what every actor sees and does, and compare it with what must hold. What
//! is not here: 7, a plugin is a guest, which is the runtime's; 9, a gap is found, for
//! there is no reconciliation yet; fetches and polls, which nobody carries out yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tidegate_core::event::Accepted;
use tidegate_core::ids::{ConnectionId, EventId, TaskId};
use tidegate_core::ports::{Completion, End};
use tidegate_core::task::{TaskKind, TaskState};
use tidegate_core::time::Timestamp;
use tidegate_store::{Answer, Reader, Submission};

use crate::journal::HandedIn;
use crate::webhook::{Version, Webhook};

pub(crate) mod end;
mod log;
pub(crate) mod model;
mod sinks;
mod tasks;

use log::Log;
use sinks::Sinks;
use tasks::Tasks;

/// Invariant 1.
pub const VERIFIED: &str = "1 verified before trusted";
/// Invariant 2.
pub const DURABLE: &str = "2 acknowledged means durable";
/// Invariant 3.
pub const NOTHING_LOST: &str = "3 nothing is lost silently";
/// Invariant 4.
pub const ONCE: &str = "4 once in effect";
/// Invariant 5.
pub const VERSIONS: &str = "5 order by version";
/// Invariant 6.
pub const CONVENTION: &str = "6 one convention";
/// Invariant 8.
pub const RESPECT: &str = "8 partners are respected";
/// Invariant 10.
pub const READERS: &str = "10 a reader never misses a change";
/// Sinks: order within an entity, and a cursor that passes nothing undelivered.
pub const SINKS: &str = "sinks in order";
/// Sinks: what they hold once everything has calmed down.
pub const AGREE: &str = "sinks agree with the mirror";
/// Alerts that open, and that are over.
pub const ALERTS: &str = "alerts say how things stand";
/// Everything comes to rest once faults stop.
pub const LIVENESS: &str = "liveness";
/// The same seed twice is the same story.
pub const REPEATABLE: &str = "the same seed, the same story";
/// Nothing panics, and no commit fails on a disk that works.
pub const SOUND: &str = "nothing breaks by itself";

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which checker.
    pub checker: &'static str,
    /// What it saw.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.checker, self.what)
    }
}

/// An event as it was first seen in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored {
    connection: ConnectionId,
    key: String,
    body: bytes::Bytes,
}

/// What every checker knows.
#[derive(Debug, Default)]
pub struct Checks {
    violation: Option<Violation>,
    acknowledged: BTreeMap<(ConnectionId, String), EventId>,
    stored: BTreeMap<EventId, Stored>,
    /// Which version mapped each event last, durably.
    mapped: BTreeMap<EventId, Version>,
    /// Events whose last completion may be durable or not.
    doubtful: Vec<EventId>,
    log: Log,
    tasks: Tasks,
    sinks: Sinks,
    audited: u64,
    /// Completions that were handed in: by task, and when it had been due.
    ended: BTreeSet<(TaskId, Timestamp)>,
}

/// What goes on unless a check fails.
type Checked = Result<(), Violation>;

fn violation(checker: &'static str, what: impl Into<String>) -> Violation {
    Violation {
        checker,
        what: what.into(),
    }
}

impl Checks {
    /// An invariant does not hold; the first one counts.
    pub fn fail(&mut self, checker: &'static str, what: impl Into<String>) {
        self.note(Err(violation(checker, what)));
    }

    /// What does not hold, where something does not.
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    fn note(&mut self, checked: Checked) {
        if let Err(violation) = checked {
            self.violation.get_or_insert(violation);
        }
    }

    /// A person's act was answered as done.
    pub const fn audited(&mut self) {
        self.audited += 1;
    }

    /// A partner has its 2xx.
    pub fn acknowledged(&mut self, webhook: &Webhook, accepted: &[Accepted], forged: bool) {
        let [one] = accepted else {
            return self.fail(DURABLE, format!("one event is answered with {accepted:?}"));
        };
        if forged {
            let said = format!("{} was acknowledged and never signed", webhook.key);
            return self.fail(VERIFIED, said);
        }
        let key = (webhook.connection.clone(), webhook.key.clone());
        let first = *self.acknowledged.entry(key).or_insert(one.id);
        if first != one.id {
            let said = format!("{} is both {first} and {}", webhook.key, one.id);
            self.fail(ONCE, said);
        }
    }

    /// A request was answered with 401.
    pub fn refused(&mut self, webhook: &Webhook, forged: bool) {
        if !forged {
            self.fail(VERIFIED, format!("{} was signed and refused", webhook.key));
        }
    }

    /// A batch is durable, and shown.
    pub fn committed(&mut self, batch: &[HandedIn], answers: &[Answer], reader: &Reader) {
        for (handed_in, answer) in batch.iter().zip(answers) {
            let checked = self.took(handed_in, answer, reader);
            self.note(checked);
        }
        let checked = self.log.look(reader);
        self.note(checked);
        for handed_in in batch {
            if let Submission::Advance(advance) = &handed_in.submission {
                let checked = self.sinks.advanced(advance, &self.log, reader);
                self.note(checked);
            }
        }
    }

    fn took(&mut self, handed_in: &HandedIn, answer: &Answer, reader: &Reader) -> Checked {
        match (&handed_in.submission, answer) {
            (_, Answer::Refused(error)) => {
                return Err(violation(
                    DURABLE,
                    format!("nothing is broken, and yet {error}"),
                ));
            }
            (Submission::Accept(_), Answer::Accepted(accepted)) => {
                for (event, accepted) in handed_in.events.iter().zip(accepted) {
                    self.took_event(event, *accepted, reader)?;
                }
            }
            // Handed in again, it changes nothing.
            (Submission::Complete(completion), _) if self.is_first(completion) => {
                self.tasks.committed(completion);
                self.map_ended(completion, reader);
            }
            (Submission::Advance(advance), _) => {
                self.tasks.advance_is_right(advance)?;
                self.tasks.advanced(advance, reader);
            }
            (Submission::ResumeConnection { connection, .. }, _) => {
                self.tasks.resumed(connection);
            }
            _ => {}
        }
        Ok(())
    }

    fn took_event(
        &mut self,
        event: &tidegate_core::event::Event,
        accepted: Accepted,
        reader: &Reader,
    ) -> Checked {
        let shown = reader.event(accepted.id).ok().flatten();
        let shown = shown.map(|shown| Stored {
            connection: shown.connection,
            key: shown.partner_id,
            body: shown.body,
        });
        let Some(shown) = shown else {
            let said = format!("{} was accepted and is not there", accepted.id);
            return Err(violation(DURABLE, said));
        };
        if (&shown.connection, &shown.key) != (&event.connection, &event.partner_id) {
            let said = format!("{} was given to another event", accepted.id);
            return Err(violation(ONCE, said));
        }
        if !accepted.duplicate && shown.body != event.body {
            let said = format!("{} is not stored as it was received", accepted.id);
            return Err(violation(DURABLE, said));
        }
        let known = self
            .stored
            .entry(accepted.id)
            .or_insert_with(|| shown.clone());
        if *known != shown {
            let said = format!("{} was altered after it was stored", accepted.id);
            return Err(violation(DURABLE, said));
        }
        let mut same = self.stored.iter().filter(|(_, one)| {
            (&one.connection, &one.key) == (&event.connection, &event.partner_id)
        });
        if let (Some((first, _)), Some((second, _))) = (same.next(), same.next()) {
            let said = format!("{} is stored as {first} and as {second}", event.partner_id);
            return Err(violation(ONCE, said));
        }
        Ok(())
    }

    fn is_first(&mut self, completion: &Completion) -> bool {
        match completion.task.state {
            TaskState::Scheduled { due, .. } => self.ended.insert((completion.task.id, due)),
            TaskState::Waiting { .. } | TaskState::Dead { .. } => true,
        }
    }

    fn map_ended(&mut self, completion: &Completion, reader: &Reader) {
        if let TaskKind::Map { event, .. } = &completion.task.kind
            && matches!(completion.end, End::Mapped { .. })
        {
            self.note_mapped(*event, reader);
        }
    }

    fn note_mapped(&mut self, event: EventId, reader: &Reader) {
        let progress = reader.progress(event).ok().flatten();
        if let Some(progress) = progress
            && progress.state == tidegate_core::event::EventState::Mapped
            && let Some(plugin) = progress.plugin
        {
            self.mapped.insert(event, crate::plugin::version(plugin));
        }
    }

    /// A batch failed: nothing of it may be seen, and nobody knows whether it is there.
    pub fn not_committed(&mut self, batch: &[HandedIn], reader: &Reader) {
        for handed_in in batch {
            if let Submission::Complete(completion) = &handed_in.submission {
                self.tasks.doubt(completion);
                if let TaskKind::Map { event, .. } = &completion.task.kind {
                    self.doubtful.push(*event);
                }
            }
        }
        if reader.newest_change().get() != self.log.len() {
            self.fail(READERS, "a batch that failed is shown to readers");
        }
        let checked = self.log.look(reader);
        self.note(checked);
    }

    /// The host has opened its store again: whatever anybody knows of must be there.
    pub fn opened(&mut self, reader: &Reader) {
        let checked = self.log.opened(reader);
        self.note(checked);
        for event in std::mem::take(&mut self.doubtful) {
            self.note_mapped(event, reader);
        }
        let checked = self.all_there(reader);
        self.note(checked);
    }

    fn all_there(&self, reader: &Reader) -> Checked {
        for (id, stored) in &self.stored {
            let shown = reader.event(*id).ok().flatten();
            if shown.as_ref().map(|shown| &shown.body) != Some(&stored.body) {
                let acknowledged = self.acknowledged.values().any(|known| known == id);
                let heard = if acknowledged {
                    "acknowledged"
                } else {
                    "shown"
                };
                let said = format!("{id} was {heard} and is gone after a restart");
                return Err(violation(DURABLE, said));
            }
        }
        Ok(())
    }
}
