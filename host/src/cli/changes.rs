//! `tidegate changes`

use clap::Args;
use serde_json::Value;
use tidegate_core::ids::{ConnectionId, ConnectorName};
use tidegate_core::limits::PAGE_ROWS_MAX;
use tidegate_core::time::Timestamp;

use super::Exit;
use super::api::{Answer, Api};
use super::error::CliError;
use super::follow;
use super::output::{Output, plain};
use super::query::Query;
use super::table::{Cell, Table};
use super::view::{age, list, text};

/// Changes that a reader who follows is shown from before it came.
const BACKLOG: u64 = 10;

/// Read the change log, oldest first, and follow it
///
/// The change log is what all consumers read: every change that went out, in one order
/// without gaps. A reader keeps the number of the last change it has seen, its cursor,
/// and continues after it. Following reconnects by itself and continues where it was.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidegate changes --follow\n  \
    tidegate changes --since 120 --limit 50\n  \
    tidegate changes --follow --entity issue --json | jq .entity.id")]
pub(crate) struct ChangesArgs {
    /// Continue after this change; 0 begins at the first one that is kept [default: 0, or
    /// the last ten where it follows]
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
    /// Keep reading as changes are made, until Ctrl-C
    #[arg(long, short, conflicts_with = "limit")]
    follow: bool,
    /// How many to show
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=PAGE_ROWS_MAX as u64))]
    limit: Option<u64>,
    /// Only of this connector
    #[arg(long, value_name = "NAME")]
    connector: Option<ConnectorName>,
    /// Only of this connection, like github/acme
    #[arg(long, value_name = "CONNECTION")]
    connection: Option<ConnectionId>,
    /// Only of this kind of entity, or of one entity: KIND or KIND/ID
    #[arg(long, value_name = "ENTITY")]
    entity: Option<String>,
}

impl ChangesArgs {
    /// The resource with its filters, without a place to begin.
    fn query(&self) -> Query {
        Query::path(&["v1", "changes"])
            .with_some(
                "connector",
                self.connector.as_ref().map(ConnectorName::as_str),
            )
            .with_some(
                "connection",
                self.connection.as_ref().map(ToString::to_string),
            )
            .with_some("entity", self.entity.as_ref())
    }
}

pub(super) fn run(
    args: &ChangesArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit, CliError> {
    if args.follow {
        let since = match args.since {
            Some(since) => since,
            None => newest(api)?.saturating_sub(BACKLOG),
        };
        follow::run(api, &args.query(), since, output)?;
    } else {
        show_page(args, api, now, output)?;
    }
    Ok(Exit::Done)
}

/// The number of the last change.
fn newest(api: &Api) -> Result<u64, CliError> {
    let status = api.get(&Query::path(&["v1", "status"]))?;
    Ok(text(&status.value, "/changes/newest").parse().unwrap_or(0))
}

fn show_page(
    args: &ChangesArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<(), CliError> {
    let answer = page(args, api)?;
    if output.json() {
        return output.line(answer.text.trim());
    }
    let changes = list(&answer.value, "/changes");
    let mut table = Table::new([
        "SEQ",
        "COMMITTED",
        "CONNECTION",
        "OPERATION",
        "KIND",
        "ID",
        "VERSION",
        "ORIGIN",
    ]);
    for change in changes {
        table.row([
            Cell::number(text(change, "/seq")),
            Cell::text(age(change, "/committed_at", now)),
            Cell::text(text(change, "/connection")),
            Cell::text(text(change, "/operation")),
            Cell::text(text(change, "/entity/kind")),
            Cell::text(text(change, "/entity/id")),
            Cell::text(text(change, "/version")),
            Cell::text(text(change, "/origin")),
        ]);
    }
    let next = text(&answer.value, "/next");
    if table.is_empty() {
        output.note(format_args!("no changes after {}", plain(&next)));
        return Ok(());
    }
    table.write(output)?;
    output.note(format_args!("continue: --since {}", plain(&next)));
    Ok(())
}

/// A page. One who does not say where to begin means the oldest change that is kept.
fn page(args: &ChangesArgs, api: &Api) -> Result<Answer, CliError> {
    let ask = |since: u64| {
        let limit = args.limit.map(|limit| limit.to_string());
        api.get(
            &args
                .query()
                .with("since", since.to_string())
                .with_some("limit", limit),
        )
    };
    match ask(args.since.unwrap_or(0)) {
        Err(CliError::Refused { problem, .. })
            if args.since.is_none() && problem.oldest.is_some() =>
        {
            ask(problem.oldest.unwrap_or(0).saturating_sub(1))
        }
        answer => answer,
    }
}

/// One change as one line, for a reader who follows.
pub(super) fn line(change: &Value) -> String {
    let parts = [
        "/seq",
        "/connection",
        "/operation",
        "/entity/kind",
        "/entity/id",
    ];
    let [seq, connection, operation, kind, id] = parts.map(|pointer| text(change, pointer));
    columns([&seq, &connection, &operation, &kind, &id])
}

/// What stands above such lines.
pub(super) fn line_head() -> String {
    columns(["SEQ", "CONNECTION", "OPERATION", "KIND", "ID"])
}

/// Of widths that hold mostly: what is to come is not known.
fn columns([seq, connection, operation, kind, id]: [&str; 5]) -> String {
    format!("{seq:>8}  {connection:<20}  {operation:<9}  {kind} {id}")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::super::{Cli, ClientCommand, Command};
    use super::*;

    #[track_caller]
    fn check_query(options: &[&str], expected: &str) {
        let line = ["tidegate", "changes"].iter().chain(options);
        let Command::Client(ClientCommand::Changes(args)) =
            Cli::try_parse_from(line).unwrap().command
        else {
            panic!("changes")
        };
        assert_eq!(args.query().as_str(), expected);
    }

    #[test]
    fn filters_become_parameters() {
        check_query(&[], "/v1/changes");
        check_query(
            &["--entity", "issue/a b"],
            "/v1/changes?entity=issue%2Fa%20b",
        );
        check_query(
            &["--connector", "github", "--connection", "github/acme"],
            "/v1/changes?connector=github&connection=github%2Facme",
        );
    }

    #[test]
    fn a_change_is_one_line() {
        let change = json!({"seq": "12", "connection": "github/acme", "operation": "upsert",
                            "entity": {"kind": "issue", "id": "acme/x#1"}});
        assert_eq!(
            line(&change),
            "      12  github/acme           upsert     issue acme/x#1"
        );
        assert_eq!(
            line_head(),
            "     SEQ  CONNECTION            OPERATION  KIND ID"
        );
    }
}
