//! `tidegate replay`: parked and past work runs again, named or taken by a filter.
//!
//! What was begun is the host's: it goes on where this command is interrupted. What it
//! waits for is that all of it has been tried once; what fails again is retried by the
//! policy, or comes back as a dead letter. Where all of it does, or the wait has no end,
//! the answer is no.

mod named;

use std::fmt;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Map, Value};
use tidegate_core::ids::{ConnectionId, ConnectorName, PluginDigest};
use tidegate_core::task::DeadCause;
use tidegate_core::time::Timestamp;

use self::named::Target;
use super::Exit;
use super::api::Api;
use super::error::CliError;
use super::output::{Output, plain};
use super::progress::Progress;
use super::query::Query;
use super::view::{number, text};

/// How often the host is asked how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How much later than a run says that it has ended its last batch may be due: it says so
/// in the commit that puts it into the queue.
const COMMITTED_WITHIN: Duration = Duration::from_secs(1);

/// Run dead letters and past events again
///
/// Named ones, or all that a filter takes. An event is mapped again by the plugin version
/// that serves now, or by the one named with --with; changes that come out the same are
/// not sent again. A change that a sink did not take is delivered again, unless a later
/// one of its entity went out already: --forced sends it all the same.
///
/// A filter is counted first. More than one item is replayed after a yes, or with --yes.
/// The exit status is 1 where all of it is a dead letter again, or nothing moves any more
/// before all of it has been tried.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidegate replay tsk_000000000000002a evt_0000000000000029\n  \
    tidegate replay --connection github/acme --cause plugin-fault --dry-run\n  \
    tidegate replay --cause sink --yes --reason 'their database is back'\n  \
    tidegate replay --plugin sha256:… --from 2026-01-02T00:00:00Z   # what a faulty version mapped")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct ReplayArgs {
    /// Dead letters (tsk_…) and events (evt_…)
    #[arg(
        value_name = "ID",
        required_unless_present_any = FILTER,
        conflicts_with_all = FILTER,
    )]
    ids: Vec<Target>,
    /// All of this connection, like github/acme
    #[arg(long, value_name = "CONNECTION")]
    connection: Option<ConnectionId>,
    /// All of this connector
    #[arg(long, value_name = "NAME")]
    connector: Option<ConnectorName>,
    /// All in this state; dead letters and ended events where absent
    #[arg(long, value_parser = PossibleValuesParser::new(["dead", "mapped", "skipped"]))]
    state: Option<String>,
    /// Dead letters of this cause
    #[arg(long, value_parser = PossibleValuesParser::new(DeadCause::ALL.map(DeadCause::code)))]
    cause: Option<String>,
    /// Received (or parked, where it is no event) not before this instant
    #[arg(long, value_name = "INSTANT")]
    from: Option<Timestamp>,
    /// And before this one
    #[arg(long, value_name = "INSTANT")]
    until: Option<Timestamp>,
    /// Last mapped by this plugin version
    #[arg(long, value_name = "DIGEST")]
    plugin: Option<PluginDigest>,
    /// Map with this plugin version instead of the one that serves
    #[arg(long, value_name = "DIGEST")]
    with: Option<PluginDigest>,
    /// Also deliver a change after which a later one of its entity went out
    #[arg(long)]
    forced: bool,
    /// Why; stands in the audit log, and in `tidegate replays`
    #[arg(long)]
    reason: Option<String>,
    /// Say how many a filter takes, and do nothing
    #[arg(long, conflicts_with = "ids")]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Do not wait until all of it has been tried
    #[arg(long)]
    no_wait: bool,
}

/// The options that make a filter.
const FILTER: [&str; 7] = [
    "connection",
    "connector",
    "state",
    "cause",
    "from",
    "until",
    "plugin",
];

impl ReplayArgs {
    /// How things run again.
    fn mode(&self) -> Map<String, Value> {
        let mut members = Map::new();
        if let Some(with) = self.with {
            members.insert("with".into(), with.to_string().into());
        }
        if self.forced {
            members.insert("forced".into(), true.into());
        }
        if let Some(reason) = &self.reason {
            members.insert("reason".into(), reason.as_str().into());
        }
        members
    }

    /// What is taken, and how it runs again.
    fn request(&self) -> Map<String, Value> {
        let texts = [
            (
                "connection",
                self.connection.as_ref().map(ToString::to_string),
            ),
            (
                "connector",
                self.connector.as_ref().map(ToString::to_string),
            ),
            ("state", self.state.clone()),
            ("cause", self.cause.clone()),
            ("from", self.from.map(|from| from.to_string())),
            ("until", self.until.map(|until| until.to_string())),
            ("plugin", self.plugin.map(|plugin| plugin.to_string())),
        ];
        let mut members = self.mode();
        for (name, text) in texts {
            if let Some(text) = text {
                members.insert(name.into(), text.into());
            }
        }
        members
    }
}

pub(super) fn run(args: &ReplayArgs, api: &Api, output: &mut Output) -> Result<Exit, CliError> {
    if args.ids.is_empty() {
        by_filter(args, api, output)
    } else {
        named::run(args, api, output)
    }
}

fn by_filter(args: &ReplayArgs, api: &Api, output: &mut Output) -> Result<Exit, CliError> {
    let path = Query::path(&["v1", "replays"]);
    let mut request = args.request();
    request.insert("dry_run".into(), true.into());
    let counted = api.send(&path, &Value::Object(request.clone()))?;
    let count = Count::of(&counted.value);
    if args.dry_run {
        if output.json() {
            output.line(counted.text.trim())?;
        } else {
            output.line(format_args!("would replay {count}"))?;
        }
        return Ok(Exit::Done);
    }
    if !wanted(args, &count, output)? {
        return Ok(Exit::No);
    }
    let letters = letters(args, count.number, &request, api)?;
    request.remove("dry_run");
    let before = Standing::read(api)?;
    let begun = api.send(&path, &Value::Object(request))?;
    if args.no_wait {
        return told(&begun.text, &begun.value, None, output);
    }
    let ended = watch(&begun.value, api, output)?;
    let waited = drain(&ended, before, letters, api, output)?;
    told(&ended.to_string(), &ended, Some(&waited), output)
}

/// How many a filter takes.
#[derive(Clone, Copy, Debug)]
struct Count {
    number: u64,
    /// The host stopped counting there: there may be more, also where it has found none.
    at_least: bool,
}

impl Count {
    fn of(counted: &Value) -> Self {
        Self {
            number: number(counted, "/would_replay"),
            at_least: counted.pointer("/at_least") == Some(&Value::Bool(true)),
        }
    }

    const fn is_one_at_most(&self) -> bool {
        self.number <= 1 && !self.at_least
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.at_least { " or more" } else { "" };
        write!(f, "{}{more}", self.number)
    }
}

/// How many dead letters are among what is taken.
fn letters(
    args: &ReplayArgs,
    count: u64,
    request: &Map<String, Value>,
    api: &Api,
) -> Result<u64, CliError> {
    match args.state.as_deref() {
        _ if args.no_wait => Ok(0),
        Some("dead") => Ok(count),
        _ if args.cause.is_some() => Ok(count),
        Some(_) => Ok(0),
        None => {
            let mut request = request.clone();
            request.insert("state".into(), "dead".into());
            let path = Query::path(&["v1", "replays"]);
            let counted = api.send(&path, &Value::Object(request))?;
            Ok(number(&counted.value, "/would_replay"))
        }
    }
}

/// Whether so many may run again: the person says so, on the line or when asked.
fn wanted(args: &ReplayArgs, count: &Count, output: &mut Output) -> Result<bool, CliError> {
    if count.is_one_at_most() || args.yes {
        output.note(format_args!("replaying {count}"));
        return Ok(true);
    }
    if !output.attended() {
        return Err(CliError::Unasked {
            count: count.to_string(),
        });
    }
    output.confirm(format_args!("replay {count} things?"))
}

/// Waits until a run has looked at everything; gives it as it stands then.
fn watch(begun: &Value, api: &Api, output: &mut Output) -> Result<Value, CliError> {
    let path = Query::path(&["v1", "replays", &text(begun, "/id")]);
    let mut progress = Progress::new("queueing", output);
    let mut run = begun.clone();
    loop {
        let looked_at = number(&run, "/queued") + number(&run, "/passed");
        let moves = progress.at(looked_at, number(&run, "/total"), output);
        if text(&run, "/state") != "running" || !moves {
            progress.end();
            return Ok(run);
        }
        std::thread::sleep(LOOK_EVERY);
        run = api.get(&path)?.value;
    }
}

/// How much there was to do at some moment.
#[derive(Clone, Copy, Debug)]
struct Standing {
    pending: u64,
    dead: u64,
    /// When what has been due the longest became due.
    oldest: Option<Timestamp>,
}

impl Standing {
    fn read(api: &Api) -> Result<Self, CliError> {
        let status = api.get(&Query::path(&["v1", "status"]))?.value;
        Ok(Self {
            pending: number(&status, "/events/pending"),
            dead: number(&status, "/events/dead"),
            oldest: text(&status, "/events/oldest_pending_at").parse().ok(),
        })
    }

    /// Whether all that was due by then has been tried. What had been stuck before does not
    /// count, so neither does the age alone.
    fn has_drained(&self, by: Option<Timestamp>, before: &Self) -> bool {
        let by = by.map(|by| by.plus(COMMITTED_WITHIN));
        let later = by.is_some_and(|by| self.oldest.is_none_or(|oldest| oldest > by));
        later || self.pending <= before.pending
    }
}

/// What came of the wait for what a run has queued.
#[derive(Clone, Copy, Debug)]
struct Waited {
    before: Standing,
    after: Standing,
    /// Dead letters among what was taken.
    letters: u64,
    /// All of it has been tried.
    tried: bool,
}

impl Waited {
    /// Whether some of what was queued got through, as far as the counts of dead letters
    /// say, which know nothing of what else is parked meanwhile.
    fn verdict(&self, queued: u64) -> Exit {
        // What was queued left the dead letters; what is more than were left is back.
        let left = self.letters.min(queued);
        let again = (self.after.dead + left).saturating_sub(self.before.dead);
        if self.tried && (queued == 0 || again < queued) {
            Exit::Done
        } else {
            Exit::No
        }
    }
}

/// Waits until what a run has queued has been tried once.
fn drain(
    run: &Value,
    before: Standing,
    letters: u64,
    api: &Api,
    output: &mut Output,
) -> Result<Waited, CliError> {
    let queued = number(run, "/queued");
    let ended: Option<Timestamp> = text(run, "/ended_at").parse().ok();
    let mut progress = Progress::new("running", output);
    loop {
        let now = Standing::read(api)?;
        let open = now.pending.saturating_sub(before.pending).min(queued);
        let moves = progress.at(queued - open, queued, output);
        let drained = now.has_drained(ended, &before);
        if drained || !moves {
            progress.end();
            return Ok(Waited {
                before,
                after: now,
                letters,
                tried: drained && ended.is_some(),
            });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn told(
    text_of: &str,
    run: &Value,
    waited: Option<&Waited>,
    output: &mut Output,
) -> Result<Exit, CliError> {
    let (queued, passed) = (number(run, "/queued"), number(run, "/passed"));
    let exit = waited.map_or(Exit::Done, |waited| waited.verdict(queued));
    if output.json() {
        output.line(text_of.trim())?;
        return Ok(exit);
    }
    let id = text(run, "/id");
    let state = text(run, "/state");
    let line = format!("{id} {state}: {queued} queued, {passed} passed over");
    output.line(plain(&line))?;
    if let Some(Waited { before, after, .. }) = waited {
        output.line(format_args!(
            "dead letters: {}, {} before",
            after.dead, before.dead
        ))?;
    }
    match waited {
        None => output.note("it goes on by itself: tidegate status"),
        Some(waited) if !waited.tried => output
            .note("nothing moves, and not all of it has been tried; it goes on by itself: tidegate status"),
        Some(_) if exit == Exit::No => output.note("all of it is a dead letter again: tidegate dead-letters"),
        Some(_) => {}
    }
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pending: u64, oldest: Option<i64>, by: Option<i64>, expect: bool) {
        let standing = |pending, oldest: Option<i64>| Standing {
            pending,
            dead: 0,
            oldest: oldest.map(Timestamp::from_secs),
        };
        let (before, now) = (standing(3, Some(1)), standing(pending, oldest));
        assert_eq!(
            now.has_drained(by.map(Timestamp::from_secs), &before),
            expect
        );
    }

    #[test]
    fn what_came_of_it_is_a_yes_where_something_got_through() {
        let check = |tried, letters, queued, [before, after]: [u64; 2], expect| {
            let standing = |dead| Standing {
                pending: 0,
                dead,
                oldest: None,
            };
            let waited = Waited {
                before: standing(before),
                after: standing(after),
                letters,
                tried,
            };
            assert_eq!(waited.verdict(queued), expect, "{waited:?}");
        };
        check(true, 3, 3, [5, 2], Exit::Done);
        check(true, 3, 3, [5, 4], Exit::Done);
        // All of them came back.
        check(true, 3, 3, [5, 5], Exit::No);
        // Events that had ended well, and are dead letters now.
        check(true, 0, 3, [5, 5], Exit::Done);
        check(true, 0, 3, [5, 8], Exit::No);
        // Of each kind one, and neither got through.
        check(true, 1, 2, [5, 6], Exit::No);
        check(true, 1, 2, [5, 5], Exit::Done);
        // What was passed over never left.
        check(true, 3, 0, [5, 5], Exit::Done);
        check(true, 3, 1, [5, 4], Exit::Done);
        check(false, 3, 3, [5, 2], Exit::No);
    }

    #[test]
    fn what_a_run_queued_has_drained() {
        check(9, Some(5), Some(10), false);
        // Its last batch is due when it was committed.
        check(9, Some(11), Some(10), false);
        // What is due after that is retried, or came in since.
        check(9, Some(12), Some(10), true);
        check(9, None, Some(10), true);
        // A sink that rested before the replay rests on.
        check(3, Some(1), Some(10), true);
        check(4, Some(1), None, false);
    }
}
