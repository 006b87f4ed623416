//! A result of a mapping as JSON, so that it can be compared, read and kept in a file.

use serde_json::{Map, Value, json};

use crate::{Change, EntityRef, Failure, Mapping, Operation, Outcome};

/// The JSON form of a mapping's result, as `.out.json` files hold it.
pub fn outcome_json(result: &Result<Outcome, Failure>) -> Value {
    match result {
        Ok(Outcome::Mapped(mapping)) => mapping_json(mapping),
        Ok(Outcome::Skip(reason)) => json!({ "skip": reason }),
        Err(failure) => json!({ "failure": failure_json(failure) }),
    }
}

fn mapping_json(
    Mapping {
        changes,
        fetch,
        poll_now,
    }: &Mapping,
) -> Value {
    let mut object = Map::new();
    object.insert(
        "changes".to_owned(),
        changes.iter().map(change_json).collect(),
    );
    if !fetch.is_empty() {
        object.insert("fetch".to_owned(), fetch.iter().map(entity_json).collect());
    }
    if *poll_now {
        object.insert("poll_now".to_owned(), true.into());
    }
    Value::Object(object)
}

fn change_json(change: &Change) -> Value {
    let Change {
        entity,
        operation,
        version,
        revision,
        occurred_at,
        data,
    } = change;
    let mut value = json!({
        "kind": entity.kind,
        "id": entity.id,
        "operation": match operation {
            Operation::Upsert => "upsert",
            Operation::Delete => "delete",
        },
        "version": version,
        "occurred_at": occurred_at.map(|at| at.to_string()),
        "data": data.as_deref().map(data_json),
    });
    if let (Some(revision), Value::Object(object)) = (revision, &mut value) {
        object.insert("revision".to_owned(), revision.as_str().into());
    }
    value
}

/// The document; one that is not JSON shows as text, which no expectation equals.
fn data_json(data: &[u8]) -> Value {
    serde_json::from_slice(data)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(data).into_owned()))
}

fn entity_json(EntityRef { kind, id }: &EntityRef) -> Value {
    json!({ "kind": kind, "id": id })
}

fn failure_json(failure: &Failure) -> Value {
    match failure {
        Failure::Transient(reason) => json!({ "transient": reason }),
        Failure::RateLimited(limit) => {
            json!({ "rate-limited": { "delay_ms": limit.delay_ms, "message": limit.message } })
        }
        Failure::Unauthorized(reason) => json!({ "unauthorized": reason }),
        Failure::Permanent(reason) => json!({ "permanent": reason }),
        Failure::NotFound(reason) => json!({ "not-found": reason }),
        Failure::CheckpointExpired(reason) => json!({ "checkpoint-expired": reason }),
        Failure::Refused(reason) => json!({ "refused": reason }),
    }
}
