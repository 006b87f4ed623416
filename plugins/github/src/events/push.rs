//! `push`: a branch or tag was created, moved or deleted.
//!
//! A ref has no time of its own: `pushed_at` is its repository's, so it says when this
//! happened but is no version. A commit's time says neither; it may be years old.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Change, Failure, Operation, Outcome, Text, Timestamp, parse_json};

use crate::payload::joined;

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow, rename = "ref")]
    name: Text<'a>,
    before: Text<'a>,
    after: Text<'a>,
    deleted: bool,
    forced: Option<bool>,
    pusher: Option<Pusher<'a>>,
    head_commit: Option<Commit<'a>>,
    compare: Option<Text<'a>>,
    repository: PushedRepository<'a>,
}

#[derive(Deserialize)]
struct Pusher<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct PushedRepository<'a> {
    id: u64,
    #[serde(borrow)]
    full_name: Text<'a>,
    /// Unix seconds here, RFC 3339 in every other event.
    pushed_at: Option<Timestamp>,
}

#[derive(Deserialize, Serialize)]
struct Commit<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    message: Text<'a>,
    timestamp: Timestamp,
}

#[derive(Serialize)]
struct Document<'a> {
    repository: Text<'a>,
    #[serde(rename = "ref")]
    name: &'a str,
    /// What the ref points at. None for a deleted one, where GitHub sends zeros.
    sha: Option<Text<'a>>,
    before: Text<'a>,
    forced: bool,
    pusher: Option<Text<'a>>,
    head_commit: Option<Commit<'a>>,
    url: Option<Text<'a>>,
}

pub(crate) fn map(json: &[u8]) -> Result<Outcome, Failure> {
    let push: Payload<'_> = parse_json(json)?;
    let operation = if push.deleted {
        Operation::Delete
    } else {
        Operation::Upsert
    };
    Ok(
        Change::new(operation, "ref", joined(push.repository.id, &push.name))
            .occurred_at(push.repository.pushed_at)
            .data(&Document {
                repository: push.repository.full_name,
                name: &push.name,
                sha: (!push.deleted).then_some(push.after),
                before: push.before,
                forced: push.forced.unwrap_or_default(),
                pusher: push.pusher.map(|pusher| pusher.name),
                head_commit: push.head_commit,
                url: push.compare,
            })?
            .into(),
    )
}
