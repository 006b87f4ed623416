//! How many dead letters there are of whom and why, in memory.
//!
//! Built from their heads when the store is opened, and moved on with each commit after
//! its sync. At some 40 bytes a letter.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::ids::{ConnectionId, TaskId};
use tidegate_core::task::{DeadCause, Owner};
use tidegate_core::time::Timestamp;

use crate::codec::Record;
use crate::dead::DeadHead;
use crate::engine::{Order, Span};
use crate::view::{Fault, View};

/// Dead letters of one owner, connection and cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadCount {
    /// Whose they are.
    pub owner: Owner,
    /// Of which connection, where they are of one.
    pub connection: Option<ConnectionId>,
    /// Why they were parked.
    pub cause: DeadCause,
    /// How many.
    pub count: u64,
    /// When the oldest of them was parked.
    pub oldest: Timestamp,
    /// Which that is.
    pub first: TaskId,
}

/// What a commit did to the dead letters.
#[derive(Clone, Debug)]
pub(crate) enum DeadChange {
    Parked(DeadHead),
    Left(DeadHead),
}

/// The dead letters of each group, oldest first.
#[derive(Debug, Default)]
pub(crate) struct DeadCounts {
    groups: BTreeMap<Group, BTreeSet<(Timestamp, TaskId)>>,
}

/// Causes have no order of their own.
type Group = (Owner, Option<ConnectionId>, &'static str);

impl DeadCounts {
    /// Counts what the view has. A head that cannot be read is not among them.
    pub(crate) fn read(view: &View) -> Result<Self, Fault> {
        let mut counts = Self::default();
        for row in view.rows(view.rooms.dead_heads, Span::ALL, Order::Ascending)? {
            let (key, record) = row?;
            match DeadHead::from_record(record) {
                Ok(head) => counts.apply(DeadChange::Parked(head)),
                Err(source) => {
                    let fault = Fault::corrupt(view.rooms.dead_heads, &key, source);
                    tracing::warn!(error = %fault, "a dead letter is not counted");
                }
            }
        }
        Ok(counts)
    }

    pub(crate) fn apply(&mut self, change: DeadChange) {
        match change {
            DeadChange::Parked(head) => {
                let place = (head.at, head.task);
                self.groups.entry(group(head)).or_default().insert(place);
            }
            DeadChange::Left(head) => {
                let place = (head.at, head.task);
                let group = group(head);
                if let Some(letters) = self.groups.get_mut(&group) {
                    letters.remove(&place);
                    if letters.is_empty() {
                        self.groups.remove(&group);
                    }
                }
            }
        }
    }

    pub(crate) fn list(&self) -> Vec<DeadCount> {
        let count = |(group, letters): (&Group, &BTreeSet<(Timestamp, TaskId)>)| {
            let (owner, connection, code) = group;
            let cause = DeadCause::ALL
                .into_iter()
                .find(|cause| cause.code() == *code)?;
            let (oldest, first) = letters.first()?;
            Some(DeadCount {
                owner: owner.clone(),
                connection: connection.clone(),
                cause,
                count: letters.len() as u64,
                oldest: *oldest,
                first: *first,
            })
        };
        self.groups.iter().filter_map(count).collect()
    }
}

fn group(head: DeadHead) -> Group {
    (head.owner, head.connection, head.cause.code())
}
