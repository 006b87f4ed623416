//! What partners are answered: in as few words as they need.

use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tidegate_core::descriptor::Acknowledge;
use tidegate_core::event::Accepted;
use tidegate_core::limits::REQUEST_READ_TIMEOUT;
use tidegate_core::ports::NotStored;
use tidegate_core::signature::{Reply, SplitError};

use super::super::body::BodyError;
use super::super::problem::{self, Problem};
use crate::key_cache::NoKey;
use crate::metrics::IngressOutcome;

/// The methods that carry events, as the Allow header names them.
const METHODS: &str = "POST, PUT";

/// Why nothing of a request was stored.
#[derive(Debug)]
pub(super) enum Rejection {
    Method,
    NoEntrance,
    Body(BodyError),
    /// Its signature does not verify.
    Refused,
    /// A handshake that is not answered so.
    Handshake(StatusCode),
    /// It holds more events than are taken at once.
    NotSplit(SplitError),
    /// The key to verify it with could not be had.
    NoKey(NoKey),
    /// The URL by which it is confirmed did not answer.
    NotConfirmed,
    NotStored(NotStored),
}

impl Rejection {
    pub(super) const fn outcome(&self) -> IngressOutcome {
        match self {
            Self::Method => IngressOutcome::Method,
            Self::NoEntrance => IngressOutcome::NoEntrance,
            Self::Body(BodyError::TooLarge) | Self::NotSplit(_) => IngressOutcome::TooLarge,
            Self::Body(BodyError::TooSlow) => IngressOutcome::TooSlow,
            Self::Body(BodyError::Broken) => IngressOutcome::Broken,
            Self::Body(BodyError::Crowded) => IngressOutcome::Crowded,
            Self::Refused | Self::Handshake(_) => IngressOutcome::Refused,
            Self::NoKey(_) | Self::NotConfirmed => IngressOutcome::NoKey,
            Self::NotStored(_) => IngressOutcome::NotStored,
        }
    }

    pub(super) fn answer(self, body_bytes_max: usize) -> Response<Full<Bytes>> {
        let problem = match self {
            // Partners probe for exactly this, and words would only help a forger.
            Self::Refused => return bare(StatusCode::UNAUTHORIZED),
            Self::Handshake(status) => return bare(status),
            Self::NotSplit(error) => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-many-events",
                "The body holds too many events",
                error.to_string(),
            ),
            Self::NoKey(reason) => unavailable(&reason.to_string(), 5),
            Self::NotConfirmed => unavailable("its confirmation did not go through", 5),
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

/// A status, and nothing else.
fn bare(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// Says nothing of what else there is.
pub(super) fn unknown() -> Problem {
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

/// The answer to a handshake, in its own words.
pub(super) fn replied(reply: Reply) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(reply.body));
    *answer.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    for (name, value) in &reply.headers {
        // What no header can hold is left out: its sender chose it.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// The partner's own words where the preset or the descriptor has them.
pub(super) fn acknowledged(
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
