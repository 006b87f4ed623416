//! Tasks, their attempts, and what stands of them in the queue.

use std::time::Duration;

use tidegate_core::failure::{Failure, FailureClass, PluginFault};
use tidegate_core::ids::{ChangeSeq, EventId, PluginDigest, TaskId};
use tidegate_core::task::{Attempt, DeadCause, Delivery, Task, TaskKind, TaskState, WaitReason};
use tidegate_core::time::Timestamp;

use super::{Corrupt, Reading, Record, Writer, choice};
use crate::dead::DeadLetter;
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
                to.optional(*with, |to, with| with.write(to));
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
                to.text(delivery.sink.as_str());
                to.number(delivery.seq.get());
                delivery.connection.write(to);
                delivery.entity.write(to);
                to.byte(delivery.forced.into());
            }
            Self::Alert { channel, .. } => {
                to.byte(5);
                to.text(channel.as_str());
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
            4 => Self::Deliver(Delivery {
                sink: from.text_with(|name| Ok(name.parse()?))?,
                seq: ChangeSeq::new(from.number()?),
                connection: Record::read(from)?,
                entity: Record::read(from)?,
                forced: from.byte()? != 0,
            }),
            found => return Err(choice("kind of task", &found)),
        })
    }
}

impl Record for TaskState {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Scheduled {
                attempt,
                due,
                limited_since,
            } => {
                to.byte(1);
                to.number((*attempt).into());
                due.write(to);
                to.optional(*limited_since, |to, since| since.write(to));
            }
            Self::Waiting { .. } => {
                to.byte(2);
                to.byte(1);
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
                limited_since: from.optional(Timestamp::read)?,
            },
            2 => match from.byte()? {
                1 => Self::Waiting {
                    reason: WaitReason::CapabilityNotBuilt,
                },
                found => return Err(choice("reason to wait", &found)),
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
        from.text_with(|code| {
            let cause = Self::ALL.into_iter().find(|cause| cause.code() == code);
            cause.ok_or_else(|| choice("cause of death", code))
        })
    }
}

impl Record for DeadLetter {
    fn write(&self, to: &mut Writer) {
        self.task.write(to);
        self.progress.write(to);
        // Last, since an event ends with its body and has no length of its own.
        to.optional(self.event.as_ref(), |to, event| event.write(to));
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            task: Record::read(from)?,
            progress: Record::read(from)?,
            event: from.optional(Record::read)?,
        })
    }
}

impl Record for PluginDigest {
    fn write(&self, to: &mut Writer) {
        to.fixed(self.as_bytes());
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        from.fixed().map(Self::new)
    }
}

impl Record for Duration {
    fn write(&self, to: &mut Writer) {
        to.number(u64::try_from(self.as_micros()).unwrap_or(u64::MAX));
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        from.number().map(Self::from_micros)
    }
}

impl Record for Attempt {
    fn write(&self, to: &mut Writer) {
        to.number(self.number.into());
        self.started.write(to);
        self.took.write(to);
        to.optional(self.plugin, |to, plugin| plugin.write(to));
        to.optional(self.settings, |to, settings| to.fixed(&settings));
        to.optional(self.failure.as_ref(), |to, failure| failure.write(to));
        to.text(&self.stderr);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            number: from.small()?,
            started: Record::read(from)?,
            took: Record::read(from)?,
            plugin: from.optional(Record::read)?,
            settings: from.optional(Reading::fixed)?,
            failure: from.optional(Record::read)?,
            stderr: from.text()?,
        })
    }
}

impl Record for Failure {
    fn write(&self, to: &mut Writer) {
        to.text(self.class.code());
        if let FailureClass::RateLimited { delay } = &self.class {
            to.optional(*delay, |to, delay| delay.write(to));
        }
        to.text(&self.message);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        let mut class = from.text_with(to_class)?;
        if let FailureClass::RateLimited { delay } = &mut class {
            *delay = from.optional(Duration::read)?;
        }
        Ok(Self {
            class,
            message: from.text()?,
        })
    }
}

fn to_class(code: &str) -> Result<FailureClass, Corrupt> {
    let plain = [
        FailureClass::TRANSIENT,
        FailureClass::RateLimited { delay: None },
        FailureClass::Unauthorized,
        FailureClass::Permanent,
        FailureClass::NotFound,
        FailureClass::CheckpointExpired,
        FailureClass::Refused,
    ];
    let faults = PluginFault::ALL.into_iter().map(FailureClass::PluginFault);
    plain
        .into_iter()
        .chain(faults)
        .find(|class| class.code() == code)
        .ok_or_else(|| choice("class of failure", code))
}
