//! `tidegate replays`

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
use super::view::{age, list, number, text};

/// List the replays by filter: who asked for them and why, and how far they are; newest first
///
/// One of named dead letters or events is done at once, and stands in `tidegate audit` only.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidegate replays\n  \
    tidegate replays --json | jq -r '.items[] | [.id, .who, .reason] | @tsv'")]
pub(crate) struct ReplaysArgs {
    #[command(flatten)]
    paging: Paging,
}

pub(super) fn run(
    args: &ReplaysArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let answer = api.get(&args.paging.apply(Query::path(&["v1", "replays"])))?;
    if output.json() {
        output.line(answer.text.trim())?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        "ID", "BEGAN", "WHO", "STATE", "TOTAL", "QUEUED", "PASSED", "FILTER", "REASON",
    ]);
    for replay in list(&answer.value, "/items") {
        table.row([
            Cell::text(text(replay, "/id")),
            Cell::text(age(replay, "/began_at", now)),
            Cell::text(text(replay, "/who")),
            Cell::text(text(replay, "/state")),
            Cell::number(number(replay, "/total")),
            Cell::number(number(replay, "/queued")),
            Cell::number(number(replay, "/passed")),
            Cell::text(filter_text(replay)),
            Cell::text(text(replay, "/reason")),
        ]);
    }
    if table.is_empty() {
        output.note("nothing has been replayed by a filter");
        return Ok(Exit::Done);
    }
    table.write(output)?;
    note_next(&answer.value, output);
    Ok(Exit::Done)
}

/// A filter in the words of the command line's options.
fn filter_text(replay: &Value) -> String {
    let members = replay.pointer("/filter").and_then(Value::as_object);
    let words = members.into_iter().flatten();
    let words = words.map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or_default()));
    words.collect::<Vec<_>>().join(", ")
}
