//! `pull_request`: the pull request as it stands after the action.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Change, Failure, Outcome, Text, Timestamp, parse_json};

use crate::payload::{Label, Repository, User, present};

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    pull_request: PullRequest<'a>,
    repository: Repository<'a>,
}

#[derive(Deserialize, Serialize)]
struct PullRequest<'a> {
    #[serde(skip_serializing)]
    id: u64,
    #[serde(skip_deserializing)]
    repository: Text<'a>,
    number: u64,
    #[serde(borrow)]
    title: Text<'a>,
    body: Option<Text<'a>>,
    state: Text<'a>,
    #[serde(default)]
    draft: bool,
    merged: Option<bool>,
    #[serde(rename(serialize = "author", deserialize = "user"))]
    author: Option<User<'a>>,
    #[serde(default, deserialize_with = "present")]
    assignees: Vec<User<'a>>,
    #[serde(default, deserialize_with = "present")]
    labels: Vec<Label<'a>>,
    head: Tip<'a>,
    base: Tip<'a>,
    #[serde(rename(serialize = "url", deserialize = "html_url"))]
    url: Text<'a>,
    created_at: Timestamp,
    updated_at: Timestamp,
    closed_at: Option<Timestamp>,
    merged_at: Option<Timestamp>,
}

/// One end of a pull request.
#[derive(Deserialize, Serialize)]
struct Tip<'a> {
    #[serde(borrow, rename = "ref")]
    name: Text<'a>,
    sha: Text<'a>,
}

pub(crate) fn map(json: &[u8]) -> Result<Outcome, Failure> {
    let Payload {
        mut pull_request,
        repository,
    } = parse_json(json)?;
    pull_request.repository = repository.full_name;
    Ok(Change::upsert("pull_request", pull_request.id)
        .version_at(pull_request.updated_at)
        .occurred_at(pull_request.updated_at)
        .data(&pull_request)?
        .into())
}
