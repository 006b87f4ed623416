//! `release`: the release as it stands after the action.
//!
//! GitHub began to send `updated_at` for releases late. Where it is missing the time of
//! publication orders, which ties edits of one release but never turns them around; a
//! draft has no version then. `created_at` orders nothing: it is the time of the commit.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Change, Failure, Outcome, Text, Timestamp, parse_json};

use crate::payload::{Repository, User, occurred, operation};

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    release: Release<'a>,
    repository: Repository<'a>,
}

#[derive(Deserialize, Serialize)]
struct Release<'a> {
    #[serde(skip_serializing)]
    id: u64,
    #[serde(skip_deserializing)]
    repository: Text<'a>,
    #[serde(borrow)]
    tag_name: Text<'a>,
    name: Option<Text<'a>>,
    body: Option<Text<'a>>,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    prerelease: bool,
    author: Option<User<'a>>,
    #[serde(rename(serialize = "url", deserialize = "html_url"))]
    url: Text<'a>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    published_at: Option<Timestamp>,
}

pub(crate) fn map(json: &[u8]) -> Result<Outcome, Failure> {
    let Payload {
        action,
        mut release,
        repository,
    } = parse_json(json)?;
    release.repository = repository.full_name;
    let operation = operation(&action);
    let published_at = release.published_at.filter(|_| &*action == "published");
    let occurred_at = occurred(operation, release.updated_at.or(published_at)).flatten();
    Ok(Change::new(operation, "release", release.id)
        .version_at(release.updated_at.or(release.published_at))
        .occurred_at(occurred_at)
        .data(&release)?
        .into())
}
