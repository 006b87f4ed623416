//! One call of `map-webhook`: lower the event, run, lift and check the answer.

use std::time::Duration;

use bytes::Bytes;
use tidegate_core::change::{EntityRef, Operation, ProposedChange};
use tidegate_core::event::BodyAuthenticated;
use tidegate_core::failure::{Failure, FailureClass, PluginFault};
use tidegate_core::limits::{FAILURE_MESSAGE_BYTES_MAX, cut_text};
use tidegate_core::mapping::{MapCall, MapReport, Mapped, Mapping};
use tidegate_core::ports::Mapper;
use tidegate_core::time::Timestamp;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre, TypedFunc};

use crate::guest::Guest;
use crate::plugin::Plugin;
use crate::wit::{mapper as wire, types};

const FUNCTION: &str = "map-webhook";

impl Mapper for Plugin {
    fn map(&self, call: &MapCall<'_>) -> MapReport {
        let compiled = &self.inner.compiled;
        let mut store = compiled.store(call.event.received, call.id.get());
        let answer = self.call(&mut store, call);
        let stderr = store.data().stderr.text();
        let answer = match answer {
            Ok(Ok(outcome)) => checked(outcome),
            Ok(Err(failure)) => Err(failed(failure)),
            Err(error) => Err(compiled.failure(FUNCTION, &error, &stderr)),
        };
        MapReport {
            plugin: compiled.digest,
            answer,
            stderr,
        }
    }
}

impl Plugin {
    fn call(
        &self,
        store: &mut Store<Guest>,
        call: &MapCall<'_>,
    ) -> wasmtime::Result<Result<wire::Outcome, types::Failure>> {
        let Some(map_webhook) = self.inner.exports.map_webhook else {
            return Ok(Err(types::Failure::Permanent(
                "the plugin exports no mapper: it cannot map webhooks".to_owned(),
            )));
        };
        let instance = self.inner.compiled.pre.instantiate(&mut *store)?;
        let map_webhook = map_webhook.of(store, &instance)?;

        let event = call.event;
        let event_id = call.id.to_string();
        let path: Vec<&str> = event.path.iter().map(String::as_str).collect();
        let headers: Vec<wire::Header<'_>> = event
            .headers
            .iter()
            .map(|(name, value)| wire::Header { name, value })
            .collect();
        let connection = types::Connection {
            connector: event.connection.connector.as_str(),
            account: event.connection.account.as_str(),
            base_url: call.base_url,
            settings: call.settings,
        };
        let webhook = wire::Webhook {
            event_id: &event_id,
            received_at: event.received.as_micros(),
            method: &event.method,
            path: &path,
            query: &event.query,
            headers: &headers,
            body: &event.body,
            body_authenticated: match event.body_authenticated {
                BodyAuthenticated::Full => wire::BodyAuthenticated::Full,
                BodyAuthenticated::Fields => wire::BodyAuthenticated::Fields,
                BodyAuthenticated::None => wire::BodyAuthenticated::None,
            },
        };
        let (answer,) = map_webhook.call(store, (connection, webhook))?;
        Ok(answer)
    }
}

/// Where `map-webhook` is in a component, whose type was compared with the contract's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapWebhook(ComponentExportIndex);

type MapWebhookFunc<'a> =
    TypedFunc<(types::Connection<'a>, wire::Webhook<'a>), (Result<wire::Outcome, types::Failure>,)>;

impl MapWebhook {
    /// Finds the function in a component that exports a mapper, and compares its type.
    pub(crate) fn find(
        pre: &InstancePre<Guest>,
        store: &mut Store<Guest>,
        instance: &Instance,
    ) -> wasmtime::Result<Self> {
        wire::GuestIndices::new(pre)?.load(store, instance)?;
        let component = pre.component();
        component
            .get_export_index(None, "tidegate:connector/mapper@0.1.0")
            .and_then(|mapper| component.get_export_index(Some(&mapper), FUNCTION))
            .map(Self)
            .ok_or_else(|| wasmtime::Error::msg("it exports no map-webhook"))
    }

    /// The function in an instance of that component.
    fn of<'a>(
        self,
        store: &mut Store<Guest>,
        instance: &Instance,
    ) -> wasmtime::Result<MapWebhookFunc<'a>> {
        let func = instance
            .get_func(store, self.0)
            .ok_or_else(|| wasmtime::Error::msg("the instance has no map-webhook"))?;
        #[expect(
            unsafe_code,
            reason = "comparing the types again for each call takes a tenth of its time"
        )]
        // SAFETY: the function must have this type. `find` compared it, by the same
        // generated signature, in an instance of the same component; a component's export
        // has one type in all its instances, since this one names no resource.
        let func = unsafe { TypedFunc::new_unchecked(func) };
        Ok(func)
    }
}

/// The answer in core's words, if it keeps the contract's bounds.
fn checked(outcome: wire::Outcome) -> Result<Mapped, Failure> {
    let mapped = match outcome {
        wire::Outcome::Mapped(mapping) => Mapped::Mapping(Mapping {
            changes: mapping.changes.into_iter().map(proposed).collect(),
            fetch: mapping.fetch.into_iter().map(entity).collect(),
            poll_now: mapping.poll_now,
        }),
        wire::Outcome::Skip(reason) => Mapped::Skip { reason },
    };
    match mapped.check() {
        Ok(()) => Ok(mapped),
        Err(bad) => Err(outside(&bad.to_string())),
    }
}

fn outside(what: &str) -> Failure {
    Failure::new(
        FailureClass::PluginFault(PluginFault::Answer),
        format!("{FUNCTION} answered outside the contract: {what}"),
    )
}

fn proposed(change: types::Change) -> ProposedChange {
    let data = change.data.map(Bytes::from);
    ProposedChange {
        entity: entity(change.entity),
        operation: match change.operation {
            types::Operation::Upsert => Operation::Upsert,
            types::Operation::Delete => Operation::Delete,
        },
        version: change.version,
        revision: change
            .revision
            .unwrap_or_else(|| ProposedChange::content_revision(data.as_deref())),
        occurred: change.occurred_at.map(Timestamp::from_micros),
        data,
    }
}

fn entity(entity: wire::EntityRef) -> EntityRef {
    EntityRef {
        kind: entity.kind,
        id: entity.id,
    }
}

/// A failure that the plugin classified.
fn failed(failure: types::Failure) -> Failure {
    let (class, message) = match failure {
        types::Failure::Transient(message) => (FailureClass::TRANSIENT, message),
        types::Failure::RateLimited(limit) => (
            FailureClass::RateLimited {
                delay: limit.delay_ms.map(Duration::from_millis),
            },
            limit.message,
        ),
        types::Failure::Unauthorized(message) => (FailureClass::Unauthorized, message),
        types::Failure::Permanent(message) => (FailureClass::Permanent, message),
        types::Failure::NotFound(message) => (FailureClass::NotFound, message),
        types::Failure::CheckpointExpired(message) => (FailureClass::CheckpointExpired, message),
        types::Failure::Refused(message) => (FailureClass::Refused, message),
    };
    if message.len() > FAILURE_MESSAGE_BYTES_MAX {
        let bytes = message.len();
        return outside(&format!(
            "the text of a failure ({}) is {bytes} bytes long, over {FAILURE_MESSAGE_BYTES_MAX}: {}",
            class.code(),
            cut_text(message, 256),
        ));
    }
    Failure::new(class, message)
}
