//! What a sink is given next, and how far its cursor may move.
//!
//! A window holds the changes that a sink's loop has read and that are not yet behind
//! its durable cursor. It hands them over several at a time, those of one entity one
//! after the other; it moves the cursor over what is finished from the front; and what
//! failed leaves with that very move, as a task. While an entity has an open delivery its
//! later changes become tasks behind it. A walk over the mirror is a source of changes
//! like the log.
//!
//! A sink that keeps failing ([`FAILURES_IN_A_ROW`]) is given one change at a time until
//! it takes one. Such a probe that fails becomes a task, so that the next one is another
//! change; what else fails meanwhile stays in the window, except what will never work.
//!
//! Pure: whoever drives it reads, delivers and writes. A window is memory: dropped at any
//! moment, a new one over the durable standing goes on, and hands over again what was not
//! behind the cursor. It must not know how changes are read or sent.

mod cursor;
mod failing;
mod lanes;
mod results;
mod tasks;

use std::collections::VecDeque;

use crate::change::Change;
use crate::ids::ChangeSeq;
use crate::limits::{SINK_DELIVERIES_MAX, SINK_WINDOW_BYTES_MAX, SINK_WINDOW_MAX};
use crate::ports::{EntityKey, LogPage, MirrorPage, OutletCapacity};
use crate::retry::{Jitter, RetryPolicy};
use crate::sink::{FailedDelivery, SinkStanding, SinkState};
use crate::task::Delivery;
use crate::time::Timestamp;

use lanes::Lanes;
pub use tasks::{TaskRun, TaskVerdict};

/// Hand-overs that failed with nothing taken between, before the sink counts as failing;
/// a batch counts as many as it has changes.
pub const FAILURES_IN_A_ROW: usize = 16;

/// Room in the window below which nothing is read: pages shall be of hundreds.
const PAGE_MIN: usize = SINK_WINDOW_MAX / 4;

/// One sink's window. See the module.
#[derive(Debug)]
pub struct Window {
    standing: SinkStanding,
    durable: SinkStanding,
    /// What was handed in to be made durable: how it will stand, and how many items left
    /// the window with it.
    advancing: Option<(SinkStanding, usize)>,
    reading: Reading,
    items: VecDeque<Item>,
    /// The number of the first item.
    first: u64,
    bytes: usize,
    lanes: Lanes,
    capacity: OutletCapacity,
    hand_overs: usize,
    tasks: usize,
    in_a_row: usize,
    hold: Option<Timestamp>,
    stopping: bool,
}

/// Where the window reads on.
#[derive(Debug)]
enum Reading {
    Log {
        after: ChangeSeq,
    },
    Mirror {
        after: Option<EntityKey>,
        then: ChangeSeq,
        ended: bool,
    },
}

/// One change on its way.
#[derive(Debug)]
struct Item {
    seq: ChangeSeq,
    state: ItemState,
    /// Handed over by itself, since a batch with it was refused.
    alone: bool,
}

#[derive(Debug)]
enum ItemState {
    Waiting(Box<Change>),
    Flying,
    Taken(Option<EntityKey>),
    Failed(Box<FailedDelivery>),
}

/// What the window wants to be given; at most that many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// A page of the change log.
    Log {
        /// After this cursor.
        after: ChangeSeq,
        /// At most.
        limit: usize,
    },
    /// A page of the mirror.
    Mirror {
        /// After this entity.
        after: Option<EntityKey>,
        /// At most.
        limit: usize,
    },
}

/// Changes that are with the outlet.
#[derive(Debug)]
pub struct HandOver {
    items: Vec<u64>,
    changes: Vec<Change>,
    probe: bool,
}

impl HandOver {
    /// The changes, in their order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether it tries if a failing sink works again.
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// What a result is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Judgement<'a> {
    /// When the hand-over began.
    pub started: Timestamp,
    /// When its result was there.
    pub now: Timestamp,
    /// When to try again.
    pub retry: &'a RetryPolicy,
    /// A draw.
    pub jitter: Jitter,
}

impl Window {
    /// A window over a durable standing and the deliveries that are open.
    pub fn open(
        standing: SinkStanding,
        capacity: OutletCapacity,
        open: impl IntoIterator<Item = Delivery>,
    ) -> Self {
        let durable = standing.clone();
        let reading = match &standing.mirror {
            None => Reading::Log {
                after: standing.cursor,
            },
            Some(walk) => Reading::Mirror {
                after: walk.after.clone(),
                then: walk.then,
                ended: false,
            },
        };
        let mut lanes = Lanes::default();
        for delivery in open {
            lanes.change(&delivery.connection, &delivery.entity, |lane| {
                lane.open.insert(delivery.seq);
            });
        }
        Self {
            durable,
            standing,
            advancing: None,
            reading,
            items: VecDeque::new(),
            first: 0,
            bytes: 0,
            lanes,
            capacity: OutletCapacity {
                batch: capacity.batch.max(1),
                concurrency: capacity.concurrency.max(1),
            },
            hand_overs: 0,
            tasks: 0,
            in_a_row: 0,
            hold: None,
            stopping: false,
        }
    }

    /// How the sink stands now; durable once it was in an advance.
    pub const fn standing(&self) -> &SinkStanding {
        &self.standing
    }

    /// Deliveries that are open as tasks.
    pub const fn open_deliveries(&self) -> usize {
        self.lanes.open()
    }

    /// Nothing more is read or handed over.
    pub const fn stop(&mut self) {
        self.stopping = true;
    }

    /// Changes up to here have been read: they were given, wait here, or are tasks.
    pub const fn read_to(&self) -> ChangeSeq {
        match &self.reading {
            Reading::Log { after } => *after,
            Reading::Mirror { then, .. } => *then,
        }
    }

    /// What to read next; none where there is no room or no reason.
    pub fn want(&self) -> Option<Want> {
        let leaving = self.advancing.as_ref().map_or(0, |(_, items)| *items);
        let room = SINK_WINDOW_MAX.saturating_sub(self.items.len() + leaving);
        let rests = self.stopping || matches!(self.standing.state, SinkState::Paused { .. });
        if rests || room < PAGE_MIN || self.bytes >= SINK_WINDOW_BYTES_MAX {
            return None;
        }
        match &self.reading {
            Reading::Log { after } => Some(Want::Log {
                after: *after,
                limit: room,
            }),
            Reading::Mirror { ended: true, .. } => None,
            Reading::Mirror { after, .. } => Some(Want::Mirror {
                after: after.clone(),
                limit: room,
            }),
        }
    }

    /// A page of the log, as it was wanted.
    pub fn offer_log(&mut self, page: LogPage) {
        let Reading::Log { after } = &mut self.reading else {
            return;
        };
        let read = std::mem::replace(after, page.next.max(*after));
        for change in page.changes {
            if change.seq > read {
                self.push(change);
            }
        }
    }

    /// A page of the mirror, as it was wanted.
    pub fn offer_mirror(&mut self, page: MirrorPage) {
        let Reading::Mirror { after, then, ended } = &mut self.reading else {
            return;
        };
        *ended = page.next.is_none();
        if page.next.is_some() {
            *after = page.next;
        }
        let then = *then;
        for change in page.changes {
            // A newer state comes with the log; here it would stand before older ones.
            if change.seq <= then {
                self.push(change);
            }
        }
    }

    fn push(&mut self, change: Change) {
        let number = self.first + self.items.len() as u64;
        self.lanes
            .change(&change.connection, &change.change.entity, |lane| {
                lane.waiting.push_back(number);
            });
        self.bytes += change.change.weight();
        self.items.push_back(Item {
            seq: change.seq,
            state: ItemState::Waiting(Box::new(change)),
            alone: false,
        });
    }

    fn item(&self, number: u64) -> Option<&Item> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.items.get(index)
    }

    fn item_mut(&mut self, number: u64) -> Option<&mut Item> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.items.get_mut(index)
    }

    /// The next changes for the outlet; none where nothing may be handed over now.
    pub fn next(&mut self, now: Timestamp) -> Option<HandOver> {
        let batch = self.batch_now(now)?;
        let probe = matches!(self.standing.state, SinkState::Failing { .. });
        let mut hand_over = HandOver {
            items: Vec::with_capacity(batch.min(16)),
            changes: Vec::with_capacity(batch.min(16)),
            probe,
        };
        if self.capacity.concurrency == 1 {
            self.take_in_order(batch, &mut hand_over);
        } else {
            self.take_heads(batch, &mut hand_over);
        }
        (!hand_over.items.is_empty()).then(|| {
            self.hand_overs += 1;
            hand_over
        })
    }

    /// How many changes the next hand-over may have; none where there may be none.
    fn batch_now(&self, now: Timestamp) -> Option<usize> {
        let in_flight = self.hand_overs + self.tasks;
        if self.stopping || self.hold.is_some_and(|until| now < until) {
            return None;
        }
        match &self.standing.state {
            SinkState::Paused { .. } => None,
            SinkState::Failing { next, .. } => (in_flight == 0 && now >= *next).then_some(1),
            SinkState::Running => {
                let free = in_flight < self.capacity.concurrency;
                (free && self.lanes.open() < SINK_DELIVERIES_MAX).then_some(self.capacity.batch)
            }
        }
    }

    /// One change an entity at most: several hand-overs are on their way at once.
    fn take_heads(&mut self, batch: usize, hand_over: &mut HandOver) {
        while hand_over.items.len() < batch {
            let Some(number) = self.lanes.first_ready() else {
                break;
            };
            if !self.take(number, hand_over) {
                break;
            }
        }
    }

    /// All changes in their order: this hand-over is the only one, so those of one entity
    /// cannot overtake each other.
    fn take_in_order(&mut self, batch: usize, hand_over: &mut HandOver) {
        let Some(mut number) = self.lanes.first_ready() else {
            return;
        };
        while hand_over.items.len() < batch {
            let Some(item) = self.item(number) else {
                break;
            };
            let free = match &item.state {
                ItemState::Waiting(change) => self
                    .lanes
                    .get(&change.connection, &change.change.entity)
                    .is_some_and(|lane| !lane.is_blocked()),
                ItemState::Flying | ItemState::Taken(_) | ItemState::Failed(_) => false,
            };
            if free && !self.take(number, hand_over) {
                break;
            }
            number += 1;
        }
    }

    /// Moves an item to the hand-over; false where it has to go with another one.
    fn take(&mut self, number: u64, hand_over: &mut HandOver) -> bool {
        let begun = !hand_over.items.is_empty();
        let Some(item) = self.item_mut(number) else {
            return false;
        };
        if (item.alone && begun) || !matches!(item.state, ItemState::Waiting(_)) {
            return false;
        }
        let alone = item.alone;
        if let ItemState::Waiting(change) = std::mem::replace(&mut item.state, ItemState::Flying) {
            self.lanes
                .change(&change.connection, &change.change.entity, |lane| {
                    lane.waiting.pop_front();
                    lane.flying += 1;
                });
            hand_over.items.push(number);
            hand_over.changes.push(*change);
        }
        !alone
    }
}

#[cfg(test)]
mod tests;
