//! Dead letters, their heads, and what is kept aside while they run again.

use tidegate_core::change::Change;
use tidegate_core::event::{Event, EventProgress};
use tidegate_core::ids::{EventId, TaskId};
use tidegate_core::task::Owner;
use tidegate_core::time::Timestamp;

use super::{Corrupt, Reading, Record, Writer, by_code, choice};
use crate::dead::{DeadHead, DeadLetter, KINDS, Subject};

impl Record for DeadLetter {
    fn write(&self, to: &mut Writer) {
        self.task.write(to);
        to.list(&self.attempts, |to, attempt| attempt.write(to));
        match &self.subject {
            Subject::Event { event, progress } => {
                to.byte(1);
                // Its attempts are the letter's.
                let progress = EventProgress {
                    attempts: Vec::new(),
                    ..progress.clone()
                };
                write_event(to, &progress, event.as_ref());
            }
            Subject::Change(change) => {
                to.byte(2);
                to.optional(change.as_ref(), |to, change| change.write(to));
            }
            Subject::Notice => to.byte(3),
        }
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        let task = Record::read(from)?;
        let attempts = from.list(Record::read)?;
        let subject = match from.byte()? {
            1 => {
                let (mut progress, event) = read_event(from)?;
                progress.attempts.clone_from(&attempts);
                Subject::Event { event, progress }
            }
            2 => Subject::Change(from.optional(Record::read)?),
            3 => Subject::Notice,
            found => return Err(choice("subject", &found)),
        };
        Ok(Self {
            task,
            subject,
            attempts,
        })
    }
}

/// The event last, since it ends with its body and has no length of its own.
fn write_event(to: &mut Writer, progress: &EventProgress, event: Option<&Event>) {
    progress.write(to);
    to.optional(event, |to, event| event.write(to));
}

fn read_event(from: &mut Reading) -> Result<(EventProgress, Option<Event>), Corrupt> {
    Ok((Record::read(from)?, from.optional(Record::read)?))
}

impl Record for Owner {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Connection(connection) => {
                to.byte(1);
                connection.write(to);
            }
            Self::Sink(sink) => {
                to.byte(2);
                sink.write(to);
            }
            Self::Channel(channel) => {
                to.byte(3);
                to.text(channel.as_str());
            }
        }
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(match from.byte()? {
            1 => Self::Connection(Record::read(from)?),
            2 => Self::Sink(Record::read(from)?),
            3 => Self::Channel(from.text_with(|name| Ok(name.parse()?))?),
            found => return Err(choice("owner", &found)),
        })
    }
}

impl Record for DeadHead {
    fn write(&self, to: &mut Writer) {
        to.number(self.task.get());
        to.text(self.kind);
        self.owner.write(to);
        to.optional(self.connection.as_ref(), |to, connection| {
            connection.write(to);
        });
        self.cause.write(to);
        self.at.write(to);
        self.since.write(to);
        self.due.write(to);
        to.optional(self.event, |to, event| to.number(event.get()));
        to.optional(self.plugin, |to, plugin| plugin.write(to));
        to.number(self.weight);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            task: TaskId::new(from.number()?),
            kind: by_code(from, "kind of task", &KINDS, |code| code)?,
            owner: Record::read(from)?,
            connection: from.optional(Record::read)?,
            cause: Record::read(from)?,
            at: Timestamp::read(from)?,
            since: Timestamp::read(from)?,
            due: Timestamp::read(from)?,
            event: from.optional(|from| from.number().map(EventId::new))?,
            plugin: from.optional(Record::read)?,
            weight: from.number()?,
        })
    }
}

/// What runs again and is no longer kept where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Event {
        event: Option<Event>,
        progress: EventProgress,
    },
    Change(Change),
}

impl Record for Kept {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Event { event, progress } => {
                to.byte(1);
                write_event(to, progress, event.as_ref());
            }
            Self::Change(change) => {
                to.byte(2);
                change.write(to);
            }
        }
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(match from.byte()? {
            1 => {
                let (progress, event) = read_event(from)?;
                Self::Event { event, progress }
            }
            2 => Self::Change(Record::read(from)?),
            found => return Err(choice("kind of what is kept aside", &found)),
        })
    }
}
