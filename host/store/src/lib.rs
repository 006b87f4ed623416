//! The durable store: events, tasks, changes and the mirror over an ordered key-value
//! engine.
//!
//! One [`Committer`] writes. It turns a batch of submissions into one atomic, synced
//! batch of the engine: dedupe, the version rule and every sequence are decided there.
//! A [`Reader`] and [`Claims`] see a commit only after its sync. All three are
//! functions of what they are given: no thread, no clock, no randomness here; the host
//! owns those. A [`Sealer`] makes events ready on the threads that hand them in.
//!
//! This is the only code that knows the disk format. Deliberately absent: when to
//! retry, what a change means, who may read.

#![deny(missing_docs)]

mod buckets;
mod codec;
mod commit;
mod dead;
mod dead_counts;
pub mod engine;
mod keys;
mod ledger;
mod marks;
mod open;
mod paused;
mod ports;
mod queue;
mod read;
mod received;
mod recent;
mod rooms;
mod sealed;
mod view;

pub use codec::Corrupt;
pub use commit::{Answer, CommitError, Committer, ReplayBatch, Submission};
pub use dead::{DeadLetter, DeadLetterFilter, Subject};
pub use dead_counts::DeadCount;
pub use marks::Marks;
pub use open::{OpenError, Opened, Options, open};
pub use paused::PausedConnection;
pub use queue::{Backlog, Claims};
pub use read::{
    AuditPage, ChangeFilter, ChangePage, ChangesError, Counts, DeadLetterPage, EntityFilter,
    EntityKey, EntityPage, EventFilter, EventPage, EventRow, EventsFrom, Matching, OpenDeliveries,
    OpenDelivery, Reader, ReplayPage, last_failure,
};
pub use received::{
    NotOpened, ReceivedSecret, SECRET_KEY_BYTES, SECRET_NONCE_BYTES, SealedSecret, SecretKey,
};
pub use sealed::{SealedEvent, Sealer};
pub use view::Fault;
