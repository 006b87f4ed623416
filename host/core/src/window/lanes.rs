//! One lane an entity: what of it waits in the window, is on its way or is still open.
//!
//! A lane exists only while there is something in it, so the lanes are bounded by the
//! window and by the open deliveries of the sink.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::change::EntityRef;
use crate::ids::{ChangeSeq, ConnectionId};

/// The lane of one entity.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Its items that were read and not handed over, in order.
    pub(super) waiting: VecDeque<u64>,
    /// Its items that are with the outlet.
    pub(super) flying: usize,
    /// Whether a task of it is with the outlet.
    pub(super) task: bool,
    /// Its deliveries that are tasks, due or waiting.
    pub(super) open: BTreeSet<ChangeSeq>,
    /// From this change on nothing went out while an earlier one was open.
    pub(super) ordered_from: Option<ChangeSeq>,
    /// The last of its items that the sink took.
    pub(super) taken: Option<u64>,
}

impl Lane {
    /// Whether a task keeps its items back.
    pub(super) fn is_blocked(&self) -> bool {
        self.task || !self.open.is_empty()
    }

    /// The item that may be handed over now.
    pub(super) fn head(&self) -> Option<u64> {
        let free = self.flying == 0 && !self.is_blocked();
        self.waiting.front().copied().filter(|_| free)
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.flying == 0 && !self.is_blocked()
    }
}

/// All lanes, and which items may be handed over.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    // Two steps, so that looking a lane up copies no names.
    by_connection: HashMap<ConnectionId, HashMap<EntityRef, Lane>>,
    ready: BTreeSet<u64>,
    open: usize,
}

impl Lanes {
    /// How many deliveries are open in all of them.
    pub(super) const fn open(&self) -> usize {
        self.open
    }

    /// The first item that may be handed over now.
    pub(super) fn first_ready(&self) -> Option<u64> {
        self.ready.first().copied()
    }

    /// That lane, where there is something in it.
    pub(super) fn get(&self, connection: &ConnectionId, entity: &EntityRef) -> Option<&Lane> {
        self.by_connection.get(connection)?.get(entity)
    }

    /// Changes a lane; what is ready and how much is open follow from it.
    pub(super) fn change<R>(
        &mut self,
        connection: &ConnectionId,
        entity: &EntityRef,
        change: impl FnOnce(&mut Lane) -> R,
    ) -> R {
        let lanes = self.by_connection.get_mut(connection);
        if let Some(lane) = lanes.and_then(|lanes| lanes.get_mut(entity)) {
            let (head, open) = (lane.head(), lane.open.len());
            let result = change(lane);
            let (head_now, open_now) = (lane.head(), lane.open.len());
            let empty = lane.is_empty();
            self.follow(head, head_now);
            self.open = (self.open + open_now).saturating_sub(open);
            if empty {
                self.drop_lane(connection, entity);
            }
            return result;
        }
        let mut lane = Lane::default();
        let result = change(&mut lane);
        if !lane.is_empty() {
            self.follow(None, lane.head());
            self.open += lane.open.len();
            let lanes = self.by_connection.entry(connection.clone()).or_default();
            lanes.insert(entity.clone(), lane);
        }
        result
    }

    fn follow(&mut self, head: Option<u64>, head_now: Option<u64>) {
        if head == head_now {
            return;
        }
        if let Some(item) = head {
            self.ready.remove(&item);
        }
        if let Some(item) = head_now {
            self.ready.insert(item);
        }
    }

    fn drop_lane(&mut self, connection: &ConnectionId, entity: &EntityRef) {
        if let Some(lanes) = self.by_connection.get_mut(connection) {
            lanes.remove(entity);
            if lanes.is_empty() {
                self.by_connection.remove(connection);
            }
        }
    }
}
