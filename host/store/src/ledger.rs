//! The ledger: what the store must know as a whole, in one small record.
//!
//! Sequences, counts and buckets change with every commit, so the ledger is written in
//! the same batch: after a crash it agrees with everything else without a scan, and no
//! number is given twice, also where the records that had it are gone.

use tidegate_core::ids::{ChangeSeq, EventId, TaskId};

use crate::buckets::{BucketList, Buckets};
use crate::codec::{Corrupt, Reading, Record, Writer};
use crate::engine::{Engine, EngineError};
use crate::marks::Stops;
use crate::rooms::{ChangeRoom, EventRooms, KeyRoom, RoomName};

/// Its key in `meta`.
pub(crate) const LEDGER: &[u8] = b"ledger";

/// Sequences, counts and buckets.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) tally: Tally,
    pub(crate) stops: Stops,
    pub(crate) events: Buckets<EventRooms>,
    pub(crate) keys: Buckets<KeyRoom>,
    pub(crate) changes: Buckets<ChangeRoom>,
}

/// Sequences and counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The last number given to an event or task.
    pub(crate) last_number: u64,
    /// The last number given to a change.
    pub(crate) last_change: u64,
    /// Events ever accepted.
    pub(crate) events: u64,
    /// Tasks in the queue.
    pub(crate) scheduled: u64,
    /// Tasks that wait.
    pub(crate) waiting: u64,
    /// Dead letters.
    pub(crate) dead: u64,
    /// Events and changes kept aside because they run again.
    pub(crate) replaying: u64,
    /// The oldest entry of the audit log that is kept.
    pub(crate) first_audit: u64,
    /// The last number given to an entry of the audit log.
    pub(crate) last_audit: u64,
    /// Rows that could not be read and were set aside.
    pub(crate) unreadable: u64,
}

impl Tally {
    /// The next event, whose map task has the same number.
    pub(crate) fn next_event(&mut self) -> EventId {
        self.last_number += 1;
        EventId::new(self.last_number)
    }

    /// The next task that maps no event.
    pub(crate) fn next_task(&mut self) -> TaskId {
        self.last_number += 1;
        TaskId::new(self.last_number)
    }

    /// The next change.
    pub(crate) fn next_change(&mut self) -> ChangeSeq {
        self.last_change += 1;
        ChangeSeq::new(self.last_change)
    }
}

impl Ledger {
    pub(crate) fn to_record(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(512);
        self.tally.write(&mut to);
        self.stops.write(&mut to);
        self.events.write(&mut to);
        self.keys.write(&mut to);
        self.changes.write(&mut to);
        to.finish()
    }
}

/// The ledger as it is written down.
#[derive(Debug)]
pub(crate) struct LedgerRecord {
    tally: Tally,
    stops: Stops,
    events: BucketList,
    keys: BucketList,
    changes: BucketList,
}

impl LedgerRecord {
    pub(crate) fn from_record(record: bytes::Bytes) -> Result<Self, Corrupt> {
        let mut from = Reading::new(record)?;
        let ledger = Self {
            tally: Record::read(&mut from)?,
            stops: Record::read(&mut from)?,
            events: BucketList::read(&mut from)?,
            keys: BucketList::read(&mut from)?,
            changes: BucketList::read(&mut from)?,
        };
        from.end()?;
        Ok(ledger)
    }

    /// The names of all buckets' keyspaces.
    pub(crate) fn keyspaces(&self) -> impl Iterator<Item = RoomName> {
        let events = self.events.names::<EventRooms>();
        let keys = self.keys.names::<KeyRoom>();
        events.chain(keys).chain(self.changes.names::<ChangeRoom>())
    }

    /// Opens the keyspaces that it names.
    pub(crate) fn open(self, engine: &dyn Engine) -> Result<Ledger, EngineError> {
        Ok(Ledger {
            tally: self.tally,
            stops: self.stops,
            events: self.events.open(engine)?,
            keys: self.keys.open(engine)?,
            changes: self.changes.open(engine)?,
        })
    }
}

impl Record for Tally {
    fn write(&self, to: &mut Writer) {
        for number in [
            self.last_number,
            self.last_change,
            self.events,
            self.scheduled,
            self.waiting,
            self.dead,
            self.replaying,
            self.first_audit,
            self.last_audit,
            self.unreadable,
        ] {
            to.number(number);
        }
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            last_number: from.number()?,
            last_change: from.number()?,
            events: from.number()?,
            scheduled: from.number()?,
            waiting: from.number()?,
            dead: from.number()?,
            replaying: from.number()?,
            first_audit: from.number()?,
            last_audit: from.number()?,
            unreadable: from.number()?,
        })
    }
}
