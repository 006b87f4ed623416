//! Attempts at tasks, and why they failed.

use std::time::Duration;

use tidegate_core::failure::{Failure, FailureClass, PluginFault};
use tidegate_core::ids::PluginDigest;
use tidegate_core::limits::ATTEMPTS_KEPT_MAX;
use tidegate_core::task::Attempt;

use super::{Corrupt, Reading, Record, Writer, choice};

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

/// The attempts at a task that has no event to keep them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attempts(pub(crate) Vec<Attempt>);

impl Attempts {
    /// Adds the newest; the oldest give way.
    pub(crate) fn note(&mut self, attempt: Attempt) {
        note_attempt(&mut self.0, attempt);
    }
}

/// Adds the newest attempt; the oldest give way.
pub(crate) fn note_attempt(attempts: &mut Vec<Attempt>, attempt: Attempt) {
    attempts.push(attempt);
    let surplus = attempts.len().saturating_sub(ATTEMPTS_KEPT_MAX);
    attempts.drain(..surplus);
}

impl Record for Attempts {
    fn write(&self, to: &mut Writer) {
        to.list(&self.0, |to, attempt| attempt.write(to));
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        from.list(Record::read).map(Self)
    }
}

impl Record for Failure {
    fn write(&self, to: &mut Writer) {
        to.text(self.class.code());
        if let FailureClass::RateLimited { delay } | FailureClass::Transient { delay } = &self.class
        {
            to.optional(*delay, |to, delay| delay.write(to));
        }
        to.text(&self.message);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        let mut class = from.text_with(to_class)?;
        if let FailureClass::RateLimited { delay } | FailureClass::Transient { delay } = &mut class
        {
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
