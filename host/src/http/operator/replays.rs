//! `/v1/replays`: runs that put all that a filter takes back into the queue, page by
//! page; durable, so that a restart goes on with them. And what one replay of anything
//! has in common with them.

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::header::LOCATION;
use serde_json::{Map, Value, json};
use tidegate_core::audit::AuditEntry;
use tidegate_core::ids::ReplayId;
use tidegate_core::limits::REPLAY_LOOKS_MAX;
use tidegate_core::replay::{ReplayFilter, ReplayItem, ReplayMode, ReplayRun};
use tidegate_core::task::DeadCause;
use tidegate_store::{Matching, Reader, ReplayBatch, Submission};

use super::super::problem::{self, Problem};
use super::Api;
use super::fields::{Fields, bad};
use super::letter;
use super::query::Query;
use super::view::{Answer, instant, page};
use super::writes::{Who, not_stored};

const MEMBERS: [&str; 11] = [
    "connection",
    "connector",
    "state",
    "cause",
    "from",
    "until",
    "plugin",
    "with",
    "forced",
    "dry_run",
    "reason",
];

/// States of which events and dead letters can run again.
const STATES: [&str; 3] = ["dead", "mapped", "skipped"];

/// Begins a run, or says what it would take.
pub(super) async fn begin(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    body: Body,
) -> Result<Response, Problem> {
    let fields = Fields::read(body, &MEMBERS).await?;
    let (filter, mode) = (filter(&fields)?, mode(&fields)?);
    if let (Some(_), Some(cause @ (DeadCause::Sink | DeadCause::AlertChannel))) =
        (mode.with, filter.cause)
    {
        return Err(bad(format!(
            "member \"with\" names the plugin version that maps events, and dead letters of cause {} are mapped already: leave it out",
            cause.code()
        )));
    }
    let reason = fields.reason()?.map(str::to_owned);
    if fields.flag("dry_run")? {
        let counted = api
            .read(move |reader| reader.count_matching(&filter, REPLAY_LOOKS_MAX))
            .await?;
        let Matching { count, at_least } = counted;
        let document = json!({ "would_replay": count, "at_least": at_least });
        return Ok(Json(document).into_response());
    }
    let begun = api.host.replays.begin(filter, mode, who.name(), reason);
    let begun = begun.await.map_err(|error| not_stored(&error))?;
    let location = [(LOCATION, format!("/v1/replays/{}", begun.id))];
    Ok((StatusCode::ACCEPTED, location, Json(run(&begun))).into_response())
}

/// The runs, newest first.
pub(super) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Answer {
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let (before, limit) = (query.cursor::<ReplayId>()?, query.limit()?);
    let mut runs = api.read(Reader::replays).await?;
    runs.retain(|run| before.is_none_or(|before| run.id < before));
    let more = runs.len() > limit;
    runs.truncate(limit);
    let next = runs.last().filter(|_| more).map(|run| run.id);
    Ok(page(runs.iter().map(run).collect(), next))
}

/// One run.
pub(super) async fn show(State(api): State<Api>, Path(id): Path<String>) -> Answer {
    let id: ReplayId = id
        .parse()
        .map_err(|error| problem::not_found(format!("{error}")))?;
    let found = api.read(move |reader| reader.replay(id)).await?;
    let unknown = || problem::not_found(format!("{id} is not known, or no longer kept"));
    found.map(|found| Json(run(&found))).ok_or_else(unknown)
}

/// How a request wants things to run again.
pub(super) fn mode(fields: &Fields) -> Result<ReplayMode, Problem> {
    Ok(ReplayMode {
        with: fields.parse_text("with")?,
        forced: fields.flag("forced")?,
    })
}

/// Puts one thing back into the queue; says whether it was there to put.
pub(super) async fn again(
    api: &Api,
    item: ReplayItem,
    mode: ReplayMode,
    entry: AuditEntry,
) -> Result<u64, Problem> {
    let batch = ReplayBatch {
        items: vec![item],
        mode,
        run: None,
        audit: Some(entry),
    };
    match api.submit(Submission::Replay(Box::new(batch))).await? {
        tidegate_store::Answer::Replayed { queued, .. } => Ok(queued),
        _ => Ok(0),
    }
}

/// It stands in the way of what was asked.
pub(super) fn conflict(slug: &'static str, title: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, slug, title, detail)
}

fn filter(fields: &Fields) -> Result<ReplayFilter, Problem> {
    let state = fields.text("state")?;
    if state.is_some_and(|state| !STATES.contains(&state)) {
        let states = STATES.join(", ");
        return Err(bad(format!("member \"state\" is one of {states}")));
    }
    let cause = fields.text("cause")?.map(letter::cause).transpose();
    let filter = ReplayFilter {
        connector: fields.parse_text("connector")?,
        connection: fields.parse_text("connection")?,
        state: state.map(str::to_owned),
        cause: cause.map_err(|words| bad(format!("member \"cause\" {words}")))?,
        from: fields.parse_text("from")?,
        until: fields.parse_text("until")?,
        plugin: fields.parse_text("plugin")?,
    };
    if filter == ReplayFilter::default() {
        return Err(bad(
            "say what to replay: connection, connector, state, cause, from, until or plugin",
        ));
    }
    if filter.cause.is_some() && state.is_some_and(|state| state != "dead") {
        return Err(bad("member \"cause\" takes dead letters only"));
    }
    if let (Some(from), Some(until)) = (filter.from, filter.until)
        && from >= until
    {
        return Err(bad("member \"from\" has to be before \"until\""));
    }
    Ok(filter)
}

/// A run, as far as it has come.
pub(super) fn run(run: &ReplayRun) -> Value {
    json!({
        "id": run.id.to_string(),
        "filter": filter_view(&run.filter),
        "with": run.mode.with.map(|with| with.to_string()),
        "forced": run.mode.forced,
        "who": run.who,
        "reason": run.reason,
        "began_at": run.began.to_string(),
        "total": run.total,
        "queued": run.queued,
        "passed": run.passed,
        "ended_at": instant(run.ended),
        "state": if run.ended.is_some() { "ended" } else { "running" },
    })
}

/// A filter as it was asked for.
fn filter_view(filter: &ReplayFilter) -> Map<String, Value> {
    let members = [
        (
            "connector",
            filter.connector.as_ref().map(ToString::to_string),
        ),
        (
            "connection",
            filter.connection.as_ref().map(ToString::to_string),
        ),
        ("state", filter.state.clone()),
        (
            "cause",
            filter.cause.map(|cause| DeadCause::code(cause).to_owned()),
        ),
        ("from", instant(filter.from)),
        ("until", instant(filter.until)),
        ("plugin", filter.plugin.map(|plugin| plugin.to_string())),
    ];
    members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.into())))
        .collect()
}
