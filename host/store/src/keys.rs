//! Keyspaces and keys: where each record lives.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `meta` | a word | format, hash key, ledger |
//! | `events-N` | event number | [`Event`] |
//! | `progress-N` | event number | its progress; absent while fresh |
//! | `keys-N` | event key: a keyed 128-bit hash | first event with it, digest of its body |
//! | `queue` | work, owner, due, task number | what a scheduled task is |
//! | `unreadable` | keyspace, its key | a row of it that could not be read |
//! | `waiting` | `f` task number, or `p` connection | a waiting fetch; the one waiting poll |
//! | | `c` connection, task number | a task of a paused connection |
//! | `attempts` | task number | attempts at a task that has no event |
//! | `deliveries` | `o` sink, entity, change number | an open delivery, in the queue or behind one |
//! | | `d` the same | the task number of a parked one |
//! | `dead` | task number | a dead letter with its event or change |
//! | `dead-heads` | task number | what lists and counts need of it |
//! | `replaying` | task number | an event or change that runs again and is no longer kept elsewhere |
//! | `pauses` | connection | why its outgoing work rests |
//! | `sinks` | sink | how it stands |
//! | `alerts` | rule, subject | an alert that stands |
//! | `replays` | replay number | how far a replay has come |
//! | `audit` | entry number | what a person did |
//! | `changes-N` | change number | [`Change`](tidegate_core::change::Change) |
//! | `standing` | entity | how it stands for the version rule |
//! | `mirror` | entity | its newest state |
//! | `grants` | connector | its grant as JSON |
//!
//! Numbers are big-endian, so that keys order as numbers do; instants are shifted so
//! that negative ones come first. An entity's key is connector, account, kind and id
//! with a NUL between them: none of the first three may hold one. Where more follows, its
//! length stands before it. An owner in the queue is a 64-bit hash, so that all its tasks
//! stand together and keys are short.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip::SipHasher13;
use siphasher::sip128::SipHasher24;
use tidegate_core::alert::AlertKey;
use tidegate_core::change::EntityRef;
use tidegate_core::event::Event;
use tidegate_core::ids::{ChangeSeq, ConnectionId, ConnectorName, SinkName, TaskId};
use tidegate_core::task::{Delivery, Owner, TaskKind, Work};
use tidegate_core::time::Timestamp;

/// The key of a numbered record.
pub(crate) const fn number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number in a numbered record's key.
pub(crate) fn to_number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

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
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QueueKey {
    pub(crate) lane: LaneKey,
    pub(crate) due: Timestamp,
    pub(crate) task: TaskId,
}

impl QueueKey {
    /// Where a task stands that is due then.
    pub(crate) fn of(kind: &TaskKind, due: Timestamp, task: TaskId) -> Self {
        let lane = LaneKey::of(kind);
        Self { lane, due, task }
    }

    /// That place of a lane.
    pub(crate) const fn at(lane: LaneKey, Place { due, task }: Place) -> Self {
        Self { lane, due, task }
    }

    /// Where in its lane it is.
    pub(crate) const fn place(self) -> Place {
        let Self { due, task, .. } = self;
        Place { due, task }
    }

    pub(crate) fn to_bytes(self) -> [u8; 25] {
        let shifted = self.due.as_micros().cast_unsigned() ^ (1 << 63);
        let mut key = [0; 25];
        let (lane, place) = key.split_at_mut(9);
        let (due, task) = place.split_at_mut(8);
        lane.copy_from_slice(&self.lane.to_bytes());
        due.copy_from_slice(&shifted.to_be_bytes());
        task.copy_from_slice(&self.task.get().to_be_bytes());
        key
    }

    pub(crate) fn from_bytes(key: &[u8]) -> Option<Self> {
        let (work, key) = key.split_first()?;
        let work = WORKS.into_iter().find(|one| work_code(*one) == *work)?;
        let (owner, place) = key.split_at_checked(8)?;
        let (due, task) = place.split_at_checked(8)?;
        let owner = to_number(owner)?;
        let shifted = to_number(due)? ^ (1 << 63);
        Some(Self {
            lane: LaneKey { work, owner },
            due: Timestamp::from_micros(shifted.cast_signed()),
            task: TaskId::new(to_number(task)?),
        })
    }
}

const WORKS: [Work; 4] = [Work::Map, Work::Partner, Work::Deliver, Work::Alert];

/// Under which key a row of another keyspace is set aside.
pub(crate) fn unreadable(keyspace: &str, key: &[u8]) -> Vec<u8> {
    let mut whole = keyspace.as_bytes().to_vec();
    whole.push(0);
    whole.extend_from_slice(key);
    whole
}

/// Prefix of the waiting fetches, by task number.
pub(crate) const WAITING_FETCH: u8 = b'f';
/// Prefix of the waiting polls, by connection: at most one each.
pub(crate) const WAITING_POLL: u8 = b'p';

/// The key of a waiting fetch.
pub(crate) fn waiting_fetch(task: TaskId) -> Vec<u8> {
    let mut key = vec![WAITING_FETCH];
    key.extend_from_slice(&number(task.get()));
    key
}

/// The key of a connection's waiting poll.
pub(crate) fn waiting_poll(connection: &ConnectionId) -> Vec<u8> {
    let mut key = vec![WAITING_POLL];
    key.extend_from_slice(&connection_prefix(connection));
    key
}

/// Prefix of the tasks of paused connections, by connection.
const WAITING_PAUSED: u8 = b'c';

/// What the keys of a paused connection's waiting tasks begin with.
pub(crate) fn paused_prefix(connection: &ConnectionId) -> Vec<u8> {
    let mut key = vec![WAITING_PAUSED];
    key.extend_from_slice(&connection_prefix(connection));
    key
}

/// The key of a task that waits for its connection to be resumed.
pub(crate) fn paused_task(connection: &ConnectionId, task: TaskId) -> Vec<u8> {
    let mut key = paused_prefix(connection);
    key.extend_from_slice(&number(task.get()));
    key
}

/// Which half of the deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryHalf {
    Open = b'o' as isize,
    Dead = b'd' as isize,
}

/// What the keys of a sink's deliveries begin with.
pub(crate) fn sink_prefix(half: DeliveryHalf, sink: &SinkName) -> Vec<u8> {
    let mut key = vec![half as u8];
    key.extend_from_slice(sink.as_str().as_bytes());
    key.push(0);
    key
}

/// What the keys of a sink's deliveries of one entity begin with.
pub(crate) fn delivery_prefix(
    half: DeliveryHalf,
    sink: &SinkName,
    connection: &ConnectionId,
    named: &EntityRef,
) -> Vec<u8> {
    let mut key = sink_prefix(half, sink);
    let entity = entity(connection, named);
    // The bounds on names and ids keep it below 1 KiB.
    let length = u16::try_from(entity.len()).unwrap_or(u16::MAX);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(&entity);
    key
}

/// The key of a delivery: those of one entity stand in the order of their changes.
pub(crate) fn delivery(half: DeliveryHalf, delivery: &Delivery) -> Vec<u8> {
    let Delivery {
        sink,
        connection,
        entity,
        seq,
        ..
    } = delivery;
    let mut key = delivery_prefix(half, sink, connection, entity);
    key.extend_from_slice(&number(seq.get()));
    key
}

/// The sink, entity and change that a delivery's key is of.
pub(crate) fn to_delivery(key: &[u8]) -> Option<(SinkName, (ConnectionId, EntityRef), ChangeSeq)> {
    let (head, seq) = key.split_last_chunk::<8>()?;
    let (_half, head) = head.split_first()?;
    let end = head.iter().position(|byte| *byte == 0)?;
    let (sink, entity) = (head.get(..end)?, head.get(end + 3..)?);
    let sink = std::str::from_utf8(sink).ok()?.parse().ok()?;
    Some((sink, to_entity(entity)?, ChangeSeq::new(to_number(seq)?)))
}

/// The key of an alert.
pub(crate) fn alert(key: &AlertKey) -> Vec<u8> {
    let mut bytes = key.rule.code().as_bytes().to_vec();
    bytes.push(0);
    bytes.extend_from_slice(key.subject.as_bytes());
    bytes
}

/// What the keys of a connector's entities begin with.
pub(crate) fn connector_prefix(connector: &ConnectorName) -> Vec<u8> {
    let mut key = connector.as_str().as_bytes().to_vec();
    key.push(0);
    key
}

/// What the keys of a connection's entities begin with.
pub(crate) fn connection_prefix(connection: &ConnectionId) -> Vec<u8> {
    let mut key = connector_prefix(&connection.connector);
    key.extend_from_slice(connection.account.as_str().as_bytes());
    key.push(0);
    key
}

/// What the keys of a connection's entities of one kind begin with.
pub(crate) fn kind_prefix(connection: &ConnectionId, kind: &str) -> Vec<u8> {
    let mut key = connection_prefix(connection);
    key.extend_from_slice(kind.as_bytes());
    key.push(0);
    key
}

/// The key of an entity.
pub(crate) fn entity(connection: &ConnectionId, entity: &EntityRef) -> Vec<u8> {
    let mut key = kind_prefix(connection, &entity.kind);
    key.extend_from_slice(entity.id.as_bytes());
    key
}

/// The entity that a key is of.
pub(crate) fn to_entity(key: &[u8]) -> Option<(ConnectionId, EntityRef)> {
    let mut parts = std::str::from_utf8(key).ok()?.splitn(4, '\0');
    let connection = ConnectionId {
        connector: parts.next()?.parse().ok()?,
        account: parts.next()?.parse().ok()?,
    };
    let entity = EntityRef {
        kind: parts.next()?.to_owned(),
        id: parts.next()?.to_owned(),
    };
    Some((connection, entity))
}

/// The first key after all that begin with `prefix`; none where there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

/// What an event is deduplicated by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EventKey(pub(crate) u128);

/// Whatever is found by event keys. They are hashes under a secret key already, so that
/// hashing them again would only cost time.
pub(crate) type EventKeyMap<V> = HashMap<EventKey, V, BuildHasherDefault<LowHalf>>;

/// Takes the low half of an event key as its hash.
#[derive(Debug, Default)]
pub(crate) struct LowHalf(u64);

impl Hasher for LowHalf {
    fn write_u128(&mut self, key: u128) {
        self.0 = (key & u128::from(u64::MAX)).try_into().unwrap_or_default();
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl EventKey {
    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

/// Hashes event keys and bodies with the store's own key, so that nobody outside can
/// make two of them meet.
#[derive(Clone)]
pub(crate) struct EventHasher {
    keys: SipHasher24,
    bodies: SipHasher13,
}

impl EventHasher {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self {
            keys: SipHasher24::new_with_key(&key),
            bodies: SipHasher13::new_with_key(&key),
        }
    }

    pub(crate) fn key(&self, event: &Event) -> EventKey {
        let mut whole = connection_prefix(&event.connection);
        whole.extend_from_slice(event.partner_id.as_bytes());
        EventKey(self.keys.hash(&whole).as_u128())
    }

    /// What tells the store from every other, and says nothing of the key.
    pub(crate) fn store_id(&self) -> u64 {
        // No event key is hashed so: it would begin with the length of a name.
        self.keys.hash(b"").h1
    }

    /// Enough to tell that one event key came with two bodies.
    pub(crate) fn body(&self, event: &Event) -> u64 {
        self.bodies.hash(&event.body)
    }
}

impl std::fmt::Debug for EventHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventHasher(key redacted)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn queue_keys_order_by_lane_and_then_instant(
            a: (usize, u64, i64, u64),
            b: (usize, u64, i64, u64),
        ) {
            let key = |(work, owner, due, task): (usize, u64, i64, u64)| QueueKey {
                lane: LaneKey { work: WORKS[work % WORKS.len()], owner },
                due: Timestamp::from_micros(due),
                task: TaskId::new(task),
            };
            let (a, b) = (key(a), key(b));
            prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), a.cmp(&b));
            prop_assert_eq!(QueueKey::from_bytes(&a.to_bytes()), Some(a));
        }

        #[test]
        fn an_entity_key_leads_back(id in "[^\0]{1,20}") {
            let connection: ConnectionId = "github/Åcme GmbH".parse().unwrap();
            let named = EntityRef { kind: "pull_request".into(), id };
            let key = entity(&connection, &named);
            prop_assert_eq!(to_entity(&key), Some((connection, named)));
        }

        #[test]
        fn a_delivery_key_leads_back(id in ".{1,20}", seq: u64) {
            let of = Delivery {
                sink: "app".parse().unwrap(),
                seq: ChangeSeq::new(seq),
                connection: "github/acme".parse().unwrap(),
                entity: EntityRef { kind: "issue".into(), id },
                forced: false,
            };
            let key = delivery(DeliveryHalf::Open, &of);
            let prefix =
                delivery_prefix(DeliveryHalf::Open, &of.sink, &of.connection, &of.entity);
            prop_assert!(key.starts_with(&prefix));
            let expect = (of.sink, (of.connection, of.entity), of.seq);
            prop_assert_eq!(to_delivery(&key), Some(expect));
        }

        #[test]
        fn a_prefix_ends_after_all_that_begin_with_it(
            prefix in proptest::collection::vec(any::<u8>(), 0..4),
            tail in proptest::collection::vec(any::<u8>(), 0..4),
        ) {
            let mut key = prefix.clone();
            key.extend(tail);
            prop_assert!(after_prefix(&prefix).is_none_or(|end| key < end));
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

    #[test]
    fn an_entity_is_not_a_prefix_of_a_longer_one_among_deliveries() {
        let sink = "app".parse().unwrap();
        let connection = "github/acme".parse().unwrap();
        let prefix = |id: &str| {
            let entity = EntityRef {
                kind: "issue".into(),
                id: id.into(),
            };
            delivery_prefix(DeliveryHalf::Open, &sink, &connection, &entity)
        };
        assert!(!prefix("7\0\0\0\0\0\0\0\u{1}").starts_with(&prefix("7")));
    }

    #[test]
    fn an_account_is_not_a_prefix_of_a_longer_one() {
        let acme = connection_prefix(&"github/acme".parse().unwrap());
        let longer = connection_prefix(&"github/acme-two".parse().unwrap());
        assert!(!longer.starts_with(&acme));
    }
}
