//! The GitHub mapping linked into this process: what a host without a sandbox would do.
//!
//! It gets a copy of the event that it owns, as the sandboxed mapping does, and its
//! answer is turned into core's words and checked against the contract's bounds, as the
//! runtime does. What is left between the two is the sandbox.

use bytes::Bytes;
use tidegate_core::change::{EntityRef, Operation, ProposedChange};
use tidegate_core::event::{BodyAuthenticated, Event};
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::PluginDigest;
use tidegate_core::mapping::{MapCall, MapReport, Mapped, Mapping};
use tidegate_core::ports::Mapper;
use tidegate_core::time::Timestamp;
use tidegate_plugin_github::Github;

/// The GitHub plugin, natively.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Native;

impl Mapper for Native {
    fn map(&self, call: &MapCall<'_>) -> MapReport {
        let answer = <Github as tidegate_sdk::Mapper>::map_webhook(
            &connection(call),
            &webhook(call.id.to_string(), call.event),
        );
        MapReport {
            plugin: PluginDigest::new([0; 32]),
            answer: checked(answer),
            stderr: String::new(),
        }
    }
}

fn connection(call: &MapCall<'_>) -> tidegate_sdk::Connection {
    tidegate_sdk::Connection {
        connector: call.event.connection.connector.as_str().to_owned(),
        account: call.event.connection.account.as_str().to_owned(),
        base_url: call.base_url.map(str::to_owned),
        settings: call.settings.to_vec(),
    }
}

fn webhook(event_id: String, event: &Event) -> tidegate_sdk::Webhook {
    let headers = event
        .headers
        .iter()
        .map(|(name, value)| tidegate_sdk::Header {
            name: name.clone(),
            value: value.to_vec(),
        });
    tidegate_sdk::Webhook {
        event_id,
        received_at: tidegate_sdk::Timestamp::from_micros(event.received.as_micros()),
        method: event.method.clone(),
        path: event.path.clone(),
        query: event.query.clone(),
        headers: headers.collect(),
        body: event.body.to_vec(),
        body_authenticated: match event.body_authenticated {
            BodyAuthenticated::Full => tidegate_sdk::BodyAuthenticated::Full,
            BodyAuthenticated::Fields => tidegate_sdk::BodyAuthenticated::Fields,
            BodyAuthenticated::None => tidegate_sdk::BodyAuthenticated::None,
        },
    }
}

fn checked(
    answer: Result<tidegate_sdk::Outcome, tidegate_sdk::Failure>,
) -> Result<Mapped, Failure> {
    let permanent = |what: String| Failure::new(FailureClass::Permanent, what);
    let mapped = match answer.map_err(|failure| permanent(format!("{failure:?}")))? {
        tidegate_sdk::Outcome::Mapped(mapping) => Mapped::Mapping(Mapping {
            changes: mapping.changes.into_iter().map(proposed).collect(),
            fetch: mapping.fetch.into_iter().map(entity).collect(),
            poll_now: mapping.poll_now,
        }),
        tidegate_sdk::Outcome::Skip(reason) => Mapped::Skip { reason },
    };
    mapped.check().map_err(|bad| permanent(bad.to_string()))?;
    Ok(mapped)
}

fn proposed(change: tidegate_sdk::Change) -> ProposedChange {
    let data = change.data.map(Bytes::from);
    ProposedChange {
        entity: entity(change.entity),
        operation: match change.operation {
            tidegate_sdk::Operation::Upsert => Operation::Upsert,
            tidegate_sdk::Operation::Delete => Operation::Delete,
        },
        version: change.version,
        revision: change
            .revision
            .unwrap_or_else(|| ProposedChange::content_revision(data.as_deref())),
        occurred: change
            .occurred_at
            .map(|at| Timestamp::from_micros(at.as_micros())),
        data,
    }
}

fn entity(entity: tidegate_sdk::EntityRef) -> EntityRef {
    EntityRef {
        kind: entity.kind,
        id: entity.id,
    }
}
