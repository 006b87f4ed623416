//! Keyspaces and keys: where each record lives.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `meta` | a word | format, hash key, ledger |
//! | `events-N` | event number | [`Event`] |
//! | `progress-N` | event number | its progress; absent while fresh |
//! | `keys-N` | event key: a keyed 128-bit hash | first event with it, digest of its body |
//! | `queue` | due, task number | what a scheduled task is |
//! | `waiting` | `f` task number, or `p` connection | a waiting fetch; the one waiting poll |
//! | `dead` | task number | a dead letter with its event |
//! | `changes-N` | change number | [`Change`](tidegate_core::change::Change) |
//! | `standing` | entity | how it stands for the version rule |
//! | `mirror` | entity | its newest state |
//! | `grants` | connector | its grant as JSON |
//!
//! Numbers are big-endian, so that keys order as numbers do; instants are shifted so
//! that negative ones come first. An entity's key is connector, account, kind and id
//! with a NUL between them: none of the first three may hold one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip::SipHasher13;
use siphasher::sip128::SipHasher24;
use tidegate_core::change::EntityRef;
use tidegate_core::event::Event;
use tidegate_core::ids::{ConnectionId, ConnectorName, TaskId};
use tidegate_core::time::Timestamp;

/// The key of a numbered record.
pub(crate) const fn number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number in a numbered record's key.
pub(crate) fn to_number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// A place in the queue: tasks in the order in which they are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QueueKey {
    pub(crate) due: Timestamp,
    pub(crate) task: TaskId,
}

impl QueueKey {
    /// Before every place.
    pub(crate) const FIRST: Self = Self {
        due: Timestamp::from_micros(i64::MIN),
        task: TaskId::new(0),
    };

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let shifted = self.due.as_micros().cast_unsigned() ^ (1 << 63);
        let mut key = [0; 16];
        let (due, task) = key.split_at_mut(8);
        due.copy_from_slice(&shifted.to_be_bytes());
        task.copy_from_slice(&self.task.get().to_be_bytes());
        key
    }

    pub(crate) fn from_bytes(key: &[u8]) -> Option<Self> {
        let (due, task) = key.split_at_checked(8)?;
        let shifted = to_number(due)? ^ (1 << 63);
        Some(Self {
            due: Timestamp::from_micros(shifted.cast_signed()),
            task: TaskId::new(to_number(task)?),
        })
    }
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
        fn queue_keys_order_as_their_instants(a: (i64, u64), b: (i64, u64)) {
            let key = |(due, task)| QueueKey {
                due: Timestamp::from_micros(due),
                task: TaskId::new(task),
            };
            prop_assert_eq!(key(a).to_bytes().cmp(&key(b).to_bytes()), a.cmp(&b));
            prop_assert_eq!(QueueKey::from_bytes(&key(a).to_bytes()), Some(key(a)));
        }

        #[test]
        fn an_entity_key_leads_back(id in "[^\0]{1,20}") {
            let connection: ConnectionId = "github/Åcme GmbH".parse().unwrap();
            let named = EntityRef { kind: "pull_request".into(), id };
            let key = entity(&connection, &named);
            prop_assert_eq!(to_entity(&key), Some((connection, named)));
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
    fn an_account_is_not_a_prefix_of_a_longer_one() {
        let acme = connection_prefix(&"github/acme".parse().unwrap());
        let longer = connection_prefix(&"github/acme-two".parse().unwrap());
        assert!(!longer.starts_with(&acme));
    }
}
