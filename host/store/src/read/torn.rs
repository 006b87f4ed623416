//! Torn rows of keyspaces that are read again and again: each is said once.
//!
//! What is looked at every second (sinks, alerts, paused connections) would otherwise fill
//! the log with the one line that nobody can do more about. Bounded: beyond that many rows
//! the disk is what is broken, and that is said once as well.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};

use tidegate_core::errors::chain;
use tidegate_core::limits::TORN_ROWS_MAX;

use crate::view::Fault;

/// What has been said about torn rows since the store was opened.
#[derive(Debug, Default)]
pub(super) struct SaidOnce(Mutex<BTreeSet<u64>>);

impl SaidOnce {
    /// Logs that a row is passed over, unless that was said of it before.
    pub(super) fn say(&self, fault: &Fault) {
        let Fault::Corrupt { keyspace, key, .. } = fault else {
            return;
        };
        let mut hasher = DefaultHasher::new();
        (keyspace, key).hash(&mut hasher);
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= TORN_ROWS_MAX || !said.insert(hasher.finish()) {
            return;
        }
        let last = said.len() == TORN_ROWS_MAX;
        drop(said);
        tracing::warn!(error = chain(fault), "a torn row is passed over");
        if last {
            tracing::error!(
                "rows are torn all over: those that are met from now on are passed over without a word"
            );
        }
    }
}
