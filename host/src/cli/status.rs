//! `tidegate status`

use clap::Args;
use serde_json::Value;
use tidegate_core::time::Timestamp;

use super::Exit;
use super::api::Api;
use super::error::CliError;
use super::output::{Output, Tone, plain};
use super::query::Query;
use super::table::{Cell, Facts};
use super::view::{age, bytes, counted, list, number, span, text, tone};

/// Show how the running host does
///
/// Store, listeners, refused webhooks, events by state, dead letters by cause, sinks that
/// do not run, standing alerts, the change log, and every problem of the host with what to
/// do about it.
///
/// Exits with 1 where the host has a problem. A dead letter or a refused webhook is shown
/// and is none: the host is well, and an event or a partner needs someone.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidegate status\n  tidegate status --json | jq .events.dead")]
pub(crate) struct StatusArgs {}

pub(super) fn run(
    _: &StatusArgs,
    api: &Api,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let status = api.get(&Query::path(&["v1", "status"]))?;
    if output.json() {
        output.line(status.text.trim())?;
    } else {
        write(&status.value, now, output)?;
    }
    Ok(if list(&status.value, "/problems").is_empty() {
        Exit::Done
    } else {
        Exit::No
    })
}

fn write(status: &Value, now: Timestamp, output: &mut Output) -> Result<(), CliError> {
    let mut facts = Facts::default();
    let version = text(status, "/version");
    facts.add(
        "version",
        format!("{version}, up for {}", span(number(status, "/uptime_s"))),
    );
    let state = text(status, "/store/state");
    facts.add_cell("store", Cell::text(&state).tone(tone(&state)));
    facts.add("", store_text(status));
    facts.add_cell(
        "",
        Cell::text(text(status, "/store/warning")).tone(Tone::Attention),
    );
    facts.add("ingress", text(status, "/ingress/listen"));
    for refused in list(status, "/ingress/refused_last_hour") {
        facts.add_cell("", Cell::text(refused_text(refused)).tone(Tone::Attention));
    }
    facts.add("operator", text(status, "/operator/listen"));
    facts.add("events", events_text(status, now));
    for dead in list(status, "/dead_letters") {
        let words = dead_text(dead, now);
        facts.add_cell("", Cell::text(words).tone(Tone::Bad));
    }
    facts.add(
        "changes",
        format!("newest {}", text(status, "/changes/newest")),
    );
    for sink in list(status, "/sinks") {
        let state = text(sink, "/state");
        if state != "running" || number(sink, "/deliveries") > 0 {
            let words = sink_text(sink, &state, now);
            let tone = match &*state {
                "running" => Tone::Attention,
                _ => tone(&state),
            };
            facts.add_cell("sink", Cell::text(words).tone(tone));
        }
    }
    for replay in list(status, "/replays") {
        facts.add("replay", replay_text(replay));
    }
    for alert in list(status, "/alerts") {
        let words = format!(
            "{} (since {})",
            text(alert, "/summary"),
            age(alert, "/since", now)
        );
        facts.add_cell("alert", Cell::text(words).tone(Tone::Bad));
    }
    facts.add(
        "workers",
        workers_text(number(status, "/workers/map_threads")),
    );
    let (connectors, connections) = (
        number(status, "/connectors"),
        number(status, "/connections"),
    );
    facts.add(
        "partners",
        format!(
            "{}, {}",
            counted(connectors, "connector"),
            counted(connections, "connection")
        ),
    );
    facts.write(output)?;
    for problem in list(status, "/problems") {
        let what = text(problem, "/what");
        let what = output.paint(Tone::Bad, &plain(&what)).into_owned();
        output.line(format_args!("problem  {what}"))?;
        let fix = text(problem, "/fix");
        if !fix.is_empty() {
            output.line(format_args!("    fix  {}", plain(&fix)))?;
        }
    }
    Ok(())
}

fn store_text(status: &Value) -> String {
    let engine = text(status, "/store/engine");
    let size = bytes(number(status, "/store/bytes"));
    match text(status, "/store/path") {
        path if path.is_empty() => format!("{engine}, {size}"),
        path => format!("{engine} in {path}, {size}"),
    }
}

fn refused_text(refused: &Value) -> String {
    let count = number(refused, "/count");
    let more = match refused.pointer("/or_more").and_then(Value::as_bool) {
        Some(true) => " or more",
        _ => "",
    };
    let (path, code) = (text(refused, "/path"), text(refused, "/code"));
    format!("{count}{more} refused at {path} in the last hour: {code}")
}

fn events_text(status: &Value, now: Timestamp) -> String {
    let [total, pending, waiting] = ["/events/total", "/events/pending", "/events/waiting"]
        .map(|pointer| number(status, pointer));
    let oldest = match age(status, "/events/oldest_pending_at", now) {
        oldest if oldest.is_empty() => String::new(),
        oldest => format!(" (oldest {oldest})"),
    };
    format!("{total} kept, {pending} pending{oldest}, {waiting} waiting")
}

fn dead_text(dead: &Value, now: Timestamp) -> String {
    let (count, cause) = (number(dead, "/count"), text(dead, "/cause"));
    let oldest = age(dead, "/oldest_at", now);
    format!(
        "{}, oldest {oldest}: tidegate dead-letters --cause {cause}",
        counted(count, "dead letter")
    )
}

/// What failed and is to be given again is behind as well, wherever the cursor is.
fn sink_text(sink: &Value, state: &str, now: Timestamp) -> String {
    let name = text(sink, "/name");
    let open = number(sink, "/deliveries");
    if state == "running" {
        let (oldest, why) = (age(sink, "/oldest_at", now), text(sink, "/last_failure"));
        let changes = counted(open, "change");
        return format!("{name} is to be given {changes} again, the oldest from {oldest}: {why}");
    }
    let (since, behind) = (age(sink, "/since", now), number(sink, "/backlog") + open);
    let reason = text(sink, "/reason");
    format!("{name} is {state} since {since}, {behind} behind: {reason}")
}

fn replay_text(replay: &Value) -> String {
    let (id, total) = (text(replay, "/id"), number(replay, "/total"));
    let looked_at = number(replay, "/queued") + number(replay, "/passed");
    format!("{id} runs: {looked_at} of {total}")
}

fn workers_text(threads: u64) -> String {
    match threads {
        0 => "none: events are stored and not mapped".to_owned(),
        threads => counted(threads, "map thread"),
    }
}
