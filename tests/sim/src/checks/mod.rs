//! The checkers: one for each invariant of the concepts, by its number, and for sinks,
//! alerts and liveness.
//!
//! They are told what every actor sees and does, and compare it with what must hold. What
//! is not here: 7, a plugin is a guest, which is the runtime's; 9, a gap is found, for
//! there is no reconciliation yet; fetches and polls, which nobody carries out yet.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tidegate_core::audit::AuditEntry;
use tidegate_core::event::{Accepted, Event, EventState};
use tidegate_core::ids::{ConnectionId, EventId, TaskId};
use tidegate_core::policy::RetentionPolicy;
use tidegate_core::ports::{Completion, End};
use tidegate_core::replay::ReplayItem;
use tidegate_core::sink::SinkState;
use tidegate_core::task::{TaskKind, TaskState};
use tidegate_core::time::Timestamp;
use tidegate_store::{Answer, Reader, Submission};

use crate::journal::HandedIn;
use crate::webhook::{Version, Webhook};

pub(crate) mod end;
mod log;
pub(crate) mod model;
mod retention;
mod sinks;
mod tasks;

use log::Log;
use retention::Retention;
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
    received: Timestamp,
}

impl From<Event> for Stored {
    fn from(event: Event) -> Self {
        Self {
            connection: event.connection,
            key: event.partner_id,
            body: event.body,
            received: event.received,
        }
    }
}

/// An event whose state a commit may have changed.
#[derive(Clone, Copy, Debug)]
struct Turn {
    event: EventId,
    /// Whether it has ended, should nothing be left of it.
    ends: bool,
    /// The version that mapped it.
    by: Option<Version>,
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
    doubtful: Vec<Turn>,
    log: Log,
    tasks: Tasks,
    sinks: Sinks,
    retention: Retention,
    /// What people did, as it has to be written down.
    audited: Vec<AuditEntry>,
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
    /// Those of a world in which that much is kept.
    pub fn over(policy: RetentionPolicy) -> Self {
        Self {
            retention: Retention::over(policy),
            ..Self::default()
        }
    }

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

    /// A person's act was answered as done, and is to be written down like this.
    pub fn audited(&mut self, entry: AuditEntry) {
        self.audited.push(entry);
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
    pub fn committed(
        &mut self,
        batch: &[HandedIn],
        answers: &[Answer],
        reader: &Reader,
        now: Timestamp,
    ) {
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
        let retains = |one: &HandedIn| matches!(one.submission, Submission::Retain);
        if batch.iter().any(retains) {
            let checked = self.retained(reader, now);
            self.note(checked);
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
                self.tasks.committed(completion, reader);
                self.note_turns(&handed_in.submission, reader);
            }
            (Submission::Advance(advance), _) => {
                self.tasks.advance_is_right(advance)?;
                self.tasks.advanced(advance, reader);
                self.retention.advanced(advance);
            }
            (Submission::ResumeConnection { connection, .. }, _) => {
                self.tasks.resumed(connection);
            }
            (Submission::PutSink { standing, .. }, _)
                if matches!(standing.state, SinkState::Running) =>
            {
                self.tasks.sink_resumed(&standing.sink);
            }
            (Submission::Replay(_) | Submission::Discard { .. }, _) => {
                self.note_turns(&handed_in.submission, reader);
            }
            _ => {}
        }
        Ok(())
    }

    fn took_event(&mut self, event: &Event, accepted: Accepted, reader: &Reader) -> Checked {
        let shown = reader.event(accepted.id).ok().flatten();
        let shown = shown.map(Stored::from);
        // What has ended goes after a while; its key is remembered longer.
        let gone = || accepted.duplicate && self.retention.may_be_gone(accepted.id);
        let known = || self.stored.get(&accepted.id).cloned();
        let shown = shown.or_else(|| known().filter(|_| gone()));
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

    /// An event that is there although the commit that brought it failed: it may be gone
    /// again before its partner has heard of it.
    fn get_to_know(&mut self, event: EventId, reader: &Reader) {
        if let Entry::Vacant(unknown) = self.stored.entry(event)
            && let Ok(Some(shown)) = reader.event(event)
        {
            unknown.insert(shown.into());
        }
    }

    fn note_turns(&mut self, submission: &Submission, reader: &Reader) {
        for turn in turns(submission) {
            self.note_turn(turn, reader);
        }
    }

    /// Looks how an event stands now; it may have ended and be gone with one commit.
    fn note_turn(&mut self, turn: Turn, reader: &Reader) {
        let Turn { event, ends, by } = turn;
        self.get_to_know(event, reader);
        let progress = reader.progress(event).ok().flatten();
        let (settled, by) = match progress {
            None if ends => (true, by),
            None => return,
            Some(progress) => match progress.state {
                EventState::Mapped => (true, progress.plugin.map(crate::plugin::version)),
                EventState::Skipped { .. } => (true, None),
                EventState::Pending { .. }
                | EventState::Fetching { .. }
                | EventState::Dead { .. } => (false, None),
            },
        };
        self.retention.settled(event, settled);
        if let Some(by) = by {
            self.mapped.insert(event, by);
        }
    }

    /// A batch failed: nothing of it may be seen, and nobody knows whether it is there.
    pub fn not_committed(&mut self, batch: &[HandedIn], reader: &Reader) {
        for handed_in in batch {
            if let Submission::Complete(completion) = &handed_in.submission {
                self.tasks.doubt(completion);
            }
            self.doubtful.extend(turns(&handed_in.submission));
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
        for turn in std::mem::take(&mut self.doubtful) {
            self.note_turn(turn, reader);
        }
        let checked = self.all_there(reader);
        self.note(checked);
    }

    fn all_there(&self, reader: &Reader) -> Checked {
        for (id, stored) in &self.stored {
            let shown = reader.event(*id).ok().flatten();
            let gone = shown.is_none() && self.retention.may_be_gone(*id);
            if !gone && shown.as_ref().map(|shown| &shown.body) != Some(&stored.body) {
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

/// The events whose state a submission may change.
fn turns(submission: &Submission) -> Vec<Turn> {
    let turn = |event, ends| Turn {
        event,
        ends,
        by: None,
    };
    match submission {
        Submission::Complete(completion) => {
            let TaskKind::Map { event, .. } = completion.task.kind else {
                return Vec::new();
            };
            let mapped = matches!(completion.end, End::Mapped { .. });
            let plugin = completion.attempt.plugin.filter(|_| mapped);
            vec![Turn {
                event,
                ends: mapped || matches!(completion.end, End::Skipped { .. }),
                by: plugin.map(crate::plugin::version),
            }]
        }
        Submission::Replay(batch) => {
            let event = |item: &ReplayItem| match item {
                ReplayItem::Letter(task) => EventId::new(task.get()),
                ReplayItem::Event(event) => *event,
            };
            let events = batch.items.iter().map(event);
            events.map(|event| turn(event, false)).collect()
        }
        Submission::Discard { letters, .. } => {
            let events = letters.iter().map(|task| EventId::new(task.get()));
            events.map(|event| turn(event, true)).collect()
        }
        _ => Vec::new(),
    }
}
