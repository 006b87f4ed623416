//! Claims over the durable queue.
//!
//! The queue on disk is every scheduled task, by lane: one owner's tasks for one kind of
//! worker, in the order in which they are due. Lanes take turns, one task each, so that
//! a lane with a million tasks delays no other by more than one. Within a lane the
//! longest due goes first.
//!
//! A claim lives in memory and ends when the task's completion is committed, or by
//! [`Claims::release`]. After a restart nothing is claimed, so work in flight resumes.
//!
//! A row that cannot be read is passed over, and moved aside with the next commit.
//!
//! The committer applies a commit and swaps the view under this queue's lock, so a
//! refill reads exactly the tasks that were applied.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tidegate_core::ids::TaskId;
use tidegate_core::limits::{LANE_TASKS_CROWDED_MAX, LANE_TASKS_MAX, READY_TASKS_MAX};
use tidegate_core::ports::{Claimed, ReadError};
use tidegate_core::task::{Owner, Task, Work};
use tidegate_core::time::Timestamp;

use crate::keys::{LaneKey, QueueKey};
use crate::view::{Fault, Published, View};

mod ages;
mod lane;
mod lanes;
mod torn;
mod turns;

use lanes::Lanes;
pub(crate) use torn::TornRow;

/// Claims on the tasks of the queue; clones share them.
#[derive(Clone, Debug)]
pub struct Claims {
    lanes: Arc<Mutex<Lanes>>,
    published: Published,
}

/// The open tasks of one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Whose.
    pub owner: Owner,
    /// When what the oldest of them is about came up, give or take a few seconds.
    pub oldest: Timestamp,
    /// The one whose turn is next, or one that runs.
    pub next: TaskId,
    /// How many there are, those that run and those that are not due yet included.
    pub open: u64,
}

/// How many tasks are kept ready in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Over all lanes.
    pub(crate) tasks: usize,
    /// In one lane.
    pub(crate) lane: usize,
    /// In one lane, where all together hold their number.
    pub(crate) crowded: usize,
}

/// The bounds of every store that is no test's.
pub(crate) const BOUNDS: Bounds = Bounds {
    tasks: READY_TASKS_MAX,
    lane: LANE_TASKS_MAX,
    crowded: LANE_TASKS_CROWDED_MAX,
};

/// What a commit did to the queue.
#[derive(Debug, Default)]
pub(crate) struct QueueChanges {
    pub(crate) added: Vec<(QueueKey, Task)>,
    pub(crate) ended: Vec<QueueKey>,
    /// The keys of torn rows that have left.
    pub(crate) aside: Vec<Bytes>,
}

impl Claims {
    /// Claims over what the view has; each lane's first tasks are read at once.
    pub(crate) fn open(published: Published, bounds: Bounds) -> Result<Self, Fault> {
        let lanes = Lanes::scan(&published.view(), bounds)?;
        Ok(Self {
            lanes: Arc::new(Mutex::new(lanes)),
            published,
        })
    }

    /// Claims up to `max` tasks that are due, of each owner in turn, and of each the
    /// longest due first. Nobody else gets them until their completion is committed or
    /// they are released.
    pub fn claim(&self, work: Work, max: usize, now: Timestamp) -> Result<Vec<Claimed>, ReadError> {
        let mut lanes = self.lock();
        let view = self.published.view();
        lanes.wake_rested(work, now);
        lanes.wake(work, now);
        gather(max, FAULTS_MAX, &view, || {
            lanes.claim_next(work, now, &view)
        })
    }

    /// As [`Claims::claim`], of one owner alone and without a turn.
    pub fn claim_of(
        &self,
        owner: &Owner,
        work: Work,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, ReadError> {
        let mut lanes = self.lock();
        let view = self.published.view();
        lanes.wake_rested(work, now);
        gather(max, 1, &view, || lanes.claim_of(owner, work, now, &view))
    }

    /// When the next unclaimed task is due; in the past where it is now.
    pub fn next_due(&self, work: Work) -> Option<Timestamp> {
        self.lock().next_due(work)
    }

    /// As [`Claims::next_due`], of one owner's tasks.
    pub fn next_due_of(&self, owner: &Owner, work: Work) -> Option<Timestamp> {
        self.lock().next_due_of(LaneKey::of_owner(work, owner))
    }

    /// Gives a claim back: the worker ends without a completion.
    pub fn release(&self, task: TaskId) {
        self.lock().release(task);
    }

    /// Gives a claim back that nobody gets before `until`: its completion was refused,
    /// and at once it would be again. A restart forgets the wait.
    pub fn release_later(&self, task: TaskId, until: Timestamp) {
        self.lock().rest(task, until);
    }

    /// What each owner has open, in no order. An owner whose hash meets another's is
    /// counted with it. Looks at every owner: for now and then.
    pub fn backlogs(&self, work: Work) -> Vec<Backlog> {
        self.lock().backlogs(work)
    }

    /// When what the oldest open task is about came up.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.lock().oldest()
    }

    /// Rows that could not be read and still stand in the queue.
    pub(crate) fn torn(&self) -> Vec<TornRow> {
        self.lock().torn()
    }

    /// Swaps in the view after a commit, with what the commit did to the queue.
    pub(crate) fn publish(&self, view: View, changes: QueueChanges) {
        let mut lanes = self.lock();
        self.published.swap(view);
        for key in changes.ended {
            lanes.end(key);
        }
        for key in changes.aside {
            lanes.forget_torn(&key);
        }
        for (key, task) in changes.added {
            lanes.begin(key, task);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lanes that one claim may find unreadable before it leaves the others for the next.
const FAULTS_MAX: usize = 16;

/// Claims until there are `max` or no more. A lane that cannot be read has lost its turn
/// and costs no other lane's; its fault reaches the caller only where there is no claim
/// that has to, for the caller alone can end those.
fn gather(
    max: usize,
    faults_max: usize,
    view: &View,
    mut next: impl FnMut() -> Result<Option<Task>, Fault>,
) -> Result<Vec<Claimed>, ReadError> {
    let mut claims = Vec::new();
    let mut faults = Vec::new();
    while claims.len() < max && faults.len() < faults_max {
        match next() {
            Ok(Some(task)) => claims.push(Claimed {
                stops: view.ledger.stops.of(task.id),
                task,
            }),
            Ok(None) => break,
            Err(fault) => faults.push(fault),
        }
    }
    match faults.pop() {
        Some(fault) if claims.is_empty() => Err(fault.reading("the queue")),
        Some(_) | None => Ok(claims),
    }
}

#[cfg(test)]
mod tests;
