//! What holds for the whole connector; what each event gives is in `fixtures/`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidegate_sdk::testing::{check_fixtures, connection, form_encode, load_fixtures, webhook};
use tidegate_sdk::{Describer, Failure, Header, Mapper, Outcome, Webhook};

use crate::Github;

fn map(webhook: &Webhook) -> Result<Outcome, Failure> {
    Github::map_webhook(&connection("github"), webhook)
}

#[test]
fn fixtures() {
    check_fixtures::<Github>("fixtures");
}

#[test]
fn a_form_means_what_its_json_means() {
    for fixture in load_fixtures("fixtures").unwrap() {
        if fixture.webhook.is_form() {
            continue;
        }
        let mut form = fixture.webhook.clone();
        form.body = format!("payload={}", form_encode(&form.body)).into_bytes();
        form.headers.retain(|header| header.name != "content-type");
        form.headers.push(Header {
            name: "content-type".to_owned(),
            value: b"application/x-www-form-urlencoded".to_vec(),
        });
        assert_eq!(map(&form), map(&fixture.webhook), "{}", fixture.name);
    }
}

#[test]
fn a_truncated_body_is_permanent_at_every_length() {
    let fixtures = load_fixtures("fixtures").unwrap();
    let opened = fixtures
        .iter()
        .find(|fixture| fixture.name == "pull_request_opened")
        .unwrap();
    let mut truncated = opened.webhook.clone();
    while truncated.body.pop().is_some() {
        let result = map(&truncated);
        assert!(
            matches!(result, Err(Failure::Permanent(_))),
            "{} bytes: {result:?}",
            truncated.body.len()
        );
    }
}

/// The descriptor's promises, against what the fixtures give.
#[test]
fn the_descriptor_declares_just_what_is_mapped() {
    let descriptor: Value = serde_json::from_str(&Github::descriptor()).unwrap();
    let declared: BTreeMap<&str, bool> = descriptor["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entity| {
            (
                entity["kind"].as_str().unwrap(),
                entity["versioned"].as_bool().unwrap(),
            )
        })
        .collect();
    let mut mapped = BTreeSet::new();
    for fixture in load_fixtures("fixtures").unwrap() {
        let Ok(Outcome::Mapped(mapping)) = map(&fixture.webhook) else {
            continue;
        };
        for change in mapping.changes {
            let versioned = declared[change.entity.kind.as_str()];
            assert!(versioned || change.version.is_none(), "{}", fixture.name);
            mapped.insert(change.entity.kind);
        }
    }
    assert!(mapped.iter().eq(declared.keys()), "{mapped:?} {declared:?}");
}

#[track_caller]
fn check_failure(headers: &[(&str, &str)], body: &str, reason: &str) {
    assert_eq!(
        map(&webhook(headers, body)),
        Err(Failure::permanent(reason))
    );
}

#[test]
fn what_can_never_be_mapped_is_permanent_and_says_why() {
    check_failure(&[], "{}", "header X-GitHub-Event is missing");
    check_failure(
        &[("X-GitHub-Event", "push"), ("X-GitHub-Event", "star")],
        "{}",
        "header X-GitHub-Event stands twice",
    );
    check_failure(
        &[("X-GitHub-Event", "push")],
        "{\"ref\":",
        "body: EOF while parsing a value at line 1 column 7",
    );
    check_failure(
        &[("X-GitHub-Event", "issues")],
        "{\"action\":\"opened\"}",
        "body: missing field `issue` at line 1 column 19",
    );
    check_failure(
        &[("X-GitHub-Event", "organization")],
        "{\"action\":\"member_added\",\"organization\":{\"id\":1,\"login\":\"o\"}}",
        "body: a member's event without `membership`",
    );
    check_failure(
        &[
            ("X-GitHub-Event", "star"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ],
        "{}",
        "form body has no field `payload`",
    );
}

#[track_caller]
fn check_skip(event: &str, reason: &str) {
    let outcome = map(&webhook(&[("X-GitHub-Event", event)], "not even JSON"));
    assert_eq!(outcome, Ok(Outcome::skip(reason)));
}

#[test]
fn what_is_not_mapped_is_skipped_by_name() {
    check_skip("fork", "event type \"fork\" is not mapped");
    check_skip("", "event type \"\" is not mapped");
    check_skip("a\"b", "event type \"a\\\"b\" is not mapped");
    let shown = "ü".repeat(32);
    check_skip(
        &"ü".repeat(900),
        &format!("event type \"{shown}\" is not mapped"),
    );
}
