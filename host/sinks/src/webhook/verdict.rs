//! What a receiver's answer says about a delivery, in the words of Standard Webhooks.

use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::time::Timestamp;
use tidegate_egress::{Origin, Response, retry_after};

/// Longest piece of an answer that is shown.
const EXCERPT_CHARS_MAX: usize = 200;

/// A request that the receiver has not taken.
#[derive(Clone, Debug)]
pub(crate) struct Unsent {
    pub(crate) failure: Failure,
    pub(crate) scope: Scope,
}

/// What a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What the request holds: its parts may do better alone.
    Content,
    /// That request; another may do better.
    Request,
    /// The receiver: there was no answer, or one that any other request would get too.
    Receiver,
}

/// Whether the receiver has it. Anything but 2xx says no; 410 that it wants nothing any
/// more; a redirect is no for now, since nobody follows it.
pub(crate) fn verdict(origin: &Origin, response: &Response, now: Timestamp) -> Result<(), Unsent> {
    if response.status.is_success() {
        return Ok(());
    }
    let delay = retry_after(&response.headers, now);
    let (class, scope) = match response.status.as_u16() {
        410 => (FailureClass::NotFound, Scope::Receiver),
        401 | 403 => (FailureClass::Unauthorized, Scope::Receiver),
        429 => (FailureClass::RateLimited { delay }, Scope::Receiver),
        502..=504 => (FailureClass::Transient { delay }, Scope::Receiver),
        400 | 413 => (FailureClass::TRANSIENT, Scope::Content),
        _ => (FailureClass::TRANSIENT, Scope::Request),
    };
    let said = excerpt(&response.body);
    let message = format!("{origin} answered {}{said}", response.status);
    Err(Unsent {
        failure: Failure::new(class, message),
        scope,
    })
}

/// The beginning of an answer as one line, for a person.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..1_024).unwrap_or(body));
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words
        .join(" ")
        .chars()
        .filter(|one| !one.is_control())
        .take(EXCERPT_CHARS_MAX)
        .collect();
    if line.is_empty() {
        line
    } else {
        format!(": {line}")
    }
}
