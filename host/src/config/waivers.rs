//! `[[policy.waivers]]`: connections whose requests are let in without verification.
//!
//! Whether one is over is not looked at here: a file that was good yesterday must load today,
//! and its requests are refused then. `tidegate check` says so.

use tidegate_core::signature::Waiver;
use tidegate_core::time::Timestamp;

use super::problem::{At, Report};
use super::reader::{Entry, Section};

/// Most waivers: an open door is an exception.
const WAIVERS_MAX: usize = 256;

/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 500;

/// A day, by whose end a date is over.
const DAY_S: u64 = 86_400;

/// A waiver and where it stands, to say later what is wrong with it.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) waiver: Waiver,
    at: At,
    key: String,
}

/// Reads the waivers of `[policy]`.
pub(super) fn waivers(policy: &Section<'_>, report: &mut Report<'_>) -> Vec<Placed> {
    let mut waivers: Vec<Placed> = Vec::new();
    for section in policy.sections("waivers", WAIVERS_MAX + 1, report) {
        if waivers.len() == WAIVERS_MAX {
            let message = format!("is one waiver too many; there may be {WAIVERS_MAX}");
            report.problem(section.at(), section.path(), message);
            break;
        }
        let Some(waiver) = waiver(&section, report) else {
            continue;
        };
        let twice = waivers
            .iter()
            .any(|placed| placed.waiver.connection == waiver.connection);
        if twice {
            let message = format!("is the second waiver of {}", waiver.connection);
            report.problem(section.at(), section.path(), message);
            continue;
        }
        waivers.push(Placed {
            waiver,
            at: section.at(),
            key: section.path().to_owned(),
        });
    }
    waivers
}

fn waiver(section: &Section<'_>, report: &mut Report<'_>) -> Option<Waiver> {
    section.check_keys(&["connection", "reason", "until"], report);
    for key in ["connection", "reason", "until"] {
        if section.entry(key).is_none() {
            report.problem(section.at(), section.path(), format!("lacks {key:?}"));
        }
    }
    let connection = section.parsed("connection", report, str::parse);
    let reason = section.parsed("reason", report, |text| {
        let good = !text.trim().is_empty()
            && text.len() <= REASON_BYTES_MAX
            && !text.chars().any(char::is_control);
        if good {
            Ok(text.to_owned())
        } else {
            Err(format!(
                "has to be 1 to {REASON_BYTES_MAX} bytes of text that says why nothing can be verified"
            ))
        }
    });
    let until = section
        .entry("until")
        .and_then(|entry| until(&entry, report));
    Some(Waiver {
        connection: connection?,
        reason: reason?,
        until: until?,
    })
}

/// A date, which counts to its end in UTC, or an instant; written as TOML or as text.
fn until(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<Timestamp> {
    let text = match entry.item.as_datetime() {
        Some(date) => date.to_string(),
        None => entry.item.as_str().unwrap_or_default().to_owned(),
    };
    let of_date = || {
        let begins: Timestamp = format!("{text}T00:00:00Z").parse().ok()?;
        Some(begins.plus(std::time::Duration::from_secs(DAY_S)))
    };
    let until = text.parse().ok().or_else(of_date);
    if until.is_none() {
        let message = "has to be a date like 2027-01-31, to whose end it counts";
        report.problem(entry.at, &entry.key, message);
    }
    until
}

impl Placed {
    /// Says that no such connection is configured: a name that was mistyped must not leave a
    /// waiver for whoever takes it later.
    pub(super) fn no_connection(&self, report: &mut Report<'_>) {
        let connection = &self.waiver.connection;
        let message = format!(
            "is of a connection that is not configured: add [connections.\"{connection}\"], or take the waiver out"
        );
        report.problem(self.at, &self.key, message);
    }

    /// Says that requests are verified all the same.
    pub(super) fn not_needed(&self, report: &mut Report<'_>) {
        let connection = &self.waiver.connection;
        let message = format!(
            "has no effect: {connection} has secrets, so its requests are verified; take the waiver out"
        );
        report.warning(self.at, &self.key, message);
    }

    /// Says that its connection takes anything from anyone.
    pub(super) fn stands(&self, report: &mut Report<'_>) {
        let Waiver {
            connection, until, ..
        } = &self.waiver;
        let message = format!(
            "lets anyone send {connection} anything until {until}: its requests are not verified"
        );
        report.warning(self.at, &self.key, message);
    }
}
