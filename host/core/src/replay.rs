//! Replays: running parked or past tasks again, one, or all that a filter takes.

use crate::ids::{ConnectionId, ConnectorName, EventId, PluginDigest, ReplayId, TaskId};
use crate::task::DeadCause;
use crate::time::Timestamp;

/// Which dead letters or events a replay takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayFilter {
    /// Of any connection of this connector.
    pub connector: Option<ConnectorName>,
    /// Of this connection.
    pub connection: Option<ConnectionId>,
    /// In the state with this code: `dead`, `mapped` or `skipped`.
    pub state: Option<String>,
    /// Parked for this cause; takes dead letters only.
    pub cause: Option<DeadCause>,
    /// Received, or for dead letters other than events parked, not before this.
    pub from: Option<Timestamp>,
    /// And before this.
    pub until: Option<Timestamp>,
    /// Last mapped by this plugin version.
    pub plugin: Option<PluginDigest>,
}

/// What a replay runs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayItem {
    /// A dead letter.
    Letter(TaskId),
    /// An event that has ended.
    Event(EventId),
}

/// How a replay runs what it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayMode {
    /// With this plugin version instead of the one that serves.
    pub with: Option<PluginDigest>,
    /// Also deliver a change after which a later one of its entity went out.
    pub forced: bool,
}

/// A replay by filter, as far as it has come. Durable: a restart goes on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayRun {
    /// Its id.
    pub id: ReplayId,
    /// What it takes.
    pub filter: ReplayFilter,
    /// How.
    pub mode: ReplayMode,
    /// The name of the operator token that began it.
    pub who: String,
    /// Why, in their words; absent where they gave none, or an older host began it.
    pub reason: Option<String>,
    /// When.
    pub began: Timestamp,
    /// Only what was there then, so that what it parks again is not taken twice.
    pub newest: u64,
    /// Everything from this number on has been looked at; it goes from new to old.
    pub before: u64,
    /// How many there were to take when it began.
    pub total: u64,
    /// How many it has put back into the queue.
    pub queued: u64,
    /// How many it passed over: open again, or no longer kept.
    pub passed: u64,
    /// When it had looked at everything.
    pub ended: Option<Timestamp>,
}
