//! `/v1/sinks`: where changes go, how each sink stands, and the switch of each.

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use hyper::StatusCode;
use serde_json::{Value, json};
use tidegate_core::errors::chain;
use tidegate_core::ids::SinkName;
use tidegate_core::sink::{SinkFilter, SinkStart, SinkState};

use super::super::problem::{self, Problem};
use super::Api;
use super::fields::Fields;
use super::query::Query;
use super::view::{Answer, instant, page};
use super::writes::Who;
use crate::sinks::{SinkError, SinkView};

/// Every sink, by name.
pub(super) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Answer {
    Query::read(query.as_deref(), &[])?;
    let desk = api.host.sinks.clone();
    let sinks = api.read(move |_| desk.standings()).await?;
    Ok(page::<&str>(sinks.iter().map(sink).collect(), None))
}

/// Stops deliveries to a sink until a person resumes it.
pub(super) async fn pause(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Body,
) -> Answer {
    let fields = Fields::read(body, &["reason"]).await?;
    let (name, reason) = (parse(&name)?, fields.given_reason()?.to_owned());
    let paused = api.host.sinks.pause(&name, Some(reason), who.name()).await;
    paused.map_err(|error| refused(&error))?;
    one(&api, name).await
}

/// Lets a sink run again, from where it stands.
pub(super) async fn resume(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    body: Body,
) -> Answer {
    let fields = Fields::read(body, &["reason"]).await?;
    let (name, reason) = (parse(&name)?, fields.reason()?.map(str::to_owned));
    let resumed = api.host.sinks.resume(&name, reason, who.name()).await;
    resumed.map_err(|error| refused(&error))?;
    one(&api, name).await
}

async fn one(api: &Api, name: SinkName) -> Answer {
    let desk = api.host.sinks.clone();
    let sinks = api.read(move |_| desk.standings()).await?;
    let found = sinks.iter().find(|sink| sink.name == name);
    let found = found.ok_or_else(|| unknown(&name))?;
    Ok(Json(sink(found)))
}

fn parse(name: &str) -> Result<SinkName, Problem> {
    name.parse()
        .map_err(|error| problem::not_found(format!("{error}")))
}

fn unknown(name: &SinkName) -> Problem {
    problem::not_found(format!("there is no sink {name}"))
}

fn refused(error: &SinkError) -> Problem {
    let detail = chain(error);
    match error {
        SinkError::Unknown { .. } => problem::not_found(detail),
        SinkError::Read { source, .. } => problem::unreadable(source),
        SinkError::NotStored { .. } => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-stored",
            "It was not stored",
            detail,
        )
        .retry_after(5),
    }
}

/// How a sink stands.
pub(super) fn sink(sink: &SinkView) -> Value {
    let standing = &sink.standing;
    let (reason, since, next, why) = match &standing.state {
        SinkState::Running => (None, None, None, None),
        SinkState::Failing {
            reason,
            since,
            next,
            ..
        } => (Some(reason), Some(*since), Some(*next), None),
        SinkState::Paused { why, reason, since } => {
            (Some(reason), Some(*since), None, Some(why.code()))
        }
    };
    json!({
        "name": sink.name.as_str(),
        "kind": sink.kind,
        "state": standing.state.code(),
        "cause": why,
        "reason": reason,
        "problem": sink.problem,
        "last_failure": sink.last_failure,
        "since": instant(since),
        "next_probe_at": instant(next),
        "cursor": standing.cursor.get().to_string(),
        "walks_mirror": standing.mirror.is_some(),
        "backlog": sink.backlog,
        "oldest_at": instant(sink.oldest),
        "deliveries": sink.open_deliveries,
        "dead": sink.dead,
        "filter": filter(&sink.filter),
        "from": start(sink.start),
    })
}

fn filter(filter: &SinkFilter) -> Value {
    let connectors = filter.connectors.iter().map(ToString::to_string);
    let connections = filter.connections.iter().map(ToString::to_string);
    json!({
        "connectors": connectors.collect::<Vec<_>>(),
        "connections": connections.collect::<Vec<_>>(),
        "kinds": filter.kinds,
    })
}

const fn start(start: SinkStart) -> &'static str {
    match start {
        SinkStart::Now => "now",
        SinkStart::Start => "start",
        SinkStart::Mirror => "mirror",
    }
}
