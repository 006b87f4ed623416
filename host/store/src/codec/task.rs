//! Tasks, and what stands of them in the queue and among the deliveries.

use tidegate_core::ids::{ChangeSeq, EventId, SinkName, TaskId};
use tidegate_core::task::{DeadCause, Delivery, Task, TaskKind, TaskState, WaitReason};
use tidegate_core::time::Timestamp;

use super::{Corrupt, Reading, Record, Writer, by_code, choice};
use crate::keys::QueueKey;

impl Record for Timestamp {
    fn write(&self, to: &mut Writer) {
        to.signed(self.as_micros());
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        from.signed().map(Self::from_micros)
    }
}

/// What the queue keeps of a task beside its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueEntry {
    pub(crate) kind: TaskKind,
    pub(crate) attempt: u32,
    pub(crate) limited_since: Option<Timestamp>,
}

impl QueueEntry {
    /// The task at that place.
    pub(crate) fn at(self, key: QueueKey) -> Task {
        Task {
            id: key.task,
            kind: self.kind,
            state: TaskState::Scheduled {
                attempt: self.attempt,
                due: key.due,
                since: key.since,
                limited_since: self.limited_since,
            },
        }
    }
}

impl Record for QueueEntry {
    fn write(&self, to: &mut Writer) {
        self.kind.write(to);
        to.number(self.attempt.into());
        to.optional(self.limited_since, |to, since| since.write(to));
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            kind: TaskKind::read(from)?,
            attempt: from.small()?,
            limited_since: from.optional(Timestamp::read)?,
        })
    }
}

impl Record for Task {
    fn write(&self, to: &mut Writer) {
        to.number(self.id.get());
        self.kind.write(to);
        self.state.write(to);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            id: TaskId::new(from.number()?),
            kind: TaskKind::read(from)?,
            state: TaskState::read(from)?,
        })
    }
}

impl Record for TaskKind {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Map {
                event,
                connection,
                with,
            } => {
                to.byte(1);
                to.number(event.get());
                connection.write(to);
                to.optional(*with, |to, plugin| plugin.write(to));
            }
            Self::Fetch {
                event,
                connection,
                entity,
            } => {
                to.byte(2);
                to.number(event.get());
                connection.write(to);
                entity.write(to);
            }
            Self::Poll { connection } => {
                to.byte(3);
                connection.write(to);
            }
            Self::Deliver(delivery) => {
                to.byte(4);
                delivery.write(to);
            }
            Self::Alert { channel, notice } => {
                to.byte(5);
                to.text(channel.as_str());
                notice.write(to);
            }
        }
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(match from.byte()? {
            1 => Self::Map {
                event: EventId::new(from.number()?),
                connection: Record::read(from)?,
                with: from.optional(Record::read)?,
            },
            2 => Self::Fetch {
                event: EventId::new(from.number()?),
                connection: Record::read(from)?,
                entity: Record::read(from)?,
            },
            3 => Self::Poll {
                connection: Record::read(from)?,
            },
            4 => Self::Deliver(Record::read(from)?),
            5 => Self::Alert {
                channel: from.text_with(|name| Ok(name.parse()?))?,
                notice: Box::new(Record::read(from)?),
            },
            found => return Err(choice("kind of task", &found)),
        })
    }
}

impl Record for TaskId {
    fn write(&self, to: &mut Writer) {
        to.number(self.get());
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        from.number().map(Self::new)
    }
}

impl Record for SinkName {
    fn write(&self, to: &mut Writer) {
        to.text(self.as_str());
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        from.text_with(|name| Ok(name.parse()?))
    }
}

impl Record for Delivery {
    fn write(&self, to: &mut Writer) {
        self.sink.write(to);
        to.number(self.seq.get());
        self.connection.write(to);
        self.entity.write(to);
        to.flag(self.forced);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            sink: Record::read(from)?,
            seq: ChangeSeq::new(from.number()?),
            connection: Record::read(from)?,
            entity: Record::read(from)?,
            forced: from.flag()?,
        })
    }
}

/// What stands of an open delivery beside its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeliveryRow {
    pub(crate) task: TaskId,
    pub(crate) forced: bool,
    /// The coming attempt's number.
    pub(crate) attempt: u32,
    pub(crate) since: Timestamp,
    pub(crate) limited_since: Option<Timestamp>,
    /// When it is due; none while it waits behind an earlier one.
    pub(crate) due: Option<Timestamp>,
}

impl Record for DeliveryRow {
    fn write(&self, to: &mut Writer) {
        to.number(self.task.get());
        to.flag(self.forced);
        to.number(self.attempt.into());
        self.since.write(to);
        to.optional(self.limited_since, |to, since| since.write(to));
        to.optional(self.due, |to, due| due.write(to));
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            task: TaskId::new(from.number()?),
            forced: from.flag()?,
            attempt: from.small()?,
            since: Record::read(from)?,
            limited_since: from.optional(Record::read)?,
            due: from.optional(Record::read)?,
        })
    }
}

impl Record for TaskState {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Scheduled {
                attempt,
                due,
                since,
                limited_since,
            } => {
                to.byte(1);
                to.number((*attempt).into());
                due.write(to);
                since.write(to);
                to.optional(*limited_since, |to, since| since.write(to));
            }
            Self::Waiting { reason } => {
                to.byte(2);
                to.byte(match reason {
                    WaitReason::CapabilityNotBuilt => 1,
                    WaitReason::ConnectionPaused => 2,
                    WaitReason::EarlierDelivery => 3,
                });
            }
            Self::Dead { cause, reason, at } => {
                to.byte(3);
                cause.write(to);
                to.text(reason);
                at.write(to);
            }
        }
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(match from.byte()? {
            1 => Self::Scheduled {
                attempt: from.small()?,
                due: Record::read(from)?,
                since: Record::read(from)?,
                limited_since: from.optional(Timestamp::read)?,
            },
            2 => Self::Waiting {
                reason: match from.byte()? {
                    1 => WaitReason::CapabilityNotBuilt,
                    2 => WaitReason::ConnectionPaused,
                    3 => WaitReason::EarlierDelivery,
                    found => return Err(choice("reason to wait", &found)),
                },
            },
            3 => Self::Dead {
                cause: Record::read(from)?,
                reason: from.text()?,
                at: Record::read(from)?,
            },
            found => return Err(choice("state of a task", &found)),
        })
    }
}

impl Record for DeadCause {
    fn write(&self, to: &mut Writer) {
        to.text(self.code());
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        by_code(from, "cause of death", &Self::ALL, Self::code)
    }
}
