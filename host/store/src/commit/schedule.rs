//! Tasks on their way into the queue.
//!
//! A submission may put a task into the queue that a later one of its batch takes out
//! again, so they enter it when the batch is whole. Fresh events do not come this way:
//! nobody can know of their tasks before the commit.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::ids::TaskId;
use tidegate_core::task::TaskKind;
use tidegate_core::time::Timestamp;

use super::draft::Draft;
use crate::codec::QueueEntry;
use crate::keys::QueueKey;

/// Tasks that will stand in the queue, and when they are due.
pub(super) type Scheduled = BTreeMap<TaskId, (When, QueueEntry)>;

/// When a task is due, and when what it is about came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct When {
    pub(super) due: Timestamp,
    pub(super) since: Timestamp,
}

impl When {
    /// Where a task of that kind stands then.
    pub(super) fn key(self, kind: &TaskKind, id: TaskId) -> QueueKey {
        QueueKey::of(kind, self.due, self.since, id)
    }
}

/// The smallest step of time.
pub(super) const TICK: Duration = Duration::from_micros(1);

impl Draft<'_> {
    /// Schedules a task at its first attempt, about what comes up now.
    pub(super) fn schedule_first(
        &mut self,
        id: TaskId,
        kind: TaskKind,
        due: Timestamp,
    ) -> Timestamp {
        let since = self.now;
        let entry = QueueEntry {
            kind,
            attempt: 1,
            limited_since: None,
        };
        self.schedule(id, When { due, since }, entry)
    }

    /// Schedules a task; says when it is due. Never at a place that it has left in this
    /// batch.
    pub(super) fn schedule(&mut self, id: TaskId, mut when: When, entry: QueueEntry) -> Timestamp {
        while self.ended.contains(&when.key(&entry.kind, id)) {
            when.due = when.due.plus(TICK);
        }
        self.scheduled.insert(id, (when, entry));
        when.due
    }

    /// Takes a task that stands there out of the queue, unless it has left it.
    pub(super) fn unschedule(&mut self, id: TaskId, kind: &TaskKind, when: When) {
        if self.scheduled.remove(&id).is_some() {
            return;
        }
        let key = when.key(kind, id);
        // A row that cannot be looked up can still be removed.
        if self.is_queued(key).unwrap_or(true) {
            self.dequeue(key);
        }
    }

    /// Lets the scheduled tasks enter the queue.
    pub(super) fn enqueue_scheduled(&mut self) {
        for (id, (when, entry)) in std::mem::take(&mut self.scheduled) {
            let key = when.key(&entry.kind, id);
            self.enqueue(key, entry);
        }
    }
}
