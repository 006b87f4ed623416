//! Sinks: where changes go, and how each one stands.
//!
//! A sink reads the change log with a cursor: everything up to it has been delivered, or
//! became a task of its own in the commit that moved the cursor. What a sink is (a
//! webhook, a file, a database) is the host's; here is what every one of them has.

use crate::change::EntityRef;
use crate::ids::{ChangeSeq, ConnectionId, ConnectorName, SinkName};
use crate::task::{Attempt, Next};
use crate::time::Timestamp;

/// Where a new sink begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SinkStart {
    /// With what comes from now on.
    #[default]
    Now,
    /// With the oldest change that is kept.
    Start,
    /// With our copy of every entity, then with what came since.
    Mirror,
}

/// Which changes a sink takes; all where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkFilter {
    /// Of these connectors.
    pub connectors: Vec<ConnectorName>,
    /// Of these connections.
    pub connections: Vec<ConnectionId>,
    /// Of entities of these kinds.
    pub kinds: Vec<String>,
}

impl SinkFilter {
    /// Whether a change of that entity is for the sink.
    pub fn takes(&self, connection: &ConnectionId, entity: &EntityRef) -> bool {
        let among = |nothing: bool, found: bool| nothing || found;
        among(
            self.connectors.is_empty(),
            self.connectors.contains(&connection.connector),
        ) && among(
            self.connections.is_empty(),
            self.connections.contains(connection),
        ) && among(self.kinds.is_empty(), self.kinds.contains(&entity.kind))
    }
}

/// How a sink stands; one durable record each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkStanding {
    /// Which.
    pub sink: SinkName,
    /// Everything up to here has left the change log for the sink.
    pub cursor: ChangeSeq,
    /// How far it has come through the mirror, where it began or begins again there.
    pub mirror: Option<MirrorWalk>,
    /// Whether it runs.
    pub state: SinkState,
}

/// A walk over the mirror before the change log is read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorWalk {
    /// The last entity that was handed over; none at the beginning.
    pub after: Option<(ConnectionId, EntityRef)>,
    /// Where the change log is read on once the mirror has been walked.
    pub then: ChangeSeq,
}

/// Whether a sink runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkState {
    /// It takes changes.
    Running,
    /// It keeps failing: one change at a time is tried until one goes through.
    Failing {
        /// The last failure.
        reason: String,
        /// Since when.
        since: Timestamp,
        /// Probes that failed.
        probes: u32,
        /// When the next one is due.
        next: Timestamp,
    },
    /// Nothing is tried until a person resumes it.
    Paused {
        /// Why.
        why: PauseCause,
        /// The words for a person.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
}

impl SinkState {
    /// A stable word for metrics and the API.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Failing { .. } => "failing",
            Self::Paused { .. } => "paused",
        }
    }
}

/// What moves when a sink has handed changes over; one atomic write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkAdvance {
    /// How it stands afterwards.
    pub standing: SinkStanding,
    /// What did not go through: each becomes a task of its own, in this order.
    pub failed: Vec<FailedDelivery>,
}

/// A change that the sink did not take, or that had to stand back behind one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedDelivery {
    /// Its place in the change log.
    pub seq: ChangeSeq,
    /// Of which connection.
    pub connection: ConnectionId,
    /// Of which entity.
    pub entity: EntityRef,
    /// When the change was committed.
    pub since: Timestamp,
    /// The attempt that failed and what follows from it; none where an earlier change of
    /// the entity is still to be delivered and this one waits for it. Where that one has
    /// ended by the time of the commit, this one is due at once.
    pub tried: Option<(Attempt, Next)>,
}

/// Why a sink is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseCause {
    /// A person did it.
    Operator,
    /// The receiver answered 410: it does not want changes any more.
    Gone,
    /// It held back more of the change log than the policy keeps; it begins again with
    /// the mirror.
    Behind,
    /// More of its changes failed than may wait for it.
    Full,
}

impl PauseCause {
    /// Every cause, for codecs.
    pub const ALL: [Self; 4] = [Self::Operator, Self::Gone, Self::Behind, Self::Full];

    /// A stable word for the API and the disk.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Gone => "gone",
            Self::Behind => "behind",
            Self::Full => "full",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &SinkFilter, connection: &str, kind: &str, expect: bool) {
        let entity = EntityRef {
            kind: kind.into(),
            id: "7".into(),
        };
        assert_eq!(filter.takes(&connection.parse().unwrap(), &entity), expect);
    }

    #[test]
    fn a_filter_takes_what_it_names_and_everything_where_it_names_nothing() {
        check(&SinkFilter::default(), "github/acme", "issue", true);
        let filter = SinkFilter {
            connectors: vec!["github".parse().unwrap()],
            connections: Vec::new(),
            kinds: vec!["issue".into()],
        };
        check(&filter, "github/acme", "issue", true);
        check(&filter, "github/acme", "push", false);
        check(&filter, "stripe/acme", "issue", false);
    }
}
