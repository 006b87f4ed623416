//! `tidegate audit`

use clap::Args;
use tidegate_core::time::Timestamp;

use super::Exit;
use super::api::Api;
use super::error::CliError;
use super::events::{Paging, note_next};
use super::output::Output;
use super::query::Query;
use super::table::{Cell, Table};
use super::view::{age, list, number, text};

/// Show who did what to durable work, and why; newest first
///
/// Every replay, discard, pause, resumption and consent is written down with the name of
/// the operator token that was used. The newest 100,000 entries are kept.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidegate audit\n  tidegate audit --limit 1000 --json")]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    paging: Paging,
}

pub(super) fn run(
    args: &AuditArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let answer = api.get(&args.paging.apply(Query::path(&["v1", "audit"])))?;
    if output.json() {
        output.line(answer.text.trim())?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["AT", "WHO", "ACTION", "SUBJECT", "COUNT", "REASON"]);
    for entry in list(&answer.value, "/items") {
        table.row([
            Cell::text(age(entry, "/at", now)),
            Cell::text(text(entry, "/who")),
            Cell::text(text(entry, "/action")),
            Cell::text(text(entry, "/subject")),
            Cell::number(number(entry, "/count")),
            Cell::text(text(entry, "/reason")),
        ]);
    }
    if table.is_empty() {
        output.note("nobody has done anything yet");
        return Ok(Exit::Done);
    }
    table.write(output)?;
    note_next(&answer.value, output);
    Ok(Exit::Done)
}
