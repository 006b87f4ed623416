//! Events, their progress, and who holds an event key.

use bytes::Bytes;
use byteview::ByteView;
use tidegate_core::change::{ChangeResult, Fate};
use tidegate_core::event::{BodyAuthenticated, Event, EventProgress, EventState};
use tidegate_core::ids::{AccountName, ChangeSeq, ConnectionId, EventId, TaskId};
use tidegate_core::time::Timestamp;

use super::{Corrupt, Reading, Record, Writer, choice};
use crate::keys::BodyDigest;

impl Record for ConnectionId {
    fn write(&self, to: &mut Writer) {
        to.text(self.connector.as_str());
        to.text(self.account.as_str());
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            connector: from.text_with(|name| Ok(name.parse()?))?,
            account: from.text_with(|name| Ok(name.parse::<AccountName>()?))?,
        })
    }
}

/// The part of an event's record that a list shows; it stands first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventHead {
    pub(crate) connection: ConnectionId,
    pub(crate) partner_id: String,
    pub(crate) received: Timestamp,
    pub(crate) body_bytes: usize,
}

impl EventHead {
    fn write(event: &Event, to: &mut Writer) {
        event.connection.write(to);
        to.text(&event.partner_id);
        event.received.write(to);
        to.count(event.body.len());
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            connection: Record::read(from)?,
            partner_id: from.text()?,
            received: Record::read(from)?,
            body_bytes: usize::try_from(from.number()?).map_err(|_| Corrupt::Number)?,
        })
    }

    /// The head of a whole event's record.
    pub(crate) fn from_record(record: Bytes) -> Result<Self, Corrupt> {
        Self::read(&mut Reading::new(record)?)
    }
}

impl Record for Event {
    fn write(&self, to: &mut Writer) {
        write_all_but_body(self, to);
        // Its length stands in the head.
        to.fixed(&self.body);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        let head = EventHead::read(from)?;
        let method = from.text()?;
        let path = from.list(Reading::text)?;
        let query = from.text()?;
        let headers = from.list(|from| Ok((from.text()?, from.bytes()?)))?;
        let body_authenticated = match from.byte()? {
            1 => BodyAuthenticated::Full,
            2 => BodyAuthenticated::Fields,
            3 => BodyAuthenticated::None,
            found => return Err(choice("authentication of a body", &found)),
        };
        let body = from.remaining();
        match body.len().cmp(&head.body_bytes) {
            std::cmp::Ordering::Less => return Err(Corrupt::Truncated),
            std::cmp::Ordering::Greater => {
                return Err(Corrupt::Trailing {
                    bytes: body.len() - head.body_bytes,
                });
            }
            std::cmp::Ordering::Equal => {}
        }
        Ok(Self {
            connection: head.connection,
            partner_id: head.partner_id,
            received: head.received,
            method,
            path,
            query,
            headers,
            body,
            body_authenticated,
        })
    }
}

fn write_all_but_body(event: &Event, to: &mut Writer) {
    EventHead::write(event, to);
    to.text(&event.method);
    to.list(&event.path, |to, segment| to.text(segment));
    to.text(&event.query);
    to.list(&event.headers, |to, (name, value)| {
        to.text(name);
        to.bytes(value);
    });
    to.byte(match event.body_authenticated {
        BodyAuthenticated::Full => 1,
        BodyAuthenticated::Fields => 2,
        BodyAuthenticated::None => 3,
    });
}

/// The whole record of an event; its body is copied once.
pub(crate) fn event_record(event: &Event) -> ByteView {
    let mut to = Writer::with_capacity(event.weight().saturating_sub(event.body.len()));
    write_all_but_body(event, &mut to);
    ByteView::fused(&to.finish(), &event.body)
}

/// The event that an event key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHolder {
    pub(crate) event: EventId,
    /// Digest of its body; none where an older host made it by another rule.
    pub(crate) body: Option<BodyDigest>,
}

/// Since its second form it holds a digest of 128 bits. One of the first form had 64 bits,
/// which nothing is compared with.
impl Record for KeyHolder {
    const VERSION: u8 = 2;

    fn write(&self, to: &mut Writer) {
        to.number(self.event.get());
        to.optional(self.body, |to, body| to.fixed(&body.to_bytes()));
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        let event = EventId::new(from.number()?);
        let body = match from.version() {
            ..2 => from.fixed::<8>().map(|_| None)?,
            _ => from.optional(|from| from.fixed().map(BodyDigest::from_bytes))?,
        };
        Ok(Self { event, body })
    }
}

impl Record for EventProgress {
    fn write(&self, to: &mut Writer) {
        self.state.write(to);
        to.list(&self.attempts, |to, attempt| attempt.write(to));
        to.list(&self.changes, |to, result| result.write(to));
        to.list(&self.fetches, |to, (task, entity)| {
            to.number(task.get());
            entity.write(to);
        });
        to.optional(self.plugin, |to, plugin| plugin.write(to));
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            state: Record::read(from)?,
            attempts: from.list(Record::read)?,
            changes: from.list(Record::read)?,
            fetches: from.list(|from| Ok((TaskId::new(from.number()?), Record::read(from)?)))?,
            plugin: from.optional(Record::read)?,
        })
    }
}

impl Record for EventState {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Pending { attempt, due } => {
                to.byte(1);
                to.number((*attempt).into());
                due.write(to);
            }
            Self::Fetching { open } => {
                to.byte(2);
                to.number((*open).into());
            }
            Self::Mapped => to.byte(3),
            Self::Skipped { reason } => {
                to.byte(4);
                to.text(reason);
            }
            Self::Dead { cause, reason } => {
                to.byte(5);
                cause.write(to);
                to.text(reason);
            }
        }
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(match from.byte()? {
            1 => Self::Pending {
                attempt: from.small()?,
                due: Record::read(from)?,
            },
            2 => Self::Fetching {
                open: from.small()?,
            },
            3 => Self::Mapped,
            4 => Self::Skipped {
                reason: from.text()?,
            },
            5 => Self::Dead {
                cause: Record::read(from)?,
                reason: from.text()?,
            },
            found => return Err(choice("state of an event", &found)),
        })
    }
}

impl Record for ChangeResult {
    fn write(&self, to: &mut Writer) {
        self.entity.write(to);
        self.operation.write(to);
        match self.fate {
            Fate::Applied(seq) => {
                to.byte(1);
                to.number(seq.get());
            }
            Fate::Superseded => to.byte(2),
            Fate::Unchanged => to.byte(3),
        }
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            entity: Record::read(from)?,
            operation: Record::read(from)?,
            fate: match from.byte()? {
                1 => Fate::Applied(ChangeSeq::new(from.number()?)),
                2 => Fate::Superseded,
                3 => Fate::Unchanged,
                found => return Err(choice("fate of a change", &found)),
            },
        })
    }
}
