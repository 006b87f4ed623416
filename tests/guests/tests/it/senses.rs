//! What a plugin can find out: the call that it is given, and nothing else.

use crate::guest::{RECEIVED, RUNTIME, call, call_with, check_unharmed, said, wasm};

#[track_caller]
fn check(order: &str, expect: &str) {
    assert_eq!(said(&call(order)), expect, "{order}");
    check_unharmed();
}

#[test]
fn the_call_arrives_whole() {
    check(
        "call",
        "skip: misbehave/acme Some(\"https://api.example\") {\"owner\":\"acme\"} | \
         evt_000000000000002a 1769846400000007 POST [\"a b\", \"ü\"] x=1 \
         [x-one=1,x-bytes=\u{fffd}\0] 4 BodyAuthenticated::Fields",
    );
}

#[test]
fn every_call_has_a_fresh_instance() {
    check("calls", "skip: 1");
    check("calls", "skip: 1");
}

#[test]
fn the_clock_stands_at_the_receipt() {
    check("clock", &format!("skip: {}", RECEIVED.as_micros()));
    check("instants", "skip: true");
}

#[test]
fn chance_follows_from_the_event() {
    let plugin = RUNTIME.load(wasm()).unwrap();
    let draw = |id| said(&call_with(&plugin, id, "random"));
    assert!(draw(1).starts_with("skip: true ["), "{}", draw(1));
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn no_environment() {
    check("environment", "skip: 0 variables, 0 arguments");
}

#[test]
fn no_files() {
    for order in [
        "read-file /etc/passwd",
        "read-file Cargo.toml",
        "write-file /tmp/misbehave",
        "list-folder /",
    ] {
        let said = said(&call(order));
        assert!(said.starts_with("skip: failed: "), "{order}: {said}");
    }
    check_unharmed();
}

#[test]
fn no_network() {
    check("connect", "skip: failed: PermissionDenied");
    let said = said(&call("resolve"));
    assert!(said.starts_with("skip: failed: "), "{said}");
    check_unharmed();
}

#[test]
fn streams_lead_nowhere() {
    check("stdin", "skip: worked");
    check("stdout", "skip: worked");
    let report = call("stderr 5");
    assert_eq!(said(&report), "skip: worked");
    assert_eq!(report.stderr, "eeeee");
}

#[test]
fn requests_are_refused_while_mapping() {
    check(
        "partner",
        "refused: polling is not built yet, and a mapping has no network",
    );
}
