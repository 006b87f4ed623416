//! Worker threads: claim due map tasks, run the map flow on each, sleep until the next.
//!
//! A plugin runs on the worker's own thread, so the number of threads bounds the
//! number of guests at work. Stopping finishes the call at hand and releases the rest
//! of the claim; nothing is lost, since a claim is only memory.
//!
//! What is mapped is written, so nothing is claimed while the gate is not open. A panic
//! in an attempt fails that attempt and the worker goes on; one outside of an attempt
//! leaves a host that maps less and less, so it latches the gate and the host ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate_core::limits::CLAIM_BATCH_MAX;
use tidegate_core::ports::{Chance, Claimed, Clock, Events, Journal, Routes};
use tidegate_core::task::Work;
use tidegate_flow::map::{MapError, MapPorts, break_off, map};
use tidegate_store::{Claims, Marks, Reader};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::committer::JournalHandle;
use crate::gate::{Gate, LatchOnPanic};
use crate::panics;
use crate::rules::CurrentRules;
use crate::system::{SystemChance, SystemClock};
use tidegate_core::errors::chain;

/// Wakes workers, and the loops of sinks and alerts, when there may be something due, and
/// stops the workers.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<BellState>,
    rung: Condvar,
    /// The same rings, for those who wait without a thread.
    heard: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct BellState {
    rings: u64,
    stopping: bool,
}

impl Bell {
    /// Something may be due.
    pub(crate) fn ring(&self) {
        self.change(|state| state.rings += 1);
        self.heard.send_modify(|rings| *rings += 1);
    }

    /// To wait for the next ring without a thread.
    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        self.heard.subscribe()
    }

    /// Workers end after the call at hand.
    pub(crate) fn stop(&self) {
        self.change(|state| state.stopping = true);
    }

    fn change(&self, change: impl FnOnce(&mut BellState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.rung.notify_all();
    }

    fn stopping(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .stopping
    }

    fn rings(&self) -> u64 {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .rings
    }

    /// Sleeps until it rings after `heard`, `wait` has passed, or workers shall end.
    fn wait(&self, heard: u64, wait: Duration) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = |state: &mut BellState| state.rings == heard && !state.stopping;
        drop(self.rung.wait_timeout_while(state, wait, quiet));
    }
}

/// What every worker works with.
#[derive(Clone, Debug)]
pub(crate) struct Workshop {
    pub(crate) claims: Claims,
    pub(crate) reader: Reader,
    pub(crate) journal: JournalHandle,
    pub(crate) rules: Arc<CurrentRules>,
    pub(crate) chance: Arc<SystemChance>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) gate: Arc<Gate>,
    /// Where each worker marks the task at hand, so that one which brings the host down
    /// is known by it.
    pub(crate) marks: Marks,
}

impl Workshop {
    /// Whether work may be begun: an attempt ends with a write, however low the disk.
    fn is_open(&self) -> bool {
        self.gate.admits().is_ok() && !self.bell.stopping()
    }
}

/// Longest sleep of a worker that hears nothing.
const NAP_MAX: Duration = Duration::from_secs(5);

/// Starts `count` workers; they end when the bell stops them.
pub(crate) fn start(
    count: usize,
    workshop: &Workshop,
    handle: &Handle,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    (0..count)
        .map(|number| {
            let (workshop, handle) = (workshop.clone(), handle.clone());
            std::thread::Builder::new()
                .name(format!("mapper-{number}"))
                .spawn(move || work(&workshop, &handle, number))
        })
        .collect()
}

fn work(shop: &Workshop, handle: &Handle, slot: usize) {
    let _latch = LatchOnPanic::new(&shop.gate, "a worker's thread panicked");
    while !shop.bell.stopping() {
        let heard = shop.bell.rings();
        if !shop.is_open() {
            shop.bell.wait(heard, NAP_MAX);
            continue;
        }
        let now = SystemClock.now();
        match shop.claims.claim(Work::Map, CLAIM_BATCH_MAX, now) {
            Ok(claimed) if claimed.is_empty() => {
                let nap = shop
                    .claims
                    .next_due(Work::Map)
                    .map_or(NAP_MAX, |due| due.since(now).min(NAP_MAX));
                shop.bell.wait(heard, nap);
            }
            Ok(claimed) => run(shop, handle, slot, claimed),
            Err(error) => {
                tracing::error!(error = chain(&error), "could not claim tasks");
                shop.bell.wait(heard, NAP_MAX);
            }
        }
    }
}

fn run(shop: &Workshop, handle: &Handle, slot: usize, claimed: Vec<Claimed>) {
    let rules = shop.rules.load();
    let ports = MapPorts {
        routes: &*rules,
        events: &shop.reader,
        journal: &shop.journal,
        clock: &SystemClock,
        chance: &*shop.chance,
        retry: &rules.policy().retry,
    };
    let mut claimed = claimed.into_iter();
    for task in claimed.by_ref() {
        let id = task.id();
        shop.marks.begin(slot, id);
        let handed_in = attempt(task, handle, &ports);
        shop.marks.end(slot);
        if let Err(error) = handed_in {
            tracing::debug!(task = %id, error = chain(&error), "an attempt was not handed in");
            shop.claims.release(id);
        }
        if !shop.is_open() {
            break;
        }
    }
    for task in claimed {
        shop.claims.release(task.id());
    }
}

/// One attempt. A panic in it, ours or a library's, is that attempt's failure: its event
/// is tried again by schedule and ends as a dead letter, like after any other.
fn attempt<R, E, J, C, H>(
    claimed: Claimed,
    handle: &Handle,
    ports: &MapPorts<'_, R, E, J, C, H>,
) -> Result<(), MapError>
where
    R: Routes,
    E: Events,
    J: Journal,
    C: Clock,
    H: Chance,
{
    let (kept, started) = (claimed.clone(), ports.clock.now());
    // What the ports share is whole after a panic: every lock there is taken as it is.
    let tried = catch_unwind(AssertUnwindSafe(|| handle.block_on(map(claimed, ports))));
    tried.unwrap_or_else(|panic| {
        let why = panics::words(&*panic);
        tracing::error!(task = %kept.id(), panic = why, "an attempt panicked: a fault of the host, please report it");
        handle.block_on(break_off(kept, started, why, ports))
    })
}

#[cfg(test)]
mod tests;
