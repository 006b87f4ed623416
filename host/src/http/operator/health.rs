//! Whether the host lives, whether it takes webhooks, and its numbers.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::super::problem::{self, Problem};
use super::Api;
use crate::gate::GateState;
use crate::metrics::Sample;

/// The process lives.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// Webhooks are taken.
pub(super) async fn ready(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let state = api.host.gate.state();
    match closed(&state) {
        None => Ok(Json(json!({ "status": "ready" }))),
        Some(reason) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-ready",
            "Webhooks are not taken just now",
            reason.clone(),
        )
        .with("state", state.code())
        .with("reasons", vec![reason])),
    }
}

/// Why the store takes nothing, for a person; none where it does.
pub(super) fn closed(state: &GateState) -> Option<String> {
    match state {
        GateState::Open => None,
        GateState::DiskLow { free } => Some(format!(
            "free disk is below the reserve: {free} bytes are left"
        )),
        GateState::Latched { reason } => Some(format!(
            "the store failed and the host is about to end: {reason}"
        )),
        GateState::ShuttingDown => Some("the host is ending".to_owned()),
    }
}

/// Every number, as Prometheus reads it.
pub(super) async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let host = api.host.clone();
    let sample = api.read(move |_| Sample::take(&host)).await?;
    let text = api
        .host
        .metrics
        .text(&sample)
        .map_err(|error| problem::unreadable(&error))?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], text).into_response())
}
