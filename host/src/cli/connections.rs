//! `tidegate connections`

use clap::Args;
use serde_json::Value;
use tidegate_core::time::Timestamp;

use super::Exit;
use super::api::Api;
use super::error::CliError;
use super::events::{Paging, note_next};
use super::output::Output;
use super::query::Query;
use super::table::{Cell, Table};
use super::view::{age, list, text, tone};

/// List connections: accounts at partners, with the path of their webhooks
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidegate connections\n  \
    tidegate connections --json | jq -r '.items[].url_path'")]
pub(crate) struct ConnectionsArgs {
    #[command(flatten)]
    paging: Paging,
}

pub(super) fn run(
    args: &ConnectionsArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let answer = api.get(&args.paging.apply(Query::path(&["v1", "connections"])))?;
    if output.json() {
        output.line(answer.text.trim())?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        "CONNECTION",
        "STATE",
        "PATH",
        "SECRETS",
        "LAST EVENT",
        "SOURCE",
    ]);
    for connection in list(&answer.value, "/items") {
        table.row(row(connection, now));
    }
    if table.is_empty() {
        output.note("no connections; add [connections.\"connector/account\"] to the configuration");
        return Ok(Exit::Done);
    }
    table.write(output)?;
    note_next(&answer.value, output);
    Ok(Exit::Done)
}

fn row(connection: &Value, now: Timestamp) -> [Cell; 6] {
    let state = text(connection, "/state");
    let secrets = connection.pointer("/secrets").and_then(Value::as_object);
    let secrets: Vec<String> = secrets
        .into_iter()
        .flatten()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    [
        Cell::text(format!(
            "{}/{}",
            text(connection, "/connector"),
            text(connection, "/account")
        )),
        Cell::text(&state).tone(tone(&state)),
        Cell::text(text(connection, "/url_path")),
        Cell::text(secrets.join(", ")),
        Cell::text(age(connection, "/last_event_at", now)),
        Cell::text(text(connection, "/source")),
    ]
}
