//! `tidegate verify`: why a request's signature does not verify, without a host.
//!
//! Applies the code that ingress applies to a request that was written down. Secrets
//! come from the environment, files or the configuration, never from the command line,
//! where other users of the machine see them.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use tidegate_core::ids::ConnectionId;
use tidegate_core::signature::{
    self, Explanation, KeySet, RawRequest, Secret, events_of, explain, verify,
};
use tidegate_core::time::Timestamp;

use super::error::CliError;
use super::measure::measure;
use super::output::{Output, Tone, plain_lines};
use super::vectors::{self, By};
use super::{Exit, GlobalArgs, World};

mod request;

use request::Found;

/// Say why a request's signature does or does not verify
///
/// Takes a request as the partner sent it and shows which scheme was applied, where the
/// signature was looked for, which bytes were signed, what was expected in length and
/// encoding, and what probably went wrong. It never shows a secret, or the signature
/// that would have been right. Needs no running host.
///
/// Exits with 0 where the request verifies, with 1 where it does not.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("measure").required(true).multiple(true).args(["connection", "scheme", "preset", "event", "vectors"])))]
#[command(after_help = "Examples:\n  \
    tidegate verify --connection github/acme --body request.json \\\n      \
    --header 'X-Hub-Signature-256: sha256=…'\n  \
    tidegate verify --scheme plugins/github.wasm --secret-env GITHUB_WEBHOOK_SECRET \\\n      \
    --header 'X-Hub-Signature-256: sha256=…' --body - < request.json\n  \
    tidegate verify --scheme scheme.json --secret-file key.txt --at 2026-01-31T08:00:00Z \\\n      \
    --header 'X-Signature: …' --url https://hooks.example.com/in/acme/one --body request.json\n  \
    tidegate verify --preset stripe --secret-env STRIPE_SECRET --request request.http\n  \
    tidegate verify --event evt_0000000000000001\n  \
    tidegate verify --vectors signatures.json --by preset\n\n\
    Give the body as the exact bytes that arrived: one that was parsed and written again\n\
    has another signature.")]
pub(crate) struct VerifyArgs {
    /// Use the scheme and the secrets of this connection in the configuration
    #[arg(long, value_name = "CONNECTION")]
    pub(super) connection: Option<ConnectionId>,
    /// Use this scheme: a JSON file with a scheme or a descriptor, or a plugin (.wasm)
    #[arg(long, value_name = "FILE")]
    pub(super) scheme: Option<PathBuf>,
    /// Use the scheme of this preset, as `tidegate presets` lists them
    #[arg(long, value_name = "NAME", conflicts_with = "scheme")]
    pub(super) preset: Option<String>,
    /// A value that the scheme asks for, once for each
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(super) values: Vec<String>,
    /// The file with the whole request as it came over the wire, or - for standard input
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["headers", "body", "method", "event"]
    )]
    request: Option<PathBuf>,
    /// Take the request from this event of the running host, and its connection
    #[arg(long, value_name = "EVENT", conflicts_with_all = ["headers", "body", "method"])]
    event: Option<String>,
    /// Judge every request of this file of test vectors instead
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "connection", "scheme", "preset", "headers", "body", "method", "url", "at",
            "secret_env", "secret_file", "request", "event", "values",
        ]
    )]
    vectors: Option<PathBuf>,
    /// Judge test vectors by the presets of this program, or by the file's own descriptions
    #[arg(long, value_enum, requires = "vectors", default_value_t = By::Description)]
    by: By,
    /// A header of the request, once for each; as it arrived
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The file with the body's exact bytes, or - for standard input [default: no body]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The request's method
    #[arg(long, default_value = "POST")]
    method: String,
    /// The URL to which the partner sent it [default: the connection's, where a public URL is
    /// configured]
    #[arg(long)]
    url: Option<String>,
    /// Take the secret from this environment variable; several may be given
    #[arg(long, value_name = "NAME")]
    pub(super) secret_env: Vec<String>,
    /// Take the secret from this file; several may be given
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Vec<PathBuf>,
    /// When the request arrived [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

/// What there is to say of a request.
struct Seen {
    explanation: Explanation,
    /// Up to when each secret is believed.
    until: Vec<Option<Timestamp>>,
    /// Headers that are there more than once.
    twice: Vec<String>,
    /// Of the events in it, where it verifies.
    event_ids: Vec<String>,
}

pub(super) fn run(
    args: &VerifyArgs,
    global: &GlobalArgs,
    world: &dyn World,
    output: &mut Output,
) -> Result<Exit, CliError> {
    if let Some(file) = &args.vectors {
        return vectors::run(file, args.by, output);
    }
    let source = &global.config();
    let recorded = match &args.event {
        Some(id) => {
            let base = source.load()?.ingress.public_url;
            Some(Found::of_event(id, args, &global.api()?, base.as_deref())?)
        }
        None => None,
    };
    let connection = recorded
        .as_ref()
        .and_then(|found| found.connection.as_ref());
    let measure = measure(args, connection, source, world)?;
    measure
        .scheme
        .check_supported()
        .map_err(CliError::Unsupported)?;
    let facts: Vec<Option<Timestamp>> = measure.secrets.iter().map(Secret::not_after).collect();
    let keys = KeySet::prepare_with(&measure.scheme, measure.secrets, &measure.config)
        .map_err(CliError::Keys)?;
    let found = match (recorded, &args.request) {
        (Some(found), _) => found,
        (None, Some(file)) => Found::of_file(file, args, measure.public_base.as_deref())?,
        (None, None) => Found::of_options(args, measure.public_url.as_deref())?,
    };
    let at = args.at.or(found.at).unwrap_or_else(|| world.now());
    let explanation = explain(&found.raw, &measure.scheme, &keys, None, at);
    let twice = doubled(&found.raw);
    let ids = verify(found.raw, &measure.scheme, &keys, None, at)
        .ok()
        .and_then(|verified| events_of(&verified, &measure.scheme).ok())
        .map(|parts| {
            parts
                .into_iter()
                .map(|part| part.id.into_string())
                .collect()
        });
    let seen = Seen {
        explanation,
        until: facts,
        twice,
        event_ids: ids.unwrap_or_default(),
    };
    let explanation = &seen.explanation;
    if output.json() {
        output.line(to_json(&seen))?;
    } else {
        write(&seen, output)?;
    }
    Ok(if explanation.verdict.is_ok() {
        Exit::Done
    } else {
        Exit::No
    })
}

/// The segments after `/in/{connector}/{account}`, and the query.
pub(super) fn path_and_query(url: &str) -> (Vec<String>, String) {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let path = address.split_once("/in/").map_or("", |(_, path)| path);
    let further = path
        .split('/')
        .skip(2)
        .filter(|segment| !segment.is_empty());
    (further.map(str::to_owned).collect(), query.to_owned())
}

/// Headers that are there more than once: a proxy may have added one.
fn doubled(raw: &RawRequest) -> Vec<String> {
    let mut names: Vec<&str> = raw.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let twice = names.chunk_by(|one, other| one == other);
    let twice = twice.filter(|same| same.len() > 1);
    twice
        .filter_map(|same| same.first().map(|name| (*name).to_owned()))
        .collect()
}

fn write(seen: &Seen, output: &mut Output) -> Result<(), CliError> {
    let explanation = &seen.explanation;
    let text = plain_lines(&explanation.to_string());
    let (verdict, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let tone = if explanation.verdict.is_ok() {
        Tone::Good
    } else {
        Tone::Bad
    };
    let verdict = output.paint(tone, verdict).into_owned();
    output.line(verdict)?;
    if !rest.is_empty() {
        output.line(rest.trim_end())?;
    }
    for (position, until) in (1..).zip(&seen.until) {
        let matched = if explanation.matched == Some(position) {
            "matched"
        } else {
            "no match"
        };
        let until = until.map_or_else(String::new, |until| format!(", believed until {until}"));
        output.line(format_args!("secret {position}   {matched}{until}"))?;
    }
    for name in &seen.twice {
        output.line(format_args!("doubled    header {}", plain_lines(name)))?;
    }
    for id in &seen.event_ids {
        output.line(format_args!("event id   {}", plain_lines(id)))?;
    }
    Ok(())
}

fn to_json(seen: &Seen) -> Value {
    let explanation = &seen.explanation;
    let refusal = explanation.verdict.as_ref().err();
    let received: Vec<Value> = explanation
        .received
        .iter()
        .map(|(characters, problem)| {
            json!({"characters": characters, "problem": problem.map(|problem| problem.to_string())})
        })
        .collect();
    let signed = explanation
        .signed
        .as_ref()
        .map(|signed| json!({"bytes": signed.bytes, "head": signed.head, "tail": signed.tail}));
    json!({
        "verified": refusal.is_none(),
        "code": refusal.map(signature::Refusal::code),
        "reason": refusal.map(ToString::to_string),
        "algorithm": explanation.algorithm,
        "place": explanation.place,
        "expected": explanation.expected,
        "received": received,
        "secrets": explanation.secrets,
        "content": explanation.template,
        "signed": signed,
        "url": explanation.url,
        "body_bytes": explanation.body_bytes,
        "body_sha256": explanation.body_sha256,
        "age_s": explanation.age_s.map(|(age, _)| age),
        "tolerance_s": explanation.age_s.and_then(|(_, tolerance)| tolerance),
        "causes": explanation.causes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "matched": explanation.matched,
        "not_after": seen.until.iter().map(|until| until.map(|until| until.to_string())).collect::<Vec<_>>(),
        "doubled_headers": seen.twice,
        "event_id": seen.event_ids.first(),
        "event_ids": seen.event_ids,
    })
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::path::Path;

    use clap::Parser as _;

    use super::super::output::capture;
    use super::super::{Cli, ClientCommand, Command};
    use super::*;

    struct Fixed;

    impl World for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_795_536_000)
        }

        fn describe(&self, _: &Path) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
            Ok(b"{}".to_vec())
        }
    }

    const SCHEME: &str = r#"{"algorithm": "hmac-sha256", "key": "utf8", "content": "{body}",
        "signature": {"in": "header", "name": "X-Hub-Signature-256", "encoding": "hex", "prefix": "sha256="}}"#;

    /// GitHub's published example.
    const SIGNATURE: &str = "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[track_caller]
    fn check(header: &str, body: &str, expected: Exit) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("scheme.json"), SCHEME).unwrap();
        std::fs::write(path("secret"), "It's a Secret to Everybody\n").unwrap();
        std::fs::write(path("body"), body).unwrap();
        let (scheme, secret, body) = (path("scheme.json"), path("secret"), path("body"));
        let line = [
            "tidegate",
            "verify",
            "--scheme",
            &scheme,
            "--secret-file",
            &secret,
            "--body",
            &body,
            "-H",
            header,
        ];
        let cli = Cli::try_parse_from(line).unwrap();
        let Command::Client(ClientCommand::Verify(args)) = cli.command else {
            panic!("verify")
        };
        let (mut output, answer, _) = capture::output(true);
        let exit = run(&args, &cli.global, &Fixed, &mut output).unwrap();
        assert_eq!(exit, expected);
        let answer: Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!(
            answer["verified"],
            Value::Bool(expected == Exit::Done),
            "{answer}"
        );
        assert!(!answer.to_string().contains("Everybody"), "{answer}");
    }

    #[test]
    fn the_answer_is_the_exit_code() {
        check(SIGNATURE, "Hello, World!", Exit::Done);
        check(SIGNATURE, "Hello, World?", Exit::No);
        check("X-Other: 1", "Hello, World!", Exit::No);
    }

    #[test]
    fn a_scheme_or_a_connection_has_to_be_named() {
        let error = Cli::try_parse_from(["tidegate", "verify", "--body", "-"]).unwrap_err();
        let said = error.to_string();
        for option in ["--connection", "--scheme", "--preset"] {
            assert!(said.contains(option), "{option} is not in {said}");
        }
    }

    #[test]
    fn the_examples_of_the_help_fit_a_line() {
        let mut command = <Cli as clap::CommandFactory>::command();
        let help = command.find_subcommand_mut("verify").unwrap();
        let help = help.render_long_help().to_string();
        let (_, examples) = help.split_once("Examples:").unwrap();
        for line in examples.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn paths_and_queries_of_urls() {
        let read = |url| path_and_query(url);
        assert_eq!(
            read("https://h/in/github/acme/x/y?a=1&b"),
            (vec!["x".into(), "y".into()], "a=1&b".into())
        );
        assert_eq!(read("https://h/hooks"), (vec![], String::new()));
        assert_eq!(read("https://h/in/github"), (vec![], String::new()));
    }
}
