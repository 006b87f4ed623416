//! How old the open tasks of a lane are, whenever they are due.
//!
//! A task that failed is due again in hours, and the backlog that it is does not get
//! younger by that. Tasks are counted by when what they are about came up, in steps of
//! [`STEP_S`], so that a lane knows its oldest without having all its tasks in memory.

use std::collections::BTreeMap;

use tidegate_core::time::Timestamp;

/// Seconds that are counted together: as much too old may a lane look.
const STEP_S: i64 = 8;

/// The ages of a lane's tasks.
#[derive(Debug, Default)]
pub(super) struct Ages {
    steps: BTreeMap<i64, Step>,
}

/// Tasks about what came up in the same few seconds.
#[derive(Debug)]
struct Step {
    tasks: u32,
    /// The first of them; it may have ended.
    first: Timestamp,
}

impl Ages {
    /// A task about what came up then is open.
    pub(super) fn begin(&mut self, since: Timestamp) {
        let step = self.steps.entry(step(since)).or_insert(Step {
            tasks: 0,
            first: since,
        });
        step.tasks = step.tasks.saturating_add(1);
        step.first = step.first.min(since);
    }

    /// It no longer is.
    pub(super) fn end(&mut self, since: Timestamp) {
        let step = step(since);
        if let Some(counted) = self.steps.get_mut(&step) {
            counted.tasks = counted.tasks.saturating_sub(1);
            if counted.tasks == 0 {
                self.steps.remove(&step);
            }
        }
    }

    /// When what the oldest is about came up.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.steps.first_key_value().map(|(_, step)| step.first)
    }
}

const fn step(since: Timestamp) -> i64 {
    since.as_micros().div_euclid(1_000_000 * STEP_S)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_oldest_is_never_younger_than_it_is_nor_older_by_a_step(
            moves in prop::collection::vec((any::<bool>(), 0_i64..400), 1..120),
        ) {
            let (mut ages, mut open) = (Ages::default(), Vec::new());
            for (begins, number) in moves {
                if begins {
                    let since = Timestamp::from_micros(number * 200_000);
                    ages.begin(since);
                    open.push(since);
                } else if !open.is_empty() {
                    let index = usize::try_from(number).unwrap() % open.len();
                    ages.end(open.swap_remove(index));
                }
                let oldest = open.iter().copied().min();
                prop_assert_eq!(ages.oldest().is_some(), oldest.is_some());
                if let (Some(said), Some(oldest)) = (ages.oldest(), oldest) {
                    prop_assert!(said <= oldest);
                    prop_assert!(oldest.since(said).as_secs() <= STEP_S.unsigned_abs());
                }
            }
        }
    }
}
