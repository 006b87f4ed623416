//! Duplicates that are none: the id of an event, and another body.
//!
//! The first body stands, so what came later is not kept: either the partner reuses ids, or
//! the event-id rule names an object where it should name a fact. How often stands here, for
//! the operator's views and alerts. In memory, bounded by what is configured, and gone with a
//! restart; the counters have the rest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tidegate_core::alerting::DifferingDuplicates;
use tidegate_core::event::Accepted;
use tidegate_core::ids::{ConnectionId, EventId};
use tidegate_core::time::Timestamp;

/// How often each connection's event ids came with another body.
#[derive(Debug, Default)]
pub(crate) struct Differing(Mutex<HashMap<ConnectionId, DifferingDuplicates>>);

impl Differing {
    /// Counts those of one request. Whoever calls bounds the connections.
    pub(crate) fn count(&self, connection: &ConnectionId, accepted: &[Accepted], now: Timestamp) {
        let mut differing = accepted.iter().filter(|event| event.body_differs);
        let Some(last) = differing.next_back() else {
            return;
        };
        let more = 1 + differing.count() as u64;
        self.add(connection, more, last.id, now);
    }

    fn add(&self, connection: &ConnectionId, more: u64, event: EventId, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = all
            .entry(connection.clone())
            .or_insert_with_key(|connection| DifferingDuplicates {
                connection: connection.clone(),
                count: 0,
                first: now,
                last: now,
                event,
            });
        entry.count = entry.count.saturating_add(more);
        entry.last = now;
        entry.event = event;
    }

    /// Those of one connection, where there were any.
    pub(crate) fn of(&self, connection: &ConnectionId) -> Option<DifferingDuplicates> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(connection).cloned()
    }

    /// Those of every connection that had any.
    pub(crate) fn all(&self) -> Vec<DifferingDuplicates> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_counted() {
        let (differing, id) = (Differing::default(), "tide/acme".parse().unwrap());
        let accepted = |event, body_differs| Accepted {
            id: EventId::new(event),
            duplicate: true,
            body_differs,
        };
        differing.count(&id, &[accepted(1, false)], Timestamp::from_secs(1));
        assert_eq!(differing.of(&id), None);
        let some = [accepted(1, true), accepted(2, false), accepted(3, true)];
        differing.count(&id, &some, Timestamp::from_secs(2));
        differing.count(&id, &[accepted(4, true)], Timestamp::from_secs(3));
        let counted = differing.of(&id).unwrap();
        assert_eq!((counted.count, counted.event), (3, EventId::new(4)));
        assert_eq!(counted.first, Timestamp::from_secs(2));
        assert_eq!(differing.all(), [counted]);
    }
}
