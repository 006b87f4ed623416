//! The sections about partners: connectors and connections, with their schemes and
//! secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::descriptor::AccountRule;
use tidegate_core::document;
use tidegate_core::ids::{ConnectionId, ConnectorName};
use tidegate_core::ports::ConnectionRules;
use tidegate_core::signature::{EventIdRule, KeySet, Scheme};

use super::Surroundings;
use super::json::to_json;
use super::model::{ConnectionConfig, ConnectorConfig, Secrets};
use super::problem::Report;
use super::reader::{Entry, Section};
use super::secrets::secrets;
use super::sections::base_url;
use super::waivers::Placed;

/// Largest file with a scheme.
const SCHEME_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Largest settings of a connection, as JSON.
const SETTINGS_BYTES_MAX: usize = 64 * 1024;

/// What the configuration says about partners.
#[derive(Default)]
pub(super) struct Partners {
    pub(super) connectors: BTreeMap<ConnectorName, ConnectorConfig>,
    pub(super) connections: BTreeMap<ConnectionId, ConnectionConfig>,
}

/// Reads `[connectors.*]` and `[connections.*]`.
pub(super) fn read(
    root: &Section<'_>,
    surroundings: &Surroundings<'_>,
    waivers: &[Placed],
    report: &mut Report<'_>,
) -> Partners {
    let mut partners = Partners::default();
    // Those that were written, good or not, so that one mistake is reported once.
    let mut named = Vec::new();
    let mut accounts = Vec::new();
    if let Some(section) = root.section("connectors", report) {
        for (name, entry) in section.entries() {
            let name = match name.parse::<ConnectorName>() {
                Ok(name) => name,
                Err(error) => {
                    report.problem(entry.at, &entry.key, error);
                    continue;
                }
            };
            named.push(name.clone());
            if let Some(connector) = connector(entry, surroundings, report) {
                partners.connectors.insert(name, connector);
            }
        }
    }
    if let Some(section) = root.section("connections", report) {
        for (name, entry) in section.entries() {
            let Some(id) = connection_id(name, &entry, &named, report) else {
                continue;
            };
            accounts.push(id.clone());
            if let Some(connection) = connection(
                id.clone(),
                entry,
                &partners.connectors,
                surroundings,
                waivers.iter().find(|placed| placed.waiver.connection == id),
                report,
            ) {
                partners.connections.insert(id, connection);
            }
        }
    }
    for placed in waivers {
        if !accounts.contains(&placed.waiver.connection) {
            placed.no_connection(report);
        }
    }
    partners
}

fn connector(
    entry: Entry<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<ConnectorConfig> {
    let section = entry.into_section(report)?;
    section.check_keys(
        &[
            "plugin", "preset", "scheme", "event_id", "account", "secrets",
        ],
        report,
    );
    if let Some(preset) = section.entry("preset") {
        let message = "this version ships no presets; describe the scheme with \
                       scheme = { … } or scheme = \"FILE.json\"";
        report.problem(preset.at, &preset.key, message);
    }
    let plugin = section.parsed("plugin", report, |text| match text {
        "" => Err("is empty; name the plugin's .wasm file"),
        _ => Ok(surroundings.folder.join(text)),
    });
    let (scheme, event_id) = signing(&section, surroundings, report);
    let account = section.entry("account").and_then(|entry| {
        let json = to_json(entry.item, &entry.key, entry.at, report)?;
        rule(&json, &entry, AccountRule::parse, report)
    });
    let sourceless = ["plugin", "preset", "scheme"]
        .iter()
        .all(|key| section.entry(key).is_none());
    if sourceless && !surroundings.recovered {
        let message = "has neither a plugin nor a scheme: add plugin = \"FILE.wasm\", \
                       or scheme = { … } to receive without one";
        report.problem(section.at(), section.path(), message);
    }
    if let Some(plugin) = plugin.as_ref().filter(|plugin| !plugin.is_file()) {
        let at = section
            .entry("plugin")
            .map_or(section.at(), |entry| entry.at);
        let message = format!(
            "{} is not there yet; it is loaded once it is",
            plugin.display()
        );
        report.warning(at, &format!("{}.plugin", section.path()), message);
    }
    let secrets = secrets(&section, surroundings, report);
    check_keys_fit(scheme.as_ref(), &secrets, &section, report);
    Some(ConnectorConfig {
        plugin,
        scheme,
        event_id,
        account,
        secrets,
    })
}

fn connection_id(
    name: &str,
    entry: &Entry<'_>,
    connectors: &[ConnectorName],
    report: &mut Report<'_>,
) -> Option<ConnectionId> {
    let id: ConnectionId = match name.parse() {
        Ok(id) => id,
        Err(error) => {
            let hint = if name.contains('/') {
                ""
            } else {
                "; write [connections.\"connector/account\"]"
            };
            report.problem(entry.at, &entry.key, format!("{error}{hint}"));
            return None;
        }
    };
    if !connectors.contains(&id.connector) {
        let connector = id.connector.as_str();
        let meant = document::nearest(connector, connectors.iter().map(ConnectorName::as_str));
        let hint = match meant {
            Some(meant) => format!(", or did you mean \"{meant}/{}\"?", id.account),
            None => String::new(),
        };
        report.problem(
            entry.at,
            &entry.key,
            format!(
                "connector \"{connector}\" is not configured — add [connectors.{connector}] with a plugin or a scheme{hint}"
            ),
        );
    }
    Some(id)
}

fn connection(
    id: ConnectionId,
    entry: Entry<'_>,
    connectors: &BTreeMap<ConnectorName, ConnectorConfig>,
    surroundings: &Surroundings<'_>,
    waiver: Option<&Placed>,
    report: &mut Report<'_>,
) -> Option<ConnectionConfig> {
    let section = entry.into_section(report)?;
    section.check_keys(
        &["secrets", "base_url", "settings", "scheme", "event_id"],
        report,
    );
    let (scheme, event_id) = signing(&section, surroundings, report);
    let secrets = secrets(&section, surroundings, report);
    let connector = connectors.get(&id.connector);
    let applied = scheme
        .as_ref()
        .or(connector.and_then(|connector| connector.scheme.as_ref()));
    check_keys_fit(applied, &secrets, &section, report);
    let shared = connector.is_some_and(|connector| !connector.secrets.webhook.is_empty());
    let verifies = shared || !secrets.webhook.is_empty();
    match waiver {
        Some(waiver) if verifies => waiver.not_needed(report),
        Some(waiver) => waiver.stands(report),
        None => {}
    }
    if !verifies && waiver.is_none() {
        let message = "has no secrets.webhook: every webhook for it is answered 401";
        report.warning(section.at(), section.path(), message);
    }
    let base_url = section.parsed("base_url", report, base_url).map(Arc::from);
    let settings = settings(&section, report);
    let rules = Arc::new(ConnectionRules::new(base_url, settings));
    Some(ConnectionConfig {
        id,
        scheme,
        event_id,
        secrets,
        rules,
    })
}

fn settings(section: &Section<'_>, report: &mut Report<'_>) -> Bytes {
    let empty = Bytes::from_static(b"{}");
    let Some(entry) = section.entry("settings") else {
        return empty;
    };
    if entry.item.as_table_like().is_none() {
        entry.wrong_kind("a table", report);
        return empty;
    }
    let json = to_json(entry.item, &entry.key, entry.at, report).map(|json| json.to_string());
    match json {
        Some(json) if json.len() <= SETTINGS_BYTES_MAX => json.into(),
        Some(json) => {
            let message = format!(
                "has {} bytes as JSON, and may have {SETTINGS_BYTES_MAX}",
                json.len()
            );
            report.problem(entry.at, &entry.key, message);
            empty
        }
        None => empty,
    }
}

/// How requests prove themselves, and where the partner's id of an event is.
fn signing(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> (Option<Scheme>, Option<EventIdRule>) {
    let scheme = scheme(section, surroundings, report);
    let of_scheme = scheme.as_ref().filter(|(_, has_event_id)| *has_event_id);
    let of_scheme = of_scheme.map(|(scheme, _)| scheme.event_id().clone());
    let event_id = section.entry("event_id").and_then(|entry| {
        let json = match entry.item.as_str() {
            // TOML has no null, by which the JSON form says that a partner sends no id.
            Some("none") => Some(serde_json::Value::Null),
            _ => to_json(entry.item, &entry.key, entry.at, report),
        };
        rule(&json?, &entry, EventIdRule::parse, report)
    });
    let event_id = event_id.or(of_scheme);
    let scheme = scheme.map(|(scheme, _)| scheme);
    if let (Some(scheme), Some(event_id)) = (scheme.clone(), event_id.clone())
        && let Err(problems) = scheme.replace_event_id(event_id)
    {
        report.problem(
            section.at(),
            &format!("{}.event_id", section.path()),
            problems,
        );
    }
    (scheme, event_id)
}

/// The scheme, and whether its document has an event-id rule.
fn scheme(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<(Scheme, bool)> {
    let entry = section.entry("scheme")?;
    let json = match entry.item.as_str() {
        Some(path) => match scheme_file(&surroundings.folder.join(path)) {
            Ok(json) => json,
            Err(error) => {
                report.problem(entry.at, &entry.key, error);
                return None;
            }
        },
        None => to_json(entry.item, &entry.key, entry.at, report)?,
    };
    let has_event_id = json.get("event_id").is_some();
    let scheme = rule(&json, &entry, Scheme::parse, report)?;
    if let Err(unsupported) = scheme.check_supported() {
        report.problem(entry.at, &entry.key, unsupported);
    }
    Some((scheme, has_event_id))
}

fn scheme_file(path: &std::path::Path) -> Result<serde_json::Value, String> {
    let text = super::read_bounded(path, SCHEME_FILE_BYTES_MAX)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_slice(&text)
        .map_err(|error| format!("{} is not JSON: {error}", path.display()))
}

/// Reads a document that stands in the configuration; its problems point into it.
fn rule<T>(
    json: &serde_json::Value,
    entry: &Entry<'_>,
    parse: fn(&serde_json::Value) -> Result<T, document::Problems>,
    report: &mut Report<'_>,
) -> Option<T> {
    match parse(json) {
        Ok(rule) => Some(rule),
        Err(problems) => {
            for problem in problems.as_slice() {
                let key = format!("{}{}", entry.key, problem.pointer.replace('/', "."));
                report.problem(entry.find(&problem.pointer), &key, &problem.message);
            }
            None
        }
    }
}

/// Where the scheme is known already, secrets that do not fit it are found already.
fn check_keys_fit(
    scheme: Option<&Scheme>,
    secrets: &Secrets,
    section: &Section<'_>,
    report: &mut Report<'_>,
) {
    let Some(scheme) = scheme.filter(|scheme| scheme.check_supported().is_ok()) else {
        return;
    };
    let keys = secrets.webhook.iter().cloned();
    if let Err(error) = KeySet::prepare(scheme, keys) {
        let path: String = format!("{}.secrets.webhook", section.path());
        report.problem(section.at(), &path, error);
    }
}
