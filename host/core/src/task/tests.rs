//! What follows from a failed attempt.

use super::*;
use crate::failure::PluginFault;

const HOUR: Duration = Duration::from_hours(1);

#[track_caller]
fn check(attempt: u32, limited_since: Option<i64>, class: FailureClass, expect: &str) {
    let now = Timestamp::from_secs(1_000_000);
    let tried = Try {
        attempt,
        since: Timestamp::EPOCH,
        limited_since: limited_since.map(Timestamp::from_secs),
    };
    let failure = Failure::new(class, "it broke");
    let next = step(
        Work::Map,
        tried,
        &failure,
        now,
        &RetryPolicy::default(),
        Jitter::new(0),
    );
    let got = match next {
        Next::Again(again) => format!(
            "attempt {} in {}s{}{}",
            again.attempt,
            again.due.since(now).as_secs(),
            again.limited_since.map_or("", |_| ", limited"),
            again.cut.map_or("", |_| ", cut"),
        ),
        Next::Park { cause, reason } => format!("{}: {reason}", cause.code()),
        Next::Pause { reason } => format!("pause: {reason}"),
    };
    assert_eq!(got, expect);
}

#[test]
fn transient_failures_follow_the_schedule() {
    check(1, None, FailureClass::TRANSIENT, "attempt 2 in 2s");
    check(7, None, FailureClass::TRANSIENT, "attempt 8 in 14400s");
    check(
        8,
        None,
        FailureClass::TRANSIENT,
        "mapping: 8 attempts failed, the last with: it broke",
    );
}

#[test]
fn permanent_failures_park_at_once() {
    check(1, None, FailureClass::Permanent, "partner-data: it broke");
}

#[test]
fn refused_credentials_pause_the_connection() {
    check(1, None, FailureClass::Unauthorized, "pause: it broke");
}

#[test]
fn a_delay_that_was_asked_for_goes_first_within_the_policy() {
    let asked = |seconds| FailureClass::Transient {
        delay: Some(Duration::from_secs(seconds)),
    };
    check(1, None, asked(1), "attempt 2 in 1s");
    check(7, None, asked(60), "attempt 8 in 60s");
    check(1, None, asked(86_401), "attempt 2 in 86400s, cut");
    check(
        8,
        None,
        asked(60),
        "mapping: 8 attempts failed, the last with: it broke",
    );
}

#[test]
fn plugin_faults_are_retried_then_parked_as_such() {
    let fault = || FailureClass::PluginFault(PluginFault::Memory);
    check(1, None, fault(), "attempt 2 in 2s");
    check(
        8,
        None,
        fault(),
        "plugin-fault: 8 attempts failed, the last with: it broke",
    );
}

#[test]
fn a_rate_limit_is_no_attempt_and_not_for_ever() {
    let limited = |delay| FailureClass::RateLimited { delay };
    check(3, None, limited(Some(HOUR)), "attempt 3 in 3600s, limited");
    check(3, None, limited(None), "attempt 3 in 2s, limited");
    check(
        3,
        None,
        limited(Some(Duration::ZERO)),
        "attempt 3 in 2s, limited",
    );
    // The bound cuts what the partner asked for.
    check(
        3,
        Some(1_000_000 - 86_000),
        limited(Some(HOUR)),
        "attempt 3 in 400s, limited, cut",
    );
    check(
        3,
        Some(1_000_000 - 86_400),
        limited(Some(HOUR)),
        "mapping: rate limited for 86400 s: it broke",
    );
}
