//! What a seed stands for: how large its world is, and what may go wrong in it.

use std::fmt;
use std::time::Duration;

use tidegate_core::policy::{Policy, RetentionPolicy};

use crate::faults::{Fault, Faults};
use crate::rng::Rng;

/// One run, fixed by its seed; a shorter story is the same seed with fewer steps, events
/// and kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its seed.
    pub seed: u64,
    /// Steps until the faults stop.
    pub steps: u64,
    /// Events that the partners have to tell.
    pub events: usize,
    /// Connections.
    pub connections: usize,
    /// Sinks.
    pub sinks: usize,
    /// Map workers.
    pub workers: usize,
    /// What may go wrong.
    pub faults: Faults,
}

/// Steps of a run before its faults stop, unless told otherwise.
pub const STEPS: u64 = 2_500;

impl Plan {
    /// What that seed stands for.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed).fork(1);
        // Each run has its own mixture: all faults at once hide each other.
        let share = *rng.pick(&[250, 500, 750]).unwrap_or(&500);
        let faults = Fault::ALL.into_iter().filter(|_| rng.per_mille(share));
        let faults = faults.fold(Faults::NONE, Faults::with);
        Self {
            seed,
            steps: STEPS,
            events: rng.index(45) + 6,
            connections: rng.index(2) + 1,
            sinks: rng.index(4),
            workers: rng.index(3) + 1,
            faults,
        }
    }

    /// The portfolio's policy in that world.
    pub fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        if self.faults.has(Fault::Retention) {
            policy.retention = RetentionPolicy {
                events: Duration::from_mins(10),
                changes: Duration::from_mins(10),
                max: Duration::from_mins(40),
            };
        }
        policy
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}, {} steps, {} events of {} connections, {} sinks, {} workers; faults: {}",
            self.seed,
            self.steps,
            self.events,
            self.connections,
            self.sinks,
            self.workers,
            self.faults
        )
    }
}
