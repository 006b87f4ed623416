//! Commands against a host of canned answers, over a real socket.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use clap::Parser as _;
use tidegate_core::time::Timestamp;

use super::output::capture;
use super::*;

mod operating;
mod partners;

/// A host that answers one connection after the other and closes each.
struct Host {
    url: String,
    requests: Receiver<Vec<String>>,
    server: JoinHandle<()>,
}

impl Host {
    fn answering(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        let server = std::thread::spawn(move || {
            for answer in answers {
                let (mut socket, _) = listener.accept().unwrap();
                sender.send(read_request(&socket)).unwrap();
                socket.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self {
            url,
            requests,
            server,
        }
    }

    fn json(body: &str) -> Self {
        Self::jsons(&[body])
    }

    fn jsons(bodies: &[&str]) -> Self {
        let answers = bodies.iter();
        Self::answering(
            answers
                .map(|body| answer("200 OK", "application/json", body))
                .collect(),
        )
    }

    fn request(&self) -> Vec<String> {
        self.requests.recv().unwrap()
    }
}

/// The lines of a request's head, and its body as the last one where it has one.
fn read_request(socket: &TcpStream) -> Vec<String> {
    let mut reader = BufReader::new(socket);
    let lines = reader.by_ref().lines().map_while(Result::ok);
    let mut request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let length = request
        .iter()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    if length > 0 {
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        request.push(String::from_utf8(body).unwrap());
    }
    request
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

struct Fixed;

impl World for Fixed {
    fn now(&self) -> Timestamp {
        "2026-01-02T00:00:00Z".parse().unwrap()
    }

    fn describe(&self, _: &Path) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        Err("no runtime here".into())
    }
}

/// What a command answered and noted.
struct Said {
    done: Result<Exit, CliError>,
    answer: String,
    notes: String,
}

fn say(host: &Host, line: &[&str]) -> Said {
    let words = ["tidegate", "--operator", &host.url, "--token", "t0ken"];
    let cli = Cli::try_parse_from(words.iter().chain(line)).unwrap();
    let Command::Client(command) = cli.command else {
        panic!("{line:?}")
    };
    let (mut output, answer, notes) = capture::output(cli.global.json);
    let done = carry_out(command, &cli.global, &Fixed, &mut output);
    Said {
        done,
        answer: answer.text(),
        notes: notes.text(),
    }
}

const EVENTS: &str = r#"{"items":[
  {"id":"evt_000000000000002a","connection":"github/acme","partner_id":"d-1","received_at":"2026-01-01T23:59:00Z",
   "bytes":2048,"state":"dead","reason":"not \u001b[31mJSON","changes":0,"attempts":8},
  {"id":"evt_0000000000000029","connection":"github/acme","partner_id":"d-0","received_at":"2026-01-01T00:00:00Z",
   "bytes":100,"state":"mapped","changes":3,"attempts":1}],"next":"evt_0000000000000029"}"#;

#[test]
fn events_are_a_table_and_the_partner_cannot_steer_it() {
    let host = Host::json(EVENTS);
    let said = say(&host, &["events", "--state", "dead", "--limit", "2"]);
    assert_eq!(said.done.unwrap(), Exit::Done);
    let expected = "\
EVENT                 RECEIVED  CONNECTION   STATE   CHANGES  TRIES     SIZE  REASON
evt_000000000000002a  1m ago    github/acme  dead          0      8  2.0 KiB  not \u{fffd}[31mJSON
evt_0000000000000029  1d ago    github/acme  mapped        3      1    100 B
";
    assert_eq!(said.answer, expected);
    assert_eq!(said.notes, "more: --cursor evt_0000000000000029\n");
    let request = host.request();
    assert_eq!(
        request.first().unwrap(),
        "GET /v1/events?state=dead&limit=2 HTTP/1.1"
    );
    assert!(
        request
            .iter()
            .any(|line| line == "authorization: Bearer t0ken"),
        "{request:?}"
    );
}

#[test]
fn json_is_the_apis_own() {
    let host = Host::json(EVENTS);
    assert_eq!(say(&host, &["events", "--json"]).answer.trim_end(), EVENTS);
}

#[test]
fn a_host_with_problems_is_a_no() {
    let host = Host::json(
        r#"{"version":"0.1.0","started_at":"2026-01-01T00:00:00Z","uptime_s":3700,
            "store":{"engine":"embedded","path":"./tidegate-data","warning":null,"state":"open","bytes":2048},
            "ingress":{"listen":"127.0.0.1:8080"},"operator":{"listen":"127.0.0.1:8081"},
            "events":{"total":9,"pending":2,"waiting":0,"dead":1,"oldest_pending_at":"2026-01-01T23:59:58Z"},
            "dead_letters":[{"cause":"partner-data","count":1,"oldest_at":"2026-01-01T23:00:00Z"}],
            "sinks":[{"name":"app","state":"running"},
              {"name":"log","state":"running","deliveries":2,"oldest_at":"2026-01-01T22:00:00Z","last_failure":"connection refused"},
              {"name":"crm","state":"failing","reason":"503","since":"2026-01-01T23:59:00Z","backlog":7}],
            "replays":[{"id":"rpl_0000000000000001","total":9,"queued":3,"passed":1}],
            "alerts":[{"summary":"1 dead letter of github/acme","since":"2026-01-01T23:00:00Z"}],
            "changes":{"newest":"12"},"workers":{"map_threads":2},"connectors":1,"connections":2,
            "problems":[{"what":"github: the plugin asks for more","fix":"tidegate connectors consent github"}]}"#,
    );
    let said = say(&host, &["status"]);
    assert_eq!(said.done.unwrap(), Exit::No);
    let expected = "\
version   0.1.0, up for 1h 1m
store     open
          embedded in ./tidegate-data, 2.0 KiB
ingress   127.0.0.1:8080
operator  127.0.0.1:8081
events    9 kept, 2 pending (oldest 2s ago), 0 waiting
          1 dead letter, oldest 1h ago: tidegate dead-letters --cause partner-data
changes   newest 12
sink      log is to be given 2 changes again, the oldest from 2h ago: connection refused
sink      crm is failing since 1m ago, 7 behind: 503
replay    rpl_0000000000000001 runs: 4 of 9
alert     1 dead letter of github/acme (since 1h ago)
workers   2 map threads
partners  1 connector, 2 connections
problem  github: the plugin asks for more
    fix  tidegate connectors consent github
";
    assert_eq!(said.answer, expected);
}

#[test]
fn consent_names_the_version_that_was_read() {
    let host = Host::json(r#"{"name":"github","state":"serving","plugin":{"digest":"sha256:a7"}}"#);
    let digest = format!("sha256:{}", "a7".repeat(32));
    let said = say(&host, &["connectors", "consent", "github", &digest]);
    assert_eq!(said.done.unwrap(), Exit::Done);
    assert_eq!(said.answer, "github: granted; a7 is serving\n");
    assert_eq!(
        host.request().first().unwrap(),
        &format!(
            "POST /v1/connectors/github/consent?digest=sha256%3A{} HTTP/1.1",
            "a7".repeat(32)
        )
    );
    let without = ["tidegate", "connectors", "consent", "github"];
    assert!(Cli::try_parse_from(without).is_err());
}

#[test]
fn a_refusal_is_told_in_the_hosts_words() {
    let body =
        r#"{"type":"about:blank","title":"not found","status":404,"detail":"no event evt_1"}"#;
    let host = Host::answering(vec![answer(
        "404 Not Found",
        "application/problem+json",
        body,
    )]);
    let error = say(&host, &["events", "evt_0000000000000001"])
        .done
        .unwrap_err();
    assert_eq!(
        report(&error),
        "error: the host refused: not found (404): no event evt_1"
    );
}

#[test]
fn something_else_that_answers_is_named() {
    let host = Host::answering(vec![answer("200 OK", "text/html", "<html>")]);
    let error = say(&host, &["connectors"]).done.unwrap_err();
    assert!(matches!(error, CliError::Foreign { .. }), "{error:?}");
}

#[test]
fn nobody_there() {
    let host = Host::answering(vec![]);
    host.server.join().unwrap();
    let host = Host {
        server: std::thread::spawn(|| ()),
        ..host
    };
    let text = report(&say(&host, &["status"]).done.unwrap_err());
    assert!(
        text.contains("because: ") && text.contains("`tidegate serve`"),
        "{text}"
    );
}

#[test]
fn changes_begin_at_the_oldest_that_is_kept() {
    let gone = r#"{"title":"cursor expired","status":410,"oldest":"41"}"#;
    let page = r#"{"changes":[{"seq":"41","connection":"github/acme","entity":{"kind":"issue","id":"7"},
                  "operation":"upsert","committed_at":"2026-01-01T23:59:59Z","origin":"webhook"}],"next":"41"}"#;
    let answers = vec![
        answer("410 Gone", "application/problem+json", gone),
        answer("200 OK", "application/json", page),
    ];
    let host = Host::answering(answers);
    let said = say(&host, &["changes"]);
    assert!(
        said.answer.contains(" 41  1s ago     github/acme  upsert"),
        "{}",
        said.answer
    );
    assert_eq!(said.notes, "continue: --since 41\n");
    host.request();
    assert_eq!(
        host.request().first().unwrap(),
        "GET /v1/changes?since=40 HTTP/1.1"
    );
}

#[test]
fn following_continues_after_a_break_without_missing_or_repeating() {
    let stream = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}"
        )
    };
    let change = |seq: u32| format!("id: {seq}\nevent: change\ndata: {{\"seq\":\"{seq}\"}}\n\n");
    let host = Host::answering(vec![
        stream(&format!(
            "{}: heartbeat\n\n{}id: 9\nevent: chan",
            change(7),
            change(8)
        )),
        answer("503 Service Unavailable", "application/problem+json", "{}"),
        stream(&change(9)),
        answer("403 Forbidden", "application/problem+json", "{}"),
    ]);
    let said = say(&host, &["changes", "--follow", "--since", "6", "--json"]);
    assert!(
        matches!(said.done, Err(CliError::Refused { .. })),
        "{:?}",
        said.done
    );
    assert_eq!(
        said.answer,
        "{\"seq\":\"7\"}\n{\"seq\":\"8\"}\n{\"seq\":\"9\"}\n"
    );
    let cursors: Vec<String> = std::iter::repeat_with(|| host.request())
        .take(4)
        .map(|request| {
            request
                .into_iter()
                .find(|line| line.starts_with("last-event-id"))
                .unwrap()
        })
        .collect();
    assert_eq!(
        cursors,
        [
            "last-event-id: 6",
            "last-event-id: 8",
            "last-event-id: 8",
            "last-event-id: 9"
        ]
    );
    assert_eq!(said.notes.lines().count(), 3, "{}", said.notes);
    assert!(
        said.notes.contains("continuing after change 8 in 0.5 s"),
        "{}",
        said.notes
    );
}

#[test]
fn the_command_line_is_well_formed() {
    <Cli as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    let cli = Cli::try_parse_from(["tidegate", "events", "--json", "--state", "dead"]).unwrap();
    assert!(cli.global.json && matches!(cli.command, Command::Client(ClientCommand::Events(_))));
    let cli =
        Cli::try_parse_from(["tidegate", "--config", "x.toml", "serve", "--accept-only"]).unwrap();
    assert!(matches!(
        cli.command,
        Command::Serve(ServeArgs { accept_only: true })
    ));
    assert_eq!(cli.global.config().path(), Some(Path::new("x.toml")));
}
