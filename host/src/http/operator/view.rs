//! How things are written as JSON, where more than one route writes them.
//!
//! 64-bit numbers that a JSON reader may round (places in the change log, versions) are
//! decimal texts; instants are RFC 3339.

use std::fmt::Display;

use axum::Json;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tidegate_core::change::{Change, Entity, EntityRef, ProposedChange};
use tidegate_core::event::EventState;
use tidegate_core::ports::ReadError;
use tidegate_core::task::Attempt;
use tidegate_core::time::Timestamp;
use tidegate_store::ChangesError;

use super::super::problem::{self, Problem};

/// What most routes answer.
pub(super) type Answer = Result<Json<Value>, Problem>;

/// A page for people: rows, and where the next one begins.
pub(super) fn page<T: Display>(items: Vec<Value>, next: Option<T>) -> Json<Value> {
    let next = next.map(|next| next.to_string());
    let page = [("items", Value::Array(items)), ("next", next.into())];
    Json(
        page.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

/// An instant, where there is one.
pub(super) fn instant(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// Why an event stands where it does, for a person.
pub(super) fn reason(state: &EventState) -> Option<&str> {
    match state {
        EventState::Skipped { reason } | EventState::Dead { reason, .. } => Some(reason),
        EventState::Pending { .. } | EventState::Fetching { .. } | EventState::Mapped => None,
    }
}

/// One try at a task.
pub(super) fn attempt(attempt: &Attempt) -> Value {
    let failure = attempt.failure.as_ref();
    json!({
        "number": attempt.number,
        "started_at": attempt.started.to_string(),
        "took_us": u64::try_from(attempt.took.as_micros()).unwrap_or(u64::MAX),
        "plugin": attempt.plugin.map(|plugin| plugin.to_string()),
        "settings": attempt.settings.map(|digest| format!("sha256:{}", hex::encode(digest))),
        "outcome": failure.map_or("ok", |failure| failure.class.code()),
        "error": failure.map(|failure| failure.message.as_str()),
        "stderr": attempt.stderr,
    })
}

#[derive(Serialize)]
struct EntityView<'c> {
    kind: &'c str,
    id: &'c str,
}

impl<'c> EntityView<'c> {
    fn new(entity: &'c EntityRef) -> Self {
        Self {
            kind: &entity.kind,
            id: &entity.id,
        }
    }
}

/// What a change and an entity of the mirror have in common.
#[derive(Serialize)]
struct StateView<'c> {
    connection: String,
    entity: EntityView<'c>,
    operation: &'static str,
    version: Option<String>,
    revision: &'c str,
    occurred_at: Option<String>,
}

impl<'c> StateView<'c> {
    fn new(connection: String, change: &'c ProposedChange) -> Self {
        Self {
            connection,
            entity: EntityView::new(&change.entity),
            operation: change.operation.code(),
            version: change.version.map(|version| version.to_string()),
            revision: &change.revision,
            occurred_at: instant(change.occurred),
        }
    }
}

#[derive(Serialize)]
struct ChangeView<'c> {
    seq: String,
    #[serde(flatten)]
    state: StateView<'c>,
    committed_at: String,
    origin: &'static str,
    event: Option<String>,
}

#[derive(Serialize)]
struct MirrorView<'c> {
    #[serde(flatten)]
    state: StateView<'c>,
    /// The change that brought it.
    change: String,
    /// Two different states had its version.
    tied: bool,
}

/// A change in one line.
pub(super) fn change(change: &Change, into: &mut Vec<u8>) -> serde_json::Result<()> {
    let view = ChangeView {
        seq: change.seq.get().to_string(),
        state: StateView::new(change.connection.to_string(), &change.change),
        committed_at: change.committed.to_string(),
        origin: change.origin.code(),
        event: change.event.map(|event| event.to_string()),
    };
    with_data(&view, change.change.data.as_ref(), into)
}

/// An entity of the mirror in one line.
pub(super) fn entity(entity: &Entity, into: &mut Vec<u8>) -> serde_json::Result<()> {
    let view = MirrorView {
        state: StateView::new(entity.connection.to_string(), &entity.change),
        change: entity.standing.change.get().to_string(),
        tied: entity.standing.tied,
    };
    with_data(&view, entity.change.data.as_ref(), into)
}

/// An object with `data` as its last member, as it was stored. The bytes were found to
/// be a JSON object before they were; a line end in them can only be white space.
fn with_data<T: Serialize>(
    view: &T,
    data: Option<&Bytes>,
    into: &mut Vec<u8>,
) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *into, view)?;
    if into.pop_if(|last| *last == b'}').is_some() {
        into.extend_from_slice(b",\"data\":");
        match data {
            None => into.extend_from_slice(b"null"),
            Some(data) => {
                let one_line = |byte: &u8| {
                    if matches!(byte, b'\n' | b'\r') {
                        b' '
                    } else {
                        *byte
                    }
                };
                into.extend(data.iter().map(one_line));
            }
        }
        into.push(b'}');
    }
    Ok(())
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        problem::unreadable(&error)
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        problem::unreadable(&error)
    }
}

impl From<ChangesError> for Problem {
    fn from(error: ChangesError) -> Self {
        match error {
            ChangesError::CursorExpired { cursor, oldest } => {
                // The smallest cursor that works is the one before the oldest change.
                problem::cursor_expired(cursor.get(), oldest.get().saturating_add(1))
            }
            ChangesError::CursorAhead { cursor, newest } => {
                problem::cursor_ahead(cursor.get(), newest.get())
            }
            ChangesError::Read(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::change::{Operation, Origin};
    use tidegate_core::ids::{ChangeSeq, EventId};

    use super::*;

    #[track_caller]
    fn check(data: Option<&'static str>, expected: &Value) {
        let example = Change {
            seq: ChangeSeq::new(12),
            connection: "github/acme".parse().unwrap(),
            change: ProposedChange {
                entity: EntityRef {
                    kind: "issue".into(),
                    id: "acme/x#1".into(),
                },
                operation: Operation::Upsert,
                version: Some(i64::MAX),
                revision: "r".into(),
                occurred: Some(Timestamp::EPOCH),
                data: data.map(|data| Bytes::from_static(data.as_bytes())),
            },
            origin: Origin::Webhook,
            event: Some(EventId::new(42)),
            committed: Timestamp::from_secs(1),
        };
        let mut line = Vec::new();
        change(&example, &mut line).unwrap();
        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
        let read: Value = serde_json::from_slice(&line).unwrap();
        let whole = json!({
            "seq": "12", "connection": "github/acme",
            "entity": {"kind": "issue", "id": "acme/x#1"},
            "operation": "upsert", "version": "9223372036854775807", "revision": "r",
            "occurred_at": "1970-01-01T00:00:00Z", "committed_at": "1970-01-01T00:00:01Z",
            "origin": "webhook", "event": "evt_000000000000002a", "data": expected,
        });
        assert_eq!(read, whole);
    }

    #[test]
    fn a_change_is_one_line_with_its_data_as_stored() {
        check(None, &Value::Null);
        check(Some("{}"), &json!({}));
        check(
            Some("{\r\n  \"a\":\n[1, \"x\\n}\"]}"),
            &json!({"a": [1, "x\n}"]}),
        );
    }
}
