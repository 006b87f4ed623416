//! When a failed task is tried again.

use std::time::Duration;

use crate::time::Timestamp;

/// The portfolio's retry convention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The wait after the first, second, … failed attempt; after the last comes the
    /// dead letter.
    pub schedule: Vec<Duration>,
    /// Longest time that a task may wait for a partner's rate limit.
    pub rate_limited_max: Duration,
    /// Longest delay that is granted to whoever asks for one (`Retry-After`).
    pub delay_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        const SECONDS: [u64; 7] = [2, 5, 30, 120, 600, 3_600, 14_400];
        Self {
            schedule: SECONDS.map(Duration::from_secs).to_vec(),
            rate_limited_max: Duration::from_hours(24),
            delay_max: Duration::from_hours(24),
        }
    }
}

/// A draw in `0..=1_000` that spreads retries; comes in from outside so that a
/// decision can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(u16);

impl Jitter {
    /// From any number; only its remainder counts.
    pub const fn new(draw: u64) -> Self {
        Self((draw % 1_001) as u16)
    }

    /// `span` and up to a fifth of it more: never earlier than the policy says.
    fn spread(self, span: Duration) -> Duration {
        span.saturating_add((span / 5_000).saturating_mul(u32::from(self.0)))
    }
}

impl RetryPolicy {
    /// When attempt `attempt` (from 1) having failed now, the next is due; none where
    /// the schedule is used up.
    pub fn next_due(&self, attempt: u32, now: Timestamp, jitter: Jitter) -> Option<Timestamp> {
        let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
        let wait = self.schedule.get(index)?;
        Some(now.plus(jitter.spread(*wait)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(attempt: u32, draw: u64, expect_ms: Option<u128>) {
        let policy = RetryPolicy::default();
        let due = policy.next_due(attempt, Timestamp::EPOCH, Jitter::new(draw));
        assert_eq!(
            due.map(|due| due.since(Timestamp::EPOCH).as_millis()),
            expect_ms
        );
    }

    #[test]
    fn the_schedule_with_jitter_and_its_end() {
        check(1, 0, Some(2_000));
        check(1, 1_000, Some(2_400));
        check(7, 0, Some(14_400_000));
        check(8, 0, None);
        check(0, 0, None);
    }
}
