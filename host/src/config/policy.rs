//! The section about the one convention of the portfolio.

use std::time::Duration;

use tidegate_core::policy::{AlertPolicy, DedupePolicy, Policy, RetentionPolicy};
use tidegate_core::retry::RetryPolicy;

use super::keys::printable;
use super::partners::Partners;
use super::problem::Report;
use super::reader::Section;
use super::units;

const DAY: Duration = Duration::from_hours(24);
const YEARS_TEN: Duration = Duration::from_hours(3_650 * 24);

/// Most waits of a retry schedule.
const RETRIES_MAX: usize = 32;

/// Reads `[policy]`, except for its part about the store.
pub(super) fn policy(section: Option<&Section<'_>>, report: &mut Report<'_>) -> Policy {
    let Some(section) = section else {
        return Policy::default();
    };
    let known = [
        "retry",
        "dedupe",
        "retention",
        "store",
        "reconcile",
        "poll",
        "waivers",
        "alerts",
    ];
    section.check_keys(&known, report);
    for cadence in ["reconcile", "poll"] {
        if let Some(section) = section.section(cadence, report) {
            section.check_keys(&["every"], report);
            section.span("every", Duration::from_secs(1)..=365 * DAY, report);
            let what =
                format!("is checked, and not carried out: this version does not {cadence} yet");
            report.warning(section.at(), section.path(), what);
        }
    }
    Policy {
        retry: retry(section, report),
        dedupe: dedupe(section, report),
        retention: retention(section, report),
        alerts: alerts(section, report),
        // They are checked against the connections first.
        waivers: Vec::new(),
    }
}

fn retry(policy: &Section<'_>, report: &mut Report<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    let Some(section) = policy.section("retry", report) else {
        return default;
    };
    section.check_keys(&["schedule", "rate_limited_max", "delay_max"], report);
    let schedule = section.texts("schedule", RETRIES_MAX, report, |text| {
        match units::span(text) {
            Ok(span) if span <= 30 * DAY => Ok(span),
            Ok(_) => Err(format!("{:?} is longer than 30d", printable(text))),
            Err(error) => Err(format!("{:?} {error}", printable(text))),
        }
    });
    RetryPolicy {
        schedule: schedule.unwrap_or(default.schedule),
        rate_limited_max: section
            .span(
                "rate_limited_max",
                Duration::from_secs(1)..=30 * DAY,
                report,
            )
            .unwrap_or(default.rate_limited_max),
        delay_max: section
            .span("delay_max", Duration::from_secs(1)..=30 * DAY, report)
            .unwrap_or(default.delay_max),
    }
}

fn dedupe(policy: &Section<'_>, report: &mut Report<'_>) -> DedupePolicy {
    let default = DedupePolicy::default();
    let Some(section) = policy.section("dedupe", report) else {
        return default;
    };
    section.check_keys(&["window"], report);
    let range = DedupePolicy::WINDOW_MIN..=YEARS_TEN;
    DedupePolicy {
        window: section
            .span("window", range, report)
            .unwrap_or(default.window),
    }
}

/// Holds the dedupe window against the time for which the configured partners send an event
/// again. A window that nobody chose grows; one that is too short is a problem.
pub(super) fn check_horizons(
    policy: &mut Policy,
    partners: &Partners,
    section: Option<&Section<'_>>,
    report: &mut Report<'_>,
) {
    let Some((name, horizon)) = partners.longest_horizon() else {
        return;
    };
    if policy.dedupe.window >= horizon {
        return;
    }
    let dedupe = section.and_then(|section| section.section("dedupe", report));
    match dedupe.as_ref().and_then(|dedupe| dedupe.entry("window")) {
        Some(entry) => {
            let (window, horizon) = (
                units::span_text(policy.dedupe.window),
                units::span_text(horizon),
            );
            let message = format!(
                "is {window}, and {name} sends an event again for {horizon}: its last try would be taken for a new event"
            );
            report.problem(entry.at, &entry.key, message);
        }
        None => policy.dedupe.window = horizon,
    }
}

fn retention(policy: &Section<'_>, report: &mut Report<'_>) -> RetentionPolicy {
    let default = RetentionPolicy::default();
    let Some(section) = policy.section("retention", report) else {
        return default;
    };
    section.check_keys(&["events", "changes", "max"], report);
    let range = || Duration::from_mins(1)..=YEARS_TEN;
    let changes = section
        .span("changes", range(), report)
        .unwrap_or(default.changes);
    // A longer retention than the bound on it says what the bound has to be at least.
    let max = section.span("max", changes..=YEARS_TEN, report);
    RetentionPolicy {
        events: section
            .span("events", range(), report)
            .unwrap_or(default.events),
        changes,
        max: max.unwrap_or(default.max.max(changes)),
    }
}

fn alerts(policy: &Section<'_>, report: &mut Report<'_>) -> AlertPolicy {
    let default = AlertPolicy::default();
    let Some(section) = policy.section("alerts", report) else {
        return default;
    };
    let known = [
        "dead_letters",
        "backlog_age",
        "signature_failures",
        "repeat",
        "clear_after",
    ];
    section.check_keys(&known, report);
    let mut count = |key, default: u64| {
        section
            .number(key, 1..=1_000_000, report)
            .and_then(|number| u64::try_from(number).ok())
            .unwrap_or(default)
    };
    let dead_letters = count("dead_letters", default.dead_letters);
    let signature_failures = count("signature_failures", default.signature_failures);
    AlertPolicy {
        dead_letters,
        backlog_age: section
            .span("backlog_age", Duration::from_secs(1)..=30 * DAY, report)
            .unwrap_or(default.backlog_age),
        signature_failures,
        repeat: section
            .span("repeat", Duration::from_mins(1)..=30 * DAY, report)
            .unwrap_or(default.repeat),
        clear_after: section
            .span("clear_after", Duration::ZERO..=DAY, report)
            .unwrap_or(default.clear_after),
    }
}
