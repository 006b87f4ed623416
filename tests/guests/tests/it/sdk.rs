//! A guest whose std has of WASI and of memory what the SDK leaves it: no test of the other
//! guest may end in another way but for `exit`, which becomes a trap.

use std::sync::LazyLock;

use tidegate_core::mapping::MapReport;
use tidegate_runtime::Plugin;

use crate::guest::{RECEIVED, RUNTIME, call_with, said, wasm, wasm_with_sdk};

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| RUNTIME.load(wasm_with_sdk()).unwrap());

fn call(order: &str) -> MapReport {
    call_with(&PLUGIN, 42, order)
}

#[track_caller]
fn check(order: &str, expect: &str) {
    assert_eq!(said(&call(order)), expect, "{order}");
}

#[track_caller]
fn check_fault(order: &str, expect: &str) {
    let said = said(&call(order));
    assert!(said.starts_with(expect), "{order}: {said}");
}

#[test]
fn a_panic_says_what_and_where() {
    let report = call("panic");
    assert!(said(&report).starts_with("plugin-trap: "), "{report:?}");
    assert!(report.stderr.contains("on purpose"), "{}", report.stderr);
    assert!(report.stderr.contains("faults.rs"), "{}", report.stderr);
}

#[test]
fn long_and_many_writes_to_stderr_arrive() {
    let report = call("stderr 10000");
    assert_eq!(said(&report), "skip: worked");
    assert_eq!(report.stderr, "e".repeat(10_000));
    // Thousands of writes: a handle for each would meet another limit than time.
    check(
        "endless-stderr",
        "plugin-time: map-webhook ran longer than 200ms",
    );
}

#[test]
fn exit_and_abort_are_traps() {
    for order in ["exit", "abort", "unreachable"] {
        check_fault(order, "plugin-trap: ");
    }
}

#[test]
fn what_is_used_is_there() {
    check("clock", &format!("skip: {}", RECEIVED.as_micros()));
    check("instants", "skip: true");
    check("environment", "skip: 0 variables, 0 arguments");
    check("stdin", "skip: worked");
    check("stdout", "skip: worked");
    let plain = RUNTIME.load(wasm()).unwrap();
    check("random", &said(&call_with(&plain, 42, "random")));
}

#[test]
fn memory_that_is_freed_can_be_used_again() {
    check("churn", "skip: 152 MiB, 0 spoilt");
    check_fault("allocate", "plugin-memory: ");
}

#[test]
fn lists_of_the_host_are_the_c_librarys_to_free() {
    check("libc-lists", "skip: 0 failed, 0 spoilt");
}
