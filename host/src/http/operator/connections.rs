//! `GET /v1/connections`: whose webhooks are taken, at which path, and which requests
//! were refused there. Connections stand in the configuration file and are changed
//! there; what a person does here is to rest a connection's outgoing work for a while.

use std::collections::{BTreeSet, HashMap};

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use hyper::StatusCode;
use serde_json::{Value, json};
use tidegate_core::audit::AuditAction;
use tidegate_core::ids::{ConnectionId, ConnectorName};
use tidegate_core::ports::ReadError;
use tidegate_core::time::Timestamp;
use tidegate_store::{PausedConnection, Reader, Submission};

use super::super::problem::{self, Problem};
use super::Api;
use super::fields::Fields;
use super::query::Query;
use super::view::{Answer, instant, page};
use super::writes::Who;
use crate::http::refusals::{Refused, own_path};
use crate::rules::ConnectionEntry;

/// A page of connections, by name.
pub(super) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Answer {
    let query = Query::read(query.as_deref(), &["connector", "limit", "cursor"])?;
    let connector: Option<ConnectorName> = query.parse("connector")?;
    let (after, limit) = (query.cursor::<ConnectionId>()?, query.limit()?);
    let rules = api.host.rules.load();
    let mut found: Vec<_> = rules
        .connections
        .iter()
        .filter(|(id, _)| {
            connector
                .as_ref()
                .is_none_or(|connector| *connector == id.connector)
        })
        .filter(|(id, _)| after.as_ref().is_none_or(|after| *id > after))
        .collect();
    found.sort_unstable_by_key(|(id, _)| *id);
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(id, _)| *id);
    let shown: BTreeSet<ConnectionId> = found.iter().map(|(id, _)| (*id).clone()).collect();
    let known = api.read(move |reader| Known::read(reader, &shown)).await?;
    let rows = found
        .iter()
        .map(|(id, entry)| connection(id, entry, &known));
    Ok(page(rows.collect(), next))
}

/// One connection.
pub(super) async fn show(State(api): State<Api>, Path(names): Path<(String, String)>) -> Answer {
    let rules = api.host.rules.load();
    let (id, entry) = find(&rules.connections, &names)?;
    let shown = BTreeSet::from([id.clone()]);
    let known = api.read(move |reader| Known::read(reader, &shown)).await?;
    let mut view = connection(id, entry, &known);
    if let Some(members) = view.as_object_mut() {
        let scheme = entry.entrance.as_ref().ok().map(|entrance| {
            let scheme = entrance.door.scheme();
            format!(
                "{} in {}",
                scheme.algorithm().text(),
                scheme.signature().describe()
            )
        });
        members.insert("scheme".into(), scheme.into());
        members.insert("base_url".into(), entry.rules.base_url.as_deref().into());
    }
    Ok(Json(view))
}

/// The last requests that did not verify, newest first: at the connection's own path,
/// and at the path that all of its connector's accounts share.
pub(super) async fn refusals(
    State(api): State<Api>,
    Path(names): Path<(String, String)>,
) -> Answer {
    let rules = api.host.rules.load();
    let (id, _) = find(&rules.connections, &names)?;
    let refusals = api.host.metrics.refusals();
    let (own_path, shared_path) = (own_path(id), format!("/in/{}", id.connector));
    let own = refusals
        .of_connection(id)
        .into_iter()
        .map(|refused| (own_path.as_str(), refused));
    let shared = refusals.of_connector(&id.connector).into_iter();
    let shared = shared.map(|refused| (shared_path.as_str(), refused));
    let mut all: Vec<_> = own.chain(shared).collect();
    all.sort_by_key(|(_, refused)| std::cmp::Reverse(refused.at));
    let rows = all.iter().map(|(path, refused)| refusal(path, refused));
    Ok(page::<&str>(rows.collect(), None))
}

/// Not by this way: the file says what connections there are.
pub(super) async fn put(Path((connector, account)): Path<(String, String)>) -> Problem {
    in_configuration(&format!(
        "write [connections.\"{connector}/{account}\"] in the configuration file instead; it is read again by itself"
    ))
}

/// Not by this way either.
pub(super) async fn delete(State(api): State<Api>, Path(names): Path<(String, String)>) -> Problem {
    match find(&api.host.rules.load().connections, &names) {
        Ok((id, _)) => in_configuration(&format!(
            "take [connections.\"{id}\"] out of the configuration file instead; it is read again by itself"
        )),
        Err(problem) => problem,
    }
}

fn in_configuration(detail: &str) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "connection-in-configuration",
        "Connections stand in the configuration file",
        detail,
    )
}

/// Rests a connection's outgoing work until a person resumes it. Webhooks are taken on.
pub(super) async fn pause(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(names): Path<(String, String)>,
    body: Body,
) -> Answer {
    let fields = Fields::read(body, &["reason"]).await?;
    let reason = fields.given_reason()?;
    let id = find(&api.host.rules.load().connections, &names)?.0.clone();
    let entry = who.entry(AuditAction::PauseConnection, id.to_string(), Some(reason));
    let submission = Submission::PauseConnection {
        connection: id,
        reason: reason.to_owned(),
        secrets: None,
        audit: Some(entry),
    };
    api.submit(submission).await?;
    show(State(api), Path(names)).await
}

/// Lets it go on: what waited is due now.
pub(super) async fn resume(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(names): Path<(String, String)>,
    body: Body,
) -> Answer {
    let fields = Fields::read(body, &["reason"]).await?;
    let id = find(&api.host.rules.load().connections, &names)?.0.clone();
    let entry = who.entry(
        AuditAction::ResumeConnection,
        id.to_string(),
        fields.reason()?,
    );
    let submission = Submission::ResumeConnection {
        connection: id,
        audit: Some(entry),
    };
    let (queued, more) = match api.submit(submission).await? {
        tidegate_store::Answer::Resumed { queued, more } => (queued, more),
        _ => (0, false),
    };
    Ok(Json(json!({ "queued": queued, "more": more })))
}

fn pause_view(paused: &PausedConnection) -> Value {
    json!({
        "since": paused.since.to_string(),
        "reason": paused.reason,
        "by": if paused.refused { "refused-credentials" } else { "operator" },
    })
}

type Connections = HashMap<ConnectionId, ConnectionEntry>;

fn find<'c>(
    connections: &'c Connections,
    (connector, account): &(String, String),
) -> Result<(&'c ConnectionId, &'c ConnectionEntry), Problem> {
    let id: Option<ConnectionId> = format!("{connector}/{account}").parse().ok();
    id.and_then(|id| connections.get_key_value(&id))
        .ok_or_else(|| problem::not_found(format!("there is no connection {connector}/{account}")))
}

/// What the store knows of some connections.
struct Known {
    last: HashMap<ConnectionId, Timestamp>,
    paused: Vec<PausedConnection>,
}

impl Known {
    fn read(reader: &Reader, shown: &BTreeSet<ConnectionId>) -> Result<Self, ReadError> {
        let last = reader.last_received(shown)?;
        let paused = reader.paused()?;
        Ok(Self { last, paused })
    }
}

fn connection(id: &ConnectionId, entry: &ConnectionEntry, known: &Known) -> Value {
    let paused = known.paused.iter().find(|paused| paused.connection == *id);
    let problem = entry.entrance.as_ref().err();
    json!({
        "connector": id.connector.as_str(),
        "account": id.account.as_str(),
        "url_path": own_path(id),
        "secrets": { "webhook": entry.webhook_secrets },
        "source": "config",
        "state": if problem.is_none() { "active" } else { "closed" },
        "problem": problem.map(ToString::to_string),
        "paused": paused.map(pause_view),
        "last_event_at": instant(known.last.get(id).copied()),
    })
}

fn refusal(path: &str, refused: &Refused) -> Value {
    json!({
        "at": refused.at.to_string(),
        "path": path,
        "code": refused.refusal.code(),
        "message": refused.refusal.to_string(),
    })
}
