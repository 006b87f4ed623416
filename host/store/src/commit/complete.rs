//! Completing an attempt: the end of the task and all that follows from it, at once.
//!
//! Whatever is needed is read first. If a record that the end needs cannot be read (a
//! broken disk), the event becomes a dead letter that says so: otherwise the same
//! completion would come again with every restart.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tidegate_core::change::{Change, ChangeResult, EntityRef, Fate, Origin, ProposedChange};
use tidegate_core::errors::chain;
use tidegate_core::event::{Event, EventProgress, EventState};
use tidegate_core::ids::{ChangeSeq, ConnectionId, EventId, TaskId};
use tidegate_core::limits::ATTEMPTS_KEPT_MAX;
use tidegate_core::ports::{Completion, End};
use tidegate_core::task::{Attempt, DeadCause, Task, TaskKind, TaskState};
use tidegate_core::time::Timestamp;
use tidegate_core::version::{Content, Provenance, Standing, Verdict, counting, decide};

use super::draft::{Draft, NOT_BUILT};
use crate::codec::{QueueEntry, Record};
use crate::dead::DeadLetter;
use crate::keys::{self, QueueKey};
use crate::view::Fault;

/// Stages the end of an attempt, unless its task is not open any more.
pub(super) fn stage(draft: &mut Draft<'_>, completion: Completion) -> Result<(), Fault> {
    let Completion { task, attempt, end } = completion;
    let (TaskState::Scheduled { due, .. }, TaskKind::Map { event, connection }) =
        (&task.state, &task.kind)
    else {
        return Ok(());
    };
    let (event, connection) = (*event, connection.clone());
    let key = QueueKey {
        due: *due,
        task: task.id,
    };
    if !draft.is_queued(key)? {
        return Ok(());
    }
    let ended = Ended {
        key,
        task,
        event,
        connection,
        attempt,
    };
    match (Facts::gather(draft, &ended, &end), end) {
        (Ok(facts), end) => ended.stage(draft, facts, end),
        (Err(fault), end) => {
            let nothing = Facts::none(&ended);
            ended.stage(draft, nothing, park_instead(end, &fault));
        }
    }
    Ok(())
}

/// What becomes of an end for which a record cannot be read.
fn park_instead(end: End, fault: &Fault) -> End {
    let trouble = chain(fault);
    match end {
        End::Park { cause, reason } => End::Park {
            cause,
            reason: format!("{reason} (and its records are incomplete: {trouble})"),
        },
        End::Mapped { .. } | End::Skipped { .. } | End::Again { .. } => End::Park {
            cause: DeadCause::Mapping,
            reason: format!("its end could not be stored: {trouble}"),
        },
    }
}

/// A map task whose attempt has ended.
struct Ended {
    key: QueueKey,
    task: Task,
    event: EventId,
    connection: ConnectionId,
    attempt: Attempt,
}

/// What had to be read before anything is staged.
struct Facts {
    progress: EventProgress,
    /// Of each changed entity, by its key.
    standings: HashMap<Vec<u8>, Option<Standing>>,
    poll_waits: bool,
    /// The event, where it is to be parked.
    letter: Option<Event>,
}

impl Facts {
    fn gather(draft: &Draft<'_>, ended: &Ended, end: &End) -> Result<Self, Fault> {
        let mut facts = Self::none(ended);
        let number = keys::number(ended.event.get());
        let bucket = draft.ledger.events.of(ended.event.get());
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
                    let key = keys::entity(&ended.connection, &change.entity);
                    let standing = draft.standing(&key)?;
                    facts.standings.insert(key, standing);
                }
                facts.poll_waits = *poll_now && draft.poll_waits(&ended.connection)?;
            }
            End::Park { .. } => {
                if let Some(bucket) = bucket {
                    facts.letter = draft.view.record(bucket.rooms.events, &number)?;
                }
            }
            End::Skipped { .. } | End::Again { .. } => {}
        }
        Ok(facts)
    }

    /// What stands where nothing can be read.
    fn none(ended: &Ended) -> Self {
        Self {
            progress: EventProgress::fresh(ended.key.due),
            standings: HashMap::new(),
            poll_waits: false,
            letter: None,
        }
    }
}

impl Ended {
    /// Nothing in here can fail.
    fn stage(self, draft: &mut Draft<'_>, facts: Facts, end: End) {
        draft.dequeue(self.key);
        let Facts {
            mut progress,
            standings,
            poll_waits,
            letter,
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
            End::Again {
                attempt,
                due,
                limited_since,
            } => {
                let due = self.again(draft, attempt, due, limited_since);
                EventState::Pending { attempt, due }
            }
            End::Park { cause, reason } => EventState::Dead { cause, reason },
        };
        draft.put_progress(self.event, progress.to_record());
        match progress.state.clone() {
            EventState::Pending { .. } => {}
            EventState::Dead { cause, reason } => {
                draft.ledger.events.count_open(self.event.get(), -1);
                self.park(draft, progress, letter, cause, reason);
            }
            EventState::Fetching { .. } | EventState::Mapped | EventState::Skipped { .. } => {
                draft.ledger.events.count_open(self.event.get(), -1);
            }
        }
    }

    fn note_attempt(&self, progress: &mut EventProgress) {
        progress.plugin = self.attempt.plugin.or(progress.plugin);
        progress.attempts.push(self.attempt.clone());
        let surplus = progress.attempts.len().saturating_sub(ATTEMPTS_KEPT_MAX);
        progress.attempts.drain(..surplus);
    }

    /// Puts the task back into the queue, and says when it is due. Never at the place
    /// that it had: there an old completion handed in again would find it.
    fn again(
        &self,
        draft: &mut Draft<'_>,
        attempt: u32,
        due: Timestamp,
        limited_since: Option<Timestamp>,
    ) -> Timestamp {
        let due = due.max(self.key.due.plus(Duration::from_micros(1)));
        let entry = QueueEntry {
            kind: self.task.kind.clone(),
            attempt,
            limited_since,
        };
        let key = QueueKey {
            due,
            task: self.task.id,
        };
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
            draft.wait(&Task {
                id,
                kind,
                state: NOT_BUILT,
            });
            draft.ledger.events.count_open(self.event.get(), 1);
            fetches.push((id, entity));
        }
        fetches
    }

    fn park(
        self,
        draft: &mut Draft<'_>,
        progress: EventProgress,
        event: Option<Event>,
        cause: DeadCause,
        reason: String,
    ) {
        let state = TaskState::Dead {
            cause,
            reason,
            at: draft.now,
        };
        let task = Task { state, ..self.task };
        let key = keys::number(task.id.get());
        let letter = DeadLetter {
            task,
            event,
            progress,
        };
        let room = draft.view.rooms.dead;
        draft.batch.put(room.keyspace, key, letter.to_record());
        draft.ledger.tally.dead += 1;
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
