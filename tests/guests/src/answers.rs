//! Answers, good and outside the contract.

use crate::bindings::exports::tidegate::connector::mapper::{Mapping, Outcome};
use crate::bindings::tidegate::connector::types::{
    Change, EntityRef, Failure, Operation, RateLimit,
};

pub(crate) fn perform(name: &str, argument: &str) -> Option<Result<Outcome, Failure>> {
    let number = argument.parse().unwrap_or(0);
    let outcome = match name {
        "map" => mapped(vec![change(b"{\"n\":1}".to_vec())]),
        "skip" => Outcome::Skip(argument.into()),
        "long-skip" => Outcome::Skip("r".repeat(number)),
        "empty" => mapped(Vec::new()),
        "poll-now" => Outcome::Mapped(Mapping {
            changes: Vec::new(),
            fetch: Vec::new(),
            poll_now: true,
        }),
        "delete" => mapped(vec![Change {
            operation: Operation::Delete,
            data: None,
            ..change(Vec::new())
        }]),
        "changes" => mapped((0..number).map(|_| change(b"{}".to_vec())).collect()),
        "fetches" => Outcome::Mapped(Mapping {
            changes: Vec::new(),
            fetch: (0..number)
                .map(|n| entity("thing", &n.to_string()))
                .collect(),
            poll_now: false,
        }),
        "data" => mapped(vec![change(argument.into())]),
        "data-not-text" => mapped(vec![change(b"{\"n\":\"\xff\"}".to_vec())]),
        "data-large" => {
            let mut data = b"{\"n\":\"".to_vec();
            data.resize(number, b'n');
            data.extend_from_slice(b"\"}");
            mapped(vec![change(data)])
        }
        "no-data" => mapped(vec![Change {
            data: None,
            ..change(Vec::new())
        }]),
        "kind" => mapped(vec![Change {
            entity: entity(argument, "1"),
            ..change(b"{}".to_vec())
        }]),
        "id" => mapped(vec![Change {
            entity: entity("thing", &"i".repeat(number)),
            ..change(b"{}".to_vec())
        }]),
        "revision" => mapped(vec![Change {
            revision: Some("r".repeat(number)),
            ..change(b"{}".to_vec())
        }]),
        "text-not-utf8" => Outcome::Skip(not_text()),
        "fail" => return Some(Err(failure(argument))),
        "long-failure" => return Some(Err(Failure::Transient("f".repeat(number)))),
        _ => return None,
    };
    Some(Ok(outcome))
}

fn mapped(changes: Vec<Change>) -> Outcome {
    Outcome::Mapped(Mapping {
        changes,
        fetch: Vec::new(),
        poll_now: false,
    })
}

fn change(data: Vec<u8>) -> Change {
    Change {
        entity: entity("thing", "1"),
        operation: Operation::Upsert,
        version: Some(7),
        revision: None,
        occurred_at: Some(1_000_000),
        data: Some(data),
    }
}

fn entity(kind: &str, id: &str) -> EntityRef {
    EntityRef {
        kind: kind.into(),
        id: id.into(),
    }
}

fn not_text() -> String {
    // SAFETY: it is not sound, on purpose; nothing here looks into it.
    unsafe { String::from_utf8_unchecked(vec![b'a', 0xff]) }
}

fn failure(class: &str) -> Failure {
    let text = || format!("{class} on purpose");
    match class {
        "transient" => Failure::Transient(text()),
        "rate-limited" => Failure::RateLimited(RateLimit {
            delay_ms: Some(1_500),
            message: text(),
        }),
        "rate-limited-for-ever" => Failure::RateLimited(RateLimit {
            delay_ms: Some(u64::MAX),
            message: text(),
        }),
        "unauthorized" => Failure::Unauthorized(text()),
        "not-found" => Failure::NotFound(text()),
        "checkpoint-expired" => Failure::CheckpointExpired(text()),
        "refused" => Failure::Refused(text()),
        _ => Failure::Permanent(text()),
    }
}
