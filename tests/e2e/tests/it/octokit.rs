//! GitHub's own example payloads, signed by GitHub's own library, against the host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tidegate_e2e::host::{PATH, SECRET};
use tidegate_e2e::http::{self, Answer};
use tidegate_e2e::requests::{JSON, Webhook};

use crate::support::{Running, SOON, workspace};

/// What `@octokit/webhooks-examples` 7.6.1 holds.
const PAYLOADS: usize = 329;

/// The kinds that the plugin maps, with how many payloads the package has of each.
const MAPPED_KINDS: [(&str, usize); 11] = [
    ("issue_comment", 9),
    ("issues", 29),
    ("membership", 5),
    ("organization", 5),
    ("pull_request", 29),
    ("pull_request_review", 4),
    ("push", 7),
    ("release", 13),
    ("repository", 13),
    ("star", 3),
    ("workflow_run", 5),
];

/// Payloads of those kinds that change nothing we know of, as the plugin's README says:
/// kind and action, and how many there are.
const SKIPPED_OF_MAPPED_KINDS: [(&str, &str, usize); 0] = [];

struct Payload {
    name: String,
    delivery: String,
    body: String,
    signature: String,
}

impl Payload {
    fn request(&self, body: &[u8]) -> Vec<u8> {
        let webhook = Webhook {
            event: &self.name,
            delivery: &self.delivery,
            content_type: JSON,
            body,
        };
        webhook.with_signature(&self.signature, PATH)
    }
}

fn payloads() -> Vec<Payload> {
    let tools = workspace().join(".tools/octokit");
    assert!(
        tools.join("node_modules").exists(),
        "run `cargo xtask test`, which installs {}",
        tools.display()
    );
    let signed = Command::new("node")
        .arg(script(&tools))
        .arg(SECRET)
        .output()
        .unwrap();
    assert!(
        signed.status.success(),
        "{}",
        String::from_utf8_lossy(&signed.stderr)
    );
    let lines = String::from_utf8(signed.stdout).unwrap();
    lines
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            Payload {
                name: text("name"),
                delivery: text("delivery"),
                body: text("body"),
                signature: text("signature"),
            }
        })
        .collect()
}

/// Beside the packages, where node looks for them.
fn script(tools: &Path) -> PathBuf {
    tools.join("sign.mjs")
}

fn status_of(answer: &Answer) -> (u16, String) {
    let word = answer
        .json()
        .ok()
        .and_then(|body| body["status"].as_str().map(str::to_owned));
    (answer.status, word.unwrap_or_default())
}

#[test]
fn octokit_payloads_signed_by_octokit_all_end_well_once() {
    let payloads = payloads();
    assert_eq!(payloads.len(), PAYLOADS);
    let running = Running::start();
    let send = |payload: &Payload, body: &[u8]| {
        http::exchange(running.site.ingress(), &payload.request(body)).unwrap()
    };

    for payload in &payloads {
        let mut body = payload.body.clone().into_bytes();
        *body.last_mut().unwrap() = b' ';
        let answer = send(payload, &body);
        assert_eq!(
            (answer.status, answer.body.len()),
            (401, 0),
            "{}",
            payload.name
        );
    }
    assert_eq!(running.operator().events().unwrap(), Vec::<Value>::new());

    for payload in &payloads {
        let answer = send(payload, payload.body.as_bytes());
        assert_eq!(
            status_of(&answer),
            (200, "accepted".into()),
            "{}",
            payload.name
        );
    }
    running.operator().wait_until_mapped(SOON).unwrap();
    check_ends(&running.operator().events().unwrap(), &payloads);
    let changes = running.operator().changes().unwrap();

    for payload in &payloads {
        let answer = send(payload, payload.body.as_bytes());
        assert_eq!(
            status_of(&answer),
            (200, "duplicate".into()),
            "{}",
            payload.name
        );
    }
    running.operator().wait_until_mapped(SOON).unwrap();
    assert_eq!(running.operator().events().unwrap().len(), PAYLOADS);
    assert_eq!(
        running.operator().changes().unwrap(),
        changes,
        "duplicates changed the log"
    );
}

/// Every event ended as mapped or skipped with a reason, and just those that the README
/// names are skipped of the kinds that are mapped.
fn check_ends(events: &[Value], payloads: &[Payload]) {
    assert_eq!(events.len(), payloads.len());
    let by_delivery: BTreeMap<&str, &Value> = events
        .iter()
        .map(|event| (event["partner_id"].as_str().unwrap(), event))
        .collect();
    let mut mapped: BTreeMap<&str, usize> = BTreeMap::new();
    let mut skipped: BTreeMap<(&str, String), usize> = BTreeMap::new();
    let kinds: BTreeSet<&str> = MAPPED_KINDS.iter().map(|(kind, _)| *kind).collect();
    for payload in payloads {
        let event = by_delivery[payload.delivery.as_str()];
        let reason = event["reason"].as_str().unwrap_or_default();
        match event["state"].as_str().unwrap() {
            "mapped" => *mapped.entry(&payload.name).or_default() += 1,
            "skipped" => {
                assert!(
                    reason.contains(&payload.name),
                    "{reason:?} does not name {}",
                    payload.name
                );
                if kinds.contains(payload.name.as_str()) {
                    let body: Value = serde_json::from_str(&payload.body).unwrap();
                    let action = body["action"].as_str().unwrap_or_default().to_owned();
                    *skipped.entry((&payload.name, action)).or_default() += 1;
                }
            }
            other => panic!("{} ended as {other}: {reason}", payload.name),
        }
    }
    let expect_skipped: BTreeMap<(&str, String), usize> = SKIPPED_OF_MAPPED_KINDS
        .iter()
        .map(|(kind, action, count)| ((*kind, (*action).to_owned()), *count))
        .collect();
    assert_eq!(skipped, expect_skipped);
    let mut expect_mapped: BTreeMap<&str, usize> = MAPPED_KINDS.into_iter().collect();
    for (kind, _, count) in SKIPPED_OF_MAPPED_KINDS {
        *expect_mapped.get_mut(kind).unwrap() -= count;
    }
    assert_eq!(mapped, expect_mapped);
}
