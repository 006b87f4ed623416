//! `tidegate events`

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;
use tidegate_core::ids::{ConnectionId, ConnectorName, EventId, PluginDigest};
use tidegate_core::limits::PAGE_ROWS_MAX;
use tidegate_core::time::Timestamp;

use super::Exit;
use super::api::Api;
use super::connectors::short_digest;
use super::error::CliError;
use super::output::{Output, Tone, plain, plain_lines};
use super::query::Query;
use super::table::{Cell, Facts, Table};
use super::view::{age, bytes, list, number, text, tone};

/// Characters of a body that are shown to a person.
const BODY_CHARS_MAX: usize = 4_000;

/// List events, newest first, or show one with its attempts and changes
///
/// An event is one fact that a partner reported. It ends as mapped, as skipped with a
/// reason, or as a dead letter; until then it is pending, or fetching where entities
/// that it names are still to be fetched.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidegate events\n  \
    tidegate events --connection github/acme --state dead\n  \
    tidegate events evt_000000000000002a")]
pub(crate) struct EventsArgs {
    /// Show this event
    #[arg(conflicts_with_all = ["connection", "connector", "state", "from", "until", "plugin", "limit", "cursor"])]
    id: Option<EventId>,
    /// Only of this connection, like github/acme
    #[arg(long, value_name = "CONNECTION")]
    connection: Option<ConnectionId>,
    /// Only of this connector
    #[arg(long, value_name = "NAME")]
    connector: Option<ConnectorName>,
    /// Only in this state
    #[arg(long, value_parser = PossibleValuesParser::new(["pending", "fetching", "mapped", "skipped", "dead"]))]
    state: Option<String>,
    /// Only received not before this instant, like 2026-01-02T03:04:05Z
    #[arg(long, value_name = "INSTANT")]
    from: Option<Timestamp>,
    /// Only received before this instant
    #[arg(long, value_name = "INSTANT")]
    until: Option<Timestamp>,
    /// Only last mapped by this plugin version
    #[arg(long, value_name = "DIGEST")]
    plugin: Option<PluginDigest>,
    #[command(flatten)]
    paging: Paging,
}

/// A part of a long list.
#[derive(Debug, Args)]
pub(super) struct Paging {
    /// How many to show
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=PAGE_ROWS_MAX as u64))]
    limit: Option<u64>,
    /// Where an earlier list left off
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl Paging {
    pub(super) fn apply(&self, query: Query) -> Query {
        query
            .with_some("limit", self.limit.map(|limit| limit.to_string()))
            .with_some("cursor", self.cursor.as_ref())
    }
}

/// Says how to see what comes after this page.
pub(super) fn note_next(page: &Value, output: &mut Output) {
    let next = text(page, "/next");
    if !next.is_empty() {
        output.note(format_args!("more: --cursor {}", plain(&next)));
    }
}

pub(super) fn run(
    args: &EventsArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match args.id {
        Some(id) => show(id, api, now, output)?,
        None => show_all(args, api, now, output)?,
    }
    Ok(Exit::Done)
}

fn show_all(
    args: &EventsArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<(), CliError> {
    let query = Query::path(&["v1", "events"])
        .with_some(
            "connection",
            args.connection.as_ref().map(ToString::to_string),
        )
        .with_some(
            "connector",
            args.connector.as_ref().map(ConnectorName::as_str),
        )
        .with_some("state", args.state.as_ref())
        .with_some("from", args.from.map(|from| from.to_string()))
        .with_some("until", args.until.map(|until| until.to_string()))
        .with_some("plugin", args.plugin.map(|plugin| plugin.to_string()));
    let answer = api.get(&args.paging.apply(query))?;
    if output.json() {
        return output.line(answer.text.trim());
    }
    let mut table = Table::new([
        "EVENT",
        "RECEIVED",
        "CONNECTION",
        "STATE",
        "CHANGES",
        "TRIES",
        "SIZE",
        "REASON",
    ]);
    for event in list(&answer.value, "/items") {
        let state = text(event, "/state");
        table.row([
            Cell::text(text(event, "/id")),
            Cell::text(age(event, "/received_at", now)),
            Cell::text(text(event, "/connection")),
            Cell::text(&state).tone(tone(&state)),
            Cell::number(number(event, "/changes")),
            Cell::number(number(event, "/attempts")),
            Cell::number(bytes(number(event, "/bytes"))),
            Cell::text(text(event, "/reason")),
        ]);
    }
    if table.is_empty() {
        output.note("no events");
        return Ok(());
    }
    table.write(output)?;
    note_next(&answer.value, output);
    Ok(())
}

fn show(id: EventId, api: &Api, now: Timestamp, output: &mut Output) -> Result<(), CliError> {
    let answer = api.get(&Query::path(&["v1", "events", &id.to_string()]))?;
    if output.json() {
        return output.line(answer.text.trim());
    }
    let event = &answer.value;
    write_facts(event, now, output)?;
    write_attempts(event, output)?;
    write_changes(event, output)?;
    write_request(event, output)
}

fn write_facts(event: &Value, now: Timestamp, output: &mut Output) -> Result<(), CliError> {
    let mut facts = Facts::default();
    let state = text(event, "/state");
    facts.add("event", text(event, "/id"));
    facts.add_cell("state", Cell::text(&state).tone(tone(&state)));
    facts.add("reason", text(event, "/reason"));
    facts.add("cause", text(event, "/cause"));
    facts.add("connection", text(event, "/connection"));
    facts.add("partner id", text(event, "/partner_id"));
    facts.add(
        "received",
        format!(
            "{} ({})",
            text(event, "/received_at"),
            age(event, "/received_at", now)
        ),
    );
    facts.add("signed", text(event, "/body_authenticated"));
    facts.write(output)
}

pub(super) fn write_attempts(event: &Value, output: &mut Output) -> Result<(), CliError> {
    let attempts = list(event, "/attempts");
    if attempts.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["ATTEMPT", "STARTED", "TOOK", "PLUGIN", "OUTCOME", "ERROR"]);
    for attempt in attempts {
        table.row([
            Cell::number(number(attempt, "/number")),
            Cell::text(text(attempt, "/started_at")),
            Cell::number(format!("{} us", number(attempt, "/took_us"))),
            Cell::text(short_digest(&text(attempt, "/plugin"))),
            Cell::text(text(attempt, "/outcome")),
            Cell::text(text(attempt, "/error")),
        ]);
    }
    output.line("")?;
    table.write(output)?;
    for attempt in attempts {
        let stderr = text(attempt, "/stderr");
        if !stderr.is_empty() {
            output.line(format_args!(
                "\nstderr of attempt {}",
                number(attempt, "/number")
            ))?;
            output.line(plain_lines(stderr.trim_end()))?;
        }
    }
    Ok(())
}

fn write_changes(event: &Value, output: &mut Output) -> Result<(), CliError> {
    let (changes, fetches) = (list(event, "/changes"), list(event, "/fetches"));
    if !changes.is_empty() {
        let mut table = Table::new(["KIND", "ID", "OPERATION", "FATE", "SEQ"]);
        for change in changes {
            let fate = text(change, "/fate");
            table.row([
                Cell::text(text(change, "/kind")),
                Cell::text(text(change, "/id")),
                Cell::text(text(change, "/operation")),
                Cell::text(&fate).tone(tone(&fate)),
                Cell::number(text(change, "/seq")),
            ]);
        }
        output.line("")?;
        table.write(output)?;
    }
    for fetch in fetches {
        let words = match fetch {
            Value::String(words) => words.clone(),
            other => format!("{} {}", text(other, "/kind"), text(other, "/id")),
        };
        output.line(format_args!("to be fetched: {}", plain(words.trim())))?;
    }
    Ok(())
}

pub(super) fn write_request(event: &Value, output: &mut Output) -> Result<(), CliError> {
    let query = match text(event, "/query") {
        query if query.is_empty() => query,
        query => format!("?{query}"),
    };
    let (method, path) = (text(event, "/method"), text(event, "/url_path"));
    let line = format!("{method} {path}{query}");
    let line = output.paint(Tone::Bold, &plain(&line)).into_owned();
    output.line(format_args!("\n{line}"))?;
    for header in list(event, "/headers") {
        let line = format!("{}: {}", text(header, "/0"), text(header, "/1"));
        output.line(plain(&line))?;
    }
    output.line("")?;
    match event.get("body").and_then(Value::as_str) {
        Some(body) => write_body(body, output),
        None => output.line(format_args!(
            "{} that are not text; --json has them as base64",
            bytes(number(event, "/body_bytes"))
        )),
    }
}

pub(super) fn write_body(body: &str, output: &mut Output) -> Result<(), CliError> {
    let pretty = serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|json| serde_json::to_string_pretty(&json).ok());
    let shown = plain_lines(pretty.as_deref().unwrap_or(body));
    match shown.char_indices().nth(BODY_CHARS_MAX) {
        None => output.line(shown),
        Some((end, _)) => {
            output.line(shown.get(..end).unwrap_or_default())?;
            output.note(format_args!(
                "cut; {} bytes in all, --json has the whole body",
                body.len()
            ));
            Ok(())
        }
    }
}
