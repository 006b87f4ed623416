//! `issues`: the issue as it stands after the action.
//!
//! A transfer gives the issue a new id in the other repository, which sends its own
//! `opened`; under the old id the issue is gone.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Change, Failure, Operation, Outcome, Text, Timestamp, parse_json};

use crate::payload::{Label, Milestone, Repository, User, occurred, operation, present};

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    issue: Issue<'a>,
    repository: Repository<'a>,
    changes: Option<Changes>,
}

#[derive(Deserialize)]
struct Changes {
    new_issue: Option<NewIssue>,
}

/// What a transferred issue became.
#[derive(Deserialize)]
struct NewIssue {
    id: u64,
}

#[derive(Deserialize, Serialize)]
struct Issue<'a> {
    #[serde(skip_serializing)]
    id: u64,
    #[serde(skip_deserializing)]
    repository: Text<'a>,
    number: u64,
    #[serde(borrow)]
    title: Text<'a>,
    body: Option<Text<'a>>,
    state: Option<Text<'a>>,
    state_reason: Option<Text<'a>>,
    #[serde(rename(serialize = "author", deserialize = "user"))]
    author: Option<User<'a>>,
    #[serde(default, deserialize_with = "present")]
    assignees: Vec<User<'a>>,
    #[serde(default, deserialize_with = "present")]
    labels: Vec<Label<'a>>,
    milestone: Option<Milestone<'a>>,
    #[serde(default)]
    locked: bool,
    #[serde(rename(serialize = "url", deserialize = "html_url"))]
    url: Text<'a>,
    created_at: Timestamp,
    updated_at: Timestamp,
    closed_at: Option<Timestamp>,
}

pub(crate) fn map(json: &[u8]) -> Result<Outcome, Failure> {
    let Payload {
        action,
        mut issue,
        repository,
        changes,
    } = parse_json(json)?;
    issue.repository = repository.full_name;
    let became = changes.and_then(|changes| changes.new_issue);
    let operation = match became {
        Some(new_issue) if new_issue.id != issue.id => Operation::Delete,
        _ => operation(&action),
    };
    Ok(Change::new(operation, "issue", issue.id)
        .version_at(issue.updated_at)
        .occurred_at(occurred(operation, issue.updated_at))
        .data(&issue)?
        .into())
}
