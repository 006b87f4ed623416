//! How sinks stand.

use tidegate_core::ids::ChangeSeq;
use tidegate_core::sink::{MirrorWalk, PauseCause, SinkStanding, SinkState};

use super::{Corrupt, Reading, Record, Writer, by_code, choice};

impl Record for SinkStanding {
    fn write(&self, to: &mut Writer) {
        self.sink.write(to);
        to.number(self.cursor.get());
        to.optional(self.mirror.as_ref(), |to, walk| walk.write(to));
        self.state.write(to);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            sink: Record::read(from)?,
            cursor: ChangeSeq::new(from.number()?),
            mirror: from.optional(Record::read)?,
            state: Record::read(from)?,
        })
    }
}

impl Record for MirrorWalk {
    fn write(&self, to: &mut Writer) {
        to.optional(self.after.as_ref(), |to, (connection, entity)| {
            connection.write(to);
            entity.write(to);
        });
        to.number(self.then.get());
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            after: from.optional(|from| Ok((Record::read(from)?, Record::read(from)?)))?,
            then: ChangeSeq::new(from.number()?),
        })
    }
}

impl Record for SinkState {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Running => to.byte(1),
            Self::Failing {
                reason,
                since,
                probes,
                next,
            } => {
                to.byte(2);
                to.text(reason);
                since.write(to);
                to.number((*probes).into());
                next.write(to);
            }
            Self::Paused { why, reason, since } => {
                to.byte(3);
                to.text(why.code());
                to.text(reason);
                since.write(to);
            }
        }
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(match from.byte()? {
            1 => Self::Running,
            2 => Self::Failing {
                reason: from.text()?,
                since: Record::read(from)?,
                probes: from.small()?,
                next: Record::read(from)?,
            },
            3 => Self::Paused {
                why: by_code(from, "cause of a pause", &PauseCause::ALL, PauseCause::code)?,
                reason: from.text()?,
                since: Record::read(from)?,
            },
            found => return Err(choice("state of a sink", &found)),
        })
    }
}
