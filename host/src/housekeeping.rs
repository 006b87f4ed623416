//! Loops that keep the store healthy while the host runs: the disk watch, retention,
//! and a touch of idle keyspaces.
//!
//! Each is a sleep around one step; what is dropped and when is the store's decision.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_store::{Answer, Submission};

use crate::committer::JournalHandle;
use crate::gate::Gate;
use tidegate_core::errors::chain;

const DISK_EVERY: Duration = Duration::from_secs(1);
const RETAIN_EVERY: Duration = Duration::from_mins(10);
const TOUCH_EVERY: Duration = Duration::from_mins(1);

/// Closes the gate while free disk is below the reserve, and opens it again.
pub(crate) async fn watch_disk(dir: PathBuf, reserve: u64, gate: Arc<Gate>) {
    let mut looks = tokio::time::interval(DISK_EVERY);
    let mut low = false;
    loop {
        looks.tick().await;
        match rustix::fs::statvfs(&dir) {
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                if (free < reserve) != low {
                    low = free < reserve;
                    tell(low, free, reserve, &dir);
                }
                gate.disk(low.then_some(free));
            }
            Err(error) => tracing::warn!(error = chain(&error), "could not read the free disk"),
        }
    }
}

fn tell(low: bool, free: u64, reserve: u64, dir: &std::path::Path) {
    if low {
        tracing::error!(free, reserve, dir = %dir.display(), "disk is low: webhooks are answered 503 until space is free");
    } else {
        tracing::info!(free, dir = %dir.display(), "disk is free again: webhooks are taken");
    }
}

/// Drops what the policy no longer keeps, and touches idle keyspaces so that none of
/// them holds old journals back.
pub(crate) async fn keep_store(journal: JournalHandle) {
    let mut retain = tokio::time::interval(RETAIN_EVERY);
    let mut touch = tokio::time::interval(TOUCH_EVERY);
    loop {
        let (what, submission) = tokio::select! {
            _ = retain.tick() => ("retention", Submission::Retain),
            _ = touch.tick() => ("upkeep", Submission::Touch),
        };
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
    }
}
