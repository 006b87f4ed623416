//! The published vectors, and a file that is wrong on purpose.

use serde_json::{Value, json};

use super::super::output::capture;
use super::*;

fn judged(document: &Value, by: By) -> (Exit, Value, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document.to_string()).unwrap();
    let (mut output, answer, _) = capture::output(true);
    let exit = run(file.path(), by, &mut output).unwrap();
    let json = serde_json::from_str(&answer.text()).unwrap();
    let (mut output, answer, _) = capture::output(false);
    assert_eq!(run(file.path(), by, &mut output).unwrap(), exit);
    (exit, json, answer.text())
}

fn published() -> Value {
    let text = include_str!("../../../../tests/vectors/signatures.json");
    serde_json::from_str(text).unwrap()
}

#[track_caller]
fn check_published(by: By) {
    let (exit, json, text) = judged(&published(), by);
    assert_eq!(exit, Exit::Done, "{text}");
    assert_eq!(json["agrees"], true);
    assert_eq!(json["cases"].as_array().unwrap().len(), 642);
    assert_eq!(json["handshakes"].as_array().unwrap().len(), 16);
    assert!(text.contains("ADVISORY CASE"), "{text}");
}

#[test]
fn the_published_vectors_agree_by_description() {
    check_published(By::Description);
}

#[test]
fn the_published_vectors_agree_by_preset() {
    check_published(By::Preset);
}

/// GitHub's published example, and what is said of it.
fn one(change: impl FnOnce(&mut Value)) -> Value {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let mut case = json!({
        "partner": "hub", "name": "hub/one", "binding": "must", "method": "POST",
        "url": "https://hooks.example.com/in/hub",
        "headers": [["X-Hub-Signature-256", signature], ["X-Id", "d-1"]],
        "body_base64": "SGVsbG8sIFdvcmxkIQ==", "secrets": ["It's a Secret to Everybody"],
        "now": 1_795_536_000, "expected": "accept", "event_id_expected": "d-1",
    });
    change(&mut case);
    json!({
        "schemes": {"hub": {
            "algorithm": "hmac-sha256", "key": "utf8", "content": "{body}",
            "signature": {"in": "header", "name": "X-Hub-Signature-256", "encoding": "hex", "prefix": "sha256="},
            "event_id": {"in": "header", "name": "X-Id"},
        }},
        "vectors": [case],
    })
}

#[track_caller]
fn check(change: impl FnOnce(&mut Value), expected: Exit, line: &str) {
    let (exit, _, text) = judged(&one(change), By::Description);
    assert_eq!(exit, expected, "{text}");
    assert!(text.contains(line), "{line} is not in\n{text}");
}

#[test]
fn what_differs_is_a_no_and_said_by_name() {
    check(
        |_| {},
        Exit::Done,
        "hub          1      1         0         0        1/1",
    );
    let reject = |case: &mut Value| case["expected"] = "reject".into();
    check(reject, Exit::No, "hub/one: accept, expected reject");
    let other_id = |case: &mut Value| case["event_id_expected"] = Value::Null;
    check(
        other_id,
        Exit::No,
        "hub/one: event id \"d-1\", expected none",
    );
    let no_secret = |case: &mut Value| case["secrets"] = json!([]);
    check(
        no_secret,
        Exit::No,
        "hub/one: reject, expected accept: no secret",
    );
    let unknown = |case: &mut Value| case["partner"] = "bub".into();
    check(unknown, Exit::No, "the file describes no scheme \"bub\"");
    let advisory = |case: &mut Value| {
        case["expected"] = "reject".into();
        case["binding"] = "advisory".into();
    };
    check(advisory, Exit::Done, "hub/one        reject  accept");
}

#[test]
fn a_file_that_is_none_is_named_with_its_case() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let document = one(|case| case["body_base64"] = "*".into());
    std::fs::write(file.path(), document.to_string()).unwrap();
    let (mut output, _, _) = capture::output(false);
    let error = run(file.path(), By::Preset, &mut output).unwrap_err();
    let said = super::super::report(&error);
    assert!(
        said.contains("hub/one: \"body_base64\" is not base64"),
        "{said}"
    );
}
