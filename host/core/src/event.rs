//! Events: facts that a partner reported, and what became of them.

use bytes::Bytes;

use crate::change::{ChangeResult, EntityRef};
use crate::ids::{ConnectionId, EventId, PluginDigest, TaskId};
use crate::task::{Attempt, DeadCause};
use crate::time::Timestamp;

/// How much of a body the signature vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyAuthenticated {
    /// Every byte.
    Full,
    /// Some fields only.
    Fields,
    /// Nothing: a shared token proved the sender.
    None,
}

/// One verified fact as it was received. Never altered after it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// On whose behalf.
    pub connection: ConnectionId,
    /// The partner's id of it, as the event-id rule found it; with the connection it
    /// is the event key.
    pub partner_id: String,
    /// When the request had arrived whole.
    pub received: Timestamp,
    /// HTTP method.
    pub method: String,
    /// Path segments after the account, decoded.
    pub path: Vec<String>,
    /// Raw query string without `?`.
    pub query: String,
    /// Headers in their order, names in lower case, credentials redacted.
    pub headers: Vec<(String, Bytes)>,
    /// The raw body.
    pub body: Bytes,
    /// What the signature vouches for.
    pub body_authenticated: BodyAuthenticated,
}

impl Event {
    /// The bytes it holds, for bounds on batches and queues.
    pub fn weight(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        128 + self.partner_id.len() + self.query.len() + headers + self.body.len()
    }
}

/// The answer to an event handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The event's id: the first one's where this is a duplicate.
    pub id: EventId,
    /// Whether the event key was known already.
    pub duplicate: bool,
    /// Whether it was known with another body: the first one stands, and either the partner
    /// reuses ids or the event-id rule names less than one fact.
    pub body_differs: bool,
}

/// Where an event stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventState {
    /// Its map task is due, or runs.
    Pending {
        /// The next attempt's number, from 1.
        attempt: u32,
        /// When it is due.
        due: Timestamp,
    },
    /// Mapped; entities that it names are still to be fetched.
    Fetching {
        /// Fetch tasks that have not ended.
        open: u32,
    },
    /// Mapped, for good.
    Mapped,
    /// Nothing in it for the change log.
    Skipped {
        /// Why.
        reason: String,
    },
    /// Parked until a person decides.
    Dead {
        /// Whose problem it is.
        cause: DeadCause,
        /// What happened.
        reason: String,
    },
}

impl EventState {
    /// A stable word for metrics, filters and the API.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Fetching { .. } => "fetching",
            Self::Mapped => "mapped",
            Self::Skipped { .. } => "skipped",
            Self::Dead { .. } => "dead",
        }
    }
}

/// What is known about an event beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventProgress {
    /// Where it stands.
    pub state: EventState,
    /// Attempts at mapping it, oldest first; the last few only.
    pub attempts: Vec<Attempt>,
    /// What became of each change that it proposed.
    pub changes: Vec<ChangeResult>,
    /// Entities that are still to be fetched for it.
    pub fetches: Vec<(TaskId, EntityRef)>,
    /// Which plugin version mapped it.
    pub plugin: Option<PluginDigest>,
}

impl EventProgress {
    /// An event that was accepted and not yet tried.
    pub const fn fresh(received: Timestamp) -> Self {
        Self {
            state: EventState::Pending {
                attempt: 1,
                due: received,
            },
            attempts: Vec::new(),
            changes: Vec::new(),
            fetches: Vec::new(),
            plugin: None,
        }
    }
}
