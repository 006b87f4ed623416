//! Changes for tests.

use std::sync::atomic::{AtomicI64, Ordering};

use tidegate_core::change::{Change, EntityRef, Operation, Origin, ProposedChange};
use tidegate_core::ids::{ChangeSeq, EventId};
use tidegate_core::ports::Clock;
use tidegate_core::time::Timestamp;

pub(crate) fn change(seq: u64, id: &str, data: &str) -> Change {
    Change {
        seq: ChangeSeq::new(seq),
        connection: "github/acme".parse().unwrap(),
        change: ProposedChange {
            entity: EntityRef {
                kind: "issue".into(),
                id: id.into(),
            },
            operation: Operation::Upsert,
            version: i64::try_from(seq).ok(),
            revision: format!("r{seq}"),
            occurred: Some(Timestamp::from_secs(1)),
            data: Some(data.to_owned().into()),
        },
        origin: Origin::Webhook,
        event: Some(EventId::new(1)),
        committed: Timestamp::from_secs(2),
    }
}

pub(crate) fn delete(seq: u64, id: &str) -> Change {
    let mut change = change(seq, id, "");
    change.change.operation = Operation::Delete;
    change.change.data = None;
    change
}

/// A clock that stands where a test puts it.
#[derive(Debug)]
pub(crate) struct Stopped(AtomicI64);

impl Stopped {
    pub(crate) fn at(secs: i64) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self(AtomicI64::new(secs)))
    }

    pub(crate) fn set(&self, secs: i64) {
        self.0.store(secs, Ordering::SeqCst);
    }
}

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::SeqCst))
    }
}
