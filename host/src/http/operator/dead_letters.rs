//! `GET /v1/dead-letters`: what was given up until a person decides, newest first.

use axum::extract::{RawQuery, State};
use serde_json::{Value, json};
use tidegate_core::ids::TaskId;
use tidegate_core::task::{TaskKind, TaskState};
use tidegate_store::DeadLetter;

use super::Api;
use super::query::Query;
use super::view::{Answer, page};

/// A page of dead letters.
pub(super) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Answer {
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let (before, limit) = (query.cursor::<TaskId>()?, query.limit()?);
    let letters = api
        .read(move |reader| reader.dead_letters(before, limit))
        .await?;
    let rows = letters.letters.iter().map(row).collect();
    Ok(page(rows, letters.next))
}

fn row(letter: &DeadLetter) -> Value {
    let task = &letter.task;
    let (cause, reason, at) = match &task.state {
        TaskState::Dead { cause, reason, at } => (
            Some(cause.code()),
            Some(reason.as_str()),
            Some(at.to_string()),
        ),
        TaskState::Scheduled { .. } | TaskState::Waiting { .. } => (None, None, None),
    };
    let event = match &task.kind {
        TaskKind::Map { event, .. } | TaskKind::Fetch { event, .. } => Some(event.to_string()),
        TaskKind::Poll { .. } => None,
    };
    json!({
        "id": task.id.to_string(),
        "kind": task.kind.code(),
        "connection": task.kind.connection().to_string(),
        "event": event,
        "partner_id": letter.event.as_ref().map(|event| event.partner_id.as_str()),
        "cause": cause,
        "reason": reason,
        "parked_at": at,
        "attempts": letter.progress.attempts.len(),
    })
}
