//! `membership`: a user joined or left a team.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Change, Failure, Operation, Outcome, Text, parse_json};

use crate::payload::{Organization, User, joined};

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    member: Option<User<'a>>,
    team: Team<'a>,
    organization: Option<Organization<'a>>,
}

/// A team. One that was deleted comes with its id and name only.
#[derive(Deserialize)]
struct Team<'a> {
    id: u64,
    #[serde(borrow)]
    name: Text<'a>,
    slug: Option<Text<'a>>,
}

#[derive(Serialize)]
struct Document<'a> {
    organization: Option<Text<'a>>,
    team: Text<'a>,
    team_slug: Option<Text<'a>>,
    user: Text<'a>,
}

pub(crate) fn map(json: &[u8]) -> Result<Outcome, Failure> {
    let Payload {
        action,
        member,
        team,
        organization,
    } = parse_json(json)?;
    let Some(member) = member else {
        return Ok(Outcome::skip("membership of a user that no longer exists"));
    };
    let operation = match &*action {
        "removed" => Operation::Delete,
        _ => Operation::Upsert,
    };
    Ok(
        Change::new(operation, "team_membership", joined(team.id, member.id))
            .data(&Document {
                organization: organization.map(|organization| organization.login),
                team: team.name,
                team_slug: team.slug,
                user: member.login,
            })?
            .into(),
    )
}
