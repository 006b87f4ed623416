//! Dead letters: parked tasks, each with what it is about, so that retention may drop
//! the bucket that its event or change came in.

use tidegate_core::change::Change;
use tidegate_core::event::{Event, EventProgress};
use tidegate_core::ids::{
    ChannelName, ConnectionId, ConnectorName, EventId, PluginDigest, SinkName, TaskId,
};
use tidegate_core::task::{Attempt, DeadCause, Owner, Task, TaskKind, TaskState};
use tidegate_core::time::Timestamp;

/// A parked task and all that a person needs to decide about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The task: its kind says on whose behalf, its state why and since when.
    pub task: Task,
    /// What it is about.
    pub subject: Subject,
    /// The last attempts at it, oldest first.
    pub attempts: Vec<Attempt>,
}

/// What a dead letter is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An event.
    Event {
        /// The event; none where its record could not be read.
        event: Option<Event>,
        /// Where it stands, with its results.
        progress: EventProgress,
    },
    /// A change; none where it is no longer kept or could not be read.
    Change(Option<Change>),
    /// A notice: the task says it.
    Notice,
}

/// Which dead letters; all where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Of any connection of this connector.
    pub connector: Option<ConnectorName>,
    /// Of this connection.
    pub connection: Option<ConnectionId>,
    /// Not taken by this sink.
    pub sink: Option<SinkName>,
    /// Not taken by this alert channel.
    pub channel: Option<ChannelName>,
    /// Parked for this cause.
    pub cause: Option<DeadCause>,
    /// Of a task with this code: `map`, `deliver`, …
    pub kind: Option<String>,
}

/// The codes of all kinds of task.
pub(crate) const KINDS: [&str; 5] = ["map", "fetch", "poll", "deliver", "alert"];

/// What lists, counts and replays need of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadHead {
    pub(crate) task: TaskId,
    pub(crate) kind: &'static str,
    pub(crate) owner: Owner,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) cause: DeadCause,
    pub(crate) at: Timestamp,
    /// When its event was received; for others, when it was parked.
    pub(crate) since: Timestamp,
    /// When its last attempt was due: what runs again is due later.
    pub(crate) due: Timestamp,
    pub(crate) event: Option<EventId>,
    pub(crate) plugin: Option<PluginDigest>,
    /// What its event or change weighs: where its bucket is gone, it goes along when the
    /// task runs again.
    pub(crate) weight: u64,
}

impl DeadHead {
    /// The head of a letter whose task was due then; none where it is not parked.
    pub(crate) fn of(letter: &DeadLetter, due: Timestamp) -> Option<Self> {
        let DeadLetter { task, subject, .. } = letter;
        let TaskState::Dead { cause, at, .. } = &task.state else {
            return None;
        };
        let (since, plugin) = match subject {
            Subject::Event { event, progress } => {
                let received = event.as_ref().map(|event| event.received);
                (received.unwrap_or(*at), progress.plugin)
            }
            Subject::Change(_) | Subject::Notice => (*at, None),
        };
        let weight = match subject {
            Subject::Event { event, .. } => event.as_ref().map(Event::weight),
            Subject::Change(change) => change.as_ref().map(|change| change.change.weight()),
            Subject::Notice => None,
        };
        let event = match &task.kind {
            TaskKind::Map { event, .. } | TaskKind::Fetch { event, .. } => Some(*event),
            TaskKind::Poll { .. } | TaskKind::Deliver(_) | TaskKind::Alert { .. } => None,
        };
        Some(Self {
            task: task.id,
            kind: task.kind.code(),
            owner: task.kind.owner(),
            connection: task.kind.connection().cloned(),
            cause: *cause,
            at: *at,
            since,
            due,
            event,
            plugin,
            weight: weight.unwrap_or_default() as u64,
        })
    }
}

impl DeadLetterFilter {
    pub(crate) fn takes(&self, head: &DeadHead) -> bool {
        let of = head.connection.as_ref();
        self.connector
            .as_ref()
            .is_none_or(|name| of.is_some_and(|of| of.connector == *name))
            && self.connection.as_ref().is_none_or(|name| of == Some(name))
            && self
                .sink
                .as_ref()
                .is_none_or(|sink| matches!(&head.owner, Owner::Sink(of) if of == sink))
            && self
                .channel
                .as_ref()
                .is_none_or(|channel| matches!(&head.owner, Owner::Channel(of) if of == channel))
            && self.cause.is_none_or(|cause| cause == head.cause)
            && self.kind.as_ref().is_none_or(|kind| kind == head.kind)
    }
}
