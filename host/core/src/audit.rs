//! The audit log: who did what to durable work, and why.

use crate::time::Timestamp;

/// Something that a person did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// The name of the operator token that was used.
    pub who: String,
    /// What was done: `replay`, `discard`, `pause-sink`, …
    pub action: AuditAction,
    /// To what: an id, a name, or the words of a filter.
    pub subject: String,
    /// Why, where a reason was given.
    pub reason: Option<String>,
    /// How many items it touched, where it is more than one.
    pub count: u64,
}

/// What a person may do that is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    /// Ran parked or past tasks again.
    Replay,
    /// Gave a dead letter up.
    Discard,
    /// Paused a sink.
    PauseSink,
    /// Let a sink run again.
    ResumeSink,
    /// Paused a connection.
    PauseConnection,
    /// Let a connection run again.
    ResumeConnection,
    /// Consented to what a plugin asks for.
    Consent,
    /// Let a connection await its partner's secret for a while.
    AwaitSecret,
    /// A partner handed its secret over while the connection awaited it.
    ReceiveSecret,
    /// A waiver lets a connection's requests in without verification.
    Waiver,
}

impl AuditAction {
    /// Every action, for codecs.
    pub const ALL: [Self; 10] = [
        Self::Replay,
        Self::Discard,
        Self::PauseSink,
        Self::ResumeSink,
        Self::PauseConnection,
        Self::ResumeConnection,
        Self::Consent,
        Self::AwaitSecret,
        Self::ReceiveSecret,
        Self::Waiver,
    ];

    /// A stable word for the API and the disk.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
            Self::PauseSink => "pause-sink",
            Self::ResumeSink => "resume-sink",
            Self::PauseConnection => "pause-connection",
            Self::ResumeConnection => "resume-connection",
            Self::Consent => "consent",
            Self::AwaitSecret => "await-secret",
            Self::ReceiveSecret => "receive-secret",
            Self::Waiver => "waiver",
        }
    }
}
