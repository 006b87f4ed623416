//! The public listener: partners' webhooks, and nothing of the operator's.
//!
//! A request is answered once its events are durable, or told why not in as few words
//! as its sender needs: 401 has none, and 404 does not say what else there is. Nothing
//! of a body that did not verify is kept or logged.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tidegate_core::descriptor::Acknowledge;
use tidegate_core::event::Accepted;
use tidegate_core::ids::{AccountName, ConnectionId, ConnectorName};
use tidegate_core::limits::{INGRESS_BYTES_MAX, REQUEST_READ_TIMEOUT};
use tidegate_core::ports::{Clock as _, NotStored};
use tidegate_core::signature::RawRequest;
use tidegate_core::time::Timestamp;
use tidegate_flow::ingest::{IngestError, Ingested, ingest};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::body::{self, BodyError};
use super::percent;
use super::problem::{self, Problem};
use super::refusals::{Refused, Seen};
use super::server::Handler;
use crate::host::Host;
use crate::metrics::IngressOutcome;
use crate::rules::{Entrance, NoEntrance, Rules};
use crate::system::SystemClock;

/// The methods that are taken, as the Allow header names them.
const METHODS: &str = "POST, PUT";

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
            Ok(Taken {
                accepted,
                acknowledge,
            }) => {
                metrics.stored(way.connector, &accepted, began.elapsed());
                let duplicate = accepted.iter().all(|event| event.duplicate);
                let outcome = if duplicate {
                    IngressOutcome::Duplicate
                } else {
                    IngressOutcome::Accepted
                };
                metrics.answered(Some(way.connector), outcome);
                acknowledged(acknowledge, &accepted, duplicate)
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

/// What was made durable, and how its partner wants to hear of it.
struct Taken<'r> {
    accepted: Vec<Accepted>,
    acknowledge: Option<&'r Acknowledge>,
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
    async fn take<'r>(
        &self,
        rules: &Rules,
        way: &Way<'r>,
        request: Request<Incoming>,
    ) -> Result<Taken<'r>, Rejection> {
        if !matches!(*request.method(), Method::POST | Method::PUT) {
            return Err(Rejection::Method);
        }
        let entrance = way.entrance.as_ref().map_err(|_| Rejection::NoEntrance)?;
        let (parts, body) = request.into_parts();
        let head_bytes = head_bytes(&parts.headers);
        let bytes_max = self.host.facts.body_bytes_max;
        let body::Held { bytes, hold } = body::read(body, head_bytes, bytes_max, &self.memory)
            .await
            .map_err(Rejection::Body)?;
        let (parts, body_bytes) = (&parts, bytes.len());
        let raw = RawRequest {
            method: parts.method.as_str().to_owned(),
            url: rules.public_url().map(|base| public_url(base, &parts.uri)),
            path: way.further.clone(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: copy_headers(&parts.headers),
            body: bytes,
        };
        let now = SystemClock.now();
        let taken = ingest(
            raw,
            &entrance.door(),
            None,
            &entrance.address,
            &self.host.journal.holding(hold),
            now,
        )
        .await;
        let Ingested {
            connection,
            accepted,
        } = taken.map_err(|error| {
            let seen = || seen(parts, body_bytes);
            self.reject(entrance, error, seen, now)
        })?;
        let metrics = &self.host.metrics;
        metrics.refusals().verified(&entrance.address);
        // What is not configured is counted together: senders must not fill memory.
        let counted = if rules.connections.contains_key(&connection) {
            connection
        } else {
            ConnectionId {
                account: AccountName::unknown(),
                ..connection
            }
        };
        metrics.differing().count(&counted, &accepted, now);
        Ok(Taken {
            accepted,
            acknowledge: entrance.acknowledge.as_ref(),
        })
    }

    fn reject(
        &self,
        entrance: &Entrance,
        error: IngestError,
        seen: impl FnOnce() -> Seen,
        now: Timestamp,
    ) -> Rejection {
        match error {
            IngestError::Refused(refusal) => {
                let refused = Refused {
                    at: now,
                    reason: (&refusal).into(),
                    seen: Some(seen()),
                };
                self.host.metrics.refused(&entrance.address, refused, None);
                Rejection::Refused
            }
            IngestError::NotStored(reason) => {
                self.host.metrics.refusals().verified(&entrance.address);
                Rejection::NotStored(reason)
            }
        }
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

/// Why nothing of a request was stored.
#[derive(Debug)]
enum Rejection {
    Method,
    NoEntrance,
    Body(BodyError),
    Refused,
    NotStored(NotStored),
}

impl Rejection {
    const fn outcome(&self) -> IngressOutcome {
        match self {
            Self::Method => IngressOutcome::Method,
            Self::NoEntrance => IngressOutcome::NoEntrance,
            Self::Body(BodyError::TooLarge) => IngressOutcome::TooLarge,
            Self::Body(BodyError::TooSlow) => IngressOutcome::TooSlow,
            Self::Body(BodyError::Broken) => IngressOutcome::Broken,
            Self::Body(BodyError::Crowded) => IngressOutcome::Crowded,
            Self::Refused => IngressOutcome::Refused,
            Self::NotStored(_) => IngressOutcome::NotStored,
        }
    }

    fn answer(self, body_bytes_max: usize) -> Response<Full<Bytes>> {
        let problem = match self {
            // Partners probe for exactly this, and words would only help a forger.
            Self::Refused => {
                let mut answer = Response::new(Full::default());
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
                return answer;
            }
            Self::Method => problem::method_not_allowed().allow(METHODS),
            Self::NoEntrance => unavailable("this path cannot take requests yet", 30),
            Self::Body(BodyError::TooLarge) => too_large(body_bytes_max),
            Self::Body(BodyError::TooSlow) => {
                problem::too_slow("body", REQUEST_READ_TIMEOUT.as_secs())
            }
            Self::Body(BodyError::Broken) => {
                problem::bad_framing("its body broke off, or a chunk is not framed as it should be")
            }
            Self::Body(BodyError::Crowded) => unavailable("too much is arriving at once", 1),
            Self::NotStored(reason) => not_stored(&reason),
        };
        problem.answer()
    }
}

/// Says nothing of what else there is.
fn unknown() -> Problem {
    problem::not_found("no webhooks are taken at this path")
}

fn too_large(bytes_max: usize) -> Problem {
    let detail = format!("at most {bytes_max} bytes are taken");
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body-too-large",
        "The body is too large",
        detail,
    )
}

fn unavailable(detail: &str, seconds: u16) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not-stored",
        "The event was not stored",
        format!("{detail}: send it again"),
    )
    .retry_after(seconds)
}

/// What a partner needs to know of the store: when to come again.
fn not_stored(reason: &NotStored) -> Problem {
    match reason {
        NotStored::QueueFull => unavailable("too much is arriving at once", 1),
        NotStored::DiskLow | NotStored::Latched | NotStored::Unreadable => {
            unavailable("the store takes nothing just now", 5)
        }
        NotStored::ShuttingDown => unavailable("the host is starting again", 3),
    }
}

/// The partner's own words where the descriptor has them.
fn acknowledged(
    acknowledge: Option<&Acknowledge>,
    accepted: &[Accepted],
    duplicate: bool,
) -> Response<Full<Bytes>> {
    let status = acknowledge.and_then(|wanted| StatusCode::from_u16(wanted.status).ok());
    let status = status.unwrap_or(StatusCode::OK);
    let (body, media_type) = match acknowledge.and_then(|wanted| wanted.body.as_deref()) {
        _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) => {
            (Bytes::new(), None)
        }
        Some("") => (Bytes::new(), None),
        Some(body) => (Bytes::from(body.to_owned()), Some(media_type(body))),
        None => (receipt(accepted, duplicate), Some("application/json")),
    };
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    if let Some(media_type) = media_type {
        answer
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    answer
}

fn media_type(body: &str) -> &'static str {
    if body.trim_start().starts_with(['{', '[']) {
        "application/json"
    } else {
        "text/plain; charset=utf-8"
    }
}

/// `{"status":"accepted","events":["evt_…"]}`. Ids need no escaping.
fn receipt(accepted: &[Accepted], duplicate: bool) -> Bytes {
    let status = if duplicate { "duplicate" } else { "accepted" };
    let mut text = String::with_capacity(48 + 24 * accepted.len());
    text.push_str(r#"{"status":""#);
    text.push_str(status);
    text.push_str(r#"","events":["#);
    for (place, event) in accepted.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        // Writing to a String does not fail.
        let _ = write!(text, r#"{comma}"{}""#, event.id);
    }
    text.push_str("]}");
    Bytes::from(text)
}
