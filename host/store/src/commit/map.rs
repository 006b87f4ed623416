//! The end of an attempt at mapping an event, and all that follows from it, at once.
//!
//! Whatever is needed is read first. If a record that the end needs cannot be read (a
//! broken disk), the event becomes a dead letter that says so: otherwise the same
//! completion would come again with every restart.
//!
//! An event that runs again may be older than its bucket. Then it is kept aside with its
//! progress until its task has ended.

use std::collections::{HashMap, HashSet};

use tidegate_core::change::{Change, ChangeResult, EntityRef, Fate, Origin, ProposedChange};
use tidegate_core::errors::chain;
use tidegate_core::event::{Event, EventProgress, EventState};
use tidegate_core::ids::{ChangeSeq, ConnectionId, EventId, TaskId};
use tidegate_core::ports::End;
use tidegate_core::task::{Again, DeadCause, Task, TaskKind};
use tidegate_core::time::Timestamp;
use tidegate_core::version::{Content, Provenance, Standing, Verdict, counting, decide};

use super::complete::{Ended, odd_end};
use super::draft::{Draft, NOT_BUILT};
use super::letters;
use super::schedule::TICK;
use crate::codec::{Kept, QueueEntry, note_attempt};
use crate::dead::Subject;
use crate::keys::{self, QueueKey};
use crate::paused::PausedConnection;
use crate::view::Fault;

/// Stages the end of an attempt at mapping that event.
pub(super) fn stage(
    draft: &mut Draft<'_>,
    ended: Ended,
    event: EventId,
    connection: ConnectionId,
    end: End,
) {
    let mapped = Mapping {
        ended,
        event,
        connection,
    };
    match (Facts::gather(draft, &mapped, &end), end) {
        (Ok(facts), end) => mapped.stage(draft, facts, end),
        (Err(fault), end) => {
            let nothing = Facts::none(draft, &mapped);
            mapped.stage(draft, nothing, park_instead(end, &fault));
        }
    }
}

/// What becomes of an end for which a record cannot be read.
fn park_instead(end: End, fault: &Fault) -> End {
    let trouble = chain(fault);
    match end {
        End::Park { cause, reason } => End::Park {
            cause,
            reason: format!("{reason} (and its records are incomplete: {trouble})"),
        },
        End::Mapped { .. }
        | End::Skipped { .. }
        | End::Delivered
        | End::Superseded
        | End::Again(_)
        | End::Pause { .. } => End::Park {
            cause: DeadCause::Mapping,
            reason: format!("its end could not be stored: {trouble}"),
        },
    }
}

/// A map task whose attempt has ended.
struct Mapping {
    ended: Ended,
    event: EventId,
    connection: ConnectionId,
}

/// What had to be read before anything is staged.
struct Facts {
    progress: EventProgress,
    /// Of each changed entity, by its key.
    standings: HashMap<Vec<u8>, Option<Standing>>,
    poll_waits: bool,
    pause: Option<PausedConnection>,
    /// The event, where it is to be parked.
    letter: Option<Event>,
    home: Home,
}

/// Where an event is while its task runs.
enum Home {
    /// In its bucket.
    Bucket,
    /// Kept aside, since its bucket is gone; none where it could not be read then.
    Aside(Option<Event>),
}

impl Facts {
    fn gather(draft: &Draft<'_>, mapped: &Mapping, end: &End) -> Result<Self, Fault> {
        let mut facts = Self::none(draft, mapped);
        let number = keys::number(mapped.event.get());
        let bucket = draft.ledger.events.of(mapped.event.get());
        let bucket = bucket.filter(|_| matches!(facts.home, Home::Bucket));
        if let Some(bucket) = bucket
            && let Some(progress) = draft.view.record(bucket.rooms.progress, &number)?
        {
            facts.progress = progress;
        }
        match end {
            End::Mapped {
                changes, poll_now, ..
            } => {
                for change in changes {
                    let key = keys::entity(&mapped.connection, &change.entity);
                    let standing = draft.standing(&key)?;
                    facts.standings.insert(key, standing);
                }
                facts.poll_waits = *poll_now && draft.poll_waits(&mapped.connection)?;
            }
            End::Park { .. } | End::Delivered | End::Superseded => {
                if let Some(bucket) = bucket {
                    facts.letter = draft.view.record(bucket.rooms.events, &number)?;
                }
            }
            End::Pause { .. } => facts.pause = draft.pause_of(&mapped.connection)?,
            End::Skipped { .. } | End::Again(_) => {}
        }
        Ok(facts)
    }

    /// What stands where nothing can be read.
    fn none(draft: &Draft<'_>, mapped: &Mapping) -> Self {
        let mut facts = Self {
            progress: EventProgress::fresh(mapped.ended.key.due),
            standings: HashMap::new(),
            poll_waits: false,
            pause: None,
            letter: None,
            home: Home::Bucket,
        };
        // Hardly anything is ever kept aside, and a plain completion need not look.
        if draft.ledger.tally.replaying > 0 {
            let key = keys::number(mapped.ended.task.id.get());
            match draft.find(draft.view.rooms.replaying, &key) {
                Ok(Some(Kept::Event { event, progress })) => {
                    facts.progress = progress;
                    facts.home = Home::Aside(event);
                }
                Ok(Some(Kept::Change(_)) | None) => {}
                Err(_) => facts.home = Home::Aside(None),
            }
        }
        facts
    }
}

impl Mapping {
    /// Nothing in here can fail.
    fn stage(self, draft: &mut Draft<'_>, facts: Facts, end: End) {
        draft.dequeue(self.ended.key);
        let Facts {
            mut progress,
            standings,
            poll_waits,
            pause,
            letter,
            home,
        } = facts;
        self.note_attempt(&mut progress);
        progress.state = match end {
            End::Mapped {
                changes,
                fetch,
                poll_now,
            } => {
                progress.changes = self.decide(draft, standings, changes);
                progress.fetches = self.wait_for_fetches(draft, fetch);
                if poll_now && !poll_waits {
                    draft.wait_for_poll(&self.connection);
                }
                match u32::try_from(progress.fetches.len()) {
                    Ok(0) => EventState::Mapped,
                    open => EventState::Fetching {
                        open: open.unwrap_or(u32::MAX),
                    },
                }
            }
            End::Skipped { reason } => EventState::Skipped { reason },
            End::Again(again) => {
                let due = self.again(draft, again);
                EventState::Pending {
                    attempt: again.attempt,
                    due,
                }
            }
            End::Park { cause, reason } => EventState::Dead { cause, reason },
            End::Pause { reason } => {
                draft.wait_for_connection(&self.ended.task, &self.connection);
                if pause.is_none() {
                    draft.pause_refused(&self.connection, reason);
                }
                EventState::Pending {
                    attempt: 1,
                    due: draft.now,
                }
            }
            odd @ (End::Delivered | End::Superseded) => EventState::Dead {
                cause: DeadCause::Mapping,
                reason: odd_end(&odd),
            },
        };
        self.settle(draft, progress, letter, home);
    }

    /// Writes down where the event stands, and parks its task where it is dead.
    fn settle(
        self,
        draft: &mut Draft<'_>,
        progress: EventProgress,
        letter: Option<Event>,
        home: Home,
    ) {
        let goes_on = matches!(progress.state, EventState::Pending { .. });
        let letter = match home {
            Home::Aside(event) if goes_on => {
                draft.keep(self.ended.task.id, &Kept::Event { event, progress });
                return;
            }
            Home::Aside(event) => {
                draft.let_go(self.ended.task.id);
                event
            }
            Home::Bucket => {
                draft.put_progress(self.event, &progress);
                if !goes_on {
                    draft.ledger.events.count_open(self.event.get(), -1);
                }
                letter
            }
        };
        if let EventState::Dead { cause, reason } = progress.state.clone() {
            let verdict = letters::Verdict { cause, reason };
            let attempts = progress.attempts.clone();
            let subject = Subject::Event {
                event: letter,
                progress,
            };
            let Ended { key, task, .. } = self.ended;
            draft.park(task, key.due, verdict, subject, attempts);
        }
    }

    fn note_attempt(&self, progress: &mut EventProgress) {
        let attempt = &self.ended.attempt;
        progress.plugin = attempt.plugin.or(progress.plugin);
        note_attempt(&mut progress.attempts, attempt.clone());
    }

    /// Puts the task back into the queue, and says when it is due. Never at the place
    /// that it had: there an old completion handed in again would find it.
    fn again(&self, draft: &mut Draft<'_>, again: Again) -> Timestamp {
        let due = again.due.max(self.ended.key.due.plus(TICK));
        let entry = QueueEntry {
            kind: self.ended.task.kind.clone(),
            attempt: again.attempt,
            limited_since: again.limited_since,
        };
        let key = QueueKey::of(&entry.kind, due, again.since, self.ended.task.id);
        draft.enqueue(key, entry);
        due
    }

    /// Decides each change by the version rule. Where an event names an entity more
    /// than once, one counts and the others are superseded by it.
    fn decide(
        &self,
        draft: &mut Draft<'_>,
        mut standings: HashMap<Vec<u8>, Option<Standing>>,
        changes: Vec<ProposedChange>,
    ) -> Vec<ChangeResult> {
        let keys: Vec<_> = changes
            .iter()
            .map(|change| keys::entity(&self.connection, &change.entity))
            .collect();
        let counts = counting_of_each(&keys, &changes);
        let mut results = Vec::with_capacity(changes.len());
        for (index, (change, key)) in changes.into_iter().zip(keys).enumerate() {
            let (entity, operation) = (change.entity.clone(), change.operation);
            let fate = if counts.contains(&index) {
                let standing = standings.remove(&key).flatten();
                self.decide_one(draft, key, standing, change)
            } else {
                Fate::Superseded
            };
            results.push(ChangeResult {
                entity,
                operation,
                fate,
            });
        }
        results
    }

    fn decide_one(
        &self,
        draft: &mut Draft<'_>,
        key: Vec<u8>,
        standing: Option<Standing>,
        change: ProposedChange,
    ) -> Fate {
        let content = Content {
            operation: change.operation,
            version: change.version,
            revision: change.revision.clone(),
        };
        let from = Provenance {
            origin: Origin::Webhook,
            receipt: self.event,
            began: ChangeSeq::new(0),
        };
        let decision = decide(standing.as_ref(), &content, from);
        let fate = match decision.verdict {
            Verdict::Applied => {
                let seq = draft.ledger.tally.next_change();
                let standing = Standing {
                    content,
                    receipt: decision.receipt,
                    change: seq,
                    tied: decision.tied,
                };
                let change = Change {
                    seq,
                    connection: self.connection.clone(),
                    change,
                    origin: Origin::Webhook,
                    event: Some(self.event),
                    committed: draft.now,
                };
                draft.apply(key, standing, &change);
                return Fate::Applied(seq);
            }
            Verdict::Superseded => Fate::Superseded,
            Verdict::Unchanged => Fate::Unchanged,
        };
        if let Some(mut standing) = standing
            && (standing.receipt, standing.tied) != (decision.receipt, decision.tied)
        {
            standing.receipt = decision.receipt;
            standing.tied = decision.tied;
            draft.stand(key, standing);
        }
        fate
    }

    /// Each entity once, however often the event names it.
    fn wait_for_fetches(
        &self,
        draft: &mut Draft<'_>,
        fetch: Vec<EntityRef>,
    ) -> Vec<(TaskId, EntityRef)> {
        let mut seen = HashSet::new();
        let mut fetches = Vec::with_capacity(fetch.len());
        for entity in fetch {
            if !seen.insert(entity.clone()) {
                continue;
            }
            let id = draft.ledger.tally.next_task();
            let kind = TaskKind::Fetch {
                event: self.event,
                connection: self.connection.clone(),
                entity: entity.clone(),
            };
            let task = Task {
                id,
                kind,
                state: NOT_BUILT,
            };
            draft.wait(keys::waiting_fetch(id), &task);
            draft.ledger.events.count_open(self.event.get(), 1);
            fetches.push((id, entity));
        }
        fetches
    }
}

/// The indices of the changes that count: one for each entity.
fn counting_of_each(keys: &[Vec<u8>], changes: &[ProposedChange]) -> HashSet<usize> {
    let mut entities: HashMap<&[u8], Vec<(usize, Option<i64>)>> = HashMap::new();
    for (index, (key, change)) in keys.iter().zip(changes).enumerate() {
        let of_entity = entities.entry(key.as_slice()).or_default();
        of_entity.push((index, change.version));
    }
    let winner = |of_entity: Vec<(usize, Option<i64>)>| {
        let versions: Vec<_> = of_entity.iter().map(|(_, version)| *version).collect();
        let (index, _) = of_entity.get(counting(&versions)?)?;
        Some(*index)
    };
    entities.into_values().filter_map(winner).collect()
}
