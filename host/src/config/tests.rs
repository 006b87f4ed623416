//! Whole files: what they mean, and what is said about their mistakes.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tidegate_core::policy::Policy;

use super::model::{IngressConfig, OperatorConfig, StoreConfig, WorkersConfig};
use super::*;

mod partners;
mod waivers;

/// The interfaces' example with every section.
const EXAMPLE: &str = r#"
[ingress]
listen = "0.0.0.0:8080"
public_url = "https://hooks.example.com"    # for schemes that sign the URL

[store]
url = "embedded:./tidegate-data"            # sled:./dir; postgres://… later

[policy.retry]
schedule = ["2s", "5s", "30s", "2m", "10m", "1h", "4h"]
rate_limited_max = "24h"

[policy.dedupe]
window = "30d"                              # never below 4 days

[policy.reconcile]
every = "6h"                                # also policy.poll, policy.waivers, alerts.*

[egress]
allow = []

[connectors.github]
plugin = "plugins/github.wasm"

[connections."github/acme"]
secrets.webhook = ["env:GITHUB_WEBHOOK_SECRET"]   # several while rotating
secrets.token = "env:GITHUB_TOKEN"
base_url = "https://github.acme.example"    # self-hosted partners, tests
settings = { owner = "acme" }

[sinks.app]
kind = "webhook"
url = "https://app.example/hooks/tidegate"
secret = "env:APP_WEBHOOK_SECRET"
from = "now"                                # "start", "mirror"
"#;

const SECRET_VALUE: &str = "hunter2-hunter2";

fn environment(name: &str) -> Option<OsString> {
    match name {
        "EMPTY" => Some(OsString::new()),
        "MISSING" => None,
        "TIDEGATE_SECRET_KEY" => Some("0f".repeat(32).into()),
        _ => Some(SECRET_VALUE.into()),
    }
}

fn load(text: &str) -> Result<Config, Problems> {
    read(text, Path::new("tidegate.toml"), &environment)
}

fn lines(problems: &Problems) -> Vec<String> {
    problems
        .as_slice()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// One mistake gives one problem, which begins and ends as expected.
#[track_caller]
fn check_problem(text: &str, place: &str, fragments: &[&str]) {
    let problems = load(text).expect_err(text);
    let lines = lines(&problems);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let line = lines.first().unwrap();
    assert!(
        line.starts_with(&format!("tidegate.toml:{place}: ")),
        "{line}"
    );
    for fragment in fragments {
        assert!(line.contains(fragment), "{line}\nlacks {fragment}");
    }
    assert!(!line.contains("hunter2"), "{line}");
}

#[track_caller]
fn check_warnings(text: &str, keys: &[&str]) {
    let config = load(text).unwrap();
    let warned: Vec<_> = config
        .warnings
        .iter()
        .map(|warning| warning.key.as_str())
        .collect();
    assert_eq!(warned, keys, "{:#?}", config.warnings);
}

#[test]
fn the_example_of_the_interfaces_loads() {
    let config = load(EXAMPLE).unwrap();
    assert_eq!(config.ingress.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(
        config.ingress.public_url.as_deref(),
        Some("https://hooks.example.com")
    );
    assert_eq!(
        config.store.dir.as_deref(),
        Some(Path::new("./tidegate-data"))
    );
    assert_eq!(config.policy, Policy::default());
    let connection = config.connections.values().next().unwrap();
    assert_eq!(connection.secrets.webhook.len(), 1);
    assert_eq!(
        connection.secrets.other.keys().collect::<Vec<_>>(),
        ["token"]
    );
    assert_eq!(connection.rules.settings.as_ref(), br#"{"owner":"acme"}"#);
    assert_eq!(
        connection.rules.base_url.as_deref(),
        Some("https://github.acme.example")
    );
}

#[test]
fn what_is_not_carried_out_is_said() {
    let keys = ["policy.reconcile", "connectors.github.plugin"];
    check_warnings(EXAMPLE, &keys);
    check_warnings(
        "[policy]\nwaivers = []\n[policy.poll]\nevery = \"5m\"",
        &["policy.poll"],
    );
    check_warnings("[workers]\nmap_threads = 0", &["workers.map_threads"]);
    check_warnings("", &[]);
}

#[test]
fn no_file_means_the_defaults() {
    let config = load("").unwrap();
    assert_eq!(config.ingress, IngressConfig::default());
    assert_eq!(config.store, StoreConfig::default());
    assert_eq!(config.policy, Policy::default());
    assert!(config.operator.tokens.is_empty() && config.connectors.is_empty());
}

#[test]
fn the_default_file_says_what_the_defaults_are() {
    let config = load(DEFAULT_FILE).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.ingress, IngressConfig::default());
    assert_eq!(config.operator.listen, OperatorConfig::default().listen);
    assert_eq!(config.store, StoreConfig::default());
    assert_eq!(config.policy, Policy::default());
    assert_eq!(config.workers, WorkersConfig::default());
    assert_eq!(config.log, LogConfig::default());
}

/// Comments of the form `#key = …` and `#[section]` are examples, and have to be true.
#[test]
fn the_default_files_examples_load_too() {
    let uncommented: Vec<&str> = DEFAULT_FILE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(example) if !example.starts_with(' ') => example,
            _ => line,
        })
        .collect();
    let config = load(&uncommented.join("\n")).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.connectors.len(), 1);
    assert_eq!(config.connections.len(), 1);
    assert_eq!(config.operator.tokens.len(), 1);
    let connector = config.connectors.values().next().unwrap();
    assert!(connector.signing.preset.is_some() && connector.account.is_some());
}

#[test]
fn five_mistakes_are_five_problems() {
    let text = r#"[ingress]
listen = "8080"

[polcy.retry]
schedule = ["2s"]

[policy.dedupe]
window = "2d"

[connections."github/acme"]
secrets.webhook = "hunter2-hunter2"
"#;
    let problems = load(text).unwrap_err();
    let expected = [
        r#"tidegate.toml:2:1: ingress.listen: "8080" is not an address with a port, like "127.0.0.1:8080""#,
        r#"tidegate.toml:4:2: unknown key "polcy.retry" — did you mean "policy.retry"?"#,
        r#"tidegate.toml:8:1: policy.dedupe.window: "2d" is out of bounds: at least 4d, at most 3650d"#,
        r#"tidegate.toml:10:14: connections."github/acme": connector "github" is not configured — add [connectors.github] with a plugin or a scheme"#,
        r#"tidegate.toml:11:9: connections."github/acme".secrets.webhook: is not a reference: write "env:NAME" or "file:PATH"; a secret itself never stands in this file"#,
    ];
    assert_eq!(lines(&problems), expected);
}

#[test]
fn a_broken_line_does_not_hide_the_other_mistakes() {
    let text = "[ingress]\nlisten = 127.0.0.1:80\nbodymax = \"1MiB\"\n[log]\nformat = \"xml\"\nformat = \"text\"\n";
    let problems = load(text).unwrap_err();
    let places: Vec<_> = problems
        .as_slice()
        .iter()
        .map(|problem| problem.line)
        .collect();
    assert_eq!(places, [2, 3, 5, 6], "{problems}");
    assert!(
        problems
            .to_string()
            .contains("did you mean \"ingress.body_max\"?"),
        "{problems}"
    );
}

#[test]
fn a_broken_header_ends_the_reading() {
    check_problem(
        "[connections.github/acme]\nx = 1\n",
        "1:20",
        &["is not TOML", "in quotes"],
    );
    check_problem("a = [\n1,\n[b\n", "3:3", &["is not TOML"]);
}

#[test]
fn unknown_keys_name_the_one_that_was_meant() {
    check_problem(
        "[ingres]\nlisten = \"x\"",
        "1:2",
        &["unknown key \"ingres\"", "did you mean \"ingress\"?"],
    );
    check_problem(
        "[store]\nlinger = \"1s\"",
        "2:1",
        &["did you mean \"policy.store.linger\"?"],
    );
    check_problem(
        "listen = \"127.0.0.1:1\"",
        "1:1",
        &["did you mean \"ingress.listen\"?"],
    );
    check_problem(
        "[log]\ncolour = true",
        "2:1",
        &["known in log: format, level"],
    );
    check_problem(
        "\"a\\u001bb\" = 1",
        "1:1",
        &["unknown key", "known here: ingress"],
    );
    check_problem(
        "[connectors.x]\nplugin = \"x.wasm\"\nsecrets.webhok = \"env:A\"",
        "3:9",
        &[
            "unknown key \"connectors.x.secrets.webhok\"",
            "connectors.x.secrets.webhook",
        ],
    );
}

/// What is suggested has to be known where it is suggested.
#[test]
fn every_key_that_may_be_suggested_is_known() {
    for key in keys::KEYS {
        let said = match load(&format!("{key} = 1")) {
            Ok(config) => format!("{:?}", config.warnings),
            Err(problems) => problems.to_string(),
        };
        assert!(!said.contains("unknown key"), "{key}: {said}");
    }
}

#[test]
fn values_of_another_kind_or_out_of_bounds() {
    check_problem(
        "ingress = 1",
        "1:1",
        &["ingress: has to be a table, and is a whole number"],
    );
    check_problem(
        "[ingress]\nlisten = 8080",
        "2:1",
        &["has to be a text in quotes, and is a whole number"],
    );
    check_problem(
        "[ingress]\nbody_max = \"1TiB\"",
        "2:1",
        &["at least 1KiB, at most 64MiB"],
    );
    check_problem("[ingress]\nbody_max = \"10 MB\"", "2:1", &["10MiB"]);
    check_problem(
        "[ingress]\ntrusted_proxies = [\"proxy\"]",
        "2:20",
        &["trusted_proxies[0]", "10.0.0.0/8"],
    );
    check_problem(
        "[ingress]\npublic_url = \"ftp://x\"",
        "2:1",
        &["http or https"],
    );
    check_problem(
        "[ingress]\npublic_url = \"https://u:hunter2@x\"",
        "2:1",
        &["may not hold a user"],
    );
    check_problem(
        "[policy.retry]\nschedule = [\"2s\", \"soon\"]",
        "2:19",
        &["schedule[1]", "soon"],
    );
    check_problem(
        "[policy.retry]\nschedule = \"2s\"",
        "2:1",
        &["a list in [ ], and is a text"],
    );
    check_problem("[workers]\nmap_threads = -1", "2:1", &["from 0 to 256"]);
    check_problem("[log]\nlevel = \"loud\"", "2:1", &["info,tidegate=debug"]);
}

#[test]
fn stores() {
    check_problem(
        "[store]\nurl = \"./data\"",
        "2:1",
        &["names no engine", "embedded:./DIR"],
    );
    check_problem("[store]\nurl = \"embedded:\"", "2:1", &["lacks its folder"]);
    check_problem(
        "[store]\nurl = \"postgres://u:hunter2@db/x\"",
        "2:1",
        &["not carried out by this version"],
    );
    let memory = load("[store]\nurl = \"memory:\"").unwrap().store;
    assert_eq!(
        (memory.engine, memory.token_file()),
        (StoreEngine::Memory, None)
    );
    let path = Path::new("/etc/tidegate/tidegate.toml");
    let beside = read("[store]\nurl = \"embedded:data\"", path, &environment)
        .unwrap()
        .store;
    assert_eq!(
        beside.token_file().as_deref(),
        Some(Path::new("/etc/tidegate/data/operator-token"))
    );
}

#[test]
fn two_sinks_cannot_share_a_file() {
    let two = |paths: [&str; 2]| {
        let section =
            |(name, path)| format!("[sinks.{name}]\nkind = \"file\"\npath = \"{path}\"\n");
        ["one", "two"]
            .into_iter()
            .zip(paths)
            .map(section)
            .collect::<String>()
    };
    for paths in [
        ["a.ndjson", "a.ndjson"],
        ["./a.ndjson", "a.ndjson"],
        ["x//a", "x/./a"],
    ] {
        let said = ["sinks.two.path: is the file of sinks.one too"];
        check_problem(&two(paths), "4:8", &said);
    }
    for (paths, place, which, of) in [
        (["a", "a.000001"], "4:8", "two", "one"),
        (["x/a.1000000", "./x/a"], "1:8", "one", "two"),
    ] {
        let said = format!("sinks.{which}.path: is named like a rotated file of sinks.{of}");
        check_problem(&two(paths), place, &[&said]);
    }
    for paths in [["a", "b"], ["a", "a.2026"], ["a", "x/a.000001"]] {
        assert_eq!(load(&two(paths)).unwrap().sinks.len(), 2, "{paths:?}");
    }
}

#[test]
fn a_listener_that_others_reach_needs_tokens() {
    check_problem(
        "[operator]\nlisten = \"0.0.0.0:9\"",
        "2:1",
        &["reached from outside", "operator.tokens"],
    );
    check_problem(
        "[operator]\nlisten = \"127.0.0.1:8080\"",
        "1:2",
        &["also where ingress listens"],
    );
    let text = "[operator]\nlisten = \"0.0.0.0:9\"\n[[operator.tokens]]\nname = \"ci\"\nsecret = \"env:T\"\nscopes = [\"read\"]\n";
    let config = load(text).unwrap();
    let token = config.operator.tokens.first().unwrap();
    assert_eq!(token.scopes, [Scope::Read]);
    assert_eq!(token.token.as_slice(), SECRET_VALUE.as_bytes());
    assert!(!format!("{config:?}").contains(SECRET_VALUE));
    check_problem(
        &text.replace("\"read\"", "\"reed\""),
        "6:11",
        &["not a scope", "\"consume\""],
    );
    check_problem(&text.replace("[\"read\"]", "[]"), "3:1", &["opens nothing"]);
    check_problem(
        &text.replace("name = \"ci\"", ""),
        "3:1",
        &["lacks \"name\""],
    );
}

#[test]
fn a_running_host_is_found_in_spite_of_problems() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let text = "[operator]\nlisten = \"0.0.0.0:9\"\n[store]\nurl = \"embedded:d\"\nx = 1\n[connections.\"a/b\"]\nsecrets.webhook = \"env:MISSING\"";
    std::fs::write(&path, text).unwrap();
    let found = ConfigSource::new(Some(path)).whereabouts().unwrap();
    assert_eq!(found.operator.to_string(), "127.0.0.1:9");
    assert_eq!(
        found.token_file,
        Some(folder.path().join("d/operator-token"))
    );
}

#[test]
fn a_named_file_has_to_exist() {
    let error = ConfigSource::new(Some("/nowhere/tidegate.toml".into()))
        .load()
        .unwrap_err();
    assert!(matches!(error, LoadError::Read { .. }), "{error}");
}

#[test]
fn a_reload_says_what_waits_for_a_restart() {
    let old = load("").unwrap();
    let new = load("[ingress]\nlisten = \"127.0.0.1:9\"\n[policy.retry]\nschedule = []\n[log]\nlevel = \"debug\"").unwrap();
    assert_eq!(old.fixed_until_restart(&new), ["ingress.listen", "log"]);
    assert_eq!(new.policy.retry.schedule, Vec::<Duration>::new());
}

fn toml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(
            DEFAULT_FILE
                .lines()
                .chain(EXAMPLE.lines())
                .collect::<Vec<_>>()
        )
        .prop_map(str::to_owned),
        "[a-z\\[\\]{}\"'=.#/ \\\\\n]{0,24}",
        "\\PC{0,12}",
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.join("\n"))
}

proptest! {
    #[test]
    fn arbitrary_text_gives_problems_and_no_panic(text in toml_like()) {
        if let Err(problems) = load(&text) {
            prop_assert!(!problems.as_slice().is_empty());
            let lines = text.matches('\n').count() + 1;
            for problem in problems.as_slice() {
                prop_assert!(problem.line <= lines && problem.column >= 1, "{problem}");
                prop_assert!(!problem.to_string().contains(SECRET_VALUE), "{problem}");
            }
        }
    }

    #[test]
    fn a_cut_file_gives_no_panic(cut in 0..EXAMPLE.len()) {
        if let Some(text) = EXAMPLE.get(..cut) {
            let _ = load(text);
        }
    }
}
