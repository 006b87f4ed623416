//! `repository`: the repository as it stands after the action. A transfer or a new name
//! keeps its id.
//!
//! Counters (stars, forks, open issues) and `pushed_at` are left out: they move without
//! `updated_at`, so two states of one version would differ in them.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Change, Failure, Outcome, Text, Timestamp, parse_json};

use crate::payload::{User, occurred, operation, present};

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    repository: Repository<'a>,
}

#[derive(Deserialize, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "GitHub's own fields")]
struct Repository<'a> {
    #[serde(skip_serializing)]
    id: u64,
    #[serde(borrow)]
    full_name: Text<'a>,
    owner: Option<User<'a>>,
    description: Option<Text<'a>>,
    homepage: Option<Text<'a>>,
    language: Option<Text<'a>>,
    #[serde(default, deserialize_with = "present")]
    topics: Vec<Text<'a>>,
    default_branch: Option<Text<'a>>,
    private: bool,
    visibility: Option<Text<'a>>,
    #[serde(default)]
    fork: bool,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    disabled: bool,
    #[serde(rename(serialize = "url", deserialize = "html_url"))]
    url: Text<'a>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

pub(crate) fn map(json: &[u8]) -> Result<Outcome, Failure> {
    let Payload { action, repository } = parse_json(json)?;
    let operation = operation(&action);
    Ok(Change::new(operation, "repository", repository.id)
        .version_at(repository.updated_at)
        .occurred_at(occurred(operation, repository.updated_at))
        .data(&repository)?
        .into())
}
