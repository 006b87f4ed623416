//! `organization`: the organization itself, or who belongs to it.
//!
//! An invitation makes a pending membership. GitHub sends no event when it is declined or
//! withdrawn, so a pending membership may be all that is ever heard of it.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Change, Failure, Operation, Outcome, Text, Timestamp, parse_json};

use crate::payload::{Organization, User, joined, operation};

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    organization: Details<'a>,
    membership: Option<Membership<'a>>,
    /// With `member_invited`: whom, where the invitation names an account.
    user: Option<User<'a>>,
    invitation: Option<Invitation<'a>>,
}

#[derive(Deserialize)]
struct Details<'a> {
    id: u64,
    #[serde(borrow)]
    login: Text<'a>,
    description: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Membership<'a> {
    #[serde(borrow)]
    user: Option<User<'a>>,
    state: Option<Text<'a>>,
    role: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Invitation<'a> {
    #[serde(borrow)]
    role: Option<Text<'a>>,
    created_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct OrganizationDocument<'a> {
    login: Text<'a>,
    description: Option<Text<'a>>,
}

#[derive(Serialize)]
struct MembershipDocument<'a> {
    organization: Text<'a>,
    user: Text<'a>,
    state: Option<Text<'a>>,
    role: Option<Text<'a>>,
}

pub(crate) fn map(json: &[u8]) -> Result<Outcome, Failure> {
    let Payload {
        action,
        organization,
        membership,
        user,
        invitation,
    } = parse_json(json)?;
    let Details {
        id,
        login,
        description,
    } = organization;
    let organization = Organization { id, login };
    match &*action {
        "member_added" => member(Operation::Upsert, organization, membership),
        "member_removed" => member(Operation::Delete, organization, membership),
        "member_invited" => invited(organization, user, invitation),
        action => {
            let document = OrganizationDocument {
                login: organization.login,
                description,
            };
            Ok(Change::new(operation(action), "organization", id)
                .data(&document)?
                .into())
        }
    }
}

fn member(
    operation: Operation,
    organization: Organization<'_>,
    membership: Option<Membership<'_>>,
) -> Result<Outcome, Failure> {
    let Some(Membership { user, state, role }) = membership else {
        return Err(Failure::permanent(
            "body: a member's event without `membership`",
        ));
    };
    let Some(user) = user else {
        return Ok(Outcome::skip("membership of a user that no longer exists"));
    };
    let id = joined(organization.id, user.id);
    Ok(Change::new(operation, "organization_membership", id)
        .data(&MembershipDocument {
            organization: organization.login,
            user: user.login,
            state,
            role,
        })?
        .into())
}

fn invited(
    organization: Organization<'_>,
    user: Option<User<'_>>,
    invitation: Option<Invitation<'_>>,
) -> Result<Outcome, Failure> {
    let Some(user) = user else {
        return Ok(Outcome::skip("invitation by mail names no account"));
    };
    let (role, created_at) = match invitation {
        Some(invitation) => (invitation.role, invitation.created_at),
        None => (None, None),
    };
    let id = joined(organization.id, user.id);
    Ok(Change::upsert("organization_membership", id)
        .occurred_at(created_at)
        .data(&MembershipDocument {
            organization: organization.login,
            user: user.login,
            state: Some("pending".into()),
            role: role.map(membership_role),
        })?
        .into())
}

/// An invitation's role as the membership will call it.
fn membership_role(role: Text<'_>) -> Text<'_> {
    match &*role {
        "direct_member" => "member".into(),
        _ => role,
    }
}
