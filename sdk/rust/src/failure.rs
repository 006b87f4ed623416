//! Why a call did not do its work.

/// Why a call did not do its work, and so what the host does next.
///
/// A plugin only classifies: when to try again, and how often, is the host's policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may work later: the host retries on its own schedule. The text says what
    /// happened, for a person, at most 4 KiB (so for each text below).
    #[error("{0}")]
    Transient(String),
    /// The partner asked for fewer requests. Not counted as an attempt.
    #[error("{}", .0.message)]
    RateLimited(RateLimit),
    /// The partner refused the credentials: the connection pauses until its secret
    /// changes.
    #[error("{0}")]
    Unauthorized(String),
    /// It will never work with this input: a dead letter at once.
    #[error("{0}")]
    Permanent(String),
    /// The entity does not exist at the partner.
    #[error("{0}")]
    NotFound(String),
    /// The partner no longer keeps the list back to this checkpoint: the host answers
    /// with a full listing.
    #[error("{0}")]
    CheckpointExpired(String),
    /// The host did not carry out a request of the plugin: outside the grant, over a
    /// limit, or to an address that is not allowed. A plugin only passes it on.
    #[error("{0}")]
    Refused(String),
}

/// How long the partner asked to be left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Milliseconds to wait, as the partner said. None where it did not say.
    pub delay_ms: Option<u64>,
    /// For a person.
    pub message: String,
}

impl Failure {
    /// It will never work with this input.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::Permanent(reason.into())
    }

    /// It may work later.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self::Transient(reason.into())
    }
}
