//! The sections about partners: connectors and connections, with their schemes and
//! secrets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_core::descriptor::AccountRule;
use tidegate_core::document;
use tidegate_core::ids::{ConnectionId, ConnectorName};
use tidegate_core::ports::ConnectionRules;
use tidegate_core::signature::{Handshake, KeySet, Preset, SchemeConfig};

use super::Surroundings;
use super::json::to_json;
use super::model::{ConnectionConfig, ConnectorConfig, Secrets};
use super::problem::Report;
use super::reader::{Entry, Section};
use super::secrets::secrets;
use super::sections::base_url;
use super::signing::{rule, signing};
use super::waivers::Placed;

/// Largest settings of a connection, as JSON.
const SETTINGS_BYTES_MAX: usize = 64 * 1024;

/// What the configuration says about partners.
#[derive(Default)]
pub(super) struct Partners {
    pub(super) connectors: BTreeMap<ConnectorName, ConnectorConfig>,
    pub(super) connections: BTreeMap<ConnectionId, ConnectionConfig>,
}

impl Partners {
    /// The longest time for which one of their presets says that an event is sent again.
    pub(super) fn longest_horizon(&self) -> Option<(&str, Duration)> {
        let connectors = self.connectors.values().map(|one| &one.signing);
        let connections = self.connections.values().map(|one| &one.signing);
        let presets = connectors
            .chain(connections)
            .filter_map(|signing| signing.preset.as_deref());
        let horizons = presets.filter_map(|preset| {
            let horizon = Duration::from_secs(preset.retry_horizon_s()?);
            Some((preset.title(), horizon))
        });
        horizons.max_by_key(|(_, horizon)| *horizon)
    }
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
            "plugin", "preset", "scheme", "event_id", "config", "account", "secrets",
        ],
        report,
    );
    let plugin = section.parsed("plugin", report, |text| match text {
        "" => Err("is empty; name the plugin's .wasm file"),
        _ => Ok(surroundings.folder.join(text)),
    });
    let signing = signing(&section, surroundings, report);
    let account = section.entry("account").and_then(|entry| {
        let json = to_json(entry.item, &entry.key, entry.at, report)?;
        rule(&json, &entry, AccountRule::parse, report)
    });
    let sourceless = ["plugin", "preset", "scheme"]
        .iter()
        .all(|key| section.entry(key).is_none());
    if sourceless && !surroundings.recovered {
        let message = "has neither a plugin nor a scheme: add plugin = \"FILE.wasm\", \
                       or preset = \"NAME\" or scheme = { … } to receive without one";
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
    let config = signing.config.clone().into();
    check_keys_fit(
        signing.preset.as_deref(),
        &secrets,
        &config,
        &section,
        report,
    );
    Some(ConnectorConfig {
        plugin,
        signing,
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
        &[
            "secrets", "base_url", "settings", "preset", "scheme", "event_id", "config",
        ],
        report,
    );
    let signing = signing(&section, surroundings, report);
    let secrets = secrets(&section, surroundings, report);
    let connector = connectors.get(&id.connector);
    let shared_signing = connector.map(|connector| &connector.signing);
    let preset = signing
        .preset
        .as_deref()
        .or(shared_signing.and_then(|shared| shared.preset.as_deref()));
    let config = signing.config_over(shared_signing);
    check_keys_fit(preset, &secrets, &config, &section, report);
    if let Some(preset) = preset {
        let tokens: Vec<&Secrets> = std::iter::once(&secrets)
            .chain(connector.map(|connector| &connector.secrets))
            .collect();
        check_complete(preset, &config, &tokens, &section, report);
    }
    let shared = connector.is_some_and(|connector| !connector.secrets.webhook.is_empty());
    let verifies = shared || !secrets.webhook.is_empty();
    match waiver {
        Some(waiver) if verifies => waiver.not_needed(report),
        Some(waiver) => waiver.stands(report),
        None => {}
    }
    let fetched = preset.is_some_and(|preset| preset.scheme().fetches_keys());
    let awaited =
        preset.is_some_and(|preset| preset.handshakes().iter().any(Handshake::stores_secret));
    if !verifies && waiver.is_none() && !fetched && !awaited {
        let message = "has no secrets.webhook: every webhook for it is answered 503";
        report.warning(section.at(), section.path(), message);
    }
    let base_url = section.parsed("base_url", report, base_url).map(Arc::from);
    let settings = settings(&section, report);
    let rules = Arc::new(ConnectionRules::new(base_url, settings));
    Some(ConnectionConfig {
        id,
        signing,
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

/// Where the scheme is known already, secrets that do not fit it are found already.
fn check_keys_fit(
    preset: Option<&Preset>,
    secrets: &Secrets,
    config: &SchemeConfig,
    section: &Section<'_>,
    report: &mut Report<'_>,
) {
    let Some(scheme) = preset
        .map(Preset::scheme)
        .filter(|scheme| scheme.check_supported().is_ok())
    else {
        return;
    };
    let keys = secrets.webhook.iter().cloned();
    if let Err(error) = KeySet::prepare_with(scheme, keys, config) {
        let path: String = format!("{}.secrets.webhook", section.path());
        report.problem(section.at(), &path, error);
    }
}

/// What the scheme or its handshakes need and the section does not give.
fn check_complete(
    preset: &Preset,
    config: &SchemeConfig,
    tokens: &[&Secrets],
    section: &Section<'_>,
    report: &mut Report<'_>,
) {
    for value in preset.config() {
        if config.get(&value.name).is_none() {
            let message = format!("lacks {:?}: {}", value.name, value.what);
            report.problem(section.at(), &format!("{}.config", section.path()), message);
        }
    }
    for handshake in preset.handshakes() {
        let Some(name) = handshake.token_name() else {
            continue;
        };
        if !tokens
            .iter()
            .any(|secrets| secrets.other.contains_key(name))
        {
            let message = format!(
                "lacks {name:?}, the token that the partner asks the endpoint with: its {} is refused until it is there",
                handshake.kind()
            );
            report.warning(
                section.at(),
                &format!("{}.secrets", section.path()),
                message,
            );
        }
    }
}
