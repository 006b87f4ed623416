//! All lanes, what is claimed of them, and the bound on memory over all.
//!
//! Each operation here costs the logarithm of what is in memory, and a refill from disk
//! now and then: the committer and every worker wait for one lock. A lane is here while
//! it has an open task.

use std::collections::HashMap;

use tidegate_core::ids::TaskId;
use tidegate_core::task::{Owner, Task, Work};
use tidegate_core::time::Timestamp;

use super::lane::{self, Lane, Refill};
use super::torn::{TornRow, TornRows};
use super::turns::{AllTurns, Stands};
use super::{Backlog, Bounds};
use crate::codec::Corrupt;
use crate::engine::{Order, Span};
use crate::keys::{LaneKey, QueueKey};
use crate::view::{Fault, View};

/// All lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: HashMap<LaneKey, Lane>,
    turns: AllTurns,
    tasks: Tasks,
}

/// What is in memory over all lanes.
#[derive(Debug)]
struct Tasks {
    /// How many are not claimed.
    ready: usize,
    claimed: HashMap<TaskId, Held>,
    torn: TornRows,
    bounds: Bounds,
}

/// A claimed task.
#[derive(Debug)]
struct Held {
    key: QueueKey,
    task: Task,
    /// Given back, and to be claimed again from then on.
    rests: Option<Timestamp>,
}

impl Lanes {
    /// The lanes of the queue on disk, the first tasks of each in memory.
    pub(super) fn scan(view: &View, bounds: Bounds) -> Result<Self, Fault> {
        let mut lanes = Self {
            lanes: HashMap::new(),
            turns: AllTurns::default(),
            tasks: Tasks {
                ready: 0,
                claimed: HashMap::new(),
                torn: TornRows::default(),
                bounds,
            },
        };
        let queue = view.rooms.queue;
        for row in view.rows(queue, Span::ALL, Order::Ascending)? {
            let (key, record) = row?;
            let read = match QueueKey::from_bytes(&key) {
                None => Err(Corrupt::Key),
                Some(place) if lanes.counts_beyond_horizon(place) => continue,
                Some(place) => lane::decode(place, record.clone()).map(|task| (place, task)),
            };
            match read {
                Ok((place, task)) => lanes.begin(place, task),
                Err(source) => {
                    let row = TornRow {
                        key,
                        record,
                        source,
                    };
                    lanes.tasks.torn.note(queue, row);
                }
            }
        }
        Ok(lanes)
    }

    /// Whether a row stands where its lane is left to the disk; counts it there.
    fn counts_beyond_horizon(&mut self, key: QueueKey) -> bool {
        let lane = self.lanes.get_mut(&key.lane);
        let beyond = lane.filter(|lane| lane.is_beyond_horizon(key.place()));
        beyond.map(|lane| lane.count(key.place())).is_some()
    }

    /// Whether nothing of any task is left here.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.tasks.claimed.is_empty() && self.tasks.ready == 0
    }

    /// A task has come into the queue.
    pub(super) fn begin(&mut self, key: QueueKey, task: Task) {
        self.lanes.entry(key.lane).or_default().count(key.place());
        self.add(key, task);
    }

    fn add(&mut self, key: QueueKey, task: Task) {
        let lane = self.lanes.entry(key.lane).or_default();
        self.tasks.add(lane, key, task);
        self.turns.of_mut(key.lane.work).settle(key.lane, lane);
    }

    /// A task has left the queue.
    pub(super) fn end(&mut self, key: QueueKey) {
        let held = self.tasks.claimed.remove(&key.task);
        let was_torn = self.tasks.torn.forget(&key.to_bytes());
        let turns = self.turns.of_mut(key.lane.work);
        if let Some(until) = held.as_ref().and_then(|held| held.rests) {
            turns.resting.remove(&(until, key.task));
        }
        let Some(lane) = self.lanes.get_mut(&key.lane) else {
            return;
        };
        // A torn row was taken off the count when it was met.
        if !was_torn {
            lane.discount(key.place());
        }
        if held.is_none() && lane.end(key.place()) {
            self.tasks.ready = self.tasks.ready.saturating_sub(1);
        }
        turns.settle(key.lane, lane);
        if lane.is_done() {
            self.drop_lane(key.lane);
        }
    }

    fn drop_lane(&mut self, key: LaneKey) {
        // An engine without snapshots may have shown a task before its commit.
        let ready = self.lanes.remove(&key).map_or(0, |lane| lane.ready());
        self.tasks.ready = self.tasks.ready.saturating_sub(ready);
    }

    /// Lets every lane that has something due wait for its turn.
    pub(super) fn wake(&mut self, work: Work, now: Timestamp) {
        let turns = self.turns.of_mut(work);
        while let Some(owner) = turns.wake(now) {
            if let Some(lane) = self.lanes.get_mut(&LaneKey { work, owner }) {
                turns.join(owner, lane);
            }
        }
    }

    /// Lets go of the claims that have rested long enough.
    pub(super) fn wake_rested(&mut self, work: Work, now: Timestamp) {
        while let Some((until, task)) = self.turns.of(work).resting.first().copied()
            && until <= now
        {
            self.release(task);
        }
    }

    /// Claims one task of the lane whose turn it is; none where nothing is due.
    pub(super) fn claim_next(
        &mut self,
        work: Work,
        now: Timestamp,
        view: &View,
    ) -> Result<Option<Task>, Fault> {
        while let Some(owner) = self.turns.of_mut(work).next() {
            let key = LaneKey { work, owner };
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            lane.stands = Stands::Nowhere;
            let taken = self.tasks.take(lane, key, now, None, view);
            let turns = self.turns.of_mut(work);
            // A lane that cannot be read sleeps: it would come again at once.
            if taken.is_ok() && lane.first_due().is_some_and(|due| due <= now) {
                turns.join(owner, lane);
            } else {
                turns.settle(key, lane);
                if lane.is_done() {
                    self.drop_lane(key);
                }
            }
            if let Some(task) = taken? {
                return Ok(Some(task));
            }
        }
        Ok(None)
    }

    /// Claims one task of that owner; none where nothing is due.
    pub(super) fn claim_of(
        &mut self,
        owner: &Owner,
        work: Work,
        now: Timestamp,
        view: &View,
    ) -> Result<Option<Task>, Fault> {
        let key = LaneKey::of_owner(work, owner);
        let Some(lane) = self.lanes.get_mut(&key) else {
            return Ok(None);
        };
        let taken = self.tasks.take(lane, key, now, Some(owner), view);
        self.turns.of_mut(work).settle(key, lane);
        taken
    }

    /// Gives a claim back.
    pub(super) fn release(&mut self, task: TaskId) {
        let Some(held) = self.tasks.claimed.remove(&task) else {
            return;
        };
        if let Some(until) = held.rests {
            let turns = self.turns.of_mut(held.key.lane.work);
            turns.resting.remove(&(until, task));
        }
        self.add(held.key, held.task);
    }

    /// Gives a claim back from then on. Where too many rest, the first of them goes
    /// early.
    pub(super) fn rest(&mut self, task: TaskId, until: Timestamp) {
        let Some(held) = self.tasks.claimed.get_mut(&task) else {
            return;
        };
        let turns = self.turns.of_mut(held.key.lane.work);
        if let Some(until) = held.rests.replace(until) {
            turns.resting.remove(&(until, task));
        }
        turns.resting.insert((until, task));
        if turns.resting.len() > self.tasks.bounds.tasks
            && let Some((_, first)) = turns.resting.first().copied()
        {
            self.release(first);
        }
    }

    /// When the next unclaimed task of that work is due.
    pub(super) fn next_due(&self, work: Work) -> Option<Timestamp> {
        let turns = self.turns.of(work);
        let of_lane = |owner| self.lanes.get(&LaneKey { work, owner })?.first_due();
        // The ring is empty after a claim that found nothing, which is when one asks.
        let in_ring = turns.ring().filter_map(of_lane).min();
        let rested = turns.resting.first().map(|(until, _)| *until);
        [in_ring, turns.first_wake(), rested]
            .into_iter()
            .flatten()
            .min()
    }

    /// When the next unclaimed task of that lane is due.
    pub(super) fn next_due_of(&self, key: LaneKey) -> Option<Timestamp> {
        let lane = self.lanes.get(&key)?;
        let mut resting = self.turns.of(key.work).resting.iter();
        let rested = resting.find(|(_, task)| {
            let held = self.tasks.claimed.get(task);
            held.is_some_and(|held| held.key.lane == key)
        });
        let rested = rested.map(|(until, _)| *until);
        lane.first_due().into_iter().chain(rested).min()
    }

    /// When what the oldest open task is about came up.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let of_lane = self.lanes.values().filter_map(|lane| lane.ages.oldest());
        of_lane.min()
    }

    /// What each owner has open.
    pub(super) fn backlogs(&self, work: Work) -> Vec<Backlog> {
        let held = self.tasks.claimed.values();
        let claimed: HashMap<LaneKey, &Held> = held.map(|held| (held.key.lane, held)).collect();
        let of_work = self.lanes.iter().filter(|(key, _)| key.work == work);
        let backlog = |(key, lane): (&LaneKey, &Lane)| {
            let held = claimed.get(key);
            let owner = lane.owner();
            Some(Backlog {
                owner: owner.or_else(|| Some(held?.task.kind.owner()))?,
                oldest: lane.ages.oldest()?,
                next: lane.first_task().or_else(|| Some(held?.task.id))?,
                open: lane.open,
            })
        };
        of_work.filter_map(backlog).collect()
    }

    pub(super) fn torn(&self) -> Vec<TornRow> {
        self.tasks.torn.rows()
    }

    pub(super) fn forget_torn(&mut self, key: &[u8]) {
        self.tasks.torn.forget(key);
    }
}

impl Tasks {
    fn add(&mut self, lane: &mut Lane, key: QueueKey, task: Task) {
        let before = lane.ready();
        lane.add(key.place(), task, self.bounds.of_lane(self.ready));
        self.ready = (self.ready + lane.ready()).saturating_sub(before);
    }

    /// Claims the longest due task of a lane, after a refill where it has run dry.
    fn take(
        &mut self,
        lane: &mut Lane,
        key: LaneKey,
        now: Timestamp,
        of: Option<&Owner>,
        view: &View,
    ) -> Result<Option<Task>, Fault> {
        if lane.has_run_dry(now) {
            // Half of what fits, so that new tasks that are due earlier still find room; and
            // enough to be worth the seek.
            let half = self.bounds.of_lane(self.ready).div_ceil(2);
            let room = half.max(self.bounds.crowded);
            let refill = Refill { key, view, room };
            let claimed = &self.claimed;
            let done = lane.refill(&refill, |task| claimed.contains_key(&task), &mut self.torn);
            self.ready += lane.ready();
            done?;
        }
        let Some((place, task)) = lane.take(now, of) else {
            return Ok(None);
        };
        self.ready = self.ready.saturating_sub(1);
        let held = Held {
            key: QueueKey::at(key, place),
            task: task.clone(),
            rests: None,
        };
        self.claimed.insert(task.id, held);
        Ok(Some(task))
    }
}

impl Bounds {
    /// How many tasks a lane may hold where that many are in memory.
    const fn of_lane(self, ready: usize) -> usize {
        if ready >= self.tasks {
            self.crowded
        } else {
            self.lane
        }
    }
}
