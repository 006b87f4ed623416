//! How dead letters are written: a row each, and one with all that it is about.

use serde_json::{Map, Value, json};
use tidegate_core::alert::Notice;
use tidegate_core::change::EntityRef;
use tidegate_core::ids::{ChangeSeq, EventId};
use tidegate_core::task::{Attempt, DeadCause, Owner, TaskKind, TaskState};
use tidegate_store::{DeadLetter, Subject};

use super::super::problem::Problem;
use super::{events, view};
use crate::rules::Rules;

/// A dead letter in a list.
pub(super) fn row(letter: &DeadLetter) -> Map<String, Value> {
    let task = &letter.task;
    let (cause, reason, at) = match &task.state {
        TaskState::Dead { cause, reason, at } => {
            (Some(*cause), Some(reason.as_str()), Some(at.to_string()))
        }
        TaskState::Scheduled { .. } | TaskState::Waiting { .. } => (None, None, None),
    };
    let partner_id = match &letter.subject {
        Subject::Event { event, .. } => event.as_ref().map(|event| event.partner_id.as_str()),
        Subject::Change(_) | Subject::Notice => None,
    };
    let mut row = owner(&task.kind.owner());
    row.extend(members(json!({
        "id": task.id.to_string(),
        "kind": task.kind.code(),
        "connection": task.kind.connection().map(ToString::to_string),
        "event": event(&task.kind).map(|event| event.to_string()),
        "partner_id": partner_id,
        "change": change(&task.kind).map(|seq| seq.get().to_string()),
        "entity": entity(&task.kind).map(|entity| json!({"kind": entity.kind, "id": entity.id})),
        "cause": cause.map(DeadCause::code),
        "reason": reason,
        "parked_at": at,
        "attempts": attempts(letter).len(),
        "plugin": plugin(letter),
        "fix": cause.map(fix),
    })));
    row
}

/// A dead letter as a whole: its attempts one by one, and the event, change or notice
/// that it is about.
pub(super) fn whole(letter: &DeadLetter, rules: &Rules) -> Result<Vec<u8>, Problem> {
    let mut row = row(letter);
    let tries: Vec<_> = attempts(letter).iter().map(view::attempt).collect();
    row.insert("attempts".into(), tries.into());
    let mut document = Value::Object(row).to_string().into_bytes();
    // The object goes on with one more member.
    document.pop();
    document.extend_from_slice(b",\"about\":");
    match (&letter.subject, &letter.task.kind) {
        (Subject::Event { event, progress }, kind) => {
            let about = self::event(kind).zip(event.as_ref());
            let about = about.map(|(id, event)| events::document(rules, id, event, progress));
            document.extend(Value::from(about).to_string().into_bytes());
        }
        (Subject::Change(Some(change)), _) => view::change(change, &mut document)?,
        (Subject::Notice, TaskKind::Alert { notice, .. }) => {
            document.extend(self::notice(notice).to_string().into_bytes());
        }
        (Subject::Change(None) | Subject::Notice, _) => document.extend_from_slice(b"null"),
    }
    document.push(b'}');
    Ok(document)
}

/// Whose a dead letter is, where it is a sink's or a channel's.
pub(super) fn owner(owner: &Owner) -> Map<String, Value> {
    let (sink, channel) = match owner {
        Owner::Connection(_) => (None, None),
        Owner::Sink(sink) => (Some(sink.as_str()), None),
        Owner::Channel(channel) => (None, Some(channel.as_str())),
    };
    members(json!({ "sink": sink, "channel": channel }))
}

/// The cause with that code.
pub(super) fn cause(code: &str) -> Result<DeadCause, String> {
    let found = DeadCause::ALL
        .into_iter()
        .find(|cause| cause.code() == code);
    found.ok_or_else(|| {
        let codes = DeadCause::ALL.map(DeadCause::code);
        format!("is one of {}", codes.join(", "))
    })
}

/// What a person does next.
pub(super) const fn fix(cause: DeadCause) -> &'static str {
    match cause {
        DeadCause::PartnerData => {
            "the plugin cannot map what the partner sent: correct the plugin and replay it, or discard it"
        }
        DeadCause::Mapping => {
            "the attempts say what the plugin could not do: put that right and replay it"
        }
        DeadCause::PluginFault => {
            "the plugin broke, and its attempts say where: load a corrected version and replay it"
        }
        DeadCause::Credentials => {
            "the partner refuses the credentials: put the connection's secrets right and replay it"
        }
        DeadCause::NoConnection => {
            "its account is not configured: add the connection to the configuration file and replay it, or discard it"
        }
        DeadCause::Sink => {
            "the sink did not take it: put that right and replay it, forced where a later change of the entity went out already"
        }
        DeadCause::AlertChannel => {
            "the alert channel did not take it: correct the channel and replay it, or discard it"
        }
        DeadCause::HostStopped => {
            "the host stopped each time that it ran this: look for why in the host's log before a replay"
        }
    }
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The attempts that are kept, oldest first.
fn attempts(letter: &DeadLetter) -> &[Attempt] {
    match &letter.subject {
        Subject::Event { progress, .. } if letter.attempts.is_empty() => &progress.attempts,
        Subject::Event { .. } | Subject::Change(_) | Subject::Notice => &letter.attempts,
    }
}

fn plugin(letter: &DeadLetter) -> Option<String> {
    let last = attempts(letter).iter().rev().find_map(|tried| tried.plugin);
    let mapped = match &letter.subject {
        Subject::Event { progress, .. } => progress.plugin,
        Subject::Change(_) | Subject::Notice => None,
    };
    last.or(mapped).map(|plugin| plugin.to_string())
}

/// The event that a letter names.
const fn event(kind: &TaskKind) -> Option<EventId> {
    match kind {
        TaskKind::Map { event, .. } | TaskKind::Fetch { event, .. } => Some(*event),
        TaskKind::Poll { .. } | TaskKind::Deliver(_) | TaskKind::Alert { .. } => None,
    }
}

const fn change(kind: &TaskKind) -> Option<ChangeSeq> {
    match kind {
        TaskKind::Deliver(delivery) => Some(delivery.seq),
        TaskKind::Map { .. }
        | TaskKind::Fetch { .. }
        | TaskKind::Poll { .. }
        | TaskKind::Alert { .. } => None,
    }
}

const fn entity(kind: &TaskKind) -> Option<&EntityRef> {
    match kind {
        TaskKind::Fetch { entity, .. } => Some(entity),
        TaskKind::Deliver(delivery) => Some(&delivery.entity),
        TaskKind::Map { .. } | TaskKind::Poll { .. } | TaskKind::Alert { .. } => None,
    }
}

fn notice(notice: &Notice) -> Value {
    json!({
        "rule": notice.key.rule.code(),
        "subject": notice.key.subject,
        "kind": notice.kind.code(),
        "summary": notice.summary,
        "count": notice.count,
        "oldest_at": view::instant(notice.oldest),
        "excerpt": notice.excerpt,
        "link": notice.link,
        "since": notice.since.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use bytes::Bytes;
    use tidegate_core::change::{Change, Operation, Origin, ProposedChange};
    use tidegate_core::failure::{Failure, FailureClass};
    use tidegate_core::ids::TaskId;
    use tidegate_core::task::{Delivery, Task};
    use tidegate_core::time::Timestamp;

    use super::*;
    use crate::config::ConfigSource;

    /// A change that sink `app` did not take.
    fn delivery(change: Option<Change>) -> DeadLetter {
        let attempt = Attempt {
            number: 1,
            started: Timestamp::EPOCH,
            took: Duration::from_millis(3),
            plugin: None,
            settings: None,
            failure: Some(Failure::new(FailureClass::Permanent, "HTTP 422")),
            stderr: String::new(),
        };
        let delivery = Delivery {
            sink: "app".parse().unwrap(),
            seq: ChangeSeq::new(12),
            connection: "github/acme".parse().unwrap(),
            entity: entity(),
            forced: false,
        };
        DeadLetter {
            task: Task {
                id: TaskId::new(43),
                kind: TaskKind::Deliver(delivery),
                state: TaskState::Dead {
                    cause: DeadCause::Sink,
                    reason: "HTTP 422".into(),
                    at: Timestamp::from_secs(1),
                },
            },
            subject: Subject::Change(change),
            attempts: vec![attempt],
        }
    }

    fn entity() -> EntityRef {
        EntityRef {
            kind: "issue".into(),
            id: "7".into(),
        }
    }

    fn change() -> Change {
        Change {
            seq: ChangeSeq::new(12),
            connection: "github/acme".parse().unwrap(),
            change: ProposedChange {
                entity: entity(),
                operation: Operation::Upsert,
                version: None,
                revision: "r".into(),
                occurred: None,
                data: Some(Bytes::from_static(b"{\"exact\":1.10}")),
            },
            origin: Origin::Webhook,
            event: None,
            committed: Timestamp::EPOCH,
        }
    }

    #[track_caller]
    fn check(letter: &DeadLetter, expected: &[(&str, Value)]) -> String {
        let empty = tempfile::NamedTempFile::new().unwrap();
        let config = ConfigSource::new(Some(empty.path().to_owned())).load();
        let rules = Rules::build(&config.unwrap(), &HashMap::new());
        let text = String::from_utf8(whole(letter, &rules).unwrap()).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        for (pointer, value) in expected {
            assert_eq!(document.pointer(pointer), Some(value), "{pointer}");
        }
        text
    }

    #[test]
    fn a_delivery_names_its_sink_and_shows_its_change_as_stored() {
        let text = check(
            &delivery(Some(change())),
            &[
                ("/id", json!("tsk_000000000000002b")),
                ("/kind", json!("deliver")),
                ("/sink", json!("app")),
                ("/channel", Value::Null),
                ("/event", Value::Null),
                ("/change", json!("12")),
                ("/entity", json!({"kind": "issue", "id": "7"})),
                ("/attempts/0/error", json!("HTTP 422")),
                ("/about/operation", json!("upsert")),
                ("/fix", json!(fix(DeadCause::Sink))),
            ],
        );
        assert!(text.contains("\"data\":{\"exact\":1.10}"), "{text}");
    }

    #[test]
    fn a_change_that_is_not_kept_is_null() {
        check(&delivery(None), &[("/about", Value::Null)]);
    }

    #[test]
    fn causes_are_known_by_their_codes() {
        for known in DeadCause::ALL {
            assert_eq!(cause(known.code()), Ok(known));
        }
        assert!(cause("fate").unwrap_err().contains("partner-data"));
    }
}
