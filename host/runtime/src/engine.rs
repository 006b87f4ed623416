//! The engine: how plugins are compiled and where their instances live.
//!
//! Every setting here was measured; the comments say what it does for a call that maps
//! one webhook in a fresh instance.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tidegate_core::limits::PLUGIN_STACK_BYTES_MAX;
use wasmtime::{Config, Enabled, Engine, Inlining, OptLevel, PoolingAllocationConfig};

use crate::limits::{CORE_INSTANCES_MAX, CallLimits, MEMORIES_MAX, TABLES_MAX};

/// Length of an epoch: the grain of the time limit. A hundred wake-ups a second cost an
/// idle host nothing that can be measured.
const EPOCH: Duration = Duration::from_millis(10);

/// Address space of one memory. With four gibibytes and a guard no access of a 32-bit
/// guest needs a check; only what is used takes memory.
const MEMORY_RESERVATION: u64 = 4 << 30;
const MEMORY_GUARD: u64 = 32 << 20;

/// Memory that a slot keeps between calls and that is wiped by hand, where the kernel
/// tells which pages were written. More than the mapping of a usual webhook touches: to
/// wipe a page takes a tenth of what the kernel needs to take it away and give it back.
const RESIDENT_BYTES_SCANNED: usize = 512 * 1024;

/// The same where the kernel does not tell, and all of it is wiped each time: the whole
/// memory of a plugin that is linked as the SDK says (192 KiB), with which a call takes no
/// longer than on a newer kernel.
const RESIDENT_BYTES_BLIND: usize = 256 * 1024;

/// Function tables are small. Left to the kernel they would cost 8 µs a call.
const RESIDENT_TABLE_BYTES: usize = 64 * 1024;

/// What the kernel offers to plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelFacts {
    /// Whether it tells which pages were written (`PAGEMAP_SCAN`, Linux 6.7 and newer).
    /// Without it a call costs some microseconds more.
    pub pagemap_scan: bool,
}

impl KernelFacts {
    /// Asks the kernel.
    pub fn detect() -> Self {
        Self {
            pagemap_scan: PoolingAllocationConfig::is_pagemap_scan_available(),
        }
    }
}

/// Makes the engine. `instances_max` bounds the calls that run at once.
pub(crate) fn engine(
    facts: KernelFacts,
    instances_max: u32,
    limits: &CallLimits,
) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .allocation_strategy(pool(facts, instances_max, limits))
        .cranelift_opt_level(OptLevel::Speed)
        // A function's entry costs a check of stack and epoch, and guests are full of small
        // functions: 7 % less time for a 13 KiB payload, for twice the compiled code.
        .compiler_inlining(Inlining::Yes)
        .memory_reservation(MEMORY_RESERVATION)
        .memory_guard_size(MEMORY_GUARD)
        .memory_init_cow(true)
        .max_wasm_stack(PLUGIN_STACK_BYTES_MAX)
        .epoch_interruption(true)
        // Plugins answer synchronously; no store needs the tables for concurrency.
        .concurrency_support(false)
        // Plugins are stripped: a trace of their frames says nothing in a dead letter, and
        // what it would be made from is a tenth of the compiled form.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false)
        // The same answer on every machine, or a replay is none.
        .relaxed_simd_deterministic(true)
        .cranelift_nan_canonicalization(true);
    Engine::new(&config)
}

fn pool(facts: KernelFacts, instances_max: u32, limits: &CallLimits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max.saturating_mul(16))
        .total_memories(instances_max.saturating_mul(2))
        .total_tables(instances_max.saturating_mul(8))
        .total_stacks(instances_max)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_memory_size(limits.memory_bytes)
        .table_keep_resident(RESIDENT_TABLE_BYTES)
        .linear_memory_keep_resident(if facts.pagemap_scan {
            RESIDENT_BYTES_SCANNED
        } else {
            RESIDENT_BYTES_BLIND
        })
        .pagemap_scan(if facts.pagemap_scan {
            Enabled::Auto
        } else {
            Enabled::No
        });
    pool
}

/// How many epochs a call may see begin.
pub(crate) fn epochs(time: Duration) -> u64 {
    let whole = time.as_nanos().div_ceil(EPOCH.as_nanos());
    // The first one may begin at once.
    u64::try_from(whole).unwrap_or(u64::MAX).saturating_add(1)
}

/// Moves the engine's epoch on, until dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    /// Closed on drop, which ends the thread.
    _stop: mpsc::Sender<()>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let engine = engine.weak();
        thread::Builder::new()
            .name("plugin-epochs".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(EPOCH) == Err(mpsc::RecvTimeoutError::Timeout) {
                    match engine.upgrade() {
                        Some(engine) => engine.increment_epoch(),
                        None => return,
                    }
                }
            })?;
        Ok(Self { _stop: stop })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_at_least_its_time() {
        assert_eq!(epochs(Duration::from_secs(2)), 201);
        assert_eq!(epochs(Duration::from_millis(1)), 2);
    }
}
