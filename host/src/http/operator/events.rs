//! `GET /v1/events`: what came in, newest first, and one event with all that became of
//! it; and running one again that has ended.

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidegate_core::audit::AuditAction;
use tidegate_core::change::{ChangeResult, EntityRef, Fate};
use tidegate_core::event::{BodyAuthenticated, Event, EventProgress, EventState};
use tidegate_core::ids::{EventId, TaskId};
use tidegate_core::ports::ReadError;
use tidegate_core::replay::ReplayItem;
use tidegate_store::{EventFilter, EventRow, EventsFrom};

use super::super::percent;
use super::super::problem::{self, Problem};
use super::Api;
use super::fields::Fields;
use super::query::{Query, bad};
use super::replays::{self, conflict, mode};
use super::view::{Answer, attempt, page, reason};
use super::writes::Who;
use crate::http::refusals::own_path;
use crate::rules::Rules;

const PARAMETERS: [&str; 8] = [
    "connection",
    "connector",
    "state",
    "from",
    "until",
    "plugin",
    "limit",
    "cursor",
];

const STATES: [&str; 5] = ["pending", "fetching", "mapped", "skipped", "dead"];

/// A page of events.
pub(super) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Answer {
    let query = Query::read(query.as_deref(), &PARAMETERS)?;
    let state = query.text("state");
    if state.is_some_and(|state| !STATES.contains(&state)) {
        return Err(bad(format!(
            "parameter \"state\" is one of {}",
            STATES.join(", ")
        )));
    }
    let filter = EventFilter {
        connector: query.parse("connector")?,
        connection: query.parse("connection")?,
        state: state.map(str::to_owned),
        from: query.parse("from")?,
        until: query.parse("until")?,
        plugin: query.parse("plugin")?,
    };
    let from = EventsFrom {
        before: query.cursor()?,
        limit: query.limit()?,
    };
    let events = api.read(move |reader| reader.events(&filter, from)).await?;
    let rows = events.rows.iter().map(row).collect();
    Ok(page(rows, events.next))
}

/// One event.
pub(super) async fn show(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    let id = parse(&id)?;
    let read = api.read(move |reader| {
        let event = reader.event(id)?;
        Ok::<_, ReadError>(event.zip(reader.progress(id)?))
    });
    let (event, progress) = read.await?.ok_or_else(|| unknown(id))?;
    Ok(Json(document(
        &api.host.rules.load(),
        id,
        &event,
        &progress,
    )))
}

/// Maps an event again that has ended, or was parked.
pub(super) async fn replay(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    body: Body,
) -> Answer {
    let fields = Fields::read(body, &["with", "reason"]).await?;
    let (id, mode) = (parse(&id)?, mode(&fields)?);
    let progress = api.read(move |reader| reader.progress(id)).await?;
    let item = match progress.ok_or_else(|| unknown(id))?.state {
        EventState::Dead { .. } => ReplayItem::Letter(id.map_task()),
        EventState::Mapped | EventState::Skipped { .. } => ReplayItem::Event(id),
        EventState::Pending { .. } | EventState::Fetching { .. } => return Err(open(id)),
    };
    let entry = who.entry(AuditAction::Replay, id.to_string(), fields.reason()?);
    match replays::again(&api, item, mode, entry).await? {
        0 => Err(open(id)),
        queued => Ok(Json(json!({ "queued": queued, "event": id.to_string() }))),
    }
}

fn parse(id: &str) -> Result<EventId, Problem> {
    id.parse()
        .map_err(|error| problem::not_found(format!("{error}")))
}

fn unknown(id: EventId) -> Problem {
    problem::not_found(format!("{id} is not known, or no longer kept"))
}

fn open(id: EventId) -> Problem {
    conflict(
        "not-ended",
        "It has not ended yet",
        format!(
            "{id} is still to be mapped or fetched for, or a record that it needs cannot be read"
        ),
    )
}

/// An event with all that became of it.
pub(super) fn document(
    rules: &Rules,
    id: EventId,
    event: &Event,
    progress: &EventProgress,
) -> Value {
    let mut view = whole(id, event, progress);
    if let Some(members) = view.as_object_mut() {
        members.insert("url_path".into(), url_path(rules, event).into());
    }
    view
}

/// The path that the request came in by, as far as that is kept: its connection's own, or
/// where that one is closed the one that all of its connector's accounts share.
fn url_path(rules: &Rules, event: &Event) -> String {
    let entry = rules.connections.get(&event.connection);
    if entry.is_some_and(|entry| entry.entrance.is_err()) && event.path.is_empty() {
        return format!("/in/{}", event.connection.connector);
    }
    let own = own_path(&event.connection);
    event.path.iter().fold(own, |path, segment| {
        format!("{path}/{}", percent::encode(segment))
    })
}

fn row(row: &EventRow) -> Value {
    json!({
        "id": row.id.to_string(),
        "connection": row.connection.to_string(),
        "partner_id": row.partner_id,
        "received_at": row.received.to_string(),
        "bytes": row.body_bytes,
        "state": row.state.code(),
        "reason": reason(&row.state),
        "changes": row.changes,
        "attempts": row.attempts,
        "plugin": row.plugin.map(|plugin| plugin.to_string()),
    })
}

fn whole(id: EventId, event: &Event, progress: &EventProgress) -> Value {
    let headers: Vec<_> = event
        .headers
        .iter()
        .map(|(name, value)| json!([name, String::from_utf8_lossy(value)]))
        .collect();
    let cause = match &progress.state {
        EventState::Dead { cause, .. } => Some(cause.code()),
        _ => None,
    };
    let (body_key, body) = match std::str::from_utf8(&event.body) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("body_base64", STANDARD.encode(&event.body)),
    };
    json!({
        "id": id.to_string(),
        "connection": event.connection.to_string(),
        "partner_id": event.partner_id,
        "received_at": event.received.to_string(),
        "method": event.method,
        "path": event.path,
        "query": event.query,
        "headers": headers,
        body_key: body,
        "body_bytes": event.body.len(),
        "body_authenticated": authenticated(event.body_authenticated),
        "state": progress.state.code(),
        "reason": reason(&progress.state),
        "cause": cause,
        "due_at": due(&progress.state),
        "plugin": progress.plugin.map(|plugin| plugin.to_string()),
        "attempts": progress.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "changes": progress.changes.iter().map(change).collect::<Vec<_>>(),
        "fetches": progress.fetches.iter().map(fetch).collect::<Vec<_>>(),
    })
}

fn due(state: &EventState) -> Option<String> {
    match state {
        EventState::Pending { due, .. } => Some(due.to_string()),
        _ => None,
    }
}

const fn authenticated(how_much: BodyAuthenticated) -> &'static str {
    match how_much {
        BodyAuthenticated::Full => "full",
        BodyAuthenticated::Fields => "fields",
        BodyAuthenticated::None => "none",
    }
}

fn change(result: &ChangeResult) -> Value {
    let (fate, seq) = match result.fate {
        Fate::Applied(seq) => ("applied", Some(seq.get().to_string())),
        Fate::Superseded => ("superseded", None),
        Fate::Unchanged => ("unchanged", None),
    };
    json!({
        "kind": result.entity.kind,
        "id": result.entity.id,
        "operation": result.operation.code(),
        "fate": fate,
        "seq": seq,
    })
}

fn fetch((task, entity): &(TaskId, EntityRef)) -> Value {
    json!({ "task": task.to_string(), "kind": entity.kind, "id": entity.id })
}
