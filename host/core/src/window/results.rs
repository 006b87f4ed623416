//! What a hand-over's results do to the window: taken, put back, or a task.

use super::{HandOver, ItemState, Judgement, Reading, Window};
use crate::change::Change;
use crate::failure::{Failure, FailureClass};
use crate::limits::SINK_DELIVERIES_MAX;
use crate::setback::setback;
use crate::sink::{FailedDelivery, PauseCause, SinkState};
use crate::task::{Attempt, Next, Try, Work};
use crate::time::Timestamp;

impl Window {
    /// What came of a hand-over: one result a change, in their order.
    pub fn finished(
        &mut self,
        hand_over: HandOver,
        mut results: Vec<Result<(), Failure>>,
        by: &Judgement<'_>,
    ) {
        self.hand_overs = self.hand_overs.saturating_sub(1);
        let probe = hand_over.probe;
        results.resize_with(hand_over.items.len(), || {
            Err(Failure::new(
                FailureClass::TRANSIENT,
                "the outlet gave no result for it",
            ))
        });
        let split = is_refused_batch(&results);
        if !split {
            self.judge(&results, probe, by);
        }
        let changes = hand_over.items.into_iter().zip(hand_over.changes);
        // From the last to the first, so that what is put back stands in order again.
        for ((number, change), result) in changes.zip(results).rev() {
            let entity = &change.change.entity;
            let overtaken = self.lanes.change(&change.connection, entity, |lane| {
                lane.flying = lane.flying.saturating_sub(1);
                lane.taken > Some(number)
            });
            match result {
                Ok(()) => self.taken(number, change),
                Err(_) if split => self.put_back(number, change, true),
                // A later state went out in the same hand-over: this one would undo it.
                Err(_) if overtaken => self.settle(number, change),
                Err(failure) => self.failed(number, change, failure, probe, by),
            }
        }
    }

    fn taken(&mut self, number: u64, change: Change) {
        self.lanes
            .change(&change.connection, &change.change.entity, |lane| {
                lane.taken = lane.taken.max(Some(number));
            });
        self.settle(number, change);
    }

    /// The item is finished, and nothing is left to do for it.
    fn settle(&mut self, number: u64, change: Change) {
        self.bytes = self.bytes.saturating_sub(change.change.weight());
        let in_mirror = matches!(self.reading, Reading::Mirror { .. });
        if let Some(item) = self.item_mut(number) {
            let key = in_mirror.then_some((change.connection, change.change.entity));
            item.state = ItemState::Taken(key);
        }
    }

    fn put_back(&mut self, number: u64, change: Change, alone: bool) {
        self.lanes
            .change(&change.connection, &change.change.entity, |lane| {
                lane.waiting.push_front(number);
            });
        if let Some(item) = self.item_mut(number) {
            item.alone |= alone;
            item.state = ItemState::Waiting(Box::new(change));
        }
    }

    fn failed(
        &mut self,
        number: u64,
        change: Change,
        failure: Failure,
        probe: bool,
        by: &Judgement<'_>,
    ) {
        // A probe that failed becomes a task, so that the next one is another change: the
        // receiver may be well, and refuse this one for ever.
        let tells = probe && self.is_told_by(&failure.class);
        let runs = matches!(self.standing.state, SinkState::Running);
        if !runs && !tells && !is_hopeless(&failure.class) {
            return self.put_back(number, change, false);
        }
        let tried = Try {
            attempt: 1,
            since: change.committed,
            limited_since: None,
        };
        let left = setback(Work::Deliver, tried, failure, by.now, by.retry, by.jitter);
        if let Next::Again(again) = &left.next {
            self.hold_if_asked(&left.failure.class, again.due);
        }
        let opens = matches!(left.next, Next::Again(_));
        let attempt = Attempt {
            number: 1,
            started: by.started,
            took: by.now.since(by.started),
            plugin: None,
            settings: None,
            failure: Some(left.failure),
            stderr: String::new(),
        };
        self.leave_as_task(
            number,
            change,
            Some((attempt, left.next)),
            opens.then_some(by.now),
        );
    }

    /// The item leaves the window as a task, with the cursor that passes it; `opens` says
    /// when, where it is to be tried again.
    pub(super) fn leave_as_task(
        &mut self,
        number: u64,
        change: Change,
        tried: Option<(Attempt, Next)>,
        opens: Option<Timestamp>,
    ) {
        self.bytes = self.bytes.saturating_sub(change.change.weight());
        let seq = change.seq;
        if let Some(now) = opens {
            self.lanes
                .change(&change.connection, &change.change.entity, |lane| {
                    lane.ordered_from.get_or_insert(seq);
                    lane.open.insert(seq);
                });
            if self.lanes.open() >= SINK_DELIVERIES_MAX {
                let reason =
                    format!("{SINK_DELIVERIES_MAX} of its changes failed and wait to be delivered");
                self.pause(PauseCause::Full, reason, now);
            }
        }
        if let Some(item) = self.item_mut(number) {
            item.state = ItemState::Failed(Box::new(FailedDelivery {
                seq,
                connection: change.connection,
                entity: change.change.entity,
                since: change.committed,
                tried,
            }));
        }
    }
}

/// It will never work with this change, whatever becomes of the sink.
pub(super) const fn is_hopeless(class: &FailureClass) -> bool {
    matches!(
        class,
        FailureClass::Permanent | FailureClass::CheckpointExpired
    )
}

/// A batch that was refused as a whole, for good: one change in it may be the reason.
fn is_refused_batch(results: &[Result<(), Failure>]) -> bool {
    let hopeless = |result: &Result<(), Failure>| matches!(result, Err(failure) if is_hopeless(&failure.class));
    results.len() > 1 && results.iter().all(hopeless)
}
