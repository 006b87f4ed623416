//! The one convention of the portfolio.

use std::time::Duration;

use crate::retry::RetryPolicy;

/// What every connector follows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    /// Retries.
    pub retry: RetryPolicy,
    /// Duplicates.
    pub dedupe: DedupePolicy,
    /// How long things are kept.
    pub retention: RetentionPolicy,
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
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self {
            events: Duration::from_hours(30 * 24),
            changes: Duration::from_hours(30 * 24),
        }
    }
}
