//! The command line against a running host.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use tidegate_e2e::host;

use crate::support::{Running, SOON, folder, workspace};

#[test]
fn every_command_speaks_to_people_and_to_programs() {
    let running = Running::start();
    assert_eq!(running.send_issue(1).status, 200);
    running.operator().wait_until_mapped(SOON).unwrap();
    for command in ["status", "events", "changes", "connectors"] {
        assert!(!running.said(&[command]).is_empty(), "{command}");
        let text = running.said(&[command, "--json"]);
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
    let mut follow = running
        .tidegate(&["changes", "--follow", "--json"])
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

/// What the SDK's guide shows an author whose partner no preset knows.
#[test]
fn the_guides_description_verifies_its_own_vector() {
    let guide = std::fs::read_to_string(workspace().join("sdk/rust/README.md")).unwrap();
    let (_, from) = guide.split_once("```json\n{\n  \"about\"").unwrap();
    let (example, _) = from.split_once("```").unwrap();
    let folder = folder();
    let file = folder.path().join("acme.json");
    let verdict = |example: &str| {
        std::fs::write(&file, format!("{{\n  \"about\"{example}")).unwrap();
        Command::new(host::binary().unwrap())
            .args(["verify", "--vectors"])
            .arg(&file)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(verdict(example), Some(0));
    assert_eq!(verdict(&example.replace("d-1\"", "d-2\"")), Some(1));
    assert_eq!(
        verdict(&example.replace("\"accept\"", "\"reject\"")),
        Some(1)
    );
}
