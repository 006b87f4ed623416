//! Handshakes: what a partner asks an endpoint before it delivers to it.
//!
//! The kinds are a closed list, each bound to a guard: a token, the request's signature, or
//! the state in which an operator awaits a secret. A connection answers those that its
//! descriptor or preset lists and no other; none turns the endpoint into an oracle that
//! signs what a stranger chose, and none replaces a stored secret unasked.
//!
//! Pure: [`Handshake::before`] decides over requests whose signature was not looked at,
//! [`Handshake::after`] over verified ones. What is to be stored, fetched or answered is an
//! [`Outcome`], and durable before it is answered.
//!
//! An echo is text that a stranger chose: it is served as plain text that no browser may
//! take for anything else.

mod answer;
mod decide;
mod document;
mod kind;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;

#[cfg(test)]
pub(crate) use document::{KEYS, METHODS};
pub use kind::HandshakeKind;

use self::answer::Answer;
use super::request::HeaderName;
use super::secret::Secret;
use super::source::Source;

/// One handshake that a connection answers. Made by [`Handshake::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The method that it is asked with, in capitals.
    method: String,
    /// What the request has to say besides.
    when: Vec<Condition>,
    action: Action,
}

/// What a request has to say for a handshake to be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    at: Source,
    is: Expected,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    Text(String),
    /// A JSON list without elements.
    EmptyList,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Echo {
        challenge: Source,
        guard: Guard,
        answer: Answer,
    },
    /// The answer holds a MAC of the challenge.
    Mac {
        challenge: Source,
        guard: MacGuard,
        answer: Answer,
    },
    Store {
        secret: Source,
        /// Whether the answer repeats it, in the header it came in.
        echo: Option<HeaderName>,
    },
    Probe,
    Pong(Answer),
    Confirm {
        url: Source,
        /// Host names; one label of each may be `*`.
        hosts: Vec<String>,
    },
    AllowOrigin {
        origins: Vec<String>,
        /// Requests a minute; any number where None.
        rate: Option<u32>,
    },
    /// A form of that one field with digits in it.
    UnsignedPing {
        field: String,
    },
    Acknowledge,
}

/// What has to hold before an echo.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Guard {
    /// Nothing: the partner proves nothing, and an echo as plain text harms nobody.
    None,
    Signature,
    /// The request carries the token that is configured under that name.
    Token {
        at: Source,
        name: String,
    },
}

/// What has to hold before a MAC of a challenge is given away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MacGuard {
    Signature,
    /// The challenge has 20 to 32 hex digits: no payload of the partner has that form, so
    /// that its MAC signs nothing.
    ShortHex,
}

/// What is known about a connection's handshakes.
#[derive(Clone, Debug, Default)]
pub struct HandshakeState {
    /// Whether an operator awaits a secret now. Whoever keeps it bounds it in time, and
    /// closes it with the first secret.
    pub awaiting: bool,
    /// Whether a secret was received before; another one then conflicts with it unless an
    /// operator awaits it.
    pub established: bool,
    /// Verify tokens by their name in the configuration.
    pub tokens: BTreeMap<String, Secret>,
}

/// What a handshake comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answer, and take no event.
    Answer(Reply),
    /// Keep a secret, durably, and answer then.
    Store {
        /// What the partner sent.
        secret: Secret,
        /// The answer.
        reply: Reply,
    },
    /// Fetch a URL that the partner signed, and answer.
    Confirm {
        /// An https URL of an allowed host.
        url: String,
        /// The answer.
        reply: Reply,
    },
    /// Answer with an empty body.
    Refuse {
        /// 403, 405 or 409.
        status: u16,
    },
    /// The request says that there is something to poll, and nothing else: note that, and
    /// acknowledge it like an event.
    PollWish,
}

/// An answer in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Handshake {
    /// What kind it is.
    pub const fn kind(&self) -> HandshakeKind {
        match &self.action {
            Action::Echo { .. } => HandshakeKind::EchoChallenge,
            Action::Mac { .. } => HandshakeKind::AnswerChallenge,
            Action::Store { .. } => HandshakeKind::StoreSecret,
            Action::Probe => HandshakeKind::Probe,
            Action::Pong(_) => HandshakeKind::Pong,
            Action::Confirm { .. } => HandshakeKind::ConfirmUrl,
            Action::AllowOrigin { .. } => HandshakeKind::AllowOrigin,
            Action::UnsignedPing { .. } => HandshakeKind::UnsignedPing,
            Action::Acknowledge => HandshakeKind::Acknowledge,
        }
    }

    /// The name of the verify token that has to be configured for it.
    pub fn token_name(&self) -> Option<&str> {
        match &self.action {
            Action::Echo {
                guard: Guard::Token { name, .. },
                ..
            } => Some(name),
            _ => None,
        }
    }

    /// Whether it keeps a secret that the partner sends.
    pub const fn stores_secret(&self) -> bool {
        matches!(self.action, Action::Store { .. })
    }
}
