//! `GET /v1/connections`: whose webhooks are taken, at which path, and which requests
//! were refused there. Connections stand in the configuration file and are changed
//! there; what a person does here is to rest a connection's outgoing work for a while.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, RawQuery, State};
use hyper::StatusCode;
use serde_json::json;
use tidegate_core::audit::AuditAction;
use tidegate_core::ids::{ConnectionId, ConnectorName};
use tidegate_core::ports::Clock as _;
use tidegate_store::Submission;

use super::super::problem::{self, Problem};
use super::Api;
use super::fields::Fields;
use super::query::Query;
use super::view::{Answer, page};

use super::writes::{Who, not_stored};
use crate::config;
use crate::http::refusals::own_path;
use crate::rules::{ConnectionEntry, Entrance};
use crate::system::SystemClock;

mod view;

use view::{Known, OfHost};

/// For how long a connection awaits its partner's secret, unless somebody says otherwise.
const AWAITED_FOR: Duration = Duration::from_mins(10);

/// The longest that it may.
const AWAITED_MAX: Duration = Duration::from_hours(24);

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
    let known = known(&api, shown).await?;
    let rows = found
        .iter()
        .map(|(id, entry)| view::connection(id, entry, &known));
    Ok(page(rows.collect(), next))
}

/// One connection.
pub(super) async fn show(State(api): State<Api>, Path(names): Path<(String, String)>) -> Answer {
    let rules = api.host.rules.load();
    let (id, entry) = find(&rules.connections, &names)?;
    let shown = BTreeSet::from([id.clone()]);
    let known = known(&api, shown).await?;
    Ok(Json(view::whole(id, entry, &known)))
}

/// The last requests that did not verify, newest first: at the connection's own path,
/// and at the path that all of its connector's accounts share.
pub(super) async fn refusals(
    State(api): State<Api>,
    Path(names): Path<(String, String)>,
) -> Answer {
    let (rules, now) = (api.host.rules.load(), SystemClock.now());
    let (id, entry) = find(&rules.connections, &names)?;
    let refusals = api.host.metrics.refusals();
    let paths = [
        (own_path(id), refusals.of_connection(id, now)),
        (
            format!("/in/{}", id.connector),
            refusals.of_connector(&id.connector, now),
        ),
    ];
    Ok(Json(view::refusals(entry, &paths, now)))
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

/// Lets a connection take its partner's secret for a while: the first one that comes, from
/// whoever sends it.
pub(super) async fn await_secret(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(names): Path<(String, String)>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Answer {
    let query = Query::read(query.as_deref(), &["for"])?;
    let span = query.parse::<Span>("for")?.unwrap_or(Span(AWAITED_FOR)).0;
    let fields = Fields::read(body, &["reason"]).await?;
    let rules = api.host.rules.load();
    let (id, entry) = find(&rules.connections, &names)?;
    if !entry.entrance.as_ref().is_ok_and(Entrance::takes_secret) {
        return Err(takes_none(id));
    }
    let audit = who.entry(AuditAction::AwaitSecret, id.to_string(), fields.reason()?);
    let until = audit.at.plus(span);
    let received = &api.host.received;
    received
        .await_secret(id.clone(), until, audit)
        .await
        .map_err(|error| not_stored(&error))?;
    show(State(api), Path(names)).await
}

fn takes_none(id: &ConnectionId) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "no-secret-handshake",
        "The connection has no handshake that hands a secret over",
        format!(
            "give {id} a preset or a scheme with a store-secret handshake, or set secrets.webhook"
        ),
    )
}

/// For how long a connection awaits its secret: `10m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = config::span(text).map_err(|error| error.to_string())?;
        if (Duration::from_secs(1)..=AWAITED_MAX).contains(&span) {
            Ok(Self(span))
        } else {
            let most = config::span_text(AWAITED_MAX);
            Err(format!("has to be from 1s to {most}"))
        }
    }
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

type Connections = HashMap<ConnectionId, ConnectionEntry>;

fn find<'c>(
    connections: &'c Connections,
    (connector, account): &(String, String),
) -> Result<(&'c ConnectionId, &'c ConnectionEntry), Problem> {
    let id: Option<ConnectionId> = format!("{connector}/{account}").parse().ok();
    id.and_then(|id| connections.get_key_value(&id))
        .ok_or_else(|| problem::not_found(format!("there is no connection {connector}/{account}")))
}

/// What is known of some connections beside their configuration.
async fn known(api: &Api, shown: BTreeSet<ConnectionId>) -> Result<Known, Problem> {
    let (host, now) = (&api.host, SystemClock.now());
    let of_host = shown
        .iter()
        .map(|id| {
            let of_host = OfHost {
                differing: host.metrics.differing().of(id),
                received: host.received.of(id),
                awaiting: host.received.awaiting(id, now),
            };
            (id.clone(), of_host)
        })
        .collect();
    api.read(move |reader| Known::read(reader, &shown, of_host))
        .await
}
