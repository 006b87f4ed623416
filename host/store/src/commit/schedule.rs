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
pub(super) type Scheduled = BTreeMap<TaskId, (Timestamp, QueueEntry)>;

/// The smallest step of time.
pub(super) const TICK: Duration = Duration::from_micros(1);

impl Draft<'_> {
    /// Schedules a task at its first attempt.
    pub(super) fn schedule_first(
        &mut self,
        id: TaskId,
        kind: TaskKind,
        due: Timestamp,
    ) -> Timestamp {
        let entry = QueueEntry {
            kind,
            attempt: 1,
            limited_since: None,
        };
        self.schedule(id, due, entry)
    }

    /// Schedules a task; says when it is due. Never at a place that it has left in this
    /// batch.
    pub(super) fn schedule(
        &mut self,
        id: TaskId,
        mut due: Timestamp,
        entry: QueueEntry,
    ) -> Timestamp {
        while self.ended.contains(&QueueKey::of(&entry.kind, due, id)) {
            due = due.plus(TICK);
        }
        self.scheduled.insert(id, (due, entry));
        due
    }

    /// Takes a task that is due then out of the queue, unless it has left it.
    pub(super) fn unschedule(&mut self, id: TaskId, kind: &TaskKind, due: Timestamp) {
        if self.scheduled.remove(&id).is_some() {
            return;
        }
        let key = QueueKey::of(kind, due, id);
        // A row that cannot be looked up can still be removed.
        if self.is_queued(key).unwrap_or(true) {
            self.dequeue(key);
        }
    }

    /// Lets the scheduled tasks enter the queue.
    pub(super) fn enqueue_scheduled(&mut self) {
        for (id, (due, entry)) in std::mem::take(&mut self.scheduled) {
            let key = QueueKey::of(&entry.kind, due, id);
            self.enqueue(key, entry);
        }
    }
}
