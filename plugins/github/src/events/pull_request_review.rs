//! `pull_request_review`: the review as it stands after the action.
//!
//! GitHub began to send `updated_at` for reviews late, and a pending review has neither
//! time: then it has no version.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Change, Failure, Outcome, Text, Timestamp, parse_json};

use crate::payload::{Repository, User};

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    review: Review<'a>,
    pull_request: PullRequest,
    repository: Repository<'a>,
}

#[derive(Deserialize)]
struct PullRequest {
    number: u64,
}

#[derive(Deserialize, Serialize)]
struct Review<'a> {
    #[serde(skip_serializing)]
    id: u64,
    #[serde(skip_deserializing)]
    repository: Text<'a>,
    #[serde(skip_deserializing)]
    pull_request: u64,
    #[serde(borrow)]
    state: Text<'a>,
    body: Option<Text<'a>>,
    #[serde(rename(serialize = "author", deserialize = "user"))]
    author: Option<User<'a>>,
    commit_id: Option<Text<'a>>,
    #[serde(rename(serialize = "url", deserialize = "html_url"))]
    url: Text<'a>,
    submitted_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

pub(crate) fn map(json: &[u8]) -> Result<Outcome, Failure> {
    let Payload {
        action,
        mut review,
        pull_request,
        repository,
    } = parse_json(json)?;
    review.repository = repository.full_name;
    review.pull_request = pull_request.number;
    // Without a time of its own, an edit or a dismissal happened at no known time.
    let submitted_at = review.submitted_at.filter(|_| &*action == "submitted");
    Ok(Change::upsert("pull_request_review", review.id)
        .version_at(review.updated_at.or(review.submitted_at))
        .occurred_at(review.updated_at.or(submitted_at))
        .data(&review)?
        .into())
}
