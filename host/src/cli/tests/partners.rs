//! Connections on the command line: waivers, secrets that partners hand over; and what
//! `check` says once a waiver is over.

use super::super::check;
use super::*;

#[test]
fn a_connection_that_is_not_verified_is_said_each_time() {
    let host = Host::json(
        r#"{"items":[{"connector":"erp","account":"acme","url_path":"/in/erp/acme","secrets":{"webhook":0},
            "source":"config","state":"active",
            "waiver":{"reason":"ticket\u001b 7","until":"2027-02-01T00:00:00Z","state":"in-force"}}],"next":null}"#,
    );
    let said = say(&host, &["connections"]);
    assert!(
        said.answer.contains("erp/acme    waived  /in/erp/acme"),
        "{}",
        said.answer
    );
    let note = "erp/acme is not verified until 2027-02-01T00:00:00Z: ticket\u{fffd} 7\n";
    assert_eq!(said.notes, note);
}

#[test]
fn awaiting_a_secret_says_where_and_until_when() {
    let host =
        Host::json(r#"{"url_path":"/in/asana/acme","awaits_secret_until":"2026-01-02T00:05:00Z"}"#);
    let said = say(
        &host,
        &["connections", "await-secret", "asana/acme", "--for", "5m"],
    );
    let expected =
        "asana/acme takes its partner's secret at /in/asana/acme until 2026-01-02T00:05:00Z\n";
    assert_eq!(said.answer, expected);
    let line = "POST /v1/connections/asana/acme/await-secret?for=5m HTTP/1.1";
    assert_eq!(host.request().first().unwrap(), line);
}

#[track_caller]
fn check_waiver(until: &str, expected: Exit, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    let text = format!(
        "[connectors.erp]\nplugin = \"x.wasm\"\n[connections.\"erp/acme\"]\n[[policy.waivers]]\n\
         connection = \"erp/acme\"\nreason = \"ticket 7\"\nuntil = {until}\n"
    );
    std::fs::write(&file, text).unwrap();
    let words_of = ["tidegate", "check"];
    let Command::Client(ClientCommand::Check(args)) =
        Cli::try_parse_from(words_of).unwrap().command
    else {
        panic!("check")
    };
    let (mut output, answer, _) = capture::output(false);
    let source = ConfigSource::new(Some(file));
    let exit = check::run(&args, &source, Fixed.now(), &mut output).unwrap();
    let said = answer.text();
    assert!(exit == expected && said.contains(words), "{exit:?} {said}");
}

#[test]
fn check_fails_once_a_waiver_is_over() {
    check_waiver("2026-01-02", Exit::Done, "good, 1 connector");
    check_waiver(
        "2026-01-01",
        Exit::No,
        ":4:1: policy.waivers[0]: the waiver of erp/acme was over",
    );
}
