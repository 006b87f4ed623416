//! Whether the store takes anything just now, and if not, why.
//!
//! One word shared by ingress (which answers 503), the committer (which latches), the
//! disk watch, workers and readiness. A latch and a shutdown never open again.

use std::sync::{Arc, Mutex, PoisonError};

use tidegate_core::ports::NotStored;
use tokio::sync::watch;

/// What the store takes just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GateState {
    /// Everything.
    Open,
    /// Nothing new until disk is free again.
    DiskLow {
        /// Bytes free.
        free: u64,
    },
    /// Nothing any more: a write or sync failed.
    Latched {
        /// What failed.
        reason: String,
    },
    /// Nothing new: the host is ending.
    ShuttingDown,
}

impl GateState {
    /// The word used in status and metrics.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::DiskLow { .. } => "disk-low",
            Self::Latched { .. } => "latched",
            Self::ShuttingDown => "shutting-down",
        }
    }
}

/// The gate before the store.
#[derive(Debug)]
pub(crate) struct Gate {
    state: watch::Sender<GateState>,
    /// Serialises the moves, so that no slower one undoes a latch.
    moves: Mutex<()>,
}

impl Gate {
    /// An open gate.
    pub(crate) fn new() -> Self {
        Self {
            state: watch::Sender::new(GateState::Open),
            moves: Mutex::new(()),
        }
    }

    /// What the store takes just now.
    pub(crate) fn state(&self) -> GateState {
        self.state.borrow().clone()
    }

    /// To wait for a change of state.
    pub(crate) fn watch(&self) -> watch::Receiver<GateState> {
        self.state.subscribe()
    }

    /// Whether a new event may be handed in.
    pub(crate) fn admits(&self) -> Result<(), NotStored> {
        match &*self.state.borrow() {
            GateState::Open => Ok(()),
            GateState::DiskLow { .. } => Err(NotStored::DiskLow),
            GateState::Latched { .. } => Err(NotStored::Latched),
            GateState::ShuttingDown => Err(NotStored::ShuttingDown),
        }
    }

    /// The disk watch's finding: `Some(free)` when below the reserve.
    pub(crate) fn disk(&self, low: Option<u64>) {
        self.step(|state| match (state, low) {
            (GateState::Open | GateState::DiskLow { .. }, Some(free)) => {
                Some(GateState::DiskLow { free })
            }
            (GateState::DiskLow { .. }, None) => Some(GateState::Open),
            _ => None,
        });
    }

    /// The store failed.
    pub(crate) fn latch(&self, reason: String) {
        self.step(|state| match state {
            GateState::Latched { .. } => None,
            _ => Some(GateState::Latched { reason }),
        });
    }

    /// The host is ending.
    pub(crate) fn shut_down(&self) {
        self.step(|state| match state {
            GateState::Latched { .. } => None,
            _ => Some(GateState::ShuttingDown),
        });
    }

    fn step(&self, next: impl FnOnce(&GateState) -> Option<GateState>) {
        let _serial = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next(&self.state.borrow());
        if let Some(next) = next {
            self.state.send_if_modified(|state| {
                let changed = *state != next;
                *state = next;
                changed
            });
        }
    }
}

/// Latches the gate if the thread or the loop that holds it panics: without it the host
/// would stay up and not do its work, where a restart would.
#[derive(Debug)]
pub(crate) struct LatchOnPanic {
    gate: Arc<Gate>,
    reason: &'static str,
}

impl LatchOnPanic {
    /// For a thread or a loop, held as long as it runs.
    pub(crate) fn new(gate: &Arc<Gate>, reason: &'static str) -> Self {
        Self {
            gate: gate.clone(),
            reason,
        }
    }
}

impl Drop for LatchOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.gate.latch(self.reason.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_latches_the_gate_and_one_that_ends_does_not() {
        let gate = Arc::new(Gate::new());
        drop(LatchOnPanic::new(&gate, "it panicked"));
        assert_eq!(gate.admits(), Ok(()));
        let held = gate.clone();
        let thread = std::thread::spawn(move || {
            let _latch = LatchOnPanic::new(&held, "it panicked");
            panic!("as a test");
        });
        assert!(thread.join().is_err());
        assert_eq!(gate.admits(), Err(NotStored::Latched));
    }

    #[test]
    fn a_latch_is_for_good() {
        let gate = Gate::new();
        gate.disk(Some(7));
        assert_eq!(gate.admits(), Err(NotStored::DiskLow));
        gate.disk(None);
        assert_eq!(gate.admits(), Ok(()));
        gate.latch("sync failed".into());
        gate.disk(None);
        gate.shut_down();
        assert_eq!(gate.admits(), Err(NotStored::Latched));
        assert_eq!(gate.state().code(), "latched");
    }
}
