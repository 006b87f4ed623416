//! The seam between the generated bindings and the types that authors see.
//!
//! Strings and bodies are moved, never copied. A field or case that the contract has and
//! this page forgets does not compile: everything is taken apart by name.

use std::marker::PhantomData;

use crate::bindings::describer::exports::tidegate::connector::describer as raw_describer;
use crate::bindings::lister::exports::tidegate::connector::lister as raw_lister;
use crate::bindings::mapper::exports::tidegate::connector::mapper as raw_mapper;
use crate::bindings::poller::exports::tidegate::connector::poller as raw_poller;
use crate::bindings::shared::tidegate::connector::{partner as raw_partner, types as raw};
use crate::{
    BodyAuthenticated, Change, Checkpoint, Connection, Describer, EntityRef, Failure, Header,
    Listed, Lister, Listing, Mapper, Mapping, Method, Operation, Outcome, Page, Partner, Poller,
    Position, RateLimit, Request, Response, Scope, Timestamp, Webhook,
};

/// Carries an author's type into the generated export macros.
#[derive(Debug)]
pub struct Guest<T>(PhantomData<T>);

impl<T: Describer> raw_describer::Guest for Guest<T> {
    fn describe() -> Vec<u8> {
        T::descriptor().into_owned().into_bytes()
    }
}

impl<T: Mapper> raw_mapper::Guest for Guest<T> {
    fn map_webhook(
        connection: raw::Connection,
        webhook: raw_mapper::Webhook,
    ) -> Result<raw_mapper::Outcome, raw::Failure> {
        T::map_webhook(&connection.into(), &webhook.into())
            .map(Into::into)
            .map_err(Into::into)
    }
}

impl<T: Poller> raw_poller::Guest for Guest<T> {
    fn poll_changes(
        connection: raw::Connection,
        position: raw_poller::Position,
    ) -> Result<raw_poller::Page, raw::Failure> {
        T::poll_changes(&HostPartner, &connection.into(), &position.into())
            .map(Into::into)
            .map_err(Into::into)
    }
}

impl<T: Lister> raw_lister::Guest for Guest<T> {
    fn list_entities(
        connection: raw::Connection,
        kind: String,
        scope: raw_lister::Scope,
        page: Option<String>,
    ) -> Result<raw_lister::Listing, raw::Failure> {
        let scope = scope.into();
        T::list_entities(
            &HostPartner,
            &connection.into(),
            &kind,
            scope,
            page.as_deref(),
        )
        .map(Into::into)
        .map_err(Into::into)
    }

    fn fetch(
        connection: raw::Connection,
        entity: raw::EntityRef,
    ) -> Result<raw::Change, raw::Failure> {
        T::fetch(&HostPartner, &connection.into(), &entity.into())
            .map(Into::into)
            .map_err(Into::into)
    }
}

/// The partner as the host lets it be reached.
struct HostPartner;

impl Partner for HostPartner {
    fn send(&self, request: Request) -> Result<Response, Failure> {
        raw_partner::send(&request.into())
            .map(Into::into)
            .map_err(Into::into)
    }
}

impl From<raw::Connection> for Connection {
    fn from(connection: raw::Connection) -> Self {
        let raw::Connection {
            connector,
            account,
            base_url,
            settings,
        } = connection;
        Self {
            connector,
            account,
            base_url,
            settings,
        }
    }
}

impl From<raw_mapper::Webhook> for Webhook {
    fn from(webhook: raw_mapper::Webhook) -> Self {
        let raw_mapper::Webhook {
            event_id,
            received_at,
            method,
            path,
            query,
            headers,
            body,
            body_authenticated,
        } = webhook;
        Self {
            event_id,
            received_at: Timestamp::from_micros(received_at),
            method,
            path,
            query,
            headers: all(headers),
            body,
            body_authenticated: match body_authenticated {
                raw_mapper::BodyAuthenticated::Full => BodyAuthenticated::Full,
                raw_mapper::BodyAuthenticated::Fields => BodyAuthenticated::Fields,
                raw_mapper::BodyAuthenticated::None => BodyAuthenticated::None,
            },
        }
    }
}

impl From<Outcome> for raw_mapper::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Mapped(Mapping {
                changes,
                fetch,
                poll_now,
            }) => Self::Mapped(raw_mapper::Mapping {
                changes: all(changes),
                fetch: all(fetch),
                poll_now,
            }),
            Outcome::Skip(reason) => Self::Skip(reason),
        }
    }
}

impl From<Change> for raw::Change {
    fn from(change: Change) -> Self {
        let Change {
            entity,
            operation,
            version,
            revision,
            occurred_at,
            data,
        } = change;
        Self {
            entity: entity.into(),
            operation: match operation {
                Operation::Upsert => raw::Operation::Upsert,
                Operation::Delete => raw::Operation::Delete,
            },
            version,
            revision,
            occurred_at: occurred_at.map(Timestamp::as_micros),
            data,
        }
    }
}

impl From<EntityRef> for raw::EntityRef {
    fn from(EntityRef { kind, id }: EntityRef) -> Self {
        Self { kind, id }
    }
}

impl From<raw::EntityRef> for EntityRef {
    fn from(raw::EntityRef { kind, id }: raw::EntityRef) -> Self {
        Self { kind, id }
    }
}

impl From<raw::Header> for Header {
    fn from(raw::Header { name, value }: raw::Header) -> Self {
        Self { name, value }
    }
}

impl From<Header> for raw::Header {
    fn from(Header { name, value }: Header) -> Self {
        Self { name, value }
    }
}

impl From<Failure> for raw::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Transient(reason) => Self::Transient(reason),
            Failure::RateLimited(RateLimit { delay_ms, message }) => {
                Self::RateLimited(raw::RateLimit { delay_ms, message })
            }
            Failure::Unauthorized(reason) => Self::Unauthorized(reason),
            Failure::Permanent(reason) => Self::Permanent(reason),
            Failure::NotFound(reason) => Self::NotFound(reason),
            Failure::CheckpointExpired(reason) => Self::CheckpointExpired(reason),
            Failure::Refused(reason) => Self::Refused(reason),
        }
    }
}

impl From<raw::Failure> for Failure {
    fn from(failure: raw::Failure) -> Self {
        match failure {
            raw::Failure::Transient(reason) => Self::Transient(reason),
            raw::Failure::RateLimited(raw::RateLimit { delay_ms, message }) => {
                Self::RateLimited(RateLimit { delay_ms, message })
            }
            raw::Failure::Unauthorized(reason) => Self::Unauthorized(reason),
            raw::Failure::Permanent(reason) => Self::Permanent(reason),
            raw::Failure::NotFound(reason) => Self::NotFound(reason),
            raw::Failure::CheckpointExpired(reason) => Self::CheckpointExpired(reason),
            raw::Failure::Refused(reason) => Self::Refused(reason),
        }
    }
}

impl From<raw_poller::Position> for Position {
    fn from(
        raw_poller::Position {
            checkpoint,
            page,
            limit,
        }: raw_poller::Position,
    ) -> Self {
        Self {
            checkpoint: checkpoint.map(Into::into),
            page,
            limit,
        }
    }
}

impl From<Page> for raw_poller::Page {
    fn from(
        Page {
            changes,
            checkpoint,
            next,
        }: Page,
    ) -> Self {
        Self {
            changes: all(changes),
            checkpoint: checkpoint.map(Into::into),
            next,
        }
    }
}

impl From<raw_poller::Checkpoint> for Checkpoint {
    fn from(checkpoint: raw_poller::Checkpoint) -> Self {
        match checkpoint {
            raw_poller::Checkpoint::Time(at) => Self::Time(Timestamp::from_micros(at)),
            raw_poller::Checkpoint::Number(number) => Self::Number(number),
            raw_poller::Checkpoint::Token(token) => Self::Token(token),
        }
    }
}

impl From<Checkpoint> for raw_poller::Checkpoint {
    fn from(checkpoint: Checkpoint) -> Self {
        match checkpoint {
            Checkpoint::Time(at) => Self::Time(at.as_micros()),
            Checkpoint::Number(number) => Self::Number(number),
            Checkpoint::Token(token) => Self::Token(token),
        }
    }
}

impl From<raw_lister::Scope> for Scope {
    fn from(scope: raw_lister::Scope) -> Self {
        match scope {
            raw_lister::Scope::All => Self::All,
            raw_lister::Scope::Since(at) => Self::Since(Timestamp::from_micros(at)),
        }
    }
}

impl From<Listing> for raw_lister::Listing {
    fn from(Listing { entities, next }: Listing) -> Self {
        Self {
            entities: all(entities),
            next,
        }
    }
}

impl From<Listed> for raw_lister::Listed {
    fn from(
        Listed {
            id,
            version,
            revision,
            data,
        }: Listed,
    ) -> Self {
        Self {
            id,
            version,
            revision,
            data,
        }
    }
}

impl From<Request> for raw_partner::Request {
    fn from(
        Request {
            method,
            url,
            headers,
            body,
        }: Request,
    ) -> Self {
        Self {
            method: match method {
                Method::Get => raw_partner::Method::Get,
                Method::Head => raw_partner::Method::Head,
                Method::Post => raw_partner::Method::Post,
                Method::Put => raw_partner::Method::Put,
                Method::Patch => raw_partner::Method::Patch,
                Method::Delete => raw_partner::Method::Delete,
            },
            url,
            headers: all(headers),
            body,
        }
    }
}

impl From<raw_partner::Response> for Response {
    fn from(
        raw_partner::Response {
            status,
            headers,
            body,
        }: raw_partner::Response,
    ) -> Self {
        Self {
            status,
            headers: all(headers),
            body,
        }
    }
}

/// Converts a list where it lies: both sides of each pair have one layout.
fn all<A, B: From<A>>(items: Vec<A>) -> Vec<B> {
    items.into_iter().map(B::from).collect()
}
