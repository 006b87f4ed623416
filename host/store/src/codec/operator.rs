//! What operators do: the audit log, replays, paused connections; and received secrets,
//! sealed.

use tidegate_core::audit::{AuditAction, AuditEntry};
use tidegate_core::ids::{ConnectorName, ReplayId};
use tidegate_core::replay::{ReplayFilter, ReplayMode, ReplayRun};

use super::{Corrupt, Reading, Record, Writer, by_code};
use crate::paused::PausedConnection;
use crate::received::{ReceivedSecret, SealedSecret};

impl Record for AuditEntry {
    fn write(&self, to: &mut Writer) {
        self.at.write(to);
        to.text(&self.who);
        to.text(self.action.code());
        to.text(&self.subject);
        to.optional(self.reason.as_ref(), |to, reason| to.text(reason));
        to.number(self.count);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            at: Record::read(from)?,
            who: from.text()?,
            action: by_code(from, "action", &AuditAction::ALL, AuditAction::code)?,
            subject: from.text()?,
            reason: from.optional(Reading::text)?,
            count: from.number()?,
        })
    }
}

impl Record for ConnectorName {
    fn write(&self, to: &mut Writer) {
        to.text(self.as_str());
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        from.text_with(|name| Ok(name.parse()?))
    }
}

impl Record for ReplayFilter {
    fn write(&self, to: &mut Writer) {
        to.optional(self.connector.as_ref(), |to, name| name.write(to));
        to.optional(self.connection.as_ref(), |to, name| name.write(to));
        to.optional(self.state.as_ref(), |to, state| to.text(state));
        to.optional(self.cause, |to, cause| cause.write(to));
        to.optional(self.from, |to, from| from.write(to));
        to.optional(self.until, |to, until| until.write(to));
        to.optional(self.plugin, |to, plugin| plugin.write(to));
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            connector: from.optional(Record::read)?,
            connection: from.optional(Record::read)?,
            state: from.optional(Reading::text)?,
            cause: from.optional(Record::read)?,
            from: from.optional(Record::read)?,
            until: from.optional(Record::read)?,
            plugin: from.optional(Record::read)?,
        })
    }
}

impl Record for ReplayMode {
    fn write(&self, to: &mut Writer) {
        to.optional(self.with, |to, plugin| plugin.write(to));
        to.flag(self.forced);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            with: from.optional(Record::read)?,
            forced: from.flag()?,
        })
    }
}

/// Since its second form it says why the run was begun.
impl Record for ReplayRun {
    const VERSION: u8 = 2;

    fn write(&self, to: &mut Writer) {
        to.number(self.id.get());
        self.filter.write(to);
        self.mode.write(to);
        to.text(&self.who);
        self.began.write(to);
        for number in [
            self.newest,
            self.before,
            self.total,
            self.queued,
            self.passed,
        ] {
            to.number(number);
        }
        to.optional(self.ended, |to, ended| ended.write(to));
        to.optional(self.reason.as_ref(), |to, reason| to.text(reason));
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            id: ReplayId::new(from.number()?),
            filter: Record::read(from)?,
            mode: Record::read(from)?,
            who: from.text()?,
            began: Record::read(from)?,
            newest: from.number()?,
            before: from.number()?,
            total: from.number()?,
            queued: from.number()?,
            passed: from.number()?,
            ended: from.optional(Record::read)?,
            reason: match from.version() {
                ..2 => None,
                _ => from.optional(Reading::text)?,
            },
        })
    }
}

impl Record for SealedSecret {
    fn write(&self, to: &mut Writer) {
        let ReceivedSecret {
            connection,
            position,
            origin,
            received,
            not_after,
        } = &self.known;
        connection.write(to);
        to.number((*position).into());
        to.text(origin);
        received.write(to);
        to.optional(*not_after, |to, until| until.write(to));
        to.fixed(&self.nonce);
        to.bytes(&self.sealed);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        let known = ReceivedSecret {
            connection: Record::read(from)?,
            position: from.small()?,
            origin: from.text()?,
            received: Record::read(from)?,
            not_after: from.optional(Record::read)?,
        };
        Ok(Self {
            known,
            nonce: from.fixed()?,
            sealed: from.bytes()?,
        })
    }
}

impl Record for PausedConnection {
    fn write(&self, to: &mut Writer) {
        self.connection.write(to);
        to.text(&self.reason);
        to.flag(self.refused);
        to.optional(self.secrets, |to, digest| to.fixed(&digest));
        self.since.write(to);
        to.flag(self.resuming);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            connection: Record::read(from)?,
            reason: from.text()?,
            refused: from.flag()?,
            secrets: from.optional(Reading::fixed)?,
            since: Record::read(from)?,
            resuming: from.flag()?,
        })
    }
}
