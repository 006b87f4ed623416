//! The only way out of a plugin: requests to the partner, made by the host.

use std::fmt;

use serde::Deserialize;

use crate::{Failure, Header};

/// Sends requests to the partner.
///
/// The host adds credentials, checks the grant and the address behind the name, keeps the
/// connection's rate budget and turns 429 into [`Failure::RateLimited`]. The plugin never
/// sees a secret. It comes as an argument, so that a native test hands in its own.
pub trait Partner {
    /// Sends one request and waits for its answer, within the call's limits.
    ///
    /// # Errors
    /// A failure as the host classified it. Statuses 2xx, 3xx, 400, 404, 409, 410, 412
    /// and 422 come as responses; 401 and 403, 429 and 5xx come as failures.
    fn send(&self, request: Request) -> Result<Response, Failure>;
}

/// HTTP methods that a connector may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the methods of RFC 9110, by their names")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// A path with query below the connection's base URL (`/repos/x/y?page=2`), or an
    /// absolute https URL on a granted host. At most 8 KiB.
    pub url: String,
    /// Without credentials; `host`, `authorization`, `cookie` and framing headers are the
    /// host's and refused.
    pub headers: Vec<Header>,
    /// At most 1 MiB.
    pub body: Option<Vec<u8>>,
}

impl Request {
    /// A GET of `url`, without headers of its own.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: Method::Get,
            url: url.into(),
            headers: Vec::new(),
            body: None,
        }
    }
}

/// One answer. Filled in by the host.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status, one of those that come as responses.
    pub status: u16,
    /// Names in lower case, order kept.
    pub headers: Vec<Header>,
    /// Decoded (gzip), at most 8 MiB.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as `T`; see [`Webhook::json`](crate::Webhook::json).
    ///
    /// # Errors
    /// Permanent, saying what was wrong and at which line and column.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        crate::parse_json(&self.body)
    }
}

/// Headers and body are a customer's data: only their extent is shown.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}
