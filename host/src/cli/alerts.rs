//! `tidegate alerts`

use clap::Args;
use tidegate_core::time::Timestamp;

use super::Exit;
use super::api::Api;
use super::error::CliError;
use super::output::{Output, Tone};
use super::query::Query;
use super::table::{Cell, Table};
use super::view::{age, list, number, text};

/// List the alerts that stand
///
/// An alert opens once for each rule and subject, is repeated while it stands, and is
/// over once its condition has gone. Who is told stands in the configuration, under
/// [alerts.NAME]; without a channel they are seen here and in `tidegate status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidegate alerts\n  \
    tidegate alerts --json | jq -r '.items[].summary'")]
pub(crate) struct AlertsArgs {}

pub(super) fn run(
    _: &AlertsArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let answer = api.get(&Query::path(&["v1", "alerts"]))?;
    if output.json() {
        output.line(answer.text.trim())?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["RULE", "SUBJECT", "SINCE", "COUNT", "OLDEST", "SUMMARY"]);
    for alert in list(&answer.value, "/items") {
        table.row([
            Cell::text(text(alert, "/rule")).tone(Tone::Bad),
            Cell::text(text(alert, "/subject")),
            Cell::text(age(alert, "/since", now)),
            Cell::number(number(alert, "/count")),
            Cell::text(age(alert, "/oldest_at", now)),
            Cell::text(text(alert, "/summary")),
        ]);
    }
    if table.is_empty() {
        output.note("no alerts");
        return Ok(Exit::Done);
    }
    table.write(output)?;
    Ok(Exit::Done)
}
