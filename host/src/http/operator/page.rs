//! `GET /`: one page for a person who opens the address in a browser. It is one file and
//! asks this host alone; the token that is typed in stays in the tab.

use axum::response::{IntoResponse as _, Response};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

const PAGE: &str = include_str!("page.html");

/// Its own styles and scripts, requests to this host, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Shows it.
pub(super) async fn show() -> Response {
    let header = |name: HeaderName, value| (name, HeaderValue::from_static(value));
    let headers = [
        header(CONTENT_TYPE, "text/html; charset=utf-8"),
        header(CONTENT_SECURITY_POLICY, POLICY),
        header(X_CONTENT_TYPE_OPTIONS, "nosniff"),
        header(REFERRER_POLICY, "no-referrer"),
        header(CACHE_CONTROL, "no-cache"),
    ];
    (headers, PAGE).into_response()
}
