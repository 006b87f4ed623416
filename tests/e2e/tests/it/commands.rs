//! The command line against a running host.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tidegate_e2e::host;

use crate::support::{Running, SOON};

fn tidegate(running: &Running, arguments: &[&str]) -> Command {
    let mut command = Command::new(host::binary().unwrap());
    command
        .arg("--config")
        .arg(running.site.config())
        .args(arguments);
    command
}

fn output(running: &Running, arguments: &[&str]) -> Output {
    let output = tidegate(running, arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    output
}

#[test]
fn every_command_speaks_to_people_and_to_programs() {
    let running = Running::start();
    assert_eq!(running.send_issue(1).status, 200);
    running.operator().wait_until_mapped(SOON).unwrap();
    for command in ["status", "events", "changes", "connectors"] {
        let people = output(&running, &[command]);
        assert!(!people.stdout.is_empty(), "{command}");
        let programs = output(&running, &[command, "--json"]);
        let text = String::from_utf8(programs.stdout).unwrap();
        for line in text.lines().filter(|_| command == "changes") {
            serde_json::from_str::<Value>(line).unwrap();
        }
        if command != "changes" {
            serde_json::from_str::<Value>(&text).unwrap();
        }
    }
}

#[test]
fn changes_are_followed_as_they_come() {
    let running = Running::start();
    let mut follow = tidegate(&running, &["changes", "--follow", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    for number in 1..=3 {
        assert_eq!(running.send_issue(number).status, 200);
        let line = lines.next().unwrap().unwrap();
        let change: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(change["entity"]["id"], number.to_string());
    }
    follow.kill().unwrap();
    follow.wait().unwrap();
}
