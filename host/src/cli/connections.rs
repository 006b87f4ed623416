//! `tidegate connections`

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidegate_core::ids::ConnectionId;
use tidegate_core::time::Timestamp;

use super::Exit;
use super::api::Api;
use super::error::CliError;
use super::events::{Paging, note_next};
use super::output::{Output, plain};
use super::query::Query;
use super::table::{Cell, Table};
use super::view::{age, list, number, text, tone};

/// List connections: accounts at partners, with the path of their webhooks
///
/// A paused connection takes webhooks on; what the host does for it beyond that rests
/// until it is resumed. The host pauses one whose credentials the partner refuses.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
    tidegate connections\n  \
    tidegate connections pause github/acme --reason 'they are migrating'\n  \
    tidegate connections await-secret asana/acme --for 10m\n  \
    tidegate connections --json | jq -r '.items[].url_path'"
)]
pub(crate) struct ConnectionsArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Let what the host does for a connection rest
    Pause {
        /// The connection, like github/acme
        id: ConnectionId,
        /// Why; stands in the audit log
        #[arg(long)]
        reason: String,
    },
    /// Let it take its partner's secret for a while, for handshakes that hand one over
    ///
    /// The first secret that comes within that time is kept, whoever sends it: begin the
    /// handshake at the partner at once, and keep the time short.
    AwaitSecret {
        /// The connection, like asana/acme
        id: ConnectionId,
        /// For how long: 10m, 1h; at most 24h
        #[arg(long = "for", value_name = "SPAN", default_value = "10m")]
        span: String,
        /// Why; stands in the audit log
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let it go on: what waited is due at once
    Resume {
        /// The connection, like github/acme
        id: ConnectionId,
        /// Why; stands in the audit log
        #[arg(long)]
        reason: Option<String>,
    },
}

pub(super) fn run(
    args: &ConnectionsArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match &args.action {
        None => show_all(args, api, now, output),
        Some(Action::Pause { id, reason }) => {
            switch(id, "pause", &json!({ "reason": reason }), api, output)
        }
        Some(Action::AwaitSecret { id, span, reason }) => {
            await_secret(id, span, reason.as_deref(), api, output)
        }
        Some(Action::Resume { id, reason }) => {
            switch(id, "resume", &json!({ "reason": reason }), api, output)
        }
    }
}

fn switch(
    id: &ConnectionId,
    action: &str,
    document: &Value,
    api: &Api,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let (connector, account) = (id.connector.as_str(), id.account.as_str());
    let path = Query::path(&["v1", "connections", connector, account, action]);
    let answer = api.send(&path, document)?;
    if output.json() {
        output.line(answer.text.trim())?;
    } else if action == "pause" {
        output.line(plain(&format!("{id} is paused")))?;
    } else {
        let queued = number(&answer.value, "/queued");
        output.line(plain(&format!("{id} goes on, {queued} tasks are due")))?;
    }
    Ok(Exit::Done)
}

fn await_secret(
    id: &ConnectionId,
    span: &str,
    reason: Option<&str>,
    api: &Api,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let (connector, account) = (id.connector.as_str(), id.account.as_str());
    let path = Query::path(&["v1", "connections", connector, account, "await-secret"]);
    let answer = api.send(&path.with("for", span), &json!({ "reason": reason }))?;
    if output.json() {
        output.line(answer.text.trim())?;
    } else {
        let until = text(&answer.value, "/awaits_secret_until");
        let path = text(&answer.value, "/url_path");
        let said = format!("{id} takes its partner's secret at {path} until {until}");
        output.line(plain(&said))?;
    }
    Ok(Exit::Done)
}

fn show_all(
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
    for connection in list(&answer.value, "/items") {
        note_waiver(connection, output);
    }
    note_next(&answer.value, output);
    Ok(Exit::Done)
}

/// A door that is open to anyone is said each time.
fn note_waiver(connection: &Value, output: &mut Output) {
    let reason = text(connection, "/waiver/reason");
    if reason.is_empty() {
        return;
    }
    let (name, until) = (name(connection), text(connection, "/waiver/until"));
    let note = match text(connection, "/waiver/state").as_str() {
        "in-force" => format!("{name} is not verified until {until}: {reason}"),
        _ => format!("the waiver of {name} was over on {until}: {reason}"),
    };
    output.note(plain(&note));
}

fn name(connection: &Value) -> String {
    let (connector, account) = (text(connection, "/connector"), text(connection, "/account"));
    format!("{connector}/{account}")
}

fn row(connection: &Value, now: Timestamp) -> [Cell; 6] {
    let state = match text(connection, "/paused/since") {
        since if !since.is_empty() => "paused".to_owned(),
        _ if text(connection, "/waiver/state") == "in-force" => "waived".to_owned(),
        _ => text(connection, "/state"),
    };
    let secrets = connection.pointer("/secrets").and_then(Value::as_object);
    let secrets: Vec<String> = secrets
        .into_iter()
        .flatten()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    [
        Cell::text(name(connection)),
        Cell::text(&state).tone(tone(&state)),
        Cell::text(text(connection, "/url_path")),
        Cell::text(secrets.join(", ")),
        Cell::text(age(connection, "/last_event_at", now)),
        Cell::text(text(connection, "/source")),
    ]
}
