//! Replaying what is named, one after the other, and what became of each.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tidegate_core::ids::{EventId, TaskId};

use super::super::Exit;
use super::super::api::Api;
use super::super::error::{CliError, report};
use super::super::output::{Output, Tone, plain};
use super::super::query::Query;
use super::super::view::{counted, list, text, tone};
use super::{LOOK_EVERY, ReplayArgs};

/// Longest wait for one event to be tried.
const TRIED_WITHIN: Duration = Duration::from_secs(30);

/// What is to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Event(EventId),
    Letter(TaskId),
}

/// Neither kind of id.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "it is neither a dead letter's id, like tsk_000000000000002a, nor an event's, like evt_000000000000002a"
)]
pub(super) struct NoTarget;

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let event = text.parse().map(Self::Event);
        event
            .or_else(|_| text.parse().map(Self::Letter))
            .map_err(|_| NoTarget)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(id) => id.fmt(f),
            Self::Letter(id) => id.fmt(f),
        }
    }
}

impl Target {
    fn path(&self) -> Query {
        let kind = match self {
            Self::Event(_) => "events",
            Self::Letter(_) => "dead-letters",
        };
        Query::path(&["v1", kind, &self.to_string(), "replay"])
    }

    /// What may be said about how it runs again: an event has no forced delivery.
    fn request(&self, mode: &Map<String, Value>) -> Value {
        let mut mode = mode.clone();
        if matches!(self, Self::Event(_)) {
            mode.remove("forced");
        }
        Value::Object(mode)
    }
}

/// Replays each; one that is refused keeps none of the others.
pub(super) fn run(args: &ReplayArgs, api: &Api, output: &mut Output) -> Result<Exit, CliError> {
    let mode = args.mode();
    let (mut exit, mut events) = (Exit::Done, Vec::new());
    for target in &args.ids {
        match api.send(&target.path(), &target.request(&mode)) {
            Ok(answer) if output.json() => output.line(answer.text.trim())?,
            Ok(answer) => {
                output.line(format_args!("{target}: queued"))?;
                events.extend(text(&answer.value, "/event").parse::<EventId>().ok());
            }
            Err(error @ CliError::Refused { .. }) if args.ids.len() > 1 => {
                output.note(format_args!("{target}: {}", report(&error)));
                exit = Exit::No;
            }
            Err(error) => return Err(error),
        }
    }
    if !args.no_wait {
        for event in events {
            if !tried(event, api, output)? {
                exit = Exit::No;
            }
        }
    }
    Ok(exit)
}

/// Waits until an event has been tried again; says whether it is no dead letter again.
fn tried(id: EventId, api: &Api, output: &mut Output) -> Result<bool, CliError> {
    let path = Query::path(&["v1", "events", &id.to_string()]);
    let began = Instant::now();
    let (mut event, mut first) = (api.get(&path)?.value, None);
    while text(&event, "/state") == "pending" && began.elapsed() < TRIED_WITHIN {
        // An attempt that failed moves when it is due.
        let due = text(&event, "/due_at");
        if first.get_or_insert_with(|| due.clone()) != &due {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
        event = api.get(&path)?.value;
    }
    let state = text(&event, "/state");
    let words = match state.as_str() {
        "mapped" => counted(list(&event, "/changes").len() as u64, "change"),
        "pending" => format!("tried again at {}", text(&event, "/due_at")),
        _ => text(&event, "/reason"),
    };
    let painted = output.paint(tone(&state), &plain(&state)).into_owned();
    let words = output.paint(Tone::Plain, &plain(&words)).into_owned();
    output.line(format_args!("{id}: {painted}, {words}"))?;
    Ok(state != "dead")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart_by_their_ids() {
        let event: Target = "evt_000000000000002a".parse().unwrap();
        assert_eq!(event, Target::Event(EventId::new(42)));
        let letter: Target = "tsk_000000000000002a".parse().unwrap();
        assert_eq!(
            letter.path().as_str(),
            "/v1/dead-letters/tsk_000000000000002a/replay"
        );
        assert!("rpl_000000000000002a".parse::<Target>().is_err());
    }
}
