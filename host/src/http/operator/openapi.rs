//! `GET /v1/openapi.json`: what there is, for programs. Written by hand, and held
//! against the table of routes by a test.

use axum::response::{IntoResponse as _, Response};
use hyper::header::{CONTENT_TYPE, HeaderValue};

/// The `OpenAPI` 3.1 document.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

/// Shows it.
pub(super) async fn show() -> Response {
    (
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        DOCUMENT,
    )
        .into_response()
}
