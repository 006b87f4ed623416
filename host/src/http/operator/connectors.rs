//! `GET /v1/connectors`: which partners there are, which plugin serves each, and why a
//! newer one does not; and consent to what a newer one asks for.

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::extract::{Extension, Path, RawQuery, State};
use hyper::StatusCode;
use serde_json::{Value, json};
use tidegate_core::audit::AuditAction;
use tidegate_core::errors::chain;
use tidegate_core::ids::ConnectorName;

use super::super::problem::{self, Problem};
use super::Api;
use super::query::{Query, bad};
use super::view::{Answer, page};
use super::writes::Who;
use crate::plugins::{ConsentError, Pending, PluginStanding};
use crate::rules::{ConnectorRules, Entrance, Rules};

/// Every connector, by name.
pub(super) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Answer {
    Query::read(query.as_deref(), &[])?;
    let (rules, standings) = (api.host.rules.load(), api.host.plugins.standings());
    let sorted: BTreeMap<_, _> = rules.connectors.iter().collect();
    let rows = sorted
        .into_iter()
        .map(|(name, rules)| connector(name, rules, &standings));
    Ok(page::<&str>(rows.collect(), None))
}

/// Grants what the waiting version asks for, and lets it serve. The caller names the
/// version that it has read about: the file may have been replaced since.
pub(super) async fn consent(
    State(api): State<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let query = Query::read(query.as_deref(), &["digest"])?;
    let name: ConnectorName = name
        .parse()
        .map_err(|error| problem::not_found(format!("{error}")))?;
    let read = query.parse("digest")?.ok_or_else(|| {
        bad("parameter \"digest\" is missing: it is pending.digest of GET /v1/connectors, and says which version was read")
    })?;
    let entry = who.entry(AuditAction::Consent, format!("{name} {read}"), None);
    let consented = api.host.plugins.consent(&name, read, entry).await;
    consented.map_err(|error| refused(&error))?;
    let rules: std::sync::Arc<Rules> = api.host.rules.load();
    let found = rules.connectors.get(&name);
    let found = found.ok_or_else(|| problem::not_found(format!("connector {name} is gone")))?;
    Ok(Json(connector(&name, found, &api.host.plugins.standings())))
}

fn refused(error: &ConsentError) -> Problem {
    let detail = chain(error);
    match error {
        ConsentError::Unknown { .. } => problem::not_found(detail),
        ConsentError::NothingPending { .. } => Problem::new(
            StatusCode::CONFLICT,
            "nothing-pending",
            "Nothing waits for consent",
            detail,
        ),
        ConsentError::Moved { waiting, .. } => Problem::new(
            StatusCode::CONFLICT,
            "another-version-waits",
            "Another version waits for consent",
            detail,
        )
        .with("waiting", waiting.to_string()),
        ConsentError::NotStored { .. } => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-stored",
            "The grant was not stored",
            detail,
        )
        .retry_after(5),
    }
}

fn connector(
    name: &ConnectorName,
    rules: &ConnectorRules,
    standings: &HashMap<ConnectorName, PluginStanding>,
) -> Value {
    let standing = standings.get(name);
    let serving = standing.and_then(|standing| standing.serving.as_ref());
    let descriptor = serving.map(|(serving, _)| &serving.descriptor);
    let entities: Vec<_> = descriptor
        .iter()
        .flat_map(|descriptor| descriptor.entities())
        .map(|entity| {
            json!({ "kind": entity.kind, "title": entity.title, "versioned": entity.versioned })
        })
        .collect();
    json!({
        "name": name.as_str(),
        "title": descriptor.map_or(name.as_str(), |descriptor| descriptor.title()),
        "url_path": format!("/in/{name}"),
        "url_problem": rules.entrance.as_ref().err().map(ToString::to_string),
        "plugin": standing.and_then(plugin),
        "scheme": scheme(rules, standing),
        "entities": entities,
        "state": standing.map_or("no-plugin", state),
        "pending": standing.and_then(|standing| standing.pending.as_ref()).map(pending),
    })
}

/// How requests are verified, in words.
fn scheme(rules: &ConnectorRules, standing: Option<&PluginStanding>) -> Option<String> {
    let described = || {
        let (serving, _) = standing?.serving.as_ref()?;
        serving.descriptor.scheme()
    };
    let door = rules.entrance.as_ref().ok().map(Entrance::door);
    let scheme = door.as_ref().and_then(|door| door.scheme());
    let scheme = scheme.or_else(described)?;
    Some(format!(
        "{} in {}",
        scheme.algorithm().text(),
        scheme.signature().describe()
    ))
}

fn plugin(standing: &PluginStanding) -> Option<Value> {
    let (serving, loaded) = standing.serving.as_ref()?;
    let capabilities = serving.plugin.capabilities();
    let capabilities = [
        ("mapper", capabilities.mapper),
        ("poller", capabilities.poller),
        ("lister", capabilities.lister),
    ];
    let capabilities: Vec<_> = capabilities
        .into_iter()
        .filter_map(|(name, has)| has.then_some(name))
        .collect();
    Some(json!({
        "path": standing.path.as_ref().map(|path| path.display().to_string()),
        "digest": serving.plugin.digest().to_string(),
        "loaded_at": loaded.to_string(),
        "capabilities": capabilities,
    }))
}

/// The word for how a connector's plugin stands.
fn state(standing: &PluginStanding) -> &'static str {
    match (&standing.serving, &standing.path, &standing.pending) {
        (Some(_), ..) => "serving",
        (None, None, _) => "no-plugin",
        (None, Some(_), Some(pending)) if !pending.differences.is_empty() => "refused",
        (None, Some(_), _) => "failed",
    }
}

fn pending(pending: &Pending) -> Value {
    json!({
        "digest": pending.digest.map(|digest| digest.to_string()),
        "problem": pending.problem,
        "differences": pending.differences,
        "fix": pending.fix,
    })
}
