//! `tidegate connectors`

use clap::{Args, Subcommand};
use serde_json::Value;
use tidegate_core::ids::{ConnectorName, PluginDigest};

use super::Exit;
use super::api::Api;
use super::error::CliError;
use super::output::{Output, Tone, plain};
use super::query::Query;
use super::table::{Cell, Table};
use super::view::{list, text, tone};

/// List connectors and their plugins, or consent to what a plugin asks for
///
/// A plugin asks for a signature scheme, an event-id rule, hosts and the use of
/// credentials; the operator grants them. A new version that asks for more or other
/// things waits, while the old one serves on, until it is consented to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidegate connectors                           # names what a waiting version asks for\n  \
    tidegate connectors consent github sha256:…   # to the version that was read")]
pub(crate) struct ConnectorsArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List connectors (what is done without an action)
    List,
    /// Grant what the waiting version of a connector's plugin asks for, and activate it
    Consent {
        /// The connector
        name: ConnectorName,
        /// The digest of the version that you have read about, as `tidegate connectors`
        /// names it; another one that waits by now is not consented to
        digest: PluginDigest,
    },
}

pub(super) fn run(args: &ConnectorsArgs, api: &Api, output: &mut Output) -> Result<Exit, CliError> {
    match &args.action {
        None | Some(Action::List) => show_all(api, output)?,
        Some(Action::Consent { name, digest }) => consent(name, *digest, api, output)?,
    }
    Ok(Exit::Done)
}

fn show_all(api: &Api, output: &mut Output) -> Result<(), CliError> {
    let answer = api.get(&Query::path(&["v1", "connectors"]))?;
    if output.json() {
        return output.line(answer.text.trim());
    }
    let connectors = list(&answer.value, "/items");
    let mut table = Table::new(["NAME", "STATE", "PLUGIN", "DIGEST", "SCHEME", "ENTITIES"]);
    for connector in connectors {
        table.row(row(connector));
    }
    if table.is_empty() {
        output.note("no connectors; add [connectors.NAME] to the configuration");
        return Ok(());
    }
    table.write(output)?;
    connectors
        .iter()
        .try_for_each(|connector| write_pending(connector, output))
}

fn row(connector: &Value) -> [Cell; 6] {
    let state = text(connector, "/state");
    let kinds: Vec<String> = list(connector, "/entities")
        .iter()
        .map(|entity| entity_kind(entity).to_owned())
        .collect();
    [
        Cell::text(text(connector, "/name")),
        Cell::text(&state).tone(tone(&state)),
        Cell::text(text(connector, "/plugin/path")),
        Cell::text(short_digest(&text(connector, "/plugin/digest"))),
        Cell::text(text(connector, "/scheme")),
        Cell::text(kinds.join(", ")),
    ]
}

/// An entity kind stands as its name, or as a document with one.
fn entity_kind(entity: &Value) -> &str {
    entity
        .as_str()
        .or_else(|| entity.get("kind")?.as_str())
        .unwrap_or_default()
}

fn write_pending(connector: &Value, output: &mut Output) -> Result<(), CliError> {
    if connector.pointer("/pending").is_none_or(Value::is_null) {
        return Ok(());
    }
    let name = text(connector, "/name");
    let digest = short_digest(&text(connector, "/pending/digest"));
    let what = if digest.is_empty() {
        "the plugin file"
    } else {
        &digest
    };
    let problem = text(connector, "/pending/problem");
    let head = output
        .paint(
            Tone::Attention,
            &plain(&format!("{name}: {what} does not serve: {problem}")),
        )
        .into_owned();
    output.line(format_args!("\n{head}"))?;
    for difference in list(connector, "/pending/differences") {
        let words = difference
            .as_str()
            .map_or_else(|| difference.to_string(), str::to_owned);
        output.line(format_args!("  - {}", plain(&words)))?;
    }
    let fix = text(connector, "/pending/fix");
    if fix.is_empty() {
        Ok(())
    } else {
        output.line(format_args!("  fix: {}", plain(&fix)))
    }
}

fn consent(
    name: &ConnectorName,
    digest: PluginDigest,
    api: &Api,
    output: &mut Output,
) -> Result<(), CliError> {
    let path = Query::path(&["v1", "connectors", name.as_str(), "consent"]);
    let answer = api.post(&path.with("digest", digest.to_string()))?;
    if output.json() {
        return output.line(answer.text.trim());
    }
    let digest = short_digest(&text(&answer.value, "/plugin/digest"));
    let state = text(&answer.value, "/state");
    output.line(plain(&format!("{name}: granted; {digest} is {state}")))
}

/// Enough of a digest to tell versions apart.
pub(super) fn short_digest(digest: &str) -> String {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.chars().take(12).collect()
}
