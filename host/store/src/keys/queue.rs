//! Keys of the queue: a lane for each owner and kind of worker, and the places in it.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use tidegate_core::ids::{ConnectionId, TaskId};
use tidegate_core::task::{Owner, TaskKind, Work};
use tidegate_core::time::Timestamp;

use super::to_number;

/// A lane of the queue: the tasks of one owner for one kind of worker. Two owners whose
/// hashes meet share a lane, and with it their turn; nothing else goes by the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneKey {
    pub(crate) work: Work,
    pub(crate) owner: u64,
}

impl LaneKey {
    /// What the keys of its tasks begin with.
    pub(crate) fn to_bytes(self) -> [u8; 9] {
        let mut key = [0; 9];
        let (work, owner) = key.split_at_mut(1);
        work.copy_from_slice(&[work_code(self.work)]);
        owner.copy_from_slice(&self.owner.to_be_bytes());
        key
    }

    /// The lane of a task.
    pub(crate) fn of(kind: &TaskKind) -> Self {
        let owner = match kind {
            TaskKind::Map { connection, .. }
            | TaskKind::Fetch { connection, .. }
            | TaskKind::Poll { connection } => connection_hash(connection),
            TaskKind::Deliver(delivery) => owner_hash(b's', [delivery.sink.as_str(), ""]),
            TaskKind::Alert { channel, .. } => owner_hash(b'a', [channel.as_str(), ""]),
        };
        Self {
            work: kind.work(),
            owner,
        }
    }

    /// The lane of an owner's tasks.
    pub(crate) fn of_owner(work: Work, owner: &Owner) -> Self {
        let owner = match owner {
            Owner::Connection(connection) => connection_hash(connection),
            Owner::Sink(sink) => owner_hash(b's', [sink.as_str(), ""]),
            Owner::Channel(channel) => owner_hash(b'a', [channel.as_str(), ""]),
        };
        Self { work, owner }
    }
}

/// Whether a task is that owner's.
pub(crate) fn is_owned_by(kind: &TaskKind, owner: &Owner) -> bool {
    match (kind, owner) {
        (TaskKind::Deliver(delivery), Owner::Sink(sink)) => delivery.sink == *sink,
        (TaskKind::Alert { channel, .. }, Owner::Channel(owner)) => channel == owner,
        (
            TaskKind::Map { connection, .. }
            | TaskKind::Fetch { connection, .. }
            | TaskKind::Poll { connection },
            Owner::Connection(owner),
        ) => connection == owner,
        (_, Owner::Connection(_) | Owner::Sink(_) | Owner::Channel(_)) => false,
    }
}

fn connection_hash(connection: &ConnectionId) -> u64 {
    let ConnectionId { connector, account } = connection;
    owner_hash(b'c', [connector.as_str(), account.as_str()])
}

/// It stands on disk, so it is the same for ever; its key is no secret, since owners are
/// what an operator has configured.
fn owner_hash(kind: u8, name: [&str; 2]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&[kind]);
    for part in name {
        hasher.write(part.as_bytes());
        hasher.write(&[0]);
    }
    hasher.finish()
}

/// What the keys of all tasks for that kind of worker begin with.
pub(crate) const fn work_prefix(work: Work) -> [u8; 1] {
    [work_code(work)]
}

const fn work_code(work: Work) -> u8 {
    match work {
        Work::Map => 1,
        Work::Partner => 2,
        Work::Deliver => 3,
        Work::Alert => 4,
    }
}

/// A place within a lane: tasks in the order in which they are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) due: Timestamp,
    pub(crate) task: TaskId,
    /// When what the task is about came up. It stands in the key so that the age of a
    /// lane is known without reading what is in it.
    pub(crate) since: Timestamp,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QueueKey {
    pub(crate) lane: LaneKey,
    pub(crate) due: Timestamp,
    pub(crate) task: TaskId,
    pub(crate) since: Timestamp,
}

impl QueueKey {
    /// Where a task stands that is due then and about what came up at `since`.
    pub(crate) fn of(kind: &TaskKind, due: Timestamp, since: Timestamp, task: TaskId) -> Self {
        Self {
            lane: LaneKey::of(kind),
            due,
            task,
            since,
        }
    }

    /// That place of a lane.
    pub(crate) const fn at(lane: LaneKey, Place { due, task, since }: Place) -> Self {
        Self {
            lane,
            due,
            task,
            since,
        }
    }

    /// Where in its lane it is.
    pub(crate) const fn place(self) -> Place {
        let Self {
            due, task, since, ..
        } = self;
        Place { due, task, since }
    }

    pub(crate) fn to_bytes(self) -> [u8; 33] {
        let mut key = [0; 33];
        let (lane, place) = key.split_at_mut(9);
        let (due, place) = place.split_at_mut(8);
        let (task, since) = place.split_at_mut(8);
        lane.copy_from_slice(&self.lane.to_bytes());
        due.copy_from_slice(&shifted(self.due).to_be_bytes());
        task.copy_from_slice(&self.task.get().to_be_bytes());
        since.copy_from_slice(&shifted(self.since).to_be_bytes());
        key
    }

    pub(crate) fn from_bytes(key: &[u8]) -> Option<Self> {
        let (work, key) = key.split_first()?;
        let work = WORKS.into_iter().find(|one| work_code(*one) == *work)?;
        let (owner, place) = key.split_at_checked(8)?;
        let (due, place) = place.split_at_checked(8)?;
        let (task, since) = place.split_at_checked(8)?;
        let owner = to_number(owner)?;
        Some(Self {
            lane: LaneKey { work, owner },
            due: unshifted(to_number(due)?),
            task: TaskId::new(to_number(task)?),
            since: unshifted(to_number(since)?),
        })
    }
}

/// An instant as a number that orders as instants do, the negative ones first.
const fn shifted(instant: Timestamp) -> u64 {
    instant.as_micros().cast_unsigned() ^ (1 << 63)
}

const fn unshifted(number: u64) -> Timestamp {
    Timestamp::from_micros((number ^ (1 << 63)).cast_signed())
}

const WORKS: [Work; 4] = [Work::Map, Work::Partner, Work::Deliver, Work::Alert];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn queue_keys_order_by_lane_and_then_instant(
            a: (usize, u64, i64, u64, i64),
            b: (usize, u64, i64, u64, i64),
        ) {
            let key = |(work, owner, due, task, since): (usize, u64, i64, u64, i64)| QueueKey {
                lane: LaneKey { work: WORKS[work % WORKS.len()], owner },
                due: Timestamp::from_micros(due),
                task: TaskId::new(task),
                since: Timestamp::from_micros(since),
            };
            let (a, b) = (key(a), key(b));
            prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
            prop_assert_eq!(QueueKey::from_bytes(&a.to_bytes()), Some(a));
        }
    }

    /// The owner's hash stands on disk: this lane is where earlier versions put it.
    #[test]
    fn a_lane_stays_where_it_is() {
        let connection: ConnectionId = "github/acme".parse().unwrap();
        let owner = Owner::Connection(connection.clone());
        let lane = LaneKey::of_owner(Work::Map, &owner);
        assert_eq!(lane.owner, 0x8374_3a30_adf9_22e7);
        let kind = TaskKind::Poll { connection };
        assert_eq!(LaneKey::of(&kind), LaneKey::of_owner(Work::Partner, &owner));
        assert!(is_owned_by(&kind, &owner));
    }

    #[test]
    fn owners_of_one_name_have_lanes_of_their_own() {
        let sink = Owner::Sink("app".parse().unwrap());
        let channel = Owner::Channel("app".parse().unwrap());
        let lane = |owner| LaneKey::of_owner(Work::Deliver, owner).owner;
        assert_ne!(lane(&sink), lane(&channel));
    }
}
