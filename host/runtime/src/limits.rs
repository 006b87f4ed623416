//! What one call may use up, and the count of it.
//!
//! Limits are totals per call: a plugin with eight memories has as much as one with a
//! single one. Time is kept by the engine's epochs and the stack by the engine itself;
//! memory and tables are counted here, data by wasmtime's host-call fuel and by
//! [`crate::guest::Guest`].

use std::time::Duration;

use tidegate_core::limits;
use wasmtime::ResourceLimiter;

/// Elements of all tables of a call. The largest guest known, a Python interpreter, has
/// about 15,000.
const TABLE_ELEMENTS_MAX: usize = 65_536;

/// Core instances of a call: a Python component has about 30.
pub(crate) const CORE_INSTANCES_MAX: u32 = 64;

/// Memories of a call: guests have one, adapters another.
pub(crate) const MEMORIES_MAX: u32 = 8;

/// Tables of a call.
pub(crate) const TABLES_MAX: u32 = 64;

/// What one call may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// How long it may run, to a hundredth of a second.
    pub time: Duration,
    /// Memory, summed over all memories of the call.
    pub memory_bytes: usize,
    /// Data that it may hand to the host at once, and ask from it in all.
    pub host_call_bytes: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            time: limits::MAP_TIME_MAX,
            memory_bytes: limits::PLUGIN_MEMORY_BYTES_MAX,
            host_call_bytes: limits::HOST_CALL_FUEL,
        }
    }
}

/// A limit that was met, as the error that ends the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exceeded {
    #[error("the memory of the call is used up")]
    Memory,
    #[error("the tables of the call are used up")]
    Tables,
    #[error("the data that the call may ask for is used up")]
    HostCalls,
}

/// Counts memory and tables of one call.
#[derive(Debug)]
pub(crate) struct Meter {
    memory_max: usize,
    memory_left: usize,
    elements_left: usize,
}

impl Meter {
    pub(crate) fn new(limits: &CallLimits) -> Self {
        Self {
            memory_max: limits.memory_bytes,
            memory_left: limits.memory_bytes,
            elements_left: TABLE_ELEMENTS_MAX,
        }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Above a maximum of the guest's own making: it gets its answer, nothing grows.
        if maximum.is_some_and(|maximum| maximum < self.memory_max && desired > maximum) {
            return Ok(false);
        }
        // A refusal that the guest can catch would let it go on in some other way, and
        // most end in an `unreachable` that does not say why. So the call ends here.
        self.memory_left = self
            .memory_left
            .checked_sub(desired.saturating_sub(current))
            .ok_or(Exceeded::Memory)?;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.elements_left = self
            .elements_left
            .checked_sub(desired.saturating_sub(current))
            .ok_or(Exceeded::Tables)?;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_summed_over_memories() {
        let mut meter = Meter::new(&CallLimits {
            memory_bytes: 100,
            ..CallLimits::default()
        });
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(meter.memory_growing(0, 30, None).unwrap());
        let error = meter.memory_growing(30, 41, None).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Exceeded::Memory));
    }

    #[test]
    fn a_maximum_of_the_guests_own_is_an_answer_and_costs_nothing() {
        let mut meter = Meter::new(&CallLimits {
            memory_bytes: 100,
            ..CallLimits::default()
        });
        assert!(!meter.memory_growing(0, 60, Some(50)).unwrap());
        assert!(meter.memory_growing(0, 100, Some(100)).unwrap());
    }
}
