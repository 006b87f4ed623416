//! Alerts that stand, and notices about them.

use tidegate_core::alert::{AlertKey, AlertRecord, AlertRule, Notice, NoticeKind};

use super::{Corrupt, Reading, Record, Writer, by_code};

impl Record for AlertKey {
    fn write(&self, to: &mut Writer) {
        to.text(self.rule.code());
        to.text(&self.subject);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            rule: by_code(from, "rule of an alert", &AlertRule::ALL, AlertRule::code)?,
            subject: from.text()?,
        })
    }
}

impl Record for Notice {
    fn write(&self, to: &mut Writer) {
        self.key.write(to);
        to.text(self.kind.code());
        to.text(&self.summary);
        to.number(self.count);
        to.optional(self.oldest, |to, oldest| oldest.write(to));
        to.text(&self.excerpt);
        to.text(&self.link);
        self.since.write(to);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            key: Record::read(from)?,
            kind: by_code(from, "kind of notice", &NoticeKind::ALL, NoticeKind::code)?,
            summary: from.text()?,
            count: from.number()?,
            oldest: from.optional(Record::read)?,
            excerpt: from.text()?,
            link: from.text()?,
            since: Record::read(from)?,
        })
    }
}

impl Record for AlertRecord {
    fn write(&self, to: &mut Writer) {
        self.key.write(to);
        self.since.write(to);
        to.number(self.count);
        to.optional(self.oldest, |to, oldest| oldest.write(to));
        to.text(&self.summary);
        to.text(&self.excerpt);
        to.text(&self.link);
        self.last_notice.write(to);
        to.number(self.noticed_count);
        to.optional(self.clear_since, |to, since| since.write(to));
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            key: Record::read(from)?,
            since: Record::read(from)?,
            count: from.number()?,
            oldest: from.optional(Record::read)?,
            summary: from.text()?,
            excerpt: from.text()?,
            link: from.text()?,
            last_notice: Record::read(from)?,
            noticed_count: from.number()?,
            clear_since: from.optional(Record::read)?,
        })
    }
}
