//! What has arrived at a destination: when each event came first, and how often one came
//! again.
//!
//! An event is known by the number of its request: each names an entity of its own, so
//! one event is one change, and one `webhook-id` where changes are sent alone.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts what arrives; written by one destination, read by anybody.
pub(crate) struct Receipts {
    started: Instant,
    /// Nanoseconds after the start, plus one; 0 where it has not come.
    firsts: Vec<AtomicU64>,
    delivered: AtomicU64,
    duplicates: AtomicU64,
    strangers: AtomicU64,
}

impl Receipts {
    /// For events with numbers below that.
    pub(crate) fn new(events: usize) -> Self {
        Self {
            started: Instant::now(),
            firsts: (0..events).map(|_| AtomicU64::new(0)).collect(),
            delivered: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
        }
    }

    /// Writes down that this event came then; none for what is no event of ours.
    pub(crate) fn take(&self, number: Option<usize>, at: Instant) {
        let nanos = at.saturating_duration_since(self.started).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX - 1) + 1;
        let counted = match number.and_then(|number| self.firsts.get(number)) {
            None => &self.strangers,
            Some(first) => {
                let before = first.compare_exchange(0, nanos, Ordering::Relaxed, Ordering::Relaxed);
                if before.is_ok() {
                    &self.delivered
                } else {
                    &self.duplicates
                }
            }
        };
        counted.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes down when events came that are counted already.
    pub(crate) fn date(&self, number: Option<usize>, at: Instant) {
        let before = self.delivered.load(Ordering::Relaxed);
        self.take(number, at);
        self.delivered.store(before, Ordering::Relaxed);
    }

    /// How many events have come.
    pub(crate) const fn delivered(&self) -> &AtomicU64 {
        &self.delivered
    }

    /// The same as a number.
    pub(crate) fn count(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// How often an event came that had come before.
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// How often something came that nobody had sent.
    pub(crate) fn strangers(&self) -> u64 {
        self.strangers.load(Ordering::Relaxed)
    }

    /// When that event came first.
    pub(crate) fn of(&self, number: usize) -> Option<Instant> {
        let nanos = self.firsts.get(number)?.load(Ordering::Relaxed);
        Some(self.started + Duration::from_nanos(nanos.checked_sub(1)?))
    }

    /// Waits until so many events have come; false where they do not.
    pub(crate) fn wait_for(&self, count: u64, within: Duration) -> bool {
        let start = Instant::now();
        while self.count() < count {
            if start.elapsed() > within {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

impl fmt::Debug for Receipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipts")
            .field("delivered", &self.delivered)
            .field("duplicates", &self.duplicates)
            .field("strangers", &self.strangers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_counts_once_with_its_first_time() {
        let receipts = Receipts::new(3);
        let at = receipts.started + Duration::from_millis(5);
        for (number, after) in [
            (Some(1), 0),
            (Some(1), 7),
            (Some(3), 9),
            (None, 9),
            (Some(0), 2),
        ] {
            receipts.take(number, at + Duration::from_millis(after));
        }
        assert_eq!(receipts.of(1), Some(at));
        assert_eq!(receipts.of(2), None);
        let counts = [
            receipts.count(),
            receipts.duplicates(),
            receipts.strangers(),
        ];
        assert_eq!(counts, [2, 1, 2]);
    }
}
