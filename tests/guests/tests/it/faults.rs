//! Calls that do not end, or end badly: each names the limit that it met.

use std::time::{Duration, Instant};

use tidegate_core::limits::STDERR_BYTES_MAX;
use tidegate_runtime::{Runtime, RuntimeOptions};

use crate::guest::{TIME, call, call_with, check_unharmed, said, wasm};

#[track_caller]
fn check(order: &str, expect: &str) {
    let report = call(order);
    let said = said(&report);
    assert!(
        said.starts_with(expect),
        "{order}: {said:?} does not begin with {expect:?}; stderr {:?}",
        report.stderr
    );
    check_unharmed();
}

#[test]
fn time() {
    check("spin", "plugin-time: map-webhook ran longer than 200ms");
    check(
        "spin-in-host",
        "plugin-time: map-webhook ran longer than 200ms",
    );
}

#[test]
fn time_is_kept_to_a_few_epochs() {
    let begun = Instant::now();
    call("spin");
    let took = begun.elapsed();
    assert!(took >= TIME, "{took:?}");
    // Generous, for a machine that is busy with other tests.
    assert!(took < TIME + Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_guest_that_waits_waits_for_nothing() {
    let begun = Instant::now();
    check("sleep", "skip: slept");
    assert!(begun.elapsed() < Duration::from_mins(1));
}

#[test]
fn memory() {
    check(
        "allocate",
        "plugin-memory: map-webhook asked for more than 64 MiB of memory",
    );
    check(
        "data-large 100000000",
        "plugin-memory: map-webhook asked for more than 64 MiB of memory",
    );
}

#[test]
fn data_handed_over() {
    check(
        "data-large 20000000",
        "plugin-host-calls: map-webhook moved more than 8 MiB of data between plugin and host",
    );
    check(
        "random-bytes 1000000000000",
        "plugin-host-calls: map-webhook moved more than 8 MiB of data between plugin and host",
    );
    check("random-bytes 1000", "skip: 1000");
}

#[test]
fn stack() {
    check(
        "recurse",
        "plugin-stack: map-webhook called itself deeper than its stack of 512 KiB",
    );
    check(
        "recurse-frames",
        "plugin-trap: map-webhook trapped: out of bounds memory access (recursion",
    );
}

#[test]
fn traps() {
    check(
        "panic",
        "plugin-trap: map-webhook panicked at tests/guests/src/faults.rs:",
    );
    check(
        "index",
        "plugin-trap: map-webhook panicked at tests/guests/src/faults.rs:",
    );
    let unreachable =
        "plugin-trap: map-webhook trapped: wasm trap: wasm `unreachable` instruction executed";
    check("abort", unreachable);
    check("unreachable", unreachable);
    check(
        "exit",
        "plugin-trap: map-webhook ended the program instead of returning (exit)",
    );
}

#[test]
fn a_panic_says_where_and_why() {
    let report = call("panic");
    let said = said(&report);
    assert!(said.ends_with(": on purpose"), "{said}");
    assert!(report.stderr.contains("on purpose"), "{}", report.stderr);
}

#[test]
fn endless_stderr_is_kept_to_its_bound() {
    let report = call("endless-stderr");
    assert_eq!(
        said(&report),
        "plugin-time: map-webhook ran longer than 200ms"
    );
    assert!(report.stderr.len() <= STDERR_BYTES_MAX);
    assert!(report.stderr.ends_with("bytes more)"), "{}", report.stderr);
    check_unharmed();
}

#[test]
fn more_calls_than_places_are_put_off() {
    let runtime = Runtime::new(RuntimeOptions {
        instances_max: 1,
        ..RuntimeOptions::default()
    })
    .unwrap();
    let plugin = runtime.load(wasm()).unwrap();
    let refused = "transient: no room for a call of map-webhook: ";
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            // Refused itself where it meets a call of the other thread.
            (0..1_000)
                .map(|_| said(&call_with(&plugin, 1, "spin")))
                .find(|said| !said.starts_with(refused))
        });
        while !said(&call_with(&plugin, 2, "map")).starts_with(refused) {
            assert!(!holder.is_finished(), "both had a place");
            std::thread::sleep(Duration::from_millis(1));
        }
        let held = holder.join().unwrap().unwrap();
        assert!(held.starts_with("plugin-time: "), "{held}");
    });
    assert!(said(&call_with(&plugin, 3, "map")).starts_with("mapped"));
}

#[test]
fn faults_beside_each_other_and_beside_good_calls() {
    let orders = ["spin", "allocate", "recurse", "panic", "exit"];
    std::thread::scope(|scope| {
        for order in orders {
            scope.spawn(move || {
                let said = said(&call(order));
                assert!(said.starts_with("plugin-"), "{order}: {said}");
            });
            scope.spawn(|| (0..50).for_each(|_| check_unharmed()));
        }
    });
}
