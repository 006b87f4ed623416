//! Whose turn it is: the lanes of one kind of work that wait, sleep and take turns.
//!
//! A lane sleeps until its first task is due, then joins the ring at its end, and is
//! taken from its front for one task. It stands in one place at a time, which the lane
//! itself keeps ([`Stands`]). A lane in the ring that has nothing left stays there until
//! its turn comes.

use std::collections::{BTreeSet, VecDeque};

use tidegate_core::ids::TaskId;
use tidegate_core::task::Work;
use tidegate_core::time::Timestamp;

use super::lane::Lane;
use crate::keys::LaneKey;

/// Where a lane waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stands {
    /// Nowhere: it has no unclaimed task.
    #[default]
    Nowhere,
    /// It sleeps until then.
    Asleep(Timestamp),
    /// In the ring.
    InRing,
}

/// The lanes of one kind of work, by the owner's hash.
#[derive(Debug, Default)]
pub(super) struct Turns {
    ring: VecDeque<u64>,
    sleeping: BTreeSet<(Timestamp, u64)>,
    /// Claims that were given back and that nobody gets before then.
    pub(super) resting: BTreeSet<(Timestamp, TaskId)>,
}

impl Turns {
    /// The lane whose turn it is. It stands nowhere then.
    pub(super) fn next(&mut self) -> Option<u64> {
        self.ring.pop_front()
    }

    /// Lets a lane that stands nowhere wait for its turn.
    pub(super) fn join(&mut self, owner: u64, lane: &mut Lane) {
        self.ring.push_back(owner);
        lane.stands = Stands::InRing;
    }

    /// The lanes that take turns.
    pub(super) fn ring(&self) -> impl Iterator<Item = u64> {
        self.ring.iter().copied()
    }

    /// The lane that has slept long enough. It stands nowhere then.
    pub(super) fn wake(&mut self, now: Timestamp) -> Option<u64> {
        let (due, _) = self.sleeping.first()?;
        if *due > now {
            return None;
        }
        self.sleeping.pop_first().map(|(_, lane)| lane)
    }

    /// When the first lane wakes.
    pub(super) fn first_wake(&self) -> Option<Timestamp> {
        self.sleeping.first().map(|(due, _)| *due)
    }

    /// Lets a lane sleep until its first task is due, unless it waits for its turn.
    pub(super) fn settle(&mut self, LaneKey { owner, .. }: LaneKey, lane: &mut Lane) {
        let due = lane.first_due().filter(|_| lane.open > 0);
        let next = due.map_or(Stands::Nowhere, Stands::Asleep);
        if lane.stands == Stands::InRing || lane.stands == next {
            return;
        }
        if let Stands::Asleep(until) = lane.stands {
            self.sleeping.remove(&(until, owner));
        }
        if let Some(due) = due {
            self.sleeping.insert((due, owner));
        }
        lane.stands = next;
    }
}

/// The turns of each kind of work.
#[derive(Debug, Default)]
pub(super) struct AllTurns {
    map: Turns,
    partner: Turns,
    deliver: Turns,
    alert: Turns,
}

impl AllTurns {
    pub(super) fn of(&self, work: Work) -> &Turns {
        match work {
            Work::Map => &self.map,
            Work::Partner => &self.partner,
            Work::Deliver => &self.deliver,
            Work::Alert => &self.alert,
        }
    }

    pub(super) fn of_mut(&mut self, work: Work) -> &mut Turns {
        match work {
            Work::Map => &mut self.map,
            Work::Partner => &mut self.partner,
            Work::Deliver => &mut self.deliver,
            Work::Alert => &mut self.alert,
        }
    }
}
