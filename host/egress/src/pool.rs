//! Connections kept open between requests, a bounded number for a bounded time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connect::Sender;
use crate::url::Origin;

/// How long a connection is kept without a request. Most servers and balancers close
/// after 60 s or more; whoever closes sooner costs a new connection.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Most idle connections to one origin: as many requests as sinks send there at once.
const PER_ORIGIN_MAX: usize = 256;

/// Most idle connections in all.
const ALL_MAX: usize = 1_024;

/// The idle connections.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    by_origin: HashMap<Origin, Vec<(Instant, Sender)>>,
    count: usize,
}

impl Pool {
    /// The connection to that origin that was used last, if there is one.
    pub(crate) fn take(&self, origin: &Origin) -> Option<Sender> {
        let mut idle = self.lock();
        let kept = idle.by_origin.get_mut(origin)?;
        let (since, sender) = kept.pop()?;
        idle.count -= 1;
        if since.elapsed() > IDLE_MAX {
            // The others have been idle for longer still.
            idle.sweep();
            return None;
        }
        Some(sender)
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) fn put(&self, origin: &Origin, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.lock();
        if idle.count >= ALL_MAX {
            idle.sweep();
        }
        if idle.count >= ALL_MAX {
            return;
        }
        let entry = (Instant::now(), sender);
        match idle.by_origin.get_mut(origin) {
            Some(kept) if kept.len() >= PER_ORIGIN_MAX => return,
            Some(kept) => kept.push(entry),
            None => {
                idle.by_origin.insert(origin.clone(), vec![entry]);
            }
        }
        idle.count += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        // Nothing in here is left half-done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    /// Lets go of what has been idle for too long, or was closed from the other side.
    fn sweep(&mut self) {
        for kept in self.by_origin.values_mut() {
            kept.retain(|(since, sender)| since.elapsed() <= IDLE_MAX && !sender.is_closed());
        }
        self.by_origin.retain(|_, kept| !kept.is_empty());
        self.count = self.by_origin.values().map(Vec::len).sum();
    }
}
