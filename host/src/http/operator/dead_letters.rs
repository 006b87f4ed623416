//! `GET /v1/dead-letters`: what was given up until a person decides, newest first; and
//! what they decide: to run it again, or to give it up for good.

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use tidegate_core::audit::AuditAction;
use tidegate_core::event::EventState;
use tidegate_core::ids::{EventId, TaskId};
use tidegate_core::ports::ReadError;
use tidegate_core::replay::ReplayItem;
use tidegate_core::task::TaskKind;
use tidegate_store::{DeadCount, DeadLetterFilter, Submission};

use super::super::problem::{self, Problem};
use super::Api;
use super::fields::Fields;
use super::letter;
use super::query::{Query, bad};
use super::replays::{self, conflict, mode};
use super::view::{Answer, page};
use super::writes::Who;

const PARAMETERS: [&str; 8] = [
    "connection",
    "connector",
    "sink",
    "channel",
    "cause",
    "kind",
    "limit",
    "cursor",
];

/// The codes of all kinds of task.
const KINDS: [&str; 5] = ["map", "fetch", "poll", "deliver", "alert"];

/// A page of dead letters.
pub(super) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Answer {
    let query = Query::read(query.as_deref(), &PARAMETERS)?;
    let filter = filter(&query)?;
    let (before, limit) = (query.cursor::<TaskId>()?, query.limit()?);
    let letters = api
        .read(move |reader| reader.dead_letters(&filter, before, limit))
        .await?;
    let rows = letters.letters.iter().map(letter::row).map(Value::Object);
    let Json(mut document) = page(rows.collect(), letters.next);
    if let Some(members) = document.as_object_mut() {
        let torn = letters.torn.iter().map(TaskId::to_string);
        members.insert("unreadable".into(), torn.collect());
    }
    Ok(Json(document))
}

fn filter(query: &Query<'_>) -> Result<DeadLetterFilter, Problem> {
    let kind = query.text("kind");
    if kind.is_some_and(|kind| !KINDS.contains(&kind)) {
        let kinds = KINDS.join(", ");
        return Err(bad(format!("parameter \"kind\" is one of {kinds}")));
    }
    let cause = query.text("cause").map(letter::cause).transpose();
    Ok(DeadLetterFilter {
        connector: query.parse("connector")?,
        connection: query.parse("connection")?,
        sink: query.parse("sink")?,
        channel: query.parse("channel")?,
        cause: cause.map_err(|words| bad(format!("parameter \"cause\" {words}")))?,
        kind: kind.map(str::to_owned),
    })
}

/// How many there are of whom and why.
pub(super) async fn counts(State(api): State<Api>, RawQuery(query): RawQuery) -> Answer {
    Query::read(query.as_deref(), &[])?;
    let counts = api.host.reader.dead_counts();
    let total: u64 = counts.iter().map(|count| count.count).sum();
    let items: Vec<_> = counts.iter().map(count).collect();
    Ok(Json(json!({ "items": items, "total": total })))
}

fn count(count: &DeadCount) -> Map<String, Value> {
    let mut members = letter::owner(&count.owner);
    let connection = count.connection.as_ref().map(ToString::to_string);
    members.insert("connection".into(), connection.into());
    members.insert("cause".into(), count.cause.code().into());
    members.insert("count".into(), count.count.into());
    members.insert("oldest_at".into(), count.oldest.to_string().into());
    members
}

/// One dead letter, with all that it is about.
pub(super) async fn show(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = parse(&id)?;
    let found = api.read(move |reader| reader.dead_letter(id)).await?;
    let found = found.ok_or_else(|| gone(id))?;
    let document = letter::whole(&found, &api.host.rules.load())?;
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((headers, document).into_response())
}

/// Runs it again.
pub(super) async fn replay(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    body: Body,
) -> Answer {
    let fields = Fields::read(body, &["with", "forced", "reason"]).await?;
    let (id, mode) = (parse(&id)?, mode(&fields)?);
    let kind = match standing(&api, id).await? {
        Standing::Parked(kind) => kind,
        Standing::Runs(again) => return Err(runs(id, &again)),
        Standing::Gone => return Err(gone(id)),
    };
    let event = match kind {
        TaskKind::Map { event, .. } => Some(event),
        _ if mode.with.is_some() => return Err(maps_nothing(id)),
        _ => None,
    };
    let entry = who.entry(AuditAction::Replay, id.to_string(), fields.reason()?);
    let queued = replays::again(&api, ReplayItem::Letter(id), mode, entry).await?;
    if queued == 0 {
        return Err(left(&api, id).await);
    }
    let event = event.map(|event| event.to_string());
    Ok(Json(json!({ "queued": queued, "event": event })))
}

/// Gives it up for good.
pub(super) async fn discard(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    body: Body,
) -> Answer {
    let fields = Fields::read(body, &["reason"]).await?;
    let (id, reason) = (parse(&id)?, fields.given_reason()?);
    match standing(&api, id).await? {
        Standing::Parked(_) => {}
        Standing::Runs(again) => return Err(runs(id, &again)),
        Standing::Gone => return Err(gone(id)),
    }
    let submission = Submission::Discard {
        letters: vec![id],
        audit: Box::new(who.entry(AuditAction::Discard, id.to_string(), Some(reason))),
    };
    match api.submit(submission).await? {
        tidegate_store::Answer::Discarded { letters } if letters > 0 => {
            Ok(Json(json!({ "discarded": letters })))
        }
        _ => Err(gone(id)),
    }
}

/// Where a task stands that is said to be a dead letter.
enum Standing {
    /// It is one, of this task.
    Parked(TaskKind),
    /// It was one, and runs again.
    Runs(Again),
    /// It is none.
    Gone,
}

/// What runs again.
enum Again {
    /// This event is mapped.
    Event(EventId),
    /// A change is delivered, or a notice sent.
    Sent(TaskKind),
}

async fn standing(api: &Api, id: TaskId) -> Result<Standing, Problem> {
    api.read(move |reader| {
        if let Some(letter) = reader.dead_letter(id)? {
            return Ok::<_, ReadError>(Standing::Parked(letter.task.kind));
        }
        // A map task has its event's number, and no other task has an event's.
        let event = EventId::new(id.get());
        let again = match reader.progress(event)?.map(|progress| progress.state) {
            Some(EventState::Pending { .. }) => Some(Again::Event(event)),
            Some(_) => None,
            None => reader.running(id)?.map(Again::Sent),
        };
        Ok(again.map_or(Standing::Gone, Standing::Runs))
    })
    .await
}

/// Why a letter was not taken that had been there a moment before.
async fn left(api: &Api, id: TaskId) -> Problem {
    match standing(api, id).await {
        Ok(Standing::Parked(_)) => conflict(
            "not-replayable",
            "It cannot run again now",
            format!(
                "{id} stays as it is: its sink is gone or begins again with the mirror, or a record that it needs cannot be read"
            ),
        ),
        Ok(Standing::Runs(again)) => runs(id, &again),
        Ok(Standing::Gone) => gone(id),
        Err(problem) => problem,
    }
}

fn runs(id: TaskId, again: &Again) -> Problem {
    let look = match again {
        Again::Event(event) => format!("GET /v1/events/{event} says when it is tried next"),
        Again::Sent(TaskKind::Deliver(delivery)) => format!(
            "GET /v1/sinks says how {} stands; if it is paused, resume it",
            delivery.sink
        ),
        Again::Sent(TaskKind::Alert { channel, .. }) => {
            format!("the alert channel {channel} is tried by the schedule")
        }
        Again::Sent(_) => "it is tried by the schedule".to_owned(),
    };
    conflict(
        "running-again",
        "It runs again already",
        format!(
            "{id} is in the queue, and there is nothing to do but wait: it ends, or is a dead letter again. {look}"
        ),
    )
}

fn maps_nothing(id: TaskId) -> Problem {
    super::fields::bad(format!(
        "member \"with\" names the plugin version that maps an event, and {id} is a change or a notice that was mapped already: leave it out, or replay the event that it came from"
    ))
}

fn parse(id: &str) -> Result<TaskId, Problem> {
    id.parse()
        .map_err(|error| problem::not_found(format!("{error}")))
}

fn gone(id: TaskId) -> Problem {
    problem::not_found(format!(
        "{id} is no dead letter: it was replayed, was discarded, or never was one"
    ))
}
