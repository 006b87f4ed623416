//! How the host ends: what makes it, and how long it may take.
//!
//! There is one deadline for everything that is still done. Whatever does not end by then
//! is cut, and loses nothing that was answered: that is durable, and what is pending goes
//! on at the next start. A second signal does not wait for the deadline.

use std::time::Duration;

use tidegate_core::limits::DRAIN_TIMEOUT;
use tokio::time::{Instant, timeout_at};

use crate::gate::{Gate, GateState};

/// What the requests and workers in flight leave of the deadline for the last commit.
const LAST_COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How the host ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// As asked.
    Clean,
    /// The store failed; a restart recovers.
    Latched,
}

/// Waits until the host is asked to end, or for the store's latch and its linger time.
pub(crate) async fn wait(gate: &Gate, linger: Duration, asked: impl Future) {
    let mut states = gate.watch();
    let latched = async {
        // The gate lives as long as the host.
        let _ = states.wait_for(is_latched).await;
        tracing::error!(
            linger_s = linger.as_secs(),
            "reads go on for a while, then the host ends so that a restart can recover the store"
        );
        tokio::time::sleep(linger).await;
    };
    tokio::select! {
        _ = asked => {}
        () = latched => {}
    }
}

/// Lets what is in flight end, and then has all of it made durable, by one deadline. A
/// store that fails meanwhile, or had failed before, is how the host ended.
pub(crate) async fn finish(
    gate: &Gate,
    in_flight: impl Future<Output = ()>,
    last_commit: impl Future<Output = ()>,
) -> Ended {
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    let ended = timeout_at(deadline - LAST_COMMIT_TIMEOUT, in_flight).await;
    if ended.is_err() {
        tracing::warn!(
            "some connections or workers did not end in time and are cut; what they were at goes on at the next start"
        );
    }
    if !is_latched(&gate.state()) && timeout_at(deadline, last_commit).await.is_err() {
        tracing::warn!("the last commit did not end in time");
    }
    if is_latched(&gate.state()) {
        Ended::Latched
    } else {
        Ended::Clean
    }
}

/// Ends the process at once, as shells tell of a signal. Nothing is dropped on the way:
/// closing the store may wait for its threads, and whoever asks twice does not want to.
pub(crate) fn at_once(signal: i32) -> ! {
    tracing::warn!(
        signal,
        "ended at once; what was in flight goes on at the next start"
    );
    std::process::exit(128 + signal)
}

const fn is_latched(state: &GateState) -> bool {
    matches!(state, GateState::Latched { .. })
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_stages_of_the_end_share_one_deadline() {
        let (gate, begun) = (Gate::new(), Instant::now());
        assert_eq!(finish(&gate, pending(), pending()).await, Ended::Clean);
        assert_eq!(begun.elapsed(), DRAIN_TIMEOUT);
        let begun = Instant::now();
        assert_eq!(finish(&gate, ready(()), ready(())).await, Ended::Clean);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_latch_while_draining_is_no_clean_end() {
        let gate = Gate::new();
        gate.shut_down();
        let latch = async { gate.latch("sync failed".into()) };
        let commit = async { panic!("a store that failed is asked for another commit") };
        assert_eq!(finish(&gate, latch, commit).await, Ended::Latched);
    }

    #[tokio::test]
    async fn a_latch_in_the_last_commit_is_no_clean_end() {
        let gate = Gate::new();
        gate.shut_down();
        let latch = async { gate.latch("sync failed".into()) };
        assert_eq!(finish(&gate, ready(()), latch).await, Ended::Latched);
    }

    #[tokio::test(start_paused = true)]
    async fn a_latch_is_waited_for_and_a_signal_ends_its_linger_time() {
        let gate = Gate::new();
        let linger = Duration::from_secs(30);
        wait(&gate, linger, ready(())).await;
        gate.latch("sync failed".into());
        let begun = Instant::now();
        wait(&gate, linger, pending::<()>()).await;
        assert_eq!(begun.elapsed(), linger);
        wait(&gate, linger, ready(())).await;
        assert_eq!(begun.elapsed(), linger);
        assert_eq!(finish(&gate, ready(()), ready(())).await, Ended::Latched);
    }
}
