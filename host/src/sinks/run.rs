//! One sink's loop, from its start until it is stopped.
//!
//! What is delivered is written down, so nothing is handed over while the gate is not
//! open: the loop is closed and another one goes on from the durable standing. So it is
//! after an error or a panic, at a growing pace: what one sink meets concerns no other. A
//! loop that has paused its sink ends; resuming starts another.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tidegate_core::errors::chain;
use tidegate_core::ids::SinkName;
use tidegate_core::ports::Clock as _;
use tidegate_core::retry::RetryPolicy;
use tidegate_core::sink::{SinkFilter, SinkState};
use tidegate_core::time::Timestamp;
use tidegate_flow::deliver::{DeliverError, DeliverPorts, SinkLoop};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::SinkParts;
use super::counted::Counted;
use crate::gate::GateState;
use crate::system::SystemClock;

/// How long what is on its way to a receiver may take once the loop is to end.
const COME_BACK_WITHIN: Duration = Duration::from_secs(5);

/// The first wait after an error of the loop itself, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// A run that lasted so long makes the next wait a first one again.
const GOOD_RUN: Duration = Duration::from_mins(1);

/// One sink, to be run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) sink: SinkName,
    pub(super) filter: SinkFilter,
    pub(super) retry: RetryPolicy,
    pub(super) outlet: Counted,
    pub(super) parts: SinkParts,
}

/// Why a loop broke off.
#[derive(Debug, thiserror::Error)]
enum Broken {
    /// It met an error.
    #[error(transparent)]
    Error(#[from] DeliverError),
    /// It panicked, where and why stands in the log.
    #[error("it panicked")]
    Panicked,
}

/// Why a loop was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Stopped,
    Paused,
    GateClosed,
}

impl Run {
    /// Runs the sink until it is stopped or paused.
    pub(super) async fn until_stopped(self, mut stop: watch::Receiver<bool>) {
        let mut wait = WAITS.0;
        loop {
            let mut gate = self.parts.gate.watch();
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = opened(&mut gate) => {}
            }
            let began = Instant::now();
            match caught(self.deliver(&mut stop, &mut gate)).await {
                Ok(Left::Stopped) => return,
                Ok(Left::Paused) => {
                    tracing::warn!(sink = %self.sink, "a sink is paused until it is resumed");
                    return;
                }
                Ok(Left::GateClosed) => {}
                Err(error) => {
                    tracing::error!(sink = %self.sink, error = chain(&error), "the loop of a sink broke off, and begins again");
                    if began.elapsed() >= GOOD_RUN {
                        wait = WAITS.0;
                    }
                    tokio::select! {
                        () = stopped(&mut stop) => return,
                        () = sleep(wait) => {}
                    }
                    wait = (wait * 2).min(WAITS.1);
                }
            }
        }
    }

    /// One loop over the standing as it is stored.
    async fn deliver(
        &self,
        stop: &mut watch::Receiver<bool>,
        gate: &mut watch::Receiver<GateState>,
    ) -> Result<Left, DeliverError> {
        let parts = &self.parts;
        // Before anything is read, so that no commit goes unheard.
        let mut rings = parts.bell.listen();
        let stored = parts.reader.sink(&self.sink);
        let stored = stored.map_err(|source| DeliverError::Read {
            sink: self.sink.clone(),
            source,
        })?;
        let Some(standing) = stored.filter(|standing| !is_paused(&standing.state)) else {
            return Ok(Left::Paused);
        };
        let world = DeliverPorts {
            log: &parts.reader,
            claims: &parts.claims,
            outlet: &self.outlet,
            journal: &parts.journal,
            clock: &SystemClock,
            chance: &*parts.chance,
            filter: &self.filter,
            retry: &self.retry,
        };
        let mut said = standing.state.code();
        let mut sink = SinkLoop::open(standing, world)?;
        let left = loop {
            let due = sink.due();
            let rest = tokio::select! {
                biased;
                () = stopped(stop) => break Left::Stopped,
                () = closed(gate) => break Left::GateClosed,
                rest = sink.step() => Some(rest?),
                () = woken(&mut rings, due) => None,
            };
            let Some(rest) = rest else { continue };
            let state = &sink.standing().state;
            if is_paused(state) {
                return Ok(Left::Paused);
            }
            if state.code() != said {
                said = state.code();
                self.say(state);
            }
            tokio::select! {
                biased;
                () = stopped(stop) => break Left::Stopped,
                () = closed(gate) => break Left::GateClosed,
                () = woken(&mut rings, rest.due) => {}
            }
        };
        sink.stop();
        match timeout(COME_BACK_WITHIN, sink.step()).await {
            Ok(Ok(_)) => {}
            // Handed over again by the next loop, which receivers are told to expect.
            Ok(Err(error)) => {
                tracing::debug!(sink = %self.sink, error = chain(&error), "what had been delivered was not written down");
            }
            Err(_) => {
                tracing::warn!(sink = %self.sink, "a receiver did not answer in time; what was on its way is handed over again");
            }
        }
        Ok(left)
    }

    fn say(&self, state: &SinkState) {
        match state {
            SinkState::Running => tracing::info!(sink = %self.sink, "a sink takes changes again"),
            SinkState::Failing { reason, .. } => {
                tracing::warn!(sink = %self.sink, reason, "a sink keeps failing: one change at a time is tried until it takes one");
            }
            SinkState::Paused { .. } => {}
        }
    }
}

const fn is_paused(state: &SinkState) -> bool {
    matches!(state, SinkState::Paused { .. })
}

/// Nothing of a loop outlives its panic but what is durable, which the next one goes on from.
async fn caught<T>(looped: impl Future<Output = Result<T, DeliverError>>) -> Result<T, Broken> {
    let ended = AssertUnwindSafe(looped).catch_unwind().await;
    Ok(ended.map_err(|_| Broken::Panicked)??)
}

/// Resolves when the loop is to end, or nobody is left who could say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn opened(gate: &mut watch::Receiver<GateState>) {
    // The gate lives as long as the host.
    let _ = gate.wait_for(|state| *state == GateState::Open).await;
}

async fn closed(gate: &mut watch::Receiver<GateState>) {
    let _ = gate.wait_for(|state| *state != GateState::Open).await;
}

/// Resolves when there may be something new, or then.
async fn woken(rings: &mut watch::Receiver<u64>, due: Option<Timestamp>) {
    let rung = async {
        // The bell lives as long as the host.
        let _ = rings.changed().await;
    };
    match due {
        Some(due) => {
            let _ = timeout(due.since(SystemClock.now()), rung).await;
        }
        None => rung.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_panics_breaks_off_like_one_that_fails() {
        let panics = async { panic!("as a test") };
        let broken = caught::<Left>(panics).await.unwrap_err();
        assert_eq!(chain(&broken), "it panicked");
        let ends = caught(async { Ok(Left::Stopped) }).await;
        assert_eq!(ends.ok(), Some(Left::Stopped));
    }
}
