//! The one convention of the portfolio.

use std::time::Duration;

use crate::ids::ConnectionId;
use crate::retry::RetryPolicy;
use crate::signature::Waiver;

/// What every connector follows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    /// Retries.
    pub retry: RetryPolicy,
    /// Duplicates.
    pub dedupe: DedupePolicy,
    /// How long things are kept.
    pub retention: RetentionPolicy,
    /// When a person is told.
    pub alerts: AlertPolicy,
    /// Connections whose requests are let in without verification.
    pub waivers: Vec<Waiver>,
}

impl Policy {
    /// The waiver of a connection, in force or over.
    pub fn waiver_of(&self, connection: &ConnectionId) -> Option<&Waiver> {
        self.waivers
            .iter()
            .find(|waiver| waiver.connection == *connection)
    }
}

/// How long an event key is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DedupePolicy {
    /// At least this long; outlives the partners' retry horizon.
    pub window: Duration,
}

impl DedupePolicy {
    /// The window is never shorter: Stripe retries for three days, and clocks differ.
    pub const WINDOW_MIN: Duration = Duration::from_hours(4 * 24);
}

impl Default for DedupePolicy {
    fn default() -> Self {
        Self {
            window: Duration::from_hours(30 * 24),
        }
    }
}

/// How long events and changes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Ended events: bytes, attempts and results. Open ones and dead letters stay.
    pub events: Duration,
    /// Changes in the change log; the mirror keeps each entity's newest state.
    pub changes: Duration,
    /// Changes that a sink's cursor still needs: after this they go all the same, and the
    /// sink is paused. At least `changes`.
    pub max: Duration,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self {
            events: Duration::from_hours(30 * 24),
            changes: Duration::from_hours(30 * 24),
            max: Duration::from_hours(90 * 24),
        }
    }
}

/// When an alert opens, how often it is repeated, and when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertPolicy {
    /// Dead letters of one owner and cause from which on they are an alert.
    pub dead_letters: u64,
    /// How long a task may have been due.
    pub backlog_age: Duration,
    /// Signatures of one connection in a row that did not verify. Partners disable an
    /// endpoint that refuses them: Shopify after 8, `WooCommerce` after 5.
    pub signature_failures: u64,
    /// How often a standing alert is repeated.
    pub repeat: Duration,
    /// How long its condition has to be gone before an alert is over.
    pub clear_after: Duration,
}

impl Default for AlertPolicy {
    fn default() -> Self {
        Self {
            dead_letters: 1,
            backlog_age: Duration::from_mins(5),
            signature_failures: 3,
            repeat: Duration::from_hours(4),
            clear_after: Duration::from_secs(10),
        }
    }
}
