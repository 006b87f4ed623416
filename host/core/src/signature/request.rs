//! A request before and after its signature was checked.
//!
//! [`RawRequest`] is what arrived; nothing in it may be trusted. [`VerifiedRequest`] is
//! made by [`verify`](super::verify()) alone, keeps the same bytes, and no longer holds
//! credentials (`redact`).

use std::fmt;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::redact::{redact, redact_unproven};
use super::refusal::Refusal;
use super::scheme::Scheme;
use super::verify::Proof;
use crate::event::BodyAuthenticated;
use crate::time::Timestamp;

/// Longest header name that a scheme may use, in bytes.
const HEADER_NAME_BYTES_MAX: usize = 128;

/// Headers that carry credentials whatever the scheme says.
pub(super) const CREDENTIAL_HEADERS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// The name of a header, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(Box<str>);

/// A text that is no header name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header name has 1 to {HEADER_NAME_BYTES_MAX} letters, digits and hyphens")]
pub struct InvalidHeaderName;

impl HeaderName {
    /// Reads a name in any case.
    pub fn parse(name: &str) -> Result<Self, InvalidHeaderName> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if (1..=HEADER_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(token) {
            Ok(Self(name.to_ascii_lowercase().into()))
        } else {
            Err(InvalidHeaderName)
        }
    }

    /// A name that this code knows, in lower case.
    pub(super) fn known(name: &'static str) -> Self {
        debug_assert!(Self::parse(name).is_ok_and(|parsed| parsed.as_str() == name));
        Self(name.into())
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this header's value is a credential under any scheme.
    pub fn is_credential(&self) -> bool {
        CREDENTIAL_HEADERS.contains(&self.as_str())
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A webhook request as it arrived. Not to be trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct RawRequest {
    /// The method, in capitals.
    pub method: String,
    /// The public URL of this request: the configured public URL, path and query; never
    /// rebuilt from forwarded headers. None where no public URL is configured.
    pub url: Option<String>,
    /// Path segments after the account, decoded.
    pub path: Vec<String>,
    /// The query string as received, without `?`.
    pub query: String,
    /// Headers in the order received, names in lower case, values without surrounding
    /// white space.
    pub headers: Vec<(String, Bytes)>,
    /// The body's bytes.
    pub body: Bytes,
}

impl RawRequest {
    /// The one value of a header. Two headers of one name are ambiguous and refused.
    pub(super) fn header(&self, name: &HeaderName) -> Result<Option<&Bytes>, Refusal> {
        let mut values = self
            .headers
            .iter()
            .filter(|(n, _)| n == name.as_str())
            .map(|(_, value)| value);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Refusal::HeaderDoubled { name: name.clone() }),
        }
    }
}

/// Bodies and header values may hold credentials and personal data.
impl fmt::Debug for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRequest")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A request whose signature matched one of the connection's keys.
#[derive(Clone, Debug)]
pub struct VerifiedRequest {
    raw: RawRequest,
    received: Timestamp,
    matched: Option<usize>,
    claims: Option<Box<Map<String, Value>>>,
    body_authenticated: BodyAuthenticated,
}

/// The parts of a [`VerifiedRequest`], for a caller that stores them.
#[derive(Clone, Debug)]
pub struct RequestParts {
    /// The method.
    pub method: String,
    /// Path segments after the account, decoded.
    pub path: Vec<String>,
    /// The query string without `?`.
    pub query: String,
    /// Headers with credentials replaced.
    pub headers: Vec<(String, Bytes)>,
    /// The body's bytes.
    pub body: Bytes,
}

impl VerifiedRequest {
    /// To be called only once the proof held.
    pub(super) fn new(
        mut raw: RawRequest,
        scheme: &Scheme,
        proof: Proof,
        received: Timestamp,
    ) -> Self {
        redact(&mut raw, scheme);
        Self {
            raw,
            received,
            matched: proof.matched,
            claims: proof.claims,
            body_authenticated: scheme.body_authenticated(),
        }
    }

    /// A request that a waiver lets in: nothing of it is vouched for.
    pub(super) fn unproven(mut raw: RawRequest, received: Timestamp) -> Self {
        redact_unproven(&mut raw);
        Self {
            raw,
            received,
            matched: None,
            claims: None,
            body_authenticated: BodyAuthenticated::None,
        }
    }

    /// When it was verified.
    pub const fn received(&self) -> Timestamp {
        self.received
    }

    /// The position of the secret that matched, from 1 in the order in which they were
    /// given; None where it was a fetched key.
    pub const fn matched(&self) -> Option<usize> {
        self.matched
    }

    /// A claim of the token that was the proof.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.as_ref()?.get(name)
    }

    /// How much of the body the proof vouches for.
    pub const fn body_authenticated(&self) -> BodyAuthenticated {
        self.body_authenticated
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.raw.method
    }

    /// Headers in the order received, names in lower case, credentials replaced.
    pub fn headers(&self) -> &[(String, Bytes)] {
        &self.raw.headers
    }

    /// The first value of a header that is text and not empty.
    pub fn header_text(&self, name: &HeaderName) -> Option<&str> {
        let (_, value) = self.raw.headers.iter().find(|(n, _)| n == name.as_str())?;
        std::str::from_utf8(value)
            .ok()
            .filter(|text| !text.is_empty())
    }

    /// The body's bytes.
    pub const fn body(&self) -> &Bytes {
        &self.raw.body
    }

    pub(super) const fn raw(&self) -> &RawRequest {
        &self.raw
    }

    /// Takes it apart without copying.
    pub fn into_parts(self) -> RequestParts {
        let RawRequest {
            method,
            path,
            query,
            headers,
            body,
            url: _,
        } = self.raw;
        RequestParts {
            method,
            path,
            query,
            headers,
            body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_checked_and_lowered() {
        assert_eq!(
            HeaderName::parse("X-Hub-Signature-256").unwrap().as_str(),
            "x-hub-signature-256"
        );
        for bad in ["", "a b", "a:b", "ä", &"x".repeat(129)] {
            assert!(HeaderName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn debug_shows_no_values() {
        let raw = RawRequest {
            method: "POST".into(),
            url: None,
            path: vec![],
            query: String::new(),
            headers: vec![(
                "authorization".into(),
                Bytes::from_static(b"Bearer hunter2"),
            )],
            body: Bytes::from_static(b"hunter2"),
        };
        assert!(!format!("{raw:?}").contains("hunter2"));
    }
}
