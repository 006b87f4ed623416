//! `issue_comment`: a comment on an issue or on a pull request.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Change, Failure, Outcome, Text, Timestamp, parse_json};

use crate::payload::{Repository, User, occurred, operation};

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    comment: Comment<'a>,
    issue: Issue,
    repository: Repository<'a>,
}

#[derive(Deserialize)]
struct Issue {
    number: u64,
}

#[derive(Deserialize, Serialize)]
struct Comment<'a> {
    #[serde(skip_serializing)]
    id: u64,
    #[serde(skip_deserializing)]
    repository: Text<'a>,
    #[serde(skip_deserializing)]
    issue: u64,
    #[serde(borrow)]
    body: Option<Text<'a>>,
    #[serde(rename(serialize = "author", deserialize = "user"))]
    author: Option<User<'a>>,
    #[serde(rename(serialize = "url", deserialize = "html_url"))]
    url: Text<'a>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

pub(crate) fn map(json: &[u8]) -> Result<Outcome, Failure> {
    let Payload {
        action,
        mut comment,
        issue,
        repository,
    } = parse_json(json)?;
    comment.repository = repository.full_name;
    comment.issue = issue.number;
    let operation = operation(&action);
    Ok(Change::new(operation, "issue_comment", comment.id)
        .version_at(comment.updated_at)
        .occurred_at(occurred(operation, comment.updated_at))
        .data(&comment)?
        .into())
}
