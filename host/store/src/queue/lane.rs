//! One lane of the queue, as memory has it.
//!
//! Reading a lane's head on disk would wade through the remains of what has left, so it
//! is kept in memory: every unclaimed task before the *horizon*. What does not fit pulls
//! the horizon in, and is read from the horizon on when the head has run dry. Without a
//! horizon the head is everything.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidegate_core::ids::TaskId;
use tidegate_core::task::{Owner, Task};
use tidegate_core::time::Timestamp;

use super::ages::Ages;
use super::torn::{TornRow, TornRows};
use super::turns::Stands;
use crate::codec::{Corrupt, QueueEntry, Record};
use crate::engine::{Order, Span};
use crate::keys::{self, LaneKey, Place, QueueKey};
use crate::view::{Fault, View};

/// One lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Where it waits for its turn.
    pub(super) stands: Stands,
    /// Its tasks on disk, the claimed ones included.
    pub(super) open: u64,
    /// How old those are.
    pub(super) ages: Ages,
    /// In boxes, so that a lane of one task is small.
    ready: BTreeMap<Place, Box<Task>>,
    horizon: Option<Place>,
    /// Whose tasks are beyond the horizon. Of those in memory, they themselves tell.
    owner: Option<Box<Owner>>,
}

/// What a refill goes by.
pub(super) struct Refill<'a> {
    pub(super) key: LaneKey,
    pub(super) view: &'a View,
    /// How many tasks to have in memory after it.
    pub(super) room: usize,
}

impl Lane {
    /// A task of it stands on disk.
    pub(super) fn count(&mut self, place: Place) {
        self.open += 1;
        self.ages.begin(place.since);
    }

    /// It no longer does, or nobody can read it.
    pub(super) fn discount(&mut self, place: Place) {
        self.open = self.open.saturating_sub(1);
        self.ages.end(place.since);
    }

    /// How many tasks it has in memory.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether that place is left to the disk.
    pub(super) fn is_beyond_horizon(&self, place: Place) -> bool {
        self.horizon.is_some_and(|horizon| horizon <= place)
    }

    /// Whether it has no task and waits for no turn.
    pub(super) fn is_done(&self) -> bool {
        self.open == 0 && self.stands == Stands::Nowhere
    }

    /// Whose its unclaimed tasks are: of the first, where two owners' hashes meet.
    pub(super) fn owner(&self) -> Option<Owner> {
        let first = self.ready.first_key_value();
        let ready = first.map(|(_, task)| task.kind.owner());
        ready.or_else(|| self.owner.as_deref().cloned())
    }

    /// When its first unclaimed task is due.
    pub(super) fn first_due(&self) -> Option<Timestamp> {
        let ready = self.ready.first_key_value().map(|(place, _)| *place);
        ready.or(self.horizon).map(|place| place.due)
    }

    /// Its first unclaimed task.
    pub(super) fn first_task(&self) -> Option<TaskId> {
        let ready = self.ready.first_key_value().map(|(place, _)| *place);
        ready.or(self.horizon).map(|place| place.task)
    }

    /// Takes in an unclaimed task. At most `bound` stay in memory, or one in place of
    /// another where there are more.
    pub(super) fn add(&mut self, place: Place, task: Task, bound: usize) {
        if self.is_beyond_horizon(place) {
            return;
        }
        self.ready.insert(place, Box::new(task));
        if self.ready.len() > bound
            && let Some((last, task)) = self.ready.pop_last()
        {
            self.horizon = Some(last);
            self.owner
                .get_or_insert_with(|| Box::new(task.kind.owner()));
        }
    }

    /// Takes out a task that has ended unclaimed. Whether it was in memory.
    pub(super) fn end(&mut self, place: Place) -> bool {
        self.ready.remove(&place).is_some()
    }

    /// Takes the longest due task; of one owner where that is asked for.
    pub(super) fn take(&mut self, now: Timestamp, of: Option<&Owner>) -> Option<(Place, Task)> {
        let mut due = self.ready.iter().take_while(|(place, _)| place.due <= now);
        let (place, _) = due.find(|(_, task)| {
            // One owner's tasks stand here, unless two hashes have met.
            of.is_none_or(|owner| keys::is_owned_by(&task.kind, owner))
        })?;
        let place = *place;
        let task = self.ready.remove(&place)?;
        Some((place, *task))
    }

    /// Whether nothing is in memory and what is on disk may be due.
    pub(super) fn has_run_dry(&self, now: Timestamp) -> bool {
        self.ready.is_empty() && self.horizon.is_some_and(|horizon| horizon.due <= now)
    }

    /// Reads on from the horizon. What breaks off leaves the horizon at the last row.
    pub(super) fn refill(
        &mut self,
        refill: &Refill<'_>,
        is_claimed: impl Fn(TaskId) -> bool,
        torn: &mut TornRows,
    ) -> Result<(), Fault> {
        let Some(horizon) = self.horizon else {
            return Ok(());
        };
        let Refill { key, view, room } = *refill;
        let from = QueueKey::at(key, horizon).to_bytes();
        let until = keys::after_prefix(&key.to_bytes());
        let span = Span {
            from: &from,
            until: until.as_deref(),
        };
        let queue = view.rooms.queue;
        for row in view.rows(queue, span, Order::Ascending)? {
            let (bytes, record) = row?;
            let read = match QueueKey::from_bytes(&bytes) {
                None => Err(Corrupt::Key),
                Some(key) => {
                    self.horizon = Some(key.place());
                    if self.ready.len() >= room {
                        return Ok(());
                    }
                    // Claimed tasks stand on disk until they end; and an engine without
                    // snapshots may show a task whose commit has not been synced yet.
                    if key.task.get() > view.ledger.tally.last_number || is_claimed(key.task) {
                        continue;
                    }
                    decode(key, record.clone()).map(|task| (key.place(), task))
                }
            };
            match read {
                Ok((place, task)) => drop(self.ready.insert(place, Box::new(task))),
                Err(source) => {
                    let row = TornRow {
                        key: bytes.clone(),
                        record,
                        source,
                    };
                    if torn.note(queue, row)
                        && let Some(key) = QueueKey::from_bytes(&bytes)
                    {
                        self.discount(key.place());
                    }
                }
            }
        }
        self.horizon = None;
        Ok(())
    }
}

/// The task of a row of the queue.
pub(super) fn decode(key: QueueKey, record: Bytes) -> Result<Task, Corrupt> {
    let task = QueueEntry::from_record(record)?.at(key);
    // In another lane it could be claimed and never be ended.
    if LaneKey::of(&task.kind) == key.lane {
        Ok(task)
    } else {
        Err(Corrupt::Key)
    }
}
