//! `tidegate dead-letters`

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidegate_core::ids::{ChannelName, ConnectionId, ConnectorName, SinkName, TaskId};
use tidegate_core::task::DeadCause;
use tidegate_core::time::Timestamp;

use super::Exit;
use super::api::Api;
use super::connectors::short_digest;
use super::error::{CliError, report};
use super::events::{Paging, note_next, write_attempts, write_body, write_request};
use super::output::{Output, Tone, plain};
use super::query::Query;
use super::table::{Cell, Facts, Table};
use super::view::{age, list, number, text};

/// List dead letters, newest first, show one, or give some up
///
/// A dead letter is work that was parked after its last attempt, or at once where no
/// further attempt could help. It stays until it is replayed or discarded: the cause says
/// whose problem it is, and `dead-letters ID` what to do next.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
    tidegate dead-letters\n  \
    tidegate dead-letters --connection github/acme --cause partner-data\n  \
    tidegate dead-letters tsk_000000000000002a           # its attempts, its body, what to do\n  \
    tidegate replay tsk_000000000000002a                 # run it again\n  \
    tidegate dead-letters discard tsk_000000000000002a --reason 'a test of theirs'"
)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Show this dead letter
    #[arg(conflicts_with_all = ["connection", "connector", "sink", "channel", "cause", "kind", "limit", "cursor"])]
    id: Option<TaskId>,
    /// Only of this connection, like github/acme
    #[arg(long, value_name = "CONNECTION")]
    connection: Option<ConnectionId>,
    /// Only of this connector
    #[arg(long, value_name = "NAME")]
    connector: Option<ConnectorName>,
    /// Only what this sink did not take
    #[arg(long, value_name = "NAME")]
    sink: Option<SinkName>,
    /// Only what this alert channel did not take
    #[arg(long, value_name = "NAME")]
    channel: Option<ChannelName>,
    /// Only of this cause
    #[arg(long, value_parser = PossibleValuesParser::new(DeadCause::ALL.map(DeadCause::code)))]
    cause: Option<String>,
    /// Only of this kind of work
    #[arg(long, value_parser = PossibleValuesParser::new(["map", "fetch", "poll", "deliver", "alert"]))]
    kind: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Give dead letters up: they are no work any more (their events can be replayed while kept)
    Discard {
        /// Which
        #[arg(required = true)]
        ids: Vec<TaskId>,
        /// Why; stands in the audit log
        #[arg(long)]
        reason: String,
    },
}

pub(super) fn run(
    args: &DeadLettersArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit, CliError> {
    match (&args.action, args.id) {
        (Some(Action::Discard { ids, reason }), _) => return discard(ids, reason, api, output),
        (None, Some(id)) => show(id, api, now, output)?,
        (None, None) => show_all(args, api, now, output)?,
    }
    Ok(Exit::Done)
}

fn show_all(
    args: &DeadLettersArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<(), CliError> {
    let connection = args.connection.as_ref().map(ToString::to_string);
    let query = Query::path(&["v1", "dead-letters"])
        .with_some("connection", connection)
        .with_some(
            "connector",
            args.connector.as_ref().map(ConnectorName::as_str),
        )
        .with_some("sink", args.sink.as_ref().map(SinkName::as_str))
        .with_some("channel", args.channel.as_ref().map(ChannelName::as_str))
        .with_some("cause", args.cause.as_ref())
        .with_some("kind", args.kind.as_ref());
    let answer = api.get(&args.paging.apply(query))?;
    if output.json() {
        return output.line(answer.text.trim());
    }
    let mut table = Table::new([
        "ID",
        "PARKED",
        "CAUSE",
        "OF",
        "ENTITY/EVENT",
        "TRIES",
        "REASON",
    ]);
    for letter in list(&answer.value, "/items") {
        table.row([
            Cell::text(text(letter, "/id")),
            Cell::text(age(letter, "/parked_at", now)),
            Cell::text(text(letter, "/cause")).tone(Tone::Bad),
            Cell::text(owner(letter)),
            Cell::text(about(letter)),
            Cell::number(number(letter, "/attempts")),
            Cell::text(text(letter, "/reason")),
        ]);
    }
    for torn in list(&answer.value, "/unreadable") {
        let id = plain(torn.as_str().unwrap_or_default()).into_owned();
        output.note(format_args!(
            "{id} cannot be read: its record in the store is torn"
        ));
    }
    if table.is_empty() {
        if list(&answer.value, "/unreadable").is_empty() {
            output.note("no dead letters");
        }
        note_next(&answer.value, output);
        return Ok(());
    }
    table.write(output)?;
    output.note("what to do about one: tidegate dead-letters ID");
    note_next(&answer.value, output);
    Ok(())
}

/// Whose it is: a sink's, a channel's, or a connection's.
fn owner(letter: &Value) -> String {
    let [sink, channel] = ["/sink", "/channel"].map(|pointer| text(letter, pointer));
    match (sink.is_empty(), channel.is_empty()) {
        (false, _) => format!("sink {sink}"),
        (_, false) => format!("channel {channel}"),
        (true, true) => text(letter, "/connection"),
    }
}

/// The entity that it is about, or the event.
fn about(letter: &Value) -> String {
    match text(letter, "/entity/kind") {
        kind if kind.is_empty() => text(letter, "/event"),
        kind => format!("{kind}/{}", text(letter, "/entity/id")),
    }
}

fn show(id: TaskId, api: &Api, now: Timestamp, output: &mut Output) -> Result<(), CliError> {
    let answer = api.get(&Query::path(&["v1", "dead-letters", &id.to_string()]))?;
    if output.json() {
        return output.line(answer.text.trim());
    }
    let letter = &answer.value;
    write_facts(letter, now, output)?;
    write_attempts(letter, output)?;
    write_about(letter, output)?;
    write_fix(id, letter, output)
}

fn write_facts(letter: &Value, now: Timestamp, output: &mut Output) -> Result<(), CliError> {
    let mut facts = Facts::default();
    let age = age(letter, "/parked_at", now);
    facts.add("dead letter", text(letter, "/id"));
    facts.add_cell("cause", Cell::text(text(letter, "/cause")).tone(Tone::Bad));
    facts.add("reason", text(letter, "/reason"));
    facts.add("of", owner(letter));
    facts.add("work", text(letter, "/kind"));
    facts.add("parked", format!("{} ({age})", text(letter, "/parked_at")));
    facts.add("event", text(letter, "/event"));
    facts.add("partner id", text(letter, "/partner_id"));
    facts.add("change", text(letter, "/change"));
    if letter.pointer("/entity/kind").is_some() {
        facts.add("entity", about(letter));
    }
    facts.add("plugin", short_digest(&text(letter, "/plugin")));
    facts.write(output)
}

/// The event's request, the change's data or the notice's words.
fn write_about(letter: &Value, output: &mut Output) -> Result<(), CliError> {
    match letter.get("about") {
        Some(event) if event.get("method").is_some() => write_request(event, output),
        Some(change) if change.get("operation").is_some() => {
            let head = format!("{} {}", text(change, "/operation"), about(letter));
            let head = output.paint(Tone::Bold, &plain(&head)).into_owned();
            output.line(format_args!("\n{head}"))?;
            match change.get("data").filter(|data| !data.is_null()) {
                Some(data) => write_body(&data.to_string(), output),
                None => Ok(()),
            }
        }
        Some(notice) if notice.get("summary").is_some() => {
            let summary = text(notice, "/summary");
            output.line(format_args!("\n{}", plain(&summary)))
        }
        Some(_) | None => output.line("\nwhat it is about is no longer kept"),
    }
}

fn write_fix(id: TaskId, letter: &Value, output: &mut Output) -> Result<(), CliError> {
    let head = output.paint(Tone::Bold, "what to do").into_owned();
    output.line(format_args!("\n{head}"))?;
    output.line(format_args!("  {}", plain(&text(letter, "/fix"))))?;
    output.line(format_args!("  tidegate replay {id}"))?;
    output.line(format_args!(
        "  tidegate dead-letters discard {id} --reason WHY"
    ))
}

/// Each is asked for on its own, so that one that is gone already keeps none of the
/// others.
fn discard(ids: &[TaskId], reason: &str, api: &Api, output: &mut Output) -> Result<Exit, CliError> {
    let mut exit = Exit::Done;
    for id in ids {
        let path = Query::path(&["v1", "dead-letters", &id.to_string(), "discard"]);
        match api.send(&path, &json!({ "reason": reason })) {
            Ok(answer) if output.json() => output.line(answer.text.trim())?,
            Ok(_) => output.line(format_args!("{id}: discarded"))?,
            Err(error @ CliError::Refused { .. }) if ids.len() > 1 => {
                output.note(format_args!("{id}: {}", report(&error)));
                exit = Exit::No;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(exit)
}
