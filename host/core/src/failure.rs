//! Why something did not work, and so what may be done about it.
//!
//! Whoever fails classifies; the policy alone decides about retries (`task`). The
//! same split crosses the plugin contract as `variant failure`.

use std::fmt;
use std::time::Duration;

/// A failed attempt at a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure, which decides what follows.
    pub class: FailureClass,
    /// What happened to what, for a person; no secret, at most
    /// [`crate::limits::FAILURE_MESSAGE_BYTES_MAX`].
    pub message: String,
}

/// The kinds of failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureClass {
    /// It may work later: the retry schedule, or the delay that was asked for.
    Transient {
        /// How long the other side asked to wait, where it said so.
        delay: Option<Duration>,
    },
    /// The partner asked for fewer requests: its delay, not an attempt.
    RateLimited {
        /// How long the partner asked to wait, where it said so.
        delay: Option<Duration>,
    },
    /// The partner refused the credentials.
    Unauthorized,
    /// It will never work with this input: a dead letter at once.
    Permanent,
    /// The entity does not exist at the partner.
    NotFound,
    /// The partner's change list does not reach back to the checkpoint.
    CheckpointExpired,
    /// The host did not carry out a plugin's request: outside grant or limits.
    Refused,
    /// The plugin broke: a trap, a limit, an answer outside its bounds.
    PluginFault(PluginFault),
}

/// How a plugin broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginFault {
    /// It ran longer than its time.
    Time,
    /// It asked for more memory than its total.
    Memory,
    /// It handed over or asked for more data than a call may move.
    HostCalls,
    /// It recursed beyond its stack.
    Stack,
    /// It trapped: a panic, an abort, an illegal instruction.
    Trap,
    /// It returned something outside the contract's bounds.
    Answer,
}

impl FailureClass {
    /// It may work later, by the retry schedule.
    pub const TRANSIENT: Self = Self::Transient { delay: None };

    /// A stable word for metrics, the API and the disk.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Transient { .. } => "transient",
            Self::RateLimited { .. } => "rate-limited",
            Self::Unauthorized => "unauthorized",
            Self::Permanent => "permanent",
            Self::NotFound => "not-found",
            Self::CheckpointExpired => "checkpoint-expired",
            Self::Refused => "refused",
            Self::PluginFault(fault) => fault.code(),
        }
    }
}

impl PluginFault {
    /// Every fault, for tables and codecs.
    pub const ALL: [Self; 6] = [
        Self::Time,
        Self::Memory,
        Self::HostCalls,
        Self::Stack,
        Self::Trap,
        Self::Answer,
    ];

    /// A stable word for metrics, the API and the disk.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Time => "plugin-time",
            Self::Memory => "plugin-memory",
            Self::HostCalls => "plugin-host-calls",
            Self::Stack => "plugin-stack",
            Self::Trap => "plugin-trap",
            Self::Answer => "plugin-answer",
        }
    }
}

impl Failure {
    /// A failure of that class; a message over its bound is cut, visibly.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: crate::limits::cut_text(
                message.into(),
                crate::limits::FAILURE_MESSAGE_BYTES_MAX,
            ),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.code(), self.message)
    }
}
