//! What a failed call means: which limit was met, in words for the attempt's record.
//!
//! wasmtime reports a spent deadline, a full memory and a wrong answer alike as errors
//! of the call. Whoever reads the dead letter needs to know which it was.

use tidegate_core::failure::{Failure, FailureClass, PluginFault};
use tidegate_core::limits::{MIB, PLUGIN_STACK_BYTES_MAX, cut_text};
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::limits::{CallLimits, Exceeded};
use crate::wasi::Exited;

/// Longest quotation of what a guest said of its own end.
const QUOTE_BYTES_MAX: usize = 1_024;

/// What went wrong in a call of `function`. `stderr` is what the guest wrote.
pub(crate) fn failure(
    function: &str,
    error: &wasmtime::Error,
    stderr: &str,
    limits: &CallLimits,
) -> Failure {
    if let Some(full) = error.downcast_ref::<PoolConcurrencyLimitError>() {
        return Failure::new(
            FailureClass::TRANSIENT,
            format!("no room for a call of {function}: {full}"),
        );
    }
    let (fault, what) = fault(error, stderr, limits);
    Failure::new(
        FailureClass::PluginFault(fault),
        format!("{function} {what}"),
    )
}

fn fault(error: &wasmtime::Error, stderr: &str, limits: &CallLimits) -> (PluginFault, String) {
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return match exceeded {
            Exceeded::Memory => (PluginFault::Memory, memory(limits)),
            Exceeded::Tables => (
                PluginFault::Memory,
                "asked for more table elements than a call may have".to_owned(),
            ),
            Exceeded::HostCalls => (PluginFault::HostCalls, host_calls(limits)),
        };
    }
    if error.is::<Exited>() {
        return (
            PluginFault::Trap,
            "ended the program instead of returning (exit)".to_owned(),
        );
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => (
            PluginFault::Time,
            format!("ran longer than {:?}", limits.time),
        ),
        Some(Trap::StackOverflow) => (
            PluginFault::Stack,
            format!(
                "called itself deeper than its stack of {} KiB",
                PLUGIN_STACK_BYTES_MAX / 1024
            ),
        ),
        Some(Trap::MemoryOutOfBounds) => (
            PluginFault::Trap,
            "trapped: out of bounds memory access (recursion that leaves the stack in the \
             plugin's own memory ends like this too)"
                .to_owned(),
        ),
        Some(trap) => (PluginFault::Trap, trapped(*trap, stderr)),
        None if is_fuel(error) => (PluginFault::HostCalls, host_calls(limits)),
        None => (
            PluginFault::Answer,
            format!("answered outside the contract: {}", chain(error)),
        ),
    }
}

fn memory(limits: &CallLimits) -> String {
    format!(
        "asked for more than {} MiB of memory",
        limits.memory_bytes / MIB
    )
}

fn host_calls(limits: &CallLimits) -> String {
    format!(
        "moved more than {} MiB of data between plugin and host",
        limits.host_call_bytes / MIB
    )
}

/// wasmtime keeps the type of this error to itself; a test pins the text.
fn is_fuel(error: &wasmtime::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.to_string().contains("fuel allocated for hostcalls"))
}

/// A panic says where and why on stderr; the trap that follows says neither.
fn trapped(trap: Trap, stderr: &str) -> String {
    match stderr.split_once("panicked at ") {
        Some((_, said)) => {
            let said: Vec<&str> = said
                .lines()
                .take_while(|line| !line.starts_with("note: run with"))
                .collect();
            let said = cut_text(said.join(" "), QUOTE_BYTES_MAX);
            format!("panicked at {said}")
        }
        None => format!("trapped: {trap}"),
    }
}

/// The error and its causes in one line.
pub(crate) fn chain(error: &wasmtime::Error) -> String {
    format!("{error:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stderr: &str, expect: &str) {
        assert_eq!(trapped(Trap::UnreachableCodeReached, stderr), expect);
    }

    #[test]
    fn a_panic_is_quoted_in_one_line() {
        check(
            "warming up\n\nthread '<unnamed>' (1) panicked at src/lib.rs:3:5:\nno such field\n\
             note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n",
            "panicked at src/lib.rs:3:5: no such field",
        );
        check(
            "",
            "trapped: wasm trap: wasm `unreachable` instruction executed",
        );
    }
}
