//! Events made ready for the committer by whoever hands them in.
//!
//! The committer is one thread, so what can be done before it is. Sealing encodes the record, which lets the request's
//! memory go at once, and hashes what the event is deduplicated by. It decides nothing:
//! whether the event is new, and which number it gets, is the committer's.

use std::fmt;

use byteview::ByteView;
use tidegate_core::event::Event;
use tidegate_core::ids::ConnectionId;
use tidegate_core::time::Timestamp;

use crate::codec::event_record;
use crate::keys::{BodyDigest, EventHasher, EventKey};

/// Seals events for one store, whose hash key it has.
#[derive(Clone, Debug)]
pub struct Sealer(EventHasher);

/// An event as it will stand in the store, but for its number.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedEvent {
    pub(crate) connection: ConnectionId,
    pub(crate) partner_id: String,
    pub(crate) received: Timestamp,
    pub(crate) key: EventKey,
    pub(crate) body: BodyDigest,
    pub(crate) record: ByteView,
}

impl Sealer {
    pub(crate) const fn new(hasher: EventHasher) -> Self {
        Self(hasher)
    }

    /// Makes an event ready.
    pub fn seal(&self, event: Event) -> SealedEvent {
        SealedEvent {
            key: self.0.key(&event),
            body: self.0.body(&event),
            record: event_record(&event),
            connection: event.connection,
            partner_id: event.partner_id,
            received: event.received,
        }
    }
}

impl SealedEvent {
    /// The bytes it holds, for the bound on a batch.
    pub(crate) fn weight(&self) -> usize {
        128 + self.partner_id.len() + self.record.len()
    }
}

/// The record holds personal data.
impl fmt::Debug for SealedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedEvent")
            .field("connection", &self.connection)
            .field("partner_id", &self.partner_id)
            .field("record_bytes", &self.record.len())
            .finish_non_exhaustive()
    }
}
