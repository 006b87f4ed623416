//! `star`: a user starred a repository, or took the star back.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Change, Failure, Outcome, Text, Timestamp, parse_json};

use crate::payload::{Repository, User, joined, operation};

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    repository: Repository<'a>,
    sender: User<'a>,
    starred_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Document<'a> {
    repository: Text<'a>,
    user: Text<'a>,
    starred_at: Option<Timestamp>,
}

pub(crate) fn map(json: &[u8]) -> Result<Outcome, Failure> {
    let Payload {
        action,
        repository,
        sender,
        starred_at,
    } = parse_json(json)?;
    Ok(
        Change::new(operation(&action), "star", joined(repository.id, sender.id))
            .occurred_at(starred_at)
            .data(&Document {
                repository: repository.full_name,
                user: sender.login,
                starred_at,
            })?
            .into(),
    )
}
