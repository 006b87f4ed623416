//! GitHub webhooks as change records.
//!
//! One event gives one change, of the entity that the event is about. This page finds the
//! payload and the mapping of its event type; [`events`] has one mapping per type. What
//! must not be here: signatures, deduplication and `ping` answers, which are the host's.
//!
//! Every event ends in one of three ways: mapped, skipped with a reason that names what
//! was skipped, or a permanent failure that says what in the payload was not as GitHub
//! documents it.

use std::borrow::Cow;

use tidegate_sdk::{Connection, Describer, Failure, Mapper, Outcome, Webhook};

mod events;
mod payload;

/// Longest part of an event type that is shown: the header is not covered by the
/// signature, so it may hold anything.
const SHOWN_LEN_MAX: usize = 64;

/// The GitHub connector.
#[derive(Debug)]
pub struct Github;

tidegate_sdk::export!(Github);

impl Describer for Github {
    fn descriptor() -> Cow<'static, str> {
        include_str!("../descriptor.json").into()
    }
}

impl Mapper for Github {
    fn map_webhook(_: &Connection, webhook: &Webhook) -> Result<Outcome, Failure> {
        let event = webhook.header_text("X-GitHub-Event")?;
        let map: events::Map = match event {
            "issue_comment" => events::issue_comment::map,
            "issues" => events::issues::map,
            "membership" => events::membership::map,
            "organization" => events::organization::map,
            "pull_request" => events::pull_request::map,
            "pull_request_review" => events::pull_request_review::map,
            "push" => events::push::map,
            "release" => events::release::map,
            "repository" => events::repository::map,
            "star" => events::star::map,
            "workflow_run" => events::workflow_run::map,
            "ping" => return Ok(Outcome::skip("ping: GitHub tests a new webhook")),
            other => return Ok(not_mapped(other)),
        };
        map(&json(webhook)?)
    }
}

fn not_mapped(event: &str) -> Outcome {
    let shown = event
        .get(..event.floor_char_boundary(SHOWN_LEN_MAX))
        .unwrap_or_default();
    Outcome::skip(format!("event type {shown:?} is not mapped"))
}

/// The JSON of a payload, in either of the content types that a webhook can be set to.
fn json(webhook: &Webhook) -> Result<Cow<'_, [u8]>, Failure> {
    if !webhook.is_form() {
        return Ok(Cow::Borrowed(&webhook.body));
    }
    webhook
        .form_field("payload")
        .ok_or_else(|| Failure::permanent("form body has no field `payload`"))
}

#[cfg(test)]
mod tests;
