//! Problems as RFC 9457 writes them: what is wrong, with a stable type, and what to do.
//!
//! A detail is for a person and may quote what the caller sent in its URL; it never
//! holds a body, a header's value or a secret.

use std::fmt;

use axum::response::IntoResponse;
use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value};

/// The media type of a problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// One problem. Boxed, since it is the rare end of nearly everything here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    status: StatusCode,
    /// The end of its type, `/problems/{slug}`: never renamed.
    slug: &'static str,
    title: &'static str,
    detail: String,
    members: Map<String, Value>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of that type.
    pub(super) fn new(
        status: StatusCode,
        slug: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(Parts {
            status,
            slug,
            title,
            detail: detail.into(),
            members: Map::new(),
            header: None,
        }))
    }

    /// With a member of its own beside the standard ones.
    #[must_use]
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(key.to_owned(), value.into());
        self
    }

    /// To be tried again after that many seconds.
    #[must_use]
    pub(super) fn retry_after(self, seconds: u16) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// With the methods that are taken.
    #[must_use]
    pub(super) fn allow(self, methods: &'static str) -> Self {
        self.with_header(ALLOW, HeaderValue::from_static(methods))
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// The end of its type.
    #[cfg(test)]
    pub(super) const fn slug(&self) -> &'static str {
        self.0.slug
    }

    /// The document.
    pub(super) fn document(&self) -> Bytes {
        let Parts {
            status,
            slug,
            title,
            detail,
            members,
            header: _,
        } = &*self.0;
        let mut document = Map::new();
        document.insert("type".into(), format!("/problems/{slug}").into());
        document.insert("title".into(), (*title).into());
        document.insert("status".into(), status.as_u16().into());
        document.insert("detail".into(), detail.as_str().into());
        document.extend(members.clone());
        Bytes::from(Value::Object(document).to_string())
    }

    /// The answer that tells it.
    pub(super) fn answer<B: From<Bytes>>(self) -> Response<B> {
        let mut answer = Response::new(B::from(self.document()));
        *answer.status_mut() = self.0.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.extend(self.0.header);
        answer
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.title, self.0.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        self.answer()
    }
}

/// Nothing is there. Says nothing about what else might be.
pub(super) fn not_found(detail: impl Into<String>) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-found",
        "There is nothing here",
        detail,
    )
}

/// Another method has to be used.
pub(super) fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This method is not taken here",
        "the Allow header names the methods that are",
    )
}

/// The request's message cannot be told apart from what follows it.
pub(super) fn bad_framing(detail: impl Into<String>) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad-framing",
        "The request is framed wrongly",
        detail,
    )
}

/// The bytes are no HTTP request.
pub(super) fn bad_request() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad-request",
        "The request is not HTTP/1.1",
        "its first line, a header or its framing breaks the rules of RFC 9112",
    )
}

/// The head of the request did not arrive in time.
pub(super) fn too_slow(what: &str, seconds: u64) -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "too-slow",
        "The request did not arrive in time",
        format!("its {what} has to arrive whole within {seconds} s"),
    )
}

/// The header block is over its limit.
pub(super) fn headers_too_large(bytes_max: usize, headers_max: usize) -> Problem {
    Problem::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers-too-large",
        "The header block is too large",
        format!("at most {headers_max} headers of {bytes_max} bytes together are taken"),
    )
}

/// The URL is over its limit.
pub(super) fn url_too_long() -> Problem {
    Problem::new(
        StatusCode::URI_TOO_LONG,
        "url-too-long",
        "The URL is too long",
        "at most 65,534 bytes are taken",
    )
}

/// The store could not be read.
pub(super) fn unreadable(error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::error!(
        error = tidegate_core::errors::chain(error),
        "the store could not be read"
    );
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "store-unreadable",
        "The store could not be read",
        "the host's log has the cause; GET /readyz tells the store's state",
    )
}

/// A bearer token is missing or unknown.
pub(super) fn unauthorized(detail: impl Into<String>) -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "A token is needed",
        detail,
    )
    .with_header(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"tidegate\""),
    )
}

/// A path that stands for no text.
pub(super) fn bad_path() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad-path",
        "The path cannot be read",
        "its parts have to be percent-encoded UTF-8",
    )
}

/// A reader of the change log is further back than what is kept.
pub(super) fn cursor_expired(cursor: u64, oldest: u64) -> Problem {
    Problem::new(
        StatusCode::GONE,
        "cursor-expired",
        "The cursor is older than what is kept",
        format!(
            "changes after {cursor} are no longer all kept, those from {oldest} are: read the \
             mirror with GET /v1/entities and continue from the position in its first page"
        ),
    )
    .with("oldest", oldest.to_string())
}

/// A reader of the change log is further on than this store ever was.
pub(super) fn cursor_ahead(cursor: u64, newest: u64) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "cursor-ahead",
        "The cursor is of another store",
        format!(
            "this store never handed out {cursor}, its newest change is {newest}: it is another \
             store, or an older copy of it. Read the mirror with GET /v1/entities and continue \
             from the position in its first page"
        ),
    )
    .with("newest", newest.to_string())
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[test]
    fn a_problem_has_the_members_of_the_standard() {
        let problem = not_found("no event evt_1")
            .with("oldest", "7")
            .retry_after(3);
        let document: Value = serde_json::from_slice(&problem.document()).unwrap();
        let expected = serde_json::json!({
            "type": "/problems/not-found", "title": "There is nothing here", "status": 404,
            "detail": "no event evt_1", "oldest": "7",
        });
        assert_eq!(document, expected);
        let answer: Response<Full<Bytes>> = problem.answer();
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.headers()[CONTENT_TYPE], MEDIA_TYPE);
        assert_eq!(answer.headers()[RETRY_AFTER], "3");
    }
}
