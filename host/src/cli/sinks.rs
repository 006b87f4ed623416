//! `tidegate sinks`

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidegate_core::ids::SinkName;
use tidegate_core::time::Timestamp;

use super::Exit;
use super::api::Api;
use super::error::CliError;
use super::output::{Output, plain};
use super::query::Query;
use super::table::{Cell, Table};
use super::view::{age, list, number, text, tone};

/// List sinks: where changes go, and how far each has come
///
/// A sink runs, fails (one change at a time is tried until one goes through) or is paused
/// until a person resumes it. Its backlog is what the change log holds beyond its cursor;
/// OPEN counts changes that failed and are tried again, or wait behind one that did.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidegate sinks\n  \
    tidegate sinks pause app --reason 'moving its database'\n  \
    tidegate sinks resume app")]
pub(crate) struct SinksArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List sinks (what is done without an action)
    List,
    /// Stop deliveries to a sink; what comes meanwhile is kept for it
    Pause {
        /// The sink
        name: SinkName,
        /// Why; stands in the audit log
        #[arg(long)]
        reason: String,
    },
    /// Let a sink run again, from where it stands, and try at once what waits for its next attempt
    Resume {
        /// The sink
        name: SinkName,
        /// Why; stands in the audit log
        #[arg(long)]
        reason: Option<String>,
    },
}

pub(super) fn run(
    args: &SinksArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match &args.action {
        None | Some(Action::List) => show_all(api, now, output)?,
        Some(Action::Pause { name, reason }) => {
            switch(name, "pause", &json!({ "reason": reason }), api, output)?;
        }
        Some(Action::Resume { name, reason }) => {
            switch(name, "resume", &json!({ "reason": reason }), api, output)?;
        }
    }
    Ok(Exit::Done)
}

fn show_all(api: &Api, now: Timestamp, output: &mut Output) -> Result<(), CliError> {
    let answer = api.get(&Query::path(&["v1", "sinks"]))?;
    if output.json() {
        return output.line(answer.text.trim());
    }
    let mut table = Table::new([
        "NAME", "KIND", "STATE", "BACKLOG", "OLDEST", "OPEN", "DEAD", "CURSOR", "REASON",
    ]);
    for sink in list(&answer.value, "/items") {
        table.row(row(sink, now));
    }
    if table.is_empty() {
        output.note("no sinks; add [sinks.NAME] to the configuration");
        return Ok(());
    }
    table.write(output)
}

fn row(sink: &Value, now: Timestamp) -> [Cell; 9] {
    let state = text(sink, "/state");
    [
        Cell::text(text(sink, "/name")),
        Cell::text(text(sink, "/kind")),
        Cell::text(&state).tone(tone(&state)),
        Cell::number(number(sink, "/backlog")),
        Cell::text(age(sink, "/oldest_at", now)),
        Cell::number(number(sink, "/deliveries")),
        Cell::number(number(sink, "/dead")),
        Cell::number(text(sink, "/cursor")),
        Cell::text(reason(sink)),
    ]
}

/// Why it does not run; of one that runs, why some of it waits.
fn reason(sink: &Value) -> String {
    let why = ["/problem", "/reason", "/last_failure"].map(|pointer| text(sink, pointer));
    why.into_iter()
        .find(|why| !why.is_empty())
        .unwrap_or_default()
}

fn switch(
    name: &SinkName,
    action: &str,
    document: &Value,
    api: &Api,
    output: &mut Output,
) -> Result<(), CliError> {
    let path = Query::path(&["v1", "sinks", name.as_str(), action]);
    let answer = api.send(&path, document)?;
    if output.json() {
        return output.line(answer.text.trim());
    }
    let (state, backlog) = (
        text(&answer.value, "/state"),
        number(&answer.value, "/backlog"),
    );
    output.line(plain(&format!(
        "{name} is {state}, {backlog} changes behind"
    )))
}
