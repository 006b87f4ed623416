//! Keyspaces and keys: where each record lives.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `meta` | a word | format, hash key, ledger |
//! | `events-N` | event number | [`Event`](tidegate_core::event::Event) |
//! | `progress-N` | event number | its progress; absent while fresh |
//! | `keys-N` | event key: a keyed 128-bit hash | first event with it, digest of its body |
//! | `queue` | work, owner, due, task number, since when | what a scheduled task is |
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
//! | `secrets` | connection, position | a secret that its partner handed over, sealed |
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

mod event;
mod queue;

use tidegate_core::alert::AlertKey;
use tidegate_core::change::EntityRef;
use tidegate_core::ids::{ChangeSeq, ConnectionId, ConnectorName, SinkName, TaskId};
use tidegate_core::task::Delivery;

pub(crate) use event::{BodyDigest, EventHasher, EventKey, EventKeyMap};
pub(crate) use queue::{LaneKey, Place, QueueKey, is_owned_by, work_prefix};

/// The key of a numbered record.
pub(crate) const fn number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number in a numbered record's key.
pub(crate) fn to_number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

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

/// The key of a secret that a partner handed over.
pub(crate) fn received_secret(connection: &ConnectionId, position: u32) -> Vec<u8> {
    let mut key = connection_prefix(connection);
    key.extend_from_slice(&position.to_be_bytes());
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
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
