//! A commit in the making: the batch so far, and what it means for readers and claims.
//!
//! Later submissions of a batch must see what earlier ones did, and the engine must not
//! get a key twice. So whatever may change more than once in a batch (how entities
//! stand, their state, grants, polls that wait) is kept aside and written at the end.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tidegate_core::change::{Change, ProposedChange};
use tidegate_core::ids::{ConnectionId, ConnectorName, EventId};
use tidegate_core::task::{Task, TaskKind, TaskState};
use tidegate_core::time::Timestamp;
use tidegate_core::version::Standing;

use crate::codec::{KeyHolder, QueueEntry, Record, State};
use crate::engine::Batch;
use crate::keys::{self, EventKey, EventKeyMap, QueueKey};
use crate::ledger::{LEDGER, Ledger};
use crate::queue::QueueChanges;
use crate::rooms::Rooms;
use crate::view::{Fault, View};

/// A commit in the making.
pub(super) struct Draft<'a> {
    pub(super) view: &'a View,
    pub(super) now: Timestamp,
    pub(super) ledger: Ledger,
    pub(super) batch: Batch,
    keys: EventKeyMap<KeyHolder>,
    ended: HashSet<QueueKey>,
    added: Vec<(QueueKey, Task)>,
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
}

impl<'a> Draft<'a> {
    pub(super) fn new(view: &'a View, now: Timestamp) -> Self {
        Self {
            view,
            now,
            ledger: view.ledger.clone(),
            batch: Batch::default(),
            keys: EventKeyMap::default(),
            ended: HashSet::new(),
            added: Vec::new(),
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
        self.ended.insert(key);
    }

    /// Lets a task wait.
    pub(super) fn wait(&mut self, task: &Task) {
        let key = match &task.kind {
            TaskKind::Poll { connection } => keys::waiting_poll(connection),
            TaskKind::Map { .. } | TaskKind::Fetch { .. } => keys::waiting_fetch(task.id),
        };
        self.batch
            .put(self.view.rooms.waiting.keyspace, key, task.to_record());
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
        self.wait(&Task {
            id,
            kind,
            state: NOT_BUILT,
        });
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
        let ProposedChange { occurred, data, .. } = &change.change;
        let state = Some(State {
            occurred: *occurred,
            data: data.clone(),
        });
        self.entities
            .insert(entity, StagedEntity { standing, state });
        let room = self.ledger.changes.newest().rooms.0;
        self.batch.put(
            room.keyspace,
            keys::number(change.seq.get()),
            change.to_record(),
        );
    }

    /// Notes what has become of an event.
    pub(super) fn put_progress(&mut self, event: EventId, record: Vec<u8>) {
        if let Some(bucket) = self.ledger.events.of(event.get()) {
            let room = bucket.rooms.progress;
            self.batch
                .put(room.keyspace, keys::number(event.get()), record);
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
            },
            keys: self.keys,
        })
    }
}

/// The state of a task that this version of the host cannot carry out yet.
pub(super) const NOT_BUILT: TaskState = TaskState::Waiting {
    reason: tidegate_core::task::WaitReason::CapabilityNotBuilt,
};
