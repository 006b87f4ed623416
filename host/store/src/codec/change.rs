//! Changes, and the mirror's two records of an entity.

use bytes::Bytes;
use tidegate_core::change::{Change, EntityRef, Operation, Origin, ProposedChange};
use tidegate_core::ids::{ChangeSeq, ConnectionId, EventId};
use tidegate_core::time::Timestamp;
use tidegate_core::version::{Content, Standing};

use super::{Corrupt, Reading, Record, Writer, choice};

impl Record for EntityRef {
    fn write(&self, to: &mut Writer) {
        to.text(&self.kind);
        to.text(&self.id);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            kind: from.text()?,
            id: from.text()?,
        })
    }
}

impl Record for Operation {
    fn write(&self, to: &mut Writer) {
        to.byte(match self {
            Self::Upsert => 1,
            Self::Delete => 2,
        });
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(match from.byte()? {
            1 => Self::Upsert,
            2 => Self::Delete,
            found => return Err(choice("operation", &found)),
        })
    }
}

impl Record for Origin {
    fn write(&self, to: &mut Writer) {
        to.byte(match self {
            Self::Webhook => 1,
            Self::Poll => 2,
            Self::Fetch => 3,
            Self::Reconcile => 4,
        });
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(match from.byte()? {
            1 => Self::Webhook,
            2 => Self::Poll,
            3 => Self::Fetch,
            4 => Self::Reconcile,
            found => return Err(choice("origin", &found)),
        })
    }
}

impl Record for Content {
    fn write(&self, to: &mut Writer) {
        self.operation.write(to);
        to.optional(self.version, Writer::signed);
        to.text(&self.revision);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            operation: Record::read(from)?,
            version: from.optional(Reading::signed)?,
            revision: from.text()?,
        })
    }
}

impl Record for Standing {
    fn write(&self, to: &mut Writer) {
        self.content.write(to);
        to.number(self.receipt.get());
        to.number(self.change.get());
        to.flag(self.tied);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            content: Record::read(from)?,
            receipt: EventId::new(from.number()?),
            change: ChangeSeq::new(from.number()?),
            tied: from.flag()?,
        })
    }
}

/// What the mirror keeps of an entity beside its standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) occurred: Option<Timestamp>,
    pub(crate) data: Option<Bytes>,
    pub(crate) origin: Origin,
    pub(crate) event: Option<EventId>,
    pub(crate) committed: Timestamp,
}

impl State {
    /// The state that a change brings.
    pub(crate) fn of(change: &Change) -> Self {
        Self {
            occurred: change.change.occurred,
            data: change.change.data.clone(),
            origin: change.origin,
            event: change.event,
            committed: change.committed,
        }
    }
}

impl Record for State {
    fn write(&self, to: &mut Writer) {
        to.optional(self.occurred, |to, occurred| occurred.write(to));
        to.optional(self.data.as_ref(), |to, data| to.bytes(data));
        self.origin.write(to);
        to.optional(self.event, |to, event| to.number(event.get()));
        self.committed.write(to);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            occurred: from.optional(Record::read)?,
            data: from.optional(Reading::bytes)?,
            origin: Record::read(from)?,
            event: from.optional(|from| from.number().map(EventId::new))?,
            committed: Record::read(from)?,
        })
    }
}

impl Record for Change {
    fn write(&self, to: &mut Writer) {
        // Connection and entity first: that is what readers filter by.
        self.connection.write(to);
        self.change.entity.write(to);
        let change = &self.change;
        change.operation.write(to);
        to.optional(change.version, Writer::signed);
        to.text(&change.revision);
        to.optional(change.occurred, |to, occurred| occurred.write(to));
        to.optional(change.data.as_ref(), |to, data| to.bytes(data));
        to.number(self.seq.get());
        self.origin.write(to);
        to.optional(self.event, |to, event| to.number(event.get()));
        self.committed.write(to);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        let connection = Record::read(from)?;
        let change = ProposedChange {
            entity: Record::read(from)?,
            operation: Record::read(from)?,
            version: from.optional(Reading::signed)?,
            revision: from.text()?,
            occurred: from.optional(Record::read)?,
            data: from.optional(Reading::bytes)?,
        };
        Ok(Self {
            connection,
            change,
            seq: ChangeSeq::new(from.number()?),
            origin: Record::read(from)?,
            event: from.optional(|from| from.number().map(EventId::new))?,
            committed: Record::read(from)?,
        })
    }

    fn to_record(&self) -> Vec<u8> {
        let mut to = Writer::with_capacity(160 + self.change.weight());
        self.write(&mut to);
        to.finish()
    }
}

/// The part of a change's record that a reader filters by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangeHead {
    pub(crate) connection: ConnectionId,
    pub(crate) entity: EntityRef,
}

impl ChangeHead {
    /// The head of a whole change's record.
    pub(crate) fn from_record(record: Bytes) -> Result<Self, Corrupt> {
        let mut from = Reading::new(record)?;
        Ok(Self {
            connection: Record::read(&mut from)?,
            entity: Record::read(&mut from)?,
        })
    }
}
