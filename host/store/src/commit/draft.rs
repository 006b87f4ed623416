//! A commit in the making: the batch so far, and what it means for readers and claims.
//!
//! Later submissions of a batch must see what earlier ones did, and the engine must not
//! get a key twice. So whatever may change more than once in a batch (how entities
//! stand, their state, grants, polls that wait, and all that [`super::overlay`] and
//! [`super::schedule`] keep) is kept aside and written at the end.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tidegate_core::change::Change;
use tidegate_core::event::EventProgress;
use tidegate_core::ids::{ConnectionId, ConnectorName, EventId};
use tidegate_core::task::{Task, TaskKind, TaskState};
use tidegate_core::time::Timestamp;
use tidegate_core::version::Standing;

use super::overlay::Overlay;
use super::schedule::Scheduled;
use crate::codec::{KeyHolder, QueueEntry, Record, State};
use crate::dead_counts::DeadChange;
use crate::engine::Batch;
use crate::keys::{self, EventKey, EventKeyMap, QueueKey};
use crate::ledger::{LEDGER, Ledger};
use crate::queue::{QueueChanges, TornRow};
use crate::rooms::Rooms;
use crate::view::{Fault, View};

/// A commit in the making.
pub(super) struct Draft<'a> {
    pub(super) view: &'a View,
    pub(super) now: Timestamp,
    pub(super) ledger: Ledger,
    pub(super) batch: Batch,
    pub(super) overlay: Overlay,
    pub(super) scheduled: Scheduled,
    /// What became of dead letters.
    pub(super) dead: Vec<DeadChange>,
    keys: EventKeyMap<KeyHolder>,
    pub(super) ended: HashSet<QueueKey>,
    added: Vec<(QueueKey, Task)>,
    progressed: HashSet<EventId>,
    /// Keys of torn rows that are no longer in the queue.
    pub(super) aside: Vec<Bytes>,
    entities: HashMap<Vec<u8>, StagedEntity>,
    polls: HashSet<ConnectionId>,
    grants: HashMap<ConnectorName, Bytes>,
    /// Duplicates whose body is not the first one's.
    pub(super) clashes: u64,
    buckets_changed: bool,
}

/// How an entity stands after the batch so far.
struct StagedEntity {
    standing: Standing,
    /// Its state, where the batch changes it.
    state: Option<State>,
}

/// A commit that is ready to be written.
pub(super) struct Staged {
    pub(super) batch: Batch,
    pub(super) ledger: Ledger,
    pub(super) rooms: Rooms,
    pub(super) queue: QueueChanges,
    pub(super) keys: EventKeyMap<KeyHolder>,
    pub(super) dead: Vec<DeadChange>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(view: &'a View, now: Timestamp) -> Self {
        Self {
            view,
            now,
            ledger: view.ledger.clone(),
            batch: Batch::default(),
            overlay: Overlay::default(),
            scheduled: Scheduled::default(),
            dead: Vec::new(),
            keys: EventKeyMap::default(),
            ended: HashSet::new(),
            added: Vec::new(),
            progressed: HashSet::new(),
            aside: Vec::new(),
            entities: HashMap::new(),
            polls: HashSet::new(),
            grants: HashMap::new(),
            clashes: 0,
            buckets_changed: false,
        }
    }

    /// Who holds an event key, by this batch.
    pub(super) fn key_holder(&self, key: EventKey) -> Option<KeyHolder> {
        self.keys.get(&key).copied()
    }

    /// Gives an event key to its first event.
    pub(super) fn hold_key(&mut self, key: EventKey, holder: KeyHolder) {
        let room = self.ledger.keys.newest().rooms.0;
        self.batch
            .put(room.keyspace, key.to_bytes(), holder.to_record());
        self.keys.insert(key, holder);
    }

    /// Whether a task stands at that place of the queue.
    pub(super) fn is_queued(&self, key: QueueKey) -> Result<bool, Fault> {
        if self.ended.contains(&key) {
            return Ok(false);
        }
        let found = self.view.bytes(self.view.rooms.queue, &key.to_bytes())?;
        Ok(found.is_some())
    }

    /// Puts a task into the queue.
    pub(super) fn enqueue(&mut self, key: QueueKey, entry: QueueEntry) {
        self.batch.put(
            self.view.rooms.queue.keyspace,
            key.to_bytes(),
            entry.to_record(),
        );
        self.ledger.tally.scheduled += 1;
        self.added.push((key, entry.at(key)));
    }

    /// Takes a task out of the queue.
    pub(super) fn dequeue(&mut self, key: QueueKey) {
        self.batch
            .remove(self.view.rooms.queue.keyspace, key.to_bytes());
        self.ledger.tally.scheduled = self.ledger.tally.scheduled.saturating_sub(1);
        self.ledger.stops.forget(key.task);
        self.ended.insert(key);
    }

    /// Takes a row of the queue that nobody can read to where somebody can look at it. The
    /// task that it was, where its key says so, has to be taken out besides.
    pub(super) fn set_aside(&mut self, torn: TornRow) {
        let rooms = &self.view.rooms;
        let key = keys::unreadable(&rooms.queue.name.to_string(), &torn.key);
        self.batch
            .put(rooms.unreadable.keyspace, key, torn.record.to_vec());
        self.ledger.tally.unreadable += 1;
        self.aside.push(torn.key);
    }

    /// Lets a task wait under that key.
    pub(super) fn wait(&mut self, key: Vec<u8>, task: &Task) {
        let room = self.view.rooms.waiting;
        self.put(room, key, task);
        self.ledger.tally.waiting += 1;
    }

    /// Whether a poll of that connection waits.
    pub(super) fn poll_waits(&self, connection: &ConnectionId) -> Result<bool, Fault> {
        if self.polls.contains(connection) {
            return Ok(true);
        }
        let key = keys::waiting_poll(connection);
        Ok(self.view.bytes(self.view.rooms.waiting, &key)?.is_some())
    }

    /// Lets a poll of that connection wait.
    pub(super) fn wait_for_poll(&mut self, connection: &ConnectionId) {
        if !self.polls.insert(connection.clone()) {
            return;
        }
        let id = self.ledger.tally.next_task();
        let kind = TaskKind::Poll {
            connection: connection.clone(),
        };
        let task = Task {
            id,
            kind,
            state: NOT_BUILT,
        };
        self.wait(keys::waiting_poll(connection), &task);
    }

    /// Lets a poll of that connection wait, unless one does.
    pub(super) fn wish_poll(&mut self, connection: &ConnectionId) -> Result<(), Fault> {
        if !self.poll_waits(connection)? {
            self.wait_for_poll(connection);
        }
        Ok(())
    }

    /// How an entity stands after the batch so far.
    pub(super) fn standing(&self, entity: &[u8]) -> Result<Option<Standing>, Fault> {
        match self.entities.get(entity) {
            Some(staged) => Ok(Some(staged.standing.clone())),
            None => self.view.record(self.view.rooms.standing, entity),
        }
    }

    /// Lets an entity stand so; its state stays.
    pub(super) fn stand(&mut self, entity: Vec<u8>, standing: Standing) {
        let state = self
            .entities
            .remove(&entity)
            .and_then(|staged| staged.state);
        self.entities
            .insert(entity, StagedEntity { standing, state });
    }

    /// A change goes out: into the log, and the entity's state into the mirror.
    pub(super) fn apply(&mut self, entity: Vec<u8>, standing: Standing, change: &Change) {
        let state = Some(State::of(change));
        self.entities
            .insert(entity, StagedEntity { standing, state });
        let room = self.ledger.changes.newest().rooms.0;
        self.batch.put(
            room.keyspace,
            keys::number(change.seq.get()),
            change.to_record(),
        );
    }

    /// Whether this batch has noted something of an event already.
    pub(super) fn has_progressed(&self, event: EventId) -> bool {
        self.progressed.contains(&event)
    }

    /// Notes what has become of an event, at most once a batch; nothing where its bucket
    /// is gone.
    pub(super) fn put_progress(&mut self, event: EventId, progress: &EventProgress) {
        self.progressed.insert(event);
        if let Some(bucket) = self.ledger.events.of(event.get()) {
            let (room, key) = (bucket.rooms.progress, keys::number(event.get()));
            self.batch.put(room.keyspace, key, progress.to_record());
        }
    }

    /// Keeps a grant; the last of a batch counts.
    pub(super) fn put_grant(&mut self, connector: &ConnectorName, grant: &Bytes) {
        self.grants.insert(connector.clone(), grant.clone());
    }

    /// Notes that buckets have come or gone, which is worth a write of its own.
    pub(super) fn note_buckets_changed(&mut self) {
        self.buckets_changed = true;
    }

    /// Adds what was kept aside; none where there is nothing to write.
    pub(super) fn finish(mut self) -> Option<Staged> {
        let rooms = self.view.rooms;
        self.enqueue_scheduled();
        std::mem::take(&mut self.overlay).write(&mut self.batch);
        for (entity, staged) in self.entities {
            if let Some(state) = staged.state {
                self.batch
                    .put(rooms.mirror.keyspace, entity.clone(), state.to_record());
            }
            self.batch
                .put(rooms.standing.keyspace, entity, staged.standing.to_record());
        }
        for (connector, grant) in self.grants {
            self.batch
                .put(rooms.grants.keyspace, connector.as_str(), grant.to_vec());
        }
        if self.batch.is_empty() && !self.buckets_changed {
            return None;
        }
        self.batch
            .put(rooms.meta.keyspace, LEDGER, self.ledger.to_record());
        let ended = self.ended.into_iter().collect();
        Some(Staged {
            batch: self.batch,
            ledger: self.ledger,
            rooms,
            queue: QueueChanges {
                added: self.added,
                ended,
                aside: self.aside,
            },
            keys: self.keys,
            dead: self.dead,
        })
    }
}

/// The state of a task that this version of the host cannot carry out yet.
pub(super) const NOT_BUILT: TaskState = TaskState::Waiting {
    reason: tidegate_core::task::WaitReason::CapabilityNotBuilt,
};
