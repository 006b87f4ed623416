//! Alerts: what a person should know about without looking.
//!
//! A rule of the policy watches one thing. What it finds opens an alert, one for each
//! rule and subject; while it stands it is repeated now and then, and when it is over,
//! that is said as well. Each notice to each channel is a task.

use crate::ids::ChannelName;
use crate::time::Timestamp;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertRule {
    /// Dead letters of one connection, sink or channel, by cause.
    DeadLetters,
    /// A task that has been due for long.
    BacklogAge,
    /// Webhooks whose signature did not verify.
    SignatureFailures,
    /// Webhooks whose event id was known with another body.
    DuplicateDiffers,
    /// A connection whose outgoing work rests.
    ConnectionPaused,
    /// A sink that keeps failing, is paused, or whose next change cannot be read.
    SinkPaused,
    /// The store takes nothing since a write failed.
    StoreReadOnly,
    /// Free disk is below the reserve.
    DiskLow,
}

impl AlertRule {
    /// Every rule, for configuration and codecs.
    pub const ALL: [Self; 8] = [
        Self::DeadLetters,
        Self::BacklogAge,
        Self::SignatureFailures,
        Self::DuplicateDiffers,
        Self::ConnectionPaused,
        Self::SinkPaused,
        Self::StoreReadOnly,
        Self::DiskLow,
    ];

    /// A stable word for configuration, the API and the disk.
    pub const fn code(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead-letters",
            Self::BacklogAge => "backlog-age",
            Self::SignatureFailures => "signature-failures",
            Self::DuplicateDiffers => "duplicate-differs",
            Self::ConnectionPaused => "connection-paused",
            Self::SinkPaused => "sink-paused",
            Self::StoreReadOnly => "store-read-only",
            Self::DiskLow => "disk-low",
        }
    }
}

/// What an alert is about: one stands for each rule and subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertKey {
    /// Which rule.
    pub rule: AlertRule,
    /// A connection, a sink, a channel, or `store`; with the cause where the rule has
    /// one, as `github/acme partner-data`.
    pub subject: String,
}

/// What a notice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// It has begun.
    Opened,
    /// It goes on.
    Repeated,
    /// It is over.
    Over,
}

impl NoticeKind {
    /// Every kind, for codecs.
    pub const ALL: [Self; 3] = [Self::Opened, Self::Repeated, Self::Over];

    /// A stable word for channels, the API and the disk.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Repeated => "repeated",
            Self::Over => "over",
        }
    }
}

/// What a channel is to say about an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about.
    pub key: AlertKey,
    /// Whether it begins, goes on or is over.
    pub kind: NoticeKind,
    /// One sentence for a person.
    pub summary: String,
    /// How many things are behind it.
    pub count: u64,
    /// The oldest of them.
    pub oldest: Option<Timestamp>,
    /// What one of them says, cut short; never a body, never a secret.
    pub excerpt: String,
    /// Where to look: a path on the operator listener.
    pub link: String,
    /// Since when the alert stands.
    pub since: Timestamp,
}

/// An alert that stands; durable, so that a restart neither opens it again nor forgets
/// to say that it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRecord {
    /// What it is about.
    pub key: AlertKey,
    /// Since when it stands.
    pub since: Timestamp,
    /// How many things are behind it now.
    pub count: u64,
    /// The oldest of them.
    pub oldest: Option<Timestamp>,
    /// One sentence for a person.
    pub summary: String,
    /// What one of the things behind it says, cut short; never a body, never a secret.
    pub excerpt: String,
    /// Where to look: a path on the operator listener.
    pub link: String,
    /// When the last notice about it was written.
    pub last_notice: Timestamp,
    /// How many things were behind it then.
    pub noticed_count: u64,
    /// Since when its condition is gone, where it is: it is over once that has lasted.
    pub clear_since: Option<Timestamp>,
}

/// What one look at things changes; one atomic write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertUpdate {
    /// Alerts that stand from now on, or stand differently.
    pub put: Vec<AlertRecord>,
    /// Alerts that stand no longer.
    pub removed: Vec<AlertKey>,
    /// What is to be said to whom: each becomes a task, due now.
    pub notices: Vec<(ChannelName, Notice)>,
}

impl AlertUpdate {
    /// Whether there is nothing to write.
    pub const fn is_empty(&self) -> bool {
        self.put.is_empty() && self.removed.is_empty() && self.notices.is_empty()
    }
}
