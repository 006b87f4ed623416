//! Parking tasks as dead letters, and taking letters out again.

use tidegate_core::ids::TaskId;
use tidegate_core::task::{Attempt, DeadCause, Task, TaskState};
use tidegate_core::time::Timestamp;

use super::draft::Draft;
use crate::codec::{Attempts, Kept};
use crate::dead::{DeadHead, DeadLetter, Subject};
use crate::dead_counts::DeadChange;
use crate::keys;
use crate::view::Fault;

/// Why a task is parked.
pub(super) struct Verdict {
    pub(super) cause: DeadCause,
    pub(super) reason: String,
}

impl Draft<'_> {
    /// Parks a task that was last due then.
    pub(super) fn park(
        &mut self,
        task: Task,
        due: Timestamp,
        verdict: Verdict,
        subject: Subject,
        attempts: Vec<Attempt>,
    ) {
        let Verdict { cause, reason } = verdict;
        let state = TaskState::Dead {
            cause,
            reason,
            at: self.now,
        };
        let letter = DeadLetter {
            task: Task { state, ..task },
            subject,
            attempts,
        };
        let Some(head) = DeadHead::of(&letter, due) else {
            return;
        };
        let (rooms, key) = (self.view.rooms, keys::number(head.task.get()));
        self.put(rooms.dead, key, &letter);
        self.put(rooms.dead_heads, key, &head);
        self.ledger.tally.dead += 1;
        self.dead.push(DeadChange::Parked(head));
    }

    /// A dead letter with its head.
    pub(super) fn letter(&self, id: TaskId) -> Result<Option<(DeadHead, DeadLetter)>, Fault> {
        let (rooms, key) = (self.view.rooms, keys::number(id.get()));
        let Some(letter) = self.find::<DeadLetter>(rooms.dead, &key)? else {
            return Ok(None);
        };
        // A letter says all that a torn head did, but for when it was due.
        let head = self.find(rooms.dead_heads, &key).ok().flatten();
        let head = head.or_else(|| DeadHead::of(&letter, self.now));
        Ok(head.map(|head| (head, letter)))
    }

    /// A dead letter leaves.
    pub(super) fn unpark(&mut self, head: DeadHead) {
        let (rooms, key) = (self.view.rooms, keys::number(head.task.get()));
        self.remove(rooms.dead, key);
        self.remove(rooms.dead_heads, key);
        let dead = &mut self.ledger.tally.dead;
        *dead = dead.saturating_sub(1);
        self.dead.push(DeadChange::Left(head));
    }

    /// Keeps aside what a task needs and nothing else keeps.
    pub(super) fn keep(&mut self, task: TaskId, kept: &Kept) {
        let room = self.view.rooms.replaying;
        self.put(room, keys::number(task.get()), kept);
    }

    /// Lets what was kept aside for a task go, where something was.
    pub(super) fn let_go(&mut self, task: TaskId) {
        let (room, key) = (self.view.rooms.replaying, keys::number(task.get()));
        // Hardly anything is ever kept aside, and most ends need not look.
        if self.ledger.tally.replaying > 0 && matches!(self.row(room, &key), Ok(Some(_))) {
            self.remove(room, key);
            self.ledger.tally.replaying -= 1;
        }
    }

    /// The attempts at a task that has no event; none that can be read are none.
    pub(super) fn attempts(&self, task: TaskId) -> Attempts {
        let room = self.view.rooms.attempts;
        match self.find(room, &keys::number(task.get())) {
            Ok(attempts) => attempts.unwrap_or_default(),
            Err(fault) => {
                tracing::warn!(%task, error = %fault, "earlier attempts are forgotten");
                Attempts::default()
            }
        }
    }

    pub(super) fn put_attempts(&mut self, task: TaskId, attempts: &Attempts) {
        let room = self.view.rooms.attempts;
        self.put(room, keys::number(task.get()), attempts);
    }

    pub(super) fn forget_attempts(&mut self, task: TaskId) {
        let room = self.view.rooms.attempts;
        self.remove(room, keys::number(task.get()));
    }
}
