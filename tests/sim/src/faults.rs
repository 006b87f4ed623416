//! What may go wrong, by kind: a run has some of them, and a story is told with as few as
//! it needs.

use std::fmt;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The wall clock drifts and jumps.
    Clock,
    /// The host's process ends at any await; what was not synced is gone.
    Crash,
    /// A write or sync of the store fails.
    FailedCommit,
    /// Commits take long.
    SlowStore,
    /// The committer's queue is short, and free disk low now and then.
    FullStore,
    /// The same webhook comes again, at once and later.
    Duplicates,
    /// Webhooks come in another order than they happened.
    Reordered,
    /// Another body comes under the same event id.
    Altered,
    /// Requests whose signature is not of their body.
    BadSignature,
    /// Two states of an entity have one version.
    Ties,
    /// Mappers trap, run into limits, refuse, and skip.
    Plugin,
    /// Mappers fail for a while, ask for patience, or find credentials refused.
    PluginAway,
    /// Mapping an event ends the host's process.
    HostStops,
    /// Sinks are slow.
    SlowSink,
    /// Sinks answer with errors now and then.
    FailingSink,
    /// Sinks apply what they are given and do not say so.
    LostAnswer,
    /// Sinks refuse some changes for good.
    Rejects,
    /// Sinks ask for patience.
    RetryAfter,
    /// Sinks vanish, or say that they are gone.
    Vanishes,
    /// Alert channels fail.
    Channel,
    /// A person replays dead letters and past events.
    Replay,
    /// A person gives dead letters up.
    Discard,
    /// A person pauses and resumes sinks and connections.
    Pause,
    /// A corrected plugin is loaded.
    NewPlugin,
    /// The policy keeps little, so that what is old goes while it may be needed.
    Retention,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 25] = [
        Self::Clock,
        Self::Crash,
        Self::FailedCommit,
        Self::SlowStore,
        Self::FullStore,
        Self::Duplicates,
        Self::Reordered,
        Self::Altered,
        Self::BadSignature,
        Self::Ties,
        Self::Plugin,
        Self::PluginAway,
        Self::HostStops,
        Self::SlowSink,
        Self::FailingSink,
        Self::LostAnswer,
        Self::Rejects,
        Self::RetryAfter,
        Self::Vanishes,
        Self::Channel,
        Self::Replay,
        Self::Discard,
        Self::Pause,
        Self::NewPlugin,
        Self::Retention,
    ];

    /// Its name, as [`Faults::parse`] reads it.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Some kinds of faults.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Faults(u32);

impl Faults {
    /// No fault at all.
    pub const NONE: Self = Self(0);

    /// Whether that kind is among them.
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u32) != 0
    }

    /// With that kind.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Self {
        Self(self.0 | (1 << fault as u32))
    }

    /// Without that kind.
    #[must_use]
    pub const fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u32))
    }

    /// Its kinds.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        Fault::ALL.into_iter().filter(move |fault| self.has(*fault))
    }

    /// Reads names with commas between; none where one is unknown.
    pub fn parse(text: &str) -> Option<Self> {
        let names = text.split(',').filter(|name| !name.is_empty());
        names.into_iter().try_fold(Self::NONE, |faults, name| {
            let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name)?;
            Some(faults.with(fault))
        })
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.iter().map(Fault::name).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
