//! Keys of events: hashes under the store's own key.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip128::{SipHasher13, SipHasher24};
use tidegate_core::event::Event;

use super::connection_prefix;

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

/// Enough to tell that one event key came with two bodies, and too much for anyone to find
/// a second body for by trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyDigest(pub(crate) u128);

impl BodyDigest {
    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
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

    pub(crate) fn body(&self, event: &Event) -> BodyDigest {
        BodyDigest(self.bodies.hash(&event.body).as_u128())
    }
}

impl std::fmt::Debug for EventHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventHasher(key redacted)")
    }
}
