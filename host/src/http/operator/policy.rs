//! `GET /v1/policy`: the convention that every connector follows.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use tidegate_core::limits::{LONG_POLL_MAX, MAP_TIME_MAX};
use tidegate_core::ports::Clock as _;

use super::Api;
use crate::system::SystemClock;

/// The policy, in seconds and bytes.
pub(super) async fn show(State(api): State<Api>) -> Json<Value> {
    let rules = api.host.rules.load();
    let policy = rules.policy();
    let schedule: Vec<_> = policy
        .retry
        .schedule
        .iter()
        .map(std::time::Duration::as_secs)
        .collect();
    let now = SystemClock.now();
    let waivers: Vec<_> = policy
        .waivers
        .iter()
        .map(|waiver| {
            json!({
                "connection": waiver.connection.to_string(),
                "reason": waiver.reason,
                "until": waiver.until.to_string(),
                "state": if waiver.holds_at(now) { "in-force" } else { "over" },
            })
        })
        .collect();
    Json(json!({
        "retry": {
            "schedule_s": schedule,
            "rate_limited_max_s": policy.retry.rate_limited_max.as_secs(),
            "delay_max_s": policy.retry.delay_max.as_secs(),
        },
        "dedupe": { "window_s": policy.dedupe.window.as_secs() },
        "retention": {
            "events_s": policy.retention.events.as_secs(),
            "changes_s": policy.retention.changes.as_secs(),
            "max_s": policy.retention.max.as_secs(),
        },
        "alerts": {
            "dead_letters": policy.alerts.dead_letters,
            "backlog_age_s": policy.alerts.backlog_age.as_secs(),
            "signature_failures": policy.alerts.signature_failures,
            "repeat_s": policy.alerts.repeat.as_secs(),
        },
        "waivers": waivers,
        "limits": {
            "body_bytes": api.host.facts.body_bytes_max,
            "map_ms": u64::try_from(MAP_TIME_MAX.as_millis()).unwrap_or(u64::MAX),
            "long_poll_s": LONG_POLL_MAX.as_secs(),
        },
    }))
}
