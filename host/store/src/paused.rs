//! Paused connections: those whose outgoing work rests.

use tidegate_core::ids::ConnectionId;
use tidegate_core::time::Timestamp;

/// A connection whose outgoing work rests, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedConnection {
    /// Which.
    pub connection: ConnectionId,
    /// The words for a person.
    pub reason: String,
    /// Whether the partner refused the credentials; otherwise a person paused it.
    pub refused: bool,
    /// Digest of the credentials that were refused, where it is known: others resume it.
    pub secrets: Option<[u8; 32]>,
    /// Since when.
    pub since: Timestamp,
    /// It has been resumed, and the last of its tasks are on their way into the queue.
    pub(crate) resuming: bool,
}
