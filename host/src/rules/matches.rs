//! Which of a path's secrets still match: what a rotation waits for.
//!
//! Counted since the table was built, that is since the configuration or a plugin last
//! changed. Lock-free: every request that verifies passes here.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use tidegate_core::signature::SECRETS_MAX;
use tidegate_core::time::Timestamp;

/// Counts by the position of the secret.
#[derive(Debug)]
pub(crate) struct Matches([Slot; SECRETS_MAX]);

#[derive(Debug, Default)]
struct Slot {
    count: AtomicU64,
    /// In microseconds, the last one.
    last: AtomicI64,
}

impl Default for Matches {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Slot::default()))
    }
}

impl Matches {
    /// A request was verified with the secret of that position, from 1.
    pub(crate) fn count(&self, position: usize, now: Timestamp) {
        if let Some(slot) = position.checked_sub(1).and_then(|index| self.0.get(index)) {
            slot.count.fetch_add(1, Ordering::Relaxed);
            slot.last.store(now.as_micros(), Ordering::Relaxed);
        }
    }

    /// How often the secret of that position matched, and when it last did.
    pub(crate) fn of(&self, position: usize) -> (u64, Option<Timestamp>) {
        let slot = position.checked_sub(1).and_then(|index| self.0.get(index));
        let count = slot.map_or(0, |slot| slot.count.load(Ordering::Relaxed));
        let last = slot.filter(|_| count > 0);
        let last = last.map(|slot| Timestamp::from_micros(slot.last.load(Ordering::Relaxed)));
        (count, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_position_counts_by_itself_and_what_is_none_does_not() {
        let (matches, now) = (Matches::default(), Timestamp::from_secs(7));
        for position in [0, 2, 2, SECRETS_MAX, SECRETS_MAX + 1] {
            matches.count(position, now);
        }
        assert_eq!(matches.of(1), (0, None));
        assert_eq!(matches.of(2), (2, Some(now)));
        assert_eq!(matches.of(SECRETS_MAX), (1, Some(now)));
        assert_eq!(matches.of(SECRETS_MAX + 1), (0, None));
    }
}
