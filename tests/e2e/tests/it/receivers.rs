//! What we send, believed by receivers that are built on other people's libraries: `svix`
//! of npm, `standardwebhooks` and `cloudevents` of Python. Nothing of ours verifies here.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_e2e::host::{PLAIN, free_address};

use crate::support::{Running, SOON, issue, wait_until, workspace};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What the receivers held before it: signs as well while both are configured.
const FORMER: &str = "a secret that is plain text, which is allowed too";

const EVENTS: usize = 8;

/// A receiver in a process of its own, that prints a line of JSON for each request.
struct Process {
    child: Child,
    address: SocketAddr,
    lines: mpsc::Receiver<Value>,
}

impl Process {
    fn start(mut program: Command, secret: &str) -> Self {
        let address = free_address().unwrap();
        let mut child = program
            .arg(address.port().to_string())
            .arg(secret)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // Whoever no longer listens has seen enough.
                let _ = tell.send(serde_json::from_str(&line).unwrap());
            }
        });
        wait_until(SOON, "the receiver listens", || {
            TcpStream::connect(address).is_ok()
        });
        Self {
            child,
            address,
            lines,
        }
    }

    /// What it says about so many events; every request has to be believed.
    fn believed(&self, name: &str, count: usize) -> Vec<Value> {
        let mut lines = Vec::new();
        let events = |line: &Value| line["events"].as_array().map_or(1, Vec::len);
        while lines.iter().map(events).sum::<usize>() < count {
            let line = self.lines.recv_timeout(SOON);
            let line = line.unwrap_or_else(|_| panic!("{name} was sent only {lines:?}"));
            assert_eq!(
                (&line["verified"], &line["reason"]),
                (&json!(true), &Value::Null),
                "{name}"
            );
            lines.push(line);
        }
        let more = self.lines.recv_timeout(Duration::from_millis(200));
        assert!(more.is_err(), "{name} was sent more: {more:?}");
        lines
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn installed(tools: &Path, what: &str) -> std::path::PathBuf {
    let path = tools.join(what);
    assert!(
        path.exists(),
        "run `cargo xtask test`, which installs {}",
        path.display()
    );
    path
}

/// A host whose sinks lead to these receivers, with what else is configured for each.
fn sending_to(receivers: &[(&str, &Process, &str)]) -> Running {
    let running = Running::start_after(PLAIN, |site| {
        site.keep_secret("now", SECRET).unwrap();
        site.keep_secret("former", FORMER).unwrap();
        site.configure("[egress]\nallow = [\"127.0.0.1\"]\n")
            .unwrap();
        for (name, receiver, more) in receivers {
            let url = format!("http://{}/hooks", receiver.address);
            let sink = format!("[sinks.{name}]\nkind = \"webhook\"\nurl = \"{url}\"\n{more}\n");
            site.configure(&sink).unwrap();
        }
    });
    for number in (1..).take(EVENTS) {
        // What is signed is bytes, whatever is in them.
        let body = issue(number).replace("Tide ", "Tide \u{2603} \\u0000 \\\"");
        let answer = running.send("issues", &format!("issue-{number}"), body.as_bytes());
        assert_eq!(answer.status, 200);
    }
    running
}

const NEW: &str = "secret = \"file:now\"";
const OLD: &str = "secret = \"file:former\"";
const BOTH: &str =
    "secret = [{ ref = \"file:former\", not_after = 2099-01-01T00:00:00Z }, \"file:now\"]";

#[test]
fn svix_believes_what_we_send() {
    let script = installed(&workspace().join(".tools/receivers"), "receive.mjs");
    let start = |secret| {
        let mut node = Command::new("node");
        node.arg(&script);
        Process::start(node, secret)
    };
    let (new, old, rotating) = (start(SECRET), start(FORMER), start(SECRET));
    let rotating_old = start(FORMER);
    let receivers = [
        ("new", &new, NEW),
        ("old", &old, OLD),
        ("rotating", &rotating, BOTH),
        ("rotating-old", &rotating_old, BOTH),
    ];
    let _running = sending_to(&receivers);
    for (name, receiver, _) in receivers {
        let ids = receiver.believed(name, EVENTS);
        assert!(ids.iter().all(|line| line["id"].is_string()), "{ids:?}");
    }
}

#[test]
fn standardwebhooks_and_cloudevents_believe_what_we_send() {
    let tools = workspace().join(".tools/receivers-python");
    let (python, script) = (
        installed(&tools, "bin/python"),
        installed(&workspace(), "tests/partners/receivers/receive.py"),
    );
    let start = |secret| {
        let mut program = Command::new(&python);
        program.arg(&script);
        Process::start(program, secret)
    };
    let (structured, binary, batched) = (start(SECRET), start(FORMER), start(SECRET));
    let [in_headers, in_batches] = [
        "format = \"cloudevents-binary\"",
        "batch = 3\nconcurrency = 1",
    ];
    let receivers = [
        ("structured", &structured, NEW.to_owned()),
        ("binary", &binary, format!("{BOTH}\n{in_headers}")),
        ("batched", &batched, format!("{BOTH}\n{in_batches}")),
    ];
    let receivers = receivers
        .each_ref()
        .map(|(name, to, more)| (*name, *to, more.as_str()));
    let running = sending_to(&receivers);
    running.operator().wait_until_mapped(SOON).unwrap();
    let changes = running.operator().changes().unwrap();
    for (name, receiver, _) in receivers {
        let lines = receiver.believed(name, EVENTS);
        let mut events: Vec<&Value> = lines
            .iter()
            .flat_map(|line| line["events"].as_array().unwrap())
            .collect();
        events.sort_by_key(|event| event["sequence"].to_string());
        for (event, change) in events.iter().zip(&changes) {
            let entity = &change["entity"];
            assert_eq!(event["data"], *change, "{name}");
            assert_eq!(event["type"], "tidegate.github.issue.upsert", "{name}");
            assert_eq!(event["subject"], entity["id"], "{name}");
            let key = format!("github/acme/issue/{}", entity["id"].as_str().unwrap());
            assert_eq!(event["partitionkey"], key, "{name}");
        }
        assert_eq!(events.len(), changes.len(), "{name}");
    }
}
