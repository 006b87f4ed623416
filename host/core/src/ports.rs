//! What the flows need from the world, as traits.
//!
//! Futures are `Send` so that any executor can drive a flow: the host's, and the
//! simulation's own.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::alert::{AlertRecord, AlertUpdate, Notice};
use crate::alerting::Observed;
use crate::change::{Change, EntityRef, ProposedChange};
use crate::event::{Accepted, Event};
use crate::failure::Failure;
use crate::ids::{ChangeSeq, ConnectionId, EventId, PluginDigest, SinkName, TaskId};
use crate::mapping::{MapCall, MapReport};
use crate::retry::Jitter;
use crate::sink::{SinkAdvance, SinkFilter};
use crate::task::{Again, Attempt, DeadCause, Delivery, Next, Owner, Task, Work};
use crate::time::Timestamp;

/// The time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Chance.
pub trait Chance: Send + Sync {
    /// A draw that spreads retries.
    fn jitter(&self) -> Jitter;
}

/// Why something could not be made durable. Nothing of it is visible, and the caller
/// may hand it in again later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// The queue before the committer is full.
    #[error("the store's queue is full")]
    QueueFull,
    /// Free disk is below the reserve.
    #[error("free disk is below the reserve")]
    DiskLow,
    /// A write or sync failed; the process is about to end.
    #[error("the store has failed and takes nothing until the host has restarted")]
    Latched,
    /// A record that it depends on cannot be read.
    #[error("a record of the store that it depends on cannot be read")]
    Unreadable,
    /// The host is shutting down.
    #[error("the host is shutting down")]
    ShuttingDown,
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read {what} from the store")]
pub struct ReadError {
    /// What was read.
    pub what: String,
    /// Why not.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The way into the store: one writer, group commit.
pub trait Journal: Send + Sync {
    /// Makes the events of one request durable, all or none, each with its map task,
    /// unless its key is known. Resolves once they are on stable storage; one answer
    /// an event, in order.
    fn accept(
        &self,
        events: Vec<Event>,
    ) -> impl Future<Output = Result<Vec<Accepted>, NotStored>> + Send;

    /// Hands in the end of an attempt. Resolves once the committer has taken it over:
    /// the claim ends when it is durable.
    fn complete(
        &self,
        completion: Completion,
    ) -> impl Future<Output = Result<(), NotStored>> + Send;

    /// Moves a sink's cursor, with the tasks of what failed before it. Resolves once it
    /// is durable.
    fn advance(&self, advance: SinkAdvance) -> impl Future<Output = Result<(), NotStored>> + Send;
}

/// The way into the store for thin pings.
pub trait PollWishes: Send + Sync {
    /// Makes the wish to poll a connection durable, unless one waits already. Resolves once
    /// it is.
    fn wish_poll(
        &self,
        connection: ConnectionId,
    ) -> impl Future<Output = Result<(), NotStored>> + Send;
}

/// A sink's way out: the receiver, behind whatever protocol.
pub trait Outlet: Send + Sync {
    /// How much it takes at once.
    fn capacity(&self) -> OutletCapacity;

    /// Hands changes over in their order, the cursor that stands after the last of them
    /// beside. Resolves with one result each once the receiver has taken or refused
    /// them; bounded in time by the outlet itself.
    fn deliver(&self, changes: &[Change]) -> impl Future<Output = Vec<Result<(), Failure>>> + Send;

    /// Where the receiver itself keeps the cursor (a database does, in the transaction of
    /// the changes), that one counts; none where it keeps none.
    fn cursor(&self) -> impl Future<Output = Result<Option<ChangeSeq>, Failure>> + Send;
}

/// How much an outlet takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutletCapacity {
    /// Most changes of one hand-over.
    pub batch: usize,
    /// Most hand-overs at a time; never two of one entity.
    pub concurrency: usize,
}

/// The change log and our copy of every entity, as the loop of a sink reads them.
pub trait ChangeLog: Send + Sync {
    /// Changes after a cursor that the filter takes; may be fewer than `limit` although
    /// there are more.
    fn page(
        &self,
        after: ChangeSeq,
        filter: &SinkFilter,
        limit: usize,
    ) -> Result<LogPage, LogError>;

    /// The newest state of entities after that one, tombstones too, that the filter
    /// takes, each as the change that brought it.
    fn mirror(
        &self,
        after: Option<&EntityKey>,
        filter: &SinkFilter,
        limit: usize,
    ) -> Result<MirrorPage, ReadError>;

    /// The change of a delivery: from the log, from where a parked delivery keeps it, or
    /// from our copy of the entity where that is still the same change.
    fn change(&self, task: TaskId, delivery: &Delivery) -> Result<Option<Change>, ReadError>;

    /// The newest change of an entity.
    fn newest_of(
        &self,
        connection: &ConnectionId,
        entity: &EntityRef,
    ) -> Result<Option<ChangeSeq>, ReadError>;

    /// The newest change of all.
    fn newest(&self) -> ChangeSeq;

    /// The oldest cursor from which no change is missing.
    fn oldest(&self) -> ChangeSeq;

    /// The deliveries of a sink that are due, scheduled or waiting; parked ones are not.
    fn open_deliveries(&self, sink: &SinkName) -> Result<Vec<Delivery>, ReadError>;

    /// Whether that delivery is among them.
    fn is_open(&self, delivery: &Delivery) -> Result<bool, ReadError>;
}

/// Changes in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// The changes.
    pub changes: Vec<Change>,
    /// The cursor to continue from, past what the filter did not take; where the page
    /// began when there is nothing more.
    pub next: ChangeSeq,
}

/// Entities in the mirror's order, as the changes that brought them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorPage {
    /// Their newest states.
    pub changes: Vec<Change>,
    /// The entity to continue after, past what the filter did not take; none at the end.
    pub next: Option<EntityKey>,
}

/// An entity, over all connections.
pub type EntityKey = (ConnectionId, EntityRef);

/// Why a page of the change log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Changes after that cursor have been dropped.
    #[error("changes after {cursor} are no longer kept")]
    Expired {
        /// The cursor.
        cursor: ChangeSeq,
    },
    /// This store has not handed out that cursor.
    #[error("cursor {cursor} is ahead of the change log: it is not of this store")]
    Ahead {
        /// The cursor.
        cursor: ChangeSeq,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Claims on the tasks of one owner.
pub trait Claims: Send + Sync {
    /// Claims up to `max` tasks of that owner and work that are due.
    fn claim_of(
        &self,
        owner: &Owner,
        work: Work,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, ReadError>;

    /// When the next unclaimed one is due; in the past where it is now.
    fn next_due_of(&self, owner: &Owner, work: Work) -> Option<Timestamp>;

    /// Gives a claim back without a completion.
    fn release(&self, task: TaskId);
}

/// An alert channel's way out.
pub trait Messenger: Send + Sync {
    /// Sends a notice. Resolves once the receiver has taken or refused it.
    fn send(&self, notice: &Notice) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Whoever sees how things stand.
pub trait Observer: Send + Sync {
    /// What is wrong now.
    fn observe(&self) -> Result<Observed, ReadError>;
}

/// The way into the store for alerts.
pub trait AlertJournal: Send + Sync {
    /// The alerts that stand.
    fn alerts(&self) -> Result<Vec<AlertRecord>, ReadError>;

    /// Makes an update durable, all or nothing; resolves once it is.
    fn put_alerts(&self, update: AlertUpdate)
    -> impl Future<Output = Result<(), NotStored>> + Send;
}

/// Events as they were stored.
pub trait Events: Send + Sync {
    /// The event, unless retention dropped it.
    fn event(&self, id: EventId) -> Result<Option<Event>, ReadError>;
}

/// What the flow of an attempt decided; one atomic write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The task as it was claimed; its kind says on whose behalf.
    pub task: Task,
    /// The attempt, for the record.
    pub attempt: Attempt,
    /// What follows.
    pub end: End,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Changes and wishes.
    Mapped {
        /// To be decided by the version rule.
        changes: Vec<ProposedChange>,
        /// Becomes fetch tasks.
        fetch: Vec<EntityRef>,
        /// Becomes a poll task.
        poll_now: bool,
    },
    /// Nothing for the change log.
    Skipped {
        /// Why.
        reason: String,
    },
    /// A sink took the change, or a channel the notice.
    Delivered,
    /// A later change of the entity went out to the sink already, or the alert stands no
    /// longer: this one is not sent.
    Superseded,
    /// To be tried again.
    Again(Again),
    /// A dead letter.
    Park {
        /// Whose problem it is.
        cause: DeadCause,
        /// What happened.
        reason: String,
    },
    /// The connection is paused, and the task waits until it is resumed.
    Pause {
        /// What happened.
        reason: String,
    },
}

impl From<Next> for End {
    fn from(next: Next) -> Self {
        match next {
            Next::Again(again) => Self::Again(again),
            Next::Park { cause, reason } => Self::Park { cause, reason },
            Next::Pause { reason } => Self::Pause { reason },
        }
    }
}

/// A plugin's mapper. Runs the guest on the caller's thread: whoever drives the map
/// flow owns a thread that may be busy for the length of a call.
pub trait Mapper: Send + Sync {
    /// Calls it once, in a fresh instance.
    fn map(&self, call: &MapCall<'_>) -> MapReport;
}

/// What the configuration says about a connection at the moment of a call.
#[derive(Clone, Debug)]
pub struct ConnectionRules {
    /// Base URL of the partner's API.
    pub base_url: Option<Arc<str>>,
    /// Settings as a JSON object.
    pub settings: Bytes,
    /// SHA-256 of `settings`.
    pub settings_digest: [u8; 32],
}

impl ConnectionRules {
    /// Rules with that base URL and those settings, a JSON object.
    pub fn new(base_url: Option<Arc<str>>, settings: Bytes) -> Self {
        let settings_digest = Sha256::digest(&settings).into();
        Self {
            base_url,
            settings,
            settings_digest,
        }
    }
}

/// Who maps a connection's events now.
#[derive(Clone, Debug)]
pub enum MapRoute<M> {
    /// This plugin version, under these rules.
    Plugin(M, Arc<ConnectionRules>),
    /// The connector has no plugin.
    NoPlugin,
    /// The connector's plugin could not be loaded; it may be, later.
    Unavailable {
        /// Why not.
        reason: String,
    },
    /// The version that a replay named cannot be had.
    VersionGone {
        /// Why not.
        reason: String,
    },
    /// The connection is not configured.
    NoConnection,
}

/// The routing table of the moment.
pub trait Routes: Send + Sync {
    /// A loaded plugin.
    type Mapper: Mapper;

    /// Who maps this connection's events now: the version that serves, or that one.
    fn route(
        &self,
        connection: &ConnectionId,
        with: Option<PluginDigest>,
    ) -> MapRoute<Self::Mapper>;
}

/// A task that a worker holds while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The task.
    pub task: Task,
    /// How often the host has stopped while it ran this task, in a row.
    pub stops: u32,
}

impl Claimed {
    /// Its number.
    pub const fn id(&self) -> TaskId {
        self.task.id
    }
}
