//! How far the cursor may move: over what is finished, from the front.

use super::{ItemState, Reading, Window};
use crate::ids::ChangeSeq;
use crate::limits::SINK_DELIVERIES_MAX;
use crate::ports::EntityKey;
use crate::sink::{FailedDelivery, MirrorWalk, PauseCause, SinkAdvance};
use crate::task::Delivery;
use crate::time::Timestamp;

enum Passed {
    Taken(Option<EntityKey>),
    Failed(Box<FailedDelivery>),
}

impl Window {
    /// The receiver keeps a cursor of its own. Where it stands before ours it has lost
    /// something, and counts; where it is ahead, ours only repeats what it has. Where the
    /// log, kept from `oldest` on, does not reach back to it, the receiver is given our copy
    /// of every entity first: what is missing there may be nothing that it takes, or all
    /// that a restored backup lacks. For before the first page.
    pub fn begin_at(&mut self, kept: ChangeSeq, oldest: ChangeSeq, newest: ChangeSeq) {
        let Reading::Log { after } = &mut self.reading else {
            return;
        };
        if !self.items.is_empty() {
            return;
        }
        if kept < oldest && kept < *after {
            self.standing.mirror = Some(MirrorWalk {
                after: None,
                then: newest,
            });
            self.reading = Reading::Mirror {
                after: None,
                then: newest,
                ended: false,
            };
        } else {
            *after = kept.min(*after);
            self.standing.cursor = *after;
        }
    }

    /// The log does not reach back to the cursor: the sink is paused, and begins again with
    /// the mirror when a person resumes it.
    pub fn fell_behind(&mut self, newest: ChangeSeq, now: Timestamp) {
        let reason = "the change log does not reach back to its cursor any more; resumed, it is given our copy of every entity first";
        self.pause(PauseCause::Behind, reason.into(), now);
        self.standing.mirror = Some(MirrorWalk {
            after: None,
            then: newest,
        });
    }

    /// What is to be made durable now; none where nothing moved, or an advance is on its
    /// way already.
    pub fn advance(&mut self, now: Timestamp) -> Option<SinkAdvance> {
        if self.advancing.is_some() {
            return None;
        }
        let (mut failed, mut left, mut last) = (Vec::new(), 0, None);
        while let Some(passed) = self.pass(now) {
            left += 1;
            match passed {
                Passed::Taken(key) => last = key.or(last),
                Passed::Failed(delivery) => {
                    last = Some((delivery.connection.clone(), delivery.entity.clone()));
                    failed.push(*delivery);
                }
            }
        }
        self.move_cursor(last);
        if self.standing == self.durable && failed.is_empty() {
            return None;
        }
        self.advancing = Some((self.standing.clone(), left));
        Some(SinkAdvance {
            standing: self.standing.clone(),
            failed,
        })
    }

    /// The store has opened no delivery of that change: it is parked already, from an earlier
    /// time that the sink was given it. It holds back nothing, or it would for ever.
    pub fn never_opened(&mut self, delivery: &Delivery) {
        let Delivery {
            connection,
            entity,
            seq,
            ..
        } = delivery;
        self.lanes.change(connection, entity, |lane| {
            lane.open.remove(seq);
            lane.ordered_from = lane.ordered_from.filter(|_| !lane.open.is_empty());
        });
    }

    /// The advance is durable.
    pub fn advanced(&mut self) {
        if let Some((standing, _)) = self.advancing.take() {
            self.durable = standing;
        }
    }

    /// Takes the first item out where it is finished, or has to wait as a task.
    fn pass(&mut self, now: Timestamp) -> Option<Passed> {
        let number = self.first;
        let first = self.items.front()?;
        if let ItemState::Waiting(change) = &first.state {
            let lane = self.lanes.get(&change.connection, &change.change.entity);
            let behind = lane.is_some_and(|lane| lane.flying == 0 && !lane.open.is_empty());
            if !behind || self.lanes.open() >= SINK_DELIVERIES_MAX {
                return None;
            }
            self.join(number, now);
        }
        let first = self.items.pop_front_if(|item| {
            matches!(item.state, ItemState::Taken(_) | ItemState::Failed(_))
        })?;
        self.first += 1;
        match first.state {
            ItemState::Taken(key) => Some(Passed::Taken(key)),
            ItemState::Failed(delivery) => Some(Passed::Failed(delivery)),
            ItemState::Waiting(_) | ItemState::Flying => None,
        }
    }

    /// A waiting item becomes a task behind the open deliveries of its entity.
    fn join(&mut self, number: u64, now: Timestamp) {
        let Some(item) = self.item_mut(number) else {
            return;
        };
        if let ItemState::Waiting(change) = std::mem::replace(&mut item.state, ItemState::Flying) {
            self.lanes
                .change(&change.connection, &change.change.entity, |lane| {
                    lane.waiting.pop_front();
                });
            self.leave_as_task(number, *change, None, Some(now));
        }
    }

    fn move_cursor(&mut self, last: Option<EntityKey>) {
        let first = self.items.front().map(|item| item.seq);
        match &self.reading {
            Reading::Log { after } => {
                let before = |seq: ChangeSeq| ChangeSeq::new(seq.get().saturating_sub(1));
                let cursor = first.map_or(*after, before);
                self.standing.cursor = self.standing.cursor.max(cursor);
            }
            Reading::Mirror { then, ended, .. } if *ended && first.is_none() => {
                let then = *then;
                self.standing.mirror = None;
                self.standing.cursor = then;
                self.reading = Reading::Log { after: then };
            }
            Reading::Mirror { after, then, .. } => {
                let walked = if first.is_none() {
                    after.clone()
                } else {
                    let so_far = self.standing.mirror.as_ref();
                    last.or_else(|| so_far.and_then(|walk| walk.after.clone()))
                };
                self.standing.mirror = Some(MirrorWalk {
                    after: walked,
                    then: *then,
                });
            }
        }
    }
}
