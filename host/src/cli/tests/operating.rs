//! Dead letters, replays, sinks, alerts and the audit log on the command line.

use super::*;

const LETTERS: &str = r#"{"items":[
  {"id":"tsk_000000000000002b","kind":"deliver","connection":"github/acme","sink":"app","channel":null,"event":null,
   "entity":{"kind":"issue","id":"7"},"cause":"sink","reason":"HTTP 422","parked_at":"2026-01-01T23:59:00Z","attempts":8},
  {"id":"tsk_000000000000002a","kind":"map","connection":"github/acme","sink":null,"channel":null,"event":"evt_000000000000002a",
   "entity":null,"cause":"partner-data","reason":"not \u001b[31mJSON","parked_at":"2026-01-01T00:00:00Z","attempts":1}],"next":null}"#;

const LETTER: &str = r#"{"id":"tsk_000000000000002a","kind":"map","connection":"github/acme","sink":null,"channel":null,
  "event":"evt_000000000000002a","partner_id":"d-1","change":null,"entity":null,"cause":"partner-data","reason":"not JSON",
  "parked_at":"2026-01-01T00:00:00Z","plugin":null,"fix":"correct the plugin",
  "attempts":[{"number":1,"started_at":"2026-01-01T00:00:00Z","took_us":9,"plugin":null,"outcome":"permanent","error":"not JSON","stderr":"hm\n"}],
  "about":{"id":"evt_000000000000002a","method":"POST","url_path":"/in/github/acme","query":"","headers":[["a","b"]],"body":"{}"}}"#;

#[test]
fn dead_letters_are_a_table() {
    let host = Host::json(LETTERS);
    let said = say(&host, &["dead-letters", "--cause", "sink", "--sink", "app"]);
    let expected = "\
ID                    PARKED  CAUSE         OF           ENTITY/EVENT          TRIES  REASON
tsk_000000000000002b  1m ago  sink          sink app     issue/7                   8  HTTP 422
tsk_000000000000002a  1d ago  partner-data  github/acme  evt_000000000000002a      1  not \u{fffd}[31mJSON
";
    assert_eq!(said.answer, expected);
    assert_eq!(
        host.request().first().unwrap(),
        "GET /v1/dead-letters?sink=app&cause=sink HTTP/1.1"
    );
}

#[test]
fn a_dead_letter_that_is_torn_is_named() {
    let host = Host::json(
        r#"{"items":[],"next":"tsk_000000000000002a","unreadable":["tsk_000000000000002a"]}"#,
    );
    let said = say(&host, &["dead-letters"]);
    let expected = "tsk_000000000000002a cannot be read: its record in the store is torn\n\
                    more: --cursor tsk_000000000000002a\n";
    assert_eq!(said.notes, expected);
}

#[test]
fn a_dead_letter_shows_its_attempts_its_body_and_what_to_do() {
    let said = say(
        &Host::json(LETTER),
        &["dead-letters", "tsk_000000000000002a"],
    );
    for words in [
        "cause        partner-data",
        "of           github/acme",
        "stderr of attempt 1\nhm\n",
        "POST /in/github/acme\na: b\n\n{}\n",
        "what to do\n  correct the plugin\n  tidegate replay tsk_000000000000002a\n",
        "  tidegate dead-letters discard tsk_000000000000002a --reason WHY\n",
    ] {
        assert!(
            said.answer.contains(words),
            "{words} is not in\n{}",
            said.answer
        );
    }
}

#[test]
fn discarding_needs_a_reason_and_goes_on_past_one_that_is_gone() {
    let gone = r#"{"title":"There is nothing here","status":404,"detail":"gone"}"#;
    let host = Host::answering(vec![
        answer("404 Not Found", "application/problem+json", gone),
        answer("200 OK", "application/json", r#"{"discarded":1}"#),
    ]);
    let ids = ["tsk_0000000000000001", "tsk_0000000000000002"];
    let line = [
        "dead-letters",
        "discard",
        ids[0],
        ids[1],
        "--reason",
        "theirs",
    ];
    let said = say(&host, &line);
    assert_eq!(said.done.unwrap(), Exit::No);
    assert_eq!(said.answer, "tsk_0000000000000002: discarded\n");
    assert!(
        said.notes
            .starts_with("tsk_0000000000000001: error: the host refused")
    );
    let request = host.request();
    assert_eq!(request.last().unwrap(), r#"{"reason":"theirs"}"#);
    assert!(
        request.contains(&"content-type: application/json".to_owned()),
        "{request:?}"
    );
    let without = ["tidegate", "dead-letters", "discard", ids[0]];
    assert!(Cli::try_parse_from(without).is_err());
}

#[test]
fn a_named_event_is_replayed_and_what_became_of_it_is_told() {
    let host = Host::jsons(&[
        r#"{"queued":1,"event":"evt_000000000000002a"}"#,
        r#"{"state":"mapped","changes":[{},{}]}"#,
    ]);
    let said = say(
        &host,
        &[
            "replay",
            "tsk_000000000000002a",
            "--forced",
            "--reason",
            "mended",
        ],
    );
    assert_eq!(said.done.unwrap(), Exit::Done);
    assert_eq!(
        said.answer,
        "tsk_000000000000002a: queued\nevt_000000000000002a: mapped, 2 changes\n"
    );
    let request = host.request();
    assert_eq!(
        request.first().unwrap(),
        "POST /v1/dead-letters/tsk_000000000000002a/replay HTTP/1.1"
    );
    assert_eq!(
        request.last().unwrap(),
        r#"{"forced":true,"reason":"mended"}"#
    );
}

#[test]
fn a_named_event_that_is_parked_again_is_a_no() {
    let host = Host::jsons(&[
        r#"{"queued":1,"event":"evt_000000000000002a"}"#,
        r#"{"state":"dead","reason":"not JSON"}"#,
    ]);
    let said = say(&host, &["replay", "evt_000000000000002a"]);
    assert_eq!(said.done.unwrap(), Exit::No);
    assert!(said.answer.ends_with("dead, not JSON\n"), "{}", said.answer);
}

const RUN: &str = r#"{"id":"rpl_0000000000000001","total":2,"queued":2,"passed":0,"state":"ended","ended_at":"2026-01-02T00:00:00Z"}"#;

fn status(pending: u64, dead: u64) -> String {
    format!(
        r#"{{"events":{{"pending":{pending},"dead":{dead},"oldest_pending_at":"2026-01-01T00:00:00Z"}}}}"#
    )
}

#[test]
fn a_filter_is_counted_begun_and_followed_until_all_was_tried() {
    let (before, busy, after) = (status(1, 2), status(3, 0), status(1, 1));
    let begun = RUN.replace("ended\"", "running\"");
    let host = Host::jsons(&[r#"{"would_replay":2}"#, &before, &begun, RUN, &busy, &after]);
    let said = say(&host, &["replay", "--cause", "plugin-fault", "--yes"]);
    assert_eq!(said.done.unwrap(), Exit::Done);
    assert_eq!(
        said.answer,
        "rpl_0000000000000001 ended: 2 queued, 0 passed over\ndead letters: 1, 2 before\n"
    );
    assert_eq!(
        host.request().last().unwrap(),
        r#"{"cause":"plugin-fault","dry_run":true}"#
    );
    host.request();
    assert_eq!(
        host.request().last().unwrap(),
        r#"{"cause":"plugin-fault"}"#
    );
    assert_eq!(
        host.request().first().unwrap(),
        "GET /v1/replays/rpl_0000000000000001 HTTP/1.1"
    );
}

#[test]
fn a_filter_of_which_all_is_a_dead_letter_again_is_a_no() {
    let (before, after) = (status(0, 2), status(0, 2));
    let host = Host::jsons(&[r#"{"would_replay":2}"#, &before, RUN, &after]);
    let said = say(&host, &["replay", "--state", "dead", "--yes", "--json"]);
    assert_eq!(said.done.unwrap(), Exit::No);
    // Past events that are taken too are no dead letters yet: those are counted apart.
    let counted = [r#"{"would_replay":2}"#, r#"{"would_replay":1}"#];
    let host = Host::jsons(&[counted[0], counted[1], &before, RUN, &after]);
    let said = say(&host, &["replay", "--connection", "github/acme", "--yes"]);
    assert_eq!(said.done.unwrap(), Exit::Done);
    host.request();
    assert_eq!(
        host.request().last().unwrap(),
        r#"{"connection":"github/acme","dry_run":true,"state":"dead"}"#
    );
}

#[test]
fn many_are_not_replayed_unasked() {
    let host = Host::json(r#"{"would_replay":2}"#);
    let error = say(&host, &["replay", "--state", "dead"]).done.unwrap_err();
    let text = report(&error);
    assert!(
        text.contains("replay 2 things") && text.contains("--yes"),
        "{text}"
    );
    let host = Host::json(r#"{"would_replay":2}"#);
    let said = say(&host, &["replay", "--state", "dead", "--dry-run"]);
    assert_eq!(said.answer, "would replay 2\n");
    // The host looked at so many that it stopped: none found so far is no reason to go on.
    let host = Host::json(r#"{"would_replay":0,"at_least":true}"#);
    let error = say(&host, &["replay", "--state", "dead"]).done.unwrap_err();
    assert!(report(&error).contains("replay 0 or more things"));
    let host = Host::json(r#"{"would_replay":7,"at_least":true}"#);
    let said = say(&host, &["replay", "--state", "dead", "--dry-run"]);
    assert_eq!(said.answer, "would replay 7 or more\n");
}

#[test]
fn replays_are_a_table_with_who_asked_and_why() {
    let replays = r#"{"items":[{"id":"rpl_0000000000000002","filter":{"cause":"sink","connector":"github"},
        "who":"ann","reason":"their database is back","began_at":"2026-01-01T23:00:00Z","total":9,"queued":3,
        "passed":1,"state":"running"}],"next":"rpl_0000000000000002"}"#;
    let host = Host::json(replays);
    let said = say(&host, &["replays", "--limit", "1"]);
    let expected = "\
ID                    BEGAN   WHO  STATE    TOTAL  QUEUED  PASSED  FILTER                        REASON
rpl_0000000000000002  1h ago  ann  running      9       3       1  cause sink, connector github  their database is back
";
    assert_eq!(said.answer, expected);
    assert_eq!(said.notes, "more: --cursor rpl_0000000000000002\n");
    assert_eq!(
        host.request().first().unwrap(),
        "GET /v1/replays?limit=1 HTTP/1.1"
    );
    let none = say(&Host::json(r#"{"items":[]}"#), &["replays"]);
    assert_eq!(none.notes, "nothing has been replayed by a filter\n");
}

#[test]
fn a_replay_is_of_names_or_of_a_filter() {
    for line in [
        &["replay"][..],
        &["replay", "--yes"],
        &["replay", "evt_000000000000002a", "--state", "dead"],
        &["replay", "evt_000000000000002a", "--dry-run"],
        &["replay", "rpl_000000000000002a"],
        &["replay", "--cause", "fate"],
    ] {
        let words = std::iter::once(&"tidegate").chain(line);
        assert!(Cli::try_parse_from(words).is_err(), "{line:?}");
    }
}

#[test]
fn sinks_are_a_table_and_have_a_switch() {
    let sinks = r#"{"items":[{"name":"app","kind":"webhook","state":"failing","backlog":70000,
        "oldest_at":"2026-01-01T23:00:00Z","deliveries":3,"dead":1,"cursor":"930000","reason":"HTTP 503"}],"next":null}"#;
    let said = say(&Host::json(sinks), &["sinks"]);
    let expected = "\
NAME  KIND     STATE    BACKLOG  OLDEST  OPEN  DEAD  CURSOR  REASON
app   webhook  failing    70000  1h ago     3     1  930000  HTTP 503
";
    assert_eq!(said.answer, expected);
    let host = Host::json(r#"{"name":"app","state":"paused","backlog":7}"#);
    let said = say(&host, &["sinks", "pause", "app", "--reason", "moving"]);
    assert_eq!(said.answer, "app is paused, 7 changes behind\n");
    assert_eq!(
        host.request().first().unwrap(),
        "POST /v1/sinks/app/pause HTTP/1.1"
    );
}

#[test]
fn a_connection_that_is_resumed_says_what_is_due() {
    let host = Host::json(r#"{"queued":12,"more":false}"#);
    let said = say(&host, &["connections", "resume", "github/acme"]);
    assert_eq!(said.answer, "github/acme goes on, 12 tasks are due\n");
    let request = host.request();
    assert_eq!(
        request.first().unwrap(),
        "POST /v1/connections/github/acme/resume HTTP/1.1"
    );
    assert_eq!(request.last().unwrap(), r#"{"reason":null}"#);
}

#[test]
fn alerts_and_the_audit_log_are_tables() {
    let alerts = r#"{"items":[{"rule":"dead-letters","subject":"github/acme partner-data","since":"2026-01-01T23:00:00Z",
        "count":3,"oldest_at":"2026-01-01T22:00:00Z","summary":"3 dead letters"}],"next":null}"#;
    let said = say(&Host::json(alerts), &["alerts"]);
    assert!(
        said.answer.contains(
            "dead-letters  github/acme partner-data  1h ago      3  2h ago  3 dead letters"
        ),
        "{}",
        said.answer
    );
    assert_eq!(
        say(&Host::json(r#"{"items":[]}"#), &["alerts"]).notes,
        "no alerts\n"
    );
    let audit = r#"{"items":[{"number":7,"at":"2026-01-01T23:00:00Z","who":"erik","action":"discard",
        "subject":"tsk_1","reason":"theirs","count":1}],"next":"7"}"#;
    let host = Host::json(audit);
    let said = say(&host, &["audit", "--limit", "1"]);
    assert!(
        said.answer
            .contains("1h ago  erik  discard  tsk_1        1  theirs"),
        "{}",
        said.answer
    );
    assert_eq!(said.notes, "more: --cursor 7\n");
    assert_eq!(
        host.request().first().unwrap(),
        "GET /v1/audit?limit=1 HTTP/1.1"
    );
}
