//! Loops that keep the store healthy while the host runs: the disk watch, retention,
//! and a touch of idle keyspaces.
//!
//! Each is a sleep around one step; what is dropped and when is the store's decision.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::errors::chain;
use tidegate_store::{Answer, Submission};

use crate::committer::JournalHandle;
use crate::gate::Gate;
use crate::sinks::SinkDesk;
use crate::workers::Bell;

const DISK_EVERY: Duration = Duration::from_secs(1);
const RETAIN_EVERY: Duration = Duration::from_mins(10);
const TOUCH_EVERY: Duration = Duration::from_mins(1);

/// Closes the gate while free disk is below the reserve, and opens it again; workers rest
/// meanwhile, and are called back.
pub(crate) async fn watch_disk(dir: PathBuf, reserve: u64, gate: Arc<Gate>, bell: Arc<Bell>) {
    let mut looks = tokio::time::interval(DISK_EVERY);
    let mut low = false;
    loop {
        looks.tick().await;
        match rustix::fs::statvfs(&dir) {
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                let moved = (free < reserve) != low;
                low = free < reserve;
                gate.disk(low.then_some(free));
                if moved {
                    tell(low, free, reserve, &dir);
                    bell.ring();
                }
            }
            Err(error) => tracing::warn!(error = chain(&error), "could not read the free disk"),
        }
    }
}

fn tell(low: bool, free: u64, reserve: u64, dir: &std::path::Path) {
    if low {
        tracing::error!(free, reserve, dir = %dir.display(), "disk is low: webhooks are answered 503 and nothing is mapped until space is free");
    } else {
        tracing::info!(free, dir = %dir.display(), "disk is free again: webhooks are taken and mapped");
    }
}

/// Drops what the policy no longer keeps, which may leave sinks behind, and touches idle keyspaces so that none of
/// them holds old journals back.
pub(crate) async fn keep_store(journal: JournalHandle, sinks: Arc<SinkDesk>) {
    let mut retain = tokio::time::interval(RETAIN_EVERY);
    let mut touch = tokio::time::interval(TOUCH_EVERY);
    loop {
        let (what, submission) = tokio::select! {
            _ = retain.tick() => ("retention", Submission::Retain),
            _ = touch.tick() => ("upkeep", Submission::Touch),
        };
        let retained = matches!(submission, Submission::Retain);
        match journal.submit(submission).await {
            Ok(Answer::Refused(error)) => {
                tracing::error!(
                    error = chain(&error),
                    "{what} met a record that cannot be read"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(error = chain(&error), "{what} was not carried out"),
        }
        if retained {
            sinks.after_retention().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::limits::{
        COMMIT_BATCH_BYTES_MAX, DISK_RESERVE_BYTES, INGRESS_BODIES_BYTES_MAX,
    };
    use tidegate_store::engine::fjall::WRITES_BY_ITSELF_BYTES_MAX;

    #[test]
    fn the_reserve_holds_what_is_still_written_after_the_gate_has_closed() {
        let admitted = (INGRESS_BODIES_BYTES_MAX + COMMIT_BATCH_BYTES_MAX) as u64;
        assert!(DISK_RESERVE_BYTES > WRITES_BY_ITSELF_BYTES_MAX + admitted);
    }
}
