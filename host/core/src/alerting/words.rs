//! What alerts say, and where they point.
//!
//! Summaries hold no ages and no figures that move by themselves: an alert is written
//! again when its words change.

use super::observed::{
    Backlog, DeadLetters, DifferingDuplicates, Finding, PausedConnection, SignatureFailures,
    SinkTrouble, UnreadableSink,
};
use crate::alert::{AlertKey, AlertRule, NoticeKind};
use crate::ids::ConnectionId;
use crate::limits::{ALERT_EXCERPT_BYTES_MAX, cut_text};
use crate::sink::SinkState;
use crate::task::Owner;

/// The subject of the alert that counts what is beyond the bound.
pub(super) const OTHERS: &str = "others";

const STORE: &str = "store";

/// A notice's sentence.
pub(super) fn summary(kind: NoticeKind, summary: &str) -> String {
    match kind {
        NoticeKind::Opened => summary.to_owned(),
        NoticeKind::Repeated => format!("Still: {summary}"),
        NoticeKind::Over => format!("Over: {summary}"),
    }
}

pub(super) fn dead_letters(letters: &DeadLetters) -> Finding {
    let DeadLetters {
        owner,
        cause,
        count,
        oldest,
        excerpt,
    } = letters;
    let (subject, cause) = (subject(owner), cause.code());
    let what = plural(*count, "dead letter", "dead letters");
    Finding {
        key: key(AlertRule::DeadLetters, format!("{subject} {cause}")),
        count: *count,
        oldest: Some(*oldest),
        summary: format!("{what} of {subject} ({cause})"),
        excerpt: cut(excerpt),
        link: format!("/dead-letters?{}&cause={cause}", query(owner)),
    }
}

pub(super) fn backlog(backlog: &Backlog) -> Finding {
    let (subject, oldest) = (subject(&backlog.owner), backlog.oldest);
    let link = match &backlog.owner {
        Owner::Connection(_) => format!("/events?{}&state=pending", query(&backlog.owner)),
        Owner::Sink(_) => "/sinks".into(),
        Owner::Channel(_) => "/alerts".into(),
    };
    Finding {
        summary: format!("Work of {subject} has been open since {oldest}"),
        key: key(AlertRule::BacklogAge, subject),
        count: backlog.open,
        oldest: Some(oldest),
        excerpt: cut(&backlog.excerpt),
        link,
    }
}

pub(super) fn refusals(refusals: &SignatureFailures) -> Finding {
    let connection = &refusals.connection;
    let what = plural(refusals.in_a_row, "webhook", "webhooks");
    Finding {
        key: key(AlertRule::SignatureFailures, connection.to_string()),
        count: refusals.in_a_row,
        oldest: Some(refusals.first),
        summary: format!(
            "{what} of {connection} in a row did not verify; partners disable an endpoint that refuses them"
        ),
        excerpt: cut(&refusals.reason),
        link: connection_link(connection),
    }
}

pub(super) fn differing(differing: &DifferingDuplicates) -> Finding {
    let connection = &differing.connection;
    Finding {
        key: key(AlertRule::DuplicateDiffers, connection.to_string()),
        count: differing.count,
        oldest: Some(differing.first),
        summary: format!(
            "Webhooks of {connection} had the id of an earlier event and another body: only the first is kept, so its event-id rule may name too little"
        ),
        excerpt: format!("the last one had the id of event {}", differing.event),
        link: connection_link(connection),
    }
}

pub(super) fn paused(paused: &PausedConnection) -> Finding {
    let connection = &paused.connection;
    Finding {
        key: key(AlertRule::ConnectionPaused, connection.to_string()),
        count: 1,
        oldest: Some(paused.since),
        summary: format!(
            "Connection {connection} is paused: its webhooks are stored, its other work rests"
        ),
        excerpt: cut(&paused.reason),
        link: connection_link(connection),
    }
}

/// None for a sink that runs, and for one that has only just failed: its first probe has
/// not told yet.
pub(super) fn sink(trouble: &SinkTrouble) -> Option<Finding> {
    let sink = &trouble.sink;
    let (summary, reason, since) = match &trouble.state {
        SinkState::Running | SinkState::Failing { probes: 0, .. } => return None,
        SinkState::Failing { reason, since, .. } => (
            format!("Sink {sink} keeps failing: one change at a time is tried"),
            reason,
            since,
        ),
        SinkState::Paused { why, reason, since } => (
            format!(
                "Sink {sink} is paused ({}): nothing is delivered until a person resumes it",
                why.code()
            ),
            reason,
            since,
        ),
    };
    Some(Finding {
        key: key(AlertRule::SinkPaused, format!("sink {sink}")),
        count: 1,
        oldest: Some(*since),
        summary,
        excerpt: cut(reason),
        link: "/sinks".into(),
    })
}

pub(super) fn unreadable(unreadable: &UnreadableSink) -> Finding {
    let sink = &unreadable.sink;
    Finding {
        key: key(AlertRule::SinkPaused, format!("sink {sink}")),
        count: 1,
        oldest: None,
        summary: format!(
            "Sink {sink} delivers nothing: what it is to be given next cannot be read from the store"
        ),
        excerpt: cut(&unreadable.reason),
        link: "/sinks".into(),
    }
}

pub(super) fn disk_low() -> Finding {
    Finding {
        key: key(AlertRule::DiskLow, STORE.into()),
        count: 1,
        oldest: None,
        summary: "Free disk is below the reserve: webhooks are answered 503 until there is space"
            .into(),
        excerpt: String::new(),
        link: "/status".into(),
    }
}

pub(super) fn latched(reason: &str) -> Finding {
    Finding {
        key: key(AlertRule::StoreReadOnly, STORE.into()),
        count: 1,
        oldest: None,
        summary: "A write to the store failed: it takes nothing until the host has restarted"
            .into(),
        excerpt: cut(reason),
        link: "/status".into(),
    }
}

/// The alert that counts the findings of one rule that have none of their own.
pub(super) fn others(rule: AlertRule, beyond: &[Finding]) -> Option<Finding> {
    let first = beyond.first()?;
    let link = first.link.split('?').next().unwrap_or_default();
    Some(Finding {
        key: key(rule, OTHERS.into()),
        count: beyond.len() as u64,
        oldest: beyond.iter().filter_map(|finding| finding.oldest).min(),
        summary: format!(
            "There is more to say about {} than alerts may stand: see there",
            rule.code()
        ),
        excerpt: cut(&first.summary),
        link: link.to_owned(),
    })
}

fn key(rule: AlertRule, subject: String) -> AlertKey {
    AlertKey { rule, subject }
}

fn subject(owner: &Owner) -> String {
    match owner {
        Owner::Connection(connection) => connection.to_string(),
        Owner::Sink(sink) => format!("sink {sink}"),
        Owner::Channel(channel) => format!("channel {channel}"),
    }
}

fn query(owner: &Owner) -> String {
    match owner {
        Owner::Connection(connection) => {
            format!("connection={}", encoded(&connection.to_string()))
        }
        Owner::Sink(sink) => format!("sink={sink}"),
        Owner::Channel(channel) => format!("channel={channel}"),
    }
}

fn connection_link(connection: &ConnectionId) -> String {
    let account = encoded(connection.account.as_str());
    format!("/connections/{}/{account}", connection.connector)
}

/// Percent-encoded for a path segment or a query value.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn cut(text: &str) -> String {
    cut_text(text.to_owned(), ALERT_EXCERPT_BYTES_MAX)
}
