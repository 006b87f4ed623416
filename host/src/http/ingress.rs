//! The public listener: partners' webhooks, and nothing of the operator's.
//!
//! A request is answered once its events are durable, or told why not in as few words
//! as its sender needs: 401 has none, and 404 does not say what else there is. Nothing
//! of a body that did not verify is kept or logged. How a request is verified, what a
//! handshake comes to and what is fetched for either stands in `knock`, the words of answers
//! in `answers`.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response};
use tidegate_core::descriptor::Acknowledge;
use tidegate_core::event::Accepted;
use tidegate_core::ids::{AccountName, ConnectionId, ConnectorName};
use tidegate_core::limits::INGRESS_BYTES_MAX;
use tidegate_core::ports::Clock as _;
use tidegate_core::signature::{RawRequest, Reply};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::body;
use super::percent;
use super::refusals::Seen;
use super::server::Handler;
use crate::host::Host;
use crate::metrics::IngressOutcome;
use crate::rules::{Entrance, NoEntrance, Rules};
use crate::system::SystemClock;

mod answers;
mod knock;

use answers::{Rejection, acknowledged, replied, unknown};
use knock::Knock;

/// What a header takes in memory beside its bytes.
const HEADER_BYTES: usize = size_of::<(String, Bytes)>();

/// Answers webhooks.
#[derive(Clone, Debug)]
pub(super) struct Ingress {
    host: Arc<Host>,
    /// One permit a byte of a request in memory.
    memory: Arc<Semaphore>,
}

impl Ingress {
    pub(super) fn new(host: Arc<Host>) -> Self {
        let memory = Arc::new(Semaphore::new(INGRESS_BYTES_MAX));
        Self { host, memory }
    }
}

impl Handler for Ingress {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let began = Instant::now();
        let rules = self.host.rules.load();
        let metrics = &self.host.metrics;
        let Some(way) = find(&rules, request.uri().path()) else {
            metrics.answered(None, IngressOutcome::Unknown);
            return unknown().answer();
        };
        match self.take(&rules, &way, request).await {
            Ok(Taken::Events(accepted)) => {
                metrics.stored(way.connector, &accepted, began.elapsed());
                let duplicate =
                    !accepted.is_empty() && accepted.iter().all(|event| event.duplicate);
                let outcome = if duplicate {
                    IngressOutcome::Duplicate
                } else {
                    IngressOutcome::Accepted
                };
                metrics.answered(Some(way.connector), outcome);
                acknowledged(way.acknowledge(), &accepted, duplicate)
            }
            Ok(Taken::Ping) => {
                metrics.answered(Some(way.connector), IngressOutcome::Accepted);
                acknowledged(way.acknowledge(), &[], false)
            }
            Ok(Taken::Handshake(reply)) => {
                metrics.answered(Some(way.connector), IngressOutcome::Handshake);
                replied(reply)
            }
            Err(rejection) => {
                metrics.answered(Some(way.connector), rejection.outcome());
                rejection.answer(self.host.facts.body_bytes_max)
            }
        }
    }
}

/// A configured path that a request came in by.
struct Way<'r> {
    connector: &'r ConnectorName,
    entrance: &'r Result<Entrance, NoEntrance>,
    /// Path segments after the account.
    further: Vec<String>,
}

impl Way<'_> {
    /// How its partner wants to hear that something was taken.
    fn acknowledge(&self) -> Option<&Acknowledge> {
        let entrance = self.entrance.as_ref().ok()?;
        entrance.acknowledge.as_ref()
    }
}

/// What a request came to.
enum Taken {
    /// Its events are durable.
    Events(Vec<Accepted>),
    /// That its connection is to be polled is durable.
    Ping,
    /// It is to be answered so, and what that promises is done.
    Handshake(Reply),
}

/// `/in/{connector}[/{account}[/further]]`, if it is configured.
fn find<'r>(rules: &'r Rules, path: &str) -> Option<Way<'r>> {
    let mut segments = path.strip_prefix("/in/")?.split('/').map(percent::decode);
    let connector: ConnectorName = segments.next()??.parse().ok()?;
    let Some(account) = segments.next() else {
        let (connector, found) = rules.connectors.get_key_value(&connector)?;
        return Some(Way {
            connector,
            entrance: &found.entrance,
            further: Vec::new(),
        });
    };
    let account: AccountName = account?.parse().ok()?;
    let id = ConnectionId { connector, account };
    let (id, found) = rules.connections.get_key_value(&id)?;
    let further = segments.map(|segment| segment.map(std::borrow::Cow::into_owned));
    let further = further.collect::<Option<_>>()?;
    Some(Way {
        connector: &id.connector,
        entrance: &found.entrance,
        further,
    })
}

impl Ingress {
    async fn take(
        &self,
        rules: &Rules,
        way: &Way<'_>,
        request: Request<Incoming>,
    ) -> Result<Taken, Rejection> {
        let entrance = way.entrance.as_ref().map_err(|_| Rejection::NoEntrance)?;
        let door = entrance.door();
        let carries_event = matches!(*request.method(), Method::POST | Method::PUT);
        if !carries_event && door.handshakes().is_empty() {
            return Err(Rejection::Method);
        }
        let (parts, body) = request.into_parts();
        let head_bytes = head_bytes(&parts.headers);
        let bytes_max = self.host.facts.body_bytes_max;
        let body::Held { bytes, hold } = body::read(body, head_bytes, bytes_max, &self.memory)
            .await
            .map_err(Rejection::Body)?;
        let body_bytes = bytes.len();
        let raw = RawRequest {
            method: parts.method.as_str().to_owned(),
            url: rules.public_url().map(|base| public_url(base, &parts.uri)),
            path: way.further.clone(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: copy_headers(&parts.headers),
            body: bytes,
        };
        let knock = Knock {
            host: &self.host,
            entrance,
            now: SystemClock.now(),
            seen: &|| seen(&parts, body_bytes),
        };
        knock.take(raw, &door, rules, hold).await
    }
}

/// What is kept of a request that is refused.
fn seen(parts: &Parts, body_bytes: usize) -> Seen {
    let names = parts.headers.iter().map(|(name, _)| name.as_str());
    Seen::of(parts.method.as_str(), names, body_bytes)
}

/// The URL that the partner signed: what is configured, and the rest as received.
fn public_url(base: &str, uri: &hyper::Uri) -> String {
    let rest = uri
        .path_and_query()
        .map_or("/", hyper::http::uri::PathAndQuery::as_str);
    format!("{base}{rest}")
}

/// What the headers take in memory.
fn head_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + HEADER_BYTES)
        .sum()
}

/// Headers in their order; the values share one piece of memory.
fn copy_headers(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let mut values = BytesMut::with_capacity(headers.values().map(HeaderValue::len).sum());
    for value in headers.values() {
        values.extend_from_slice(value.as_bytes());
    }
    let mut values = values.freeze();
    let copy = |(name, value): (&hyper::header::HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), values.split_to(value.len()))
    };
    headers.iter().map(copy).collect()
}
