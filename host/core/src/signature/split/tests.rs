//! What several events in one body come to.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::signature::request::RawRequest;
use crate::signature::verify::Proof;
use crate::time::Timestamp;

fn events(change: Value, body: &str) -> Result<Vec<EventPart>, SplitError> {
    let mut document = json!({
        "algorithm": "hmac-sha256", "key": "utf8", "content": "{body}",
        "signature": {"in": "header", "name": "s", "encoding": "hex"},
    });
    if let (Value::Object(document), Value::Object(change)) = (&mut document, change) {
        document.extend(change);
    }
    let scheme = Scheme::parse(&document).unwrap();
    let raw = RawRequest {
        method: "POST".into(),
        url: None,
        path: vec![],
        query: String::new(),
        headers: vec![("x-kind".into(), Bytes::from_static(b"k"))],
        body: Bytes::from(body.to_owned()),
    };
    let request = VerifiedRequest::new(raw, &scheme, Proof::none(), Timestamp::EPOCH);
    events_of(&request, &scheme)
}

/// Each event as its id and its bytes; an id of the host's own as `#`.
#[track_caller]
fn check(change: Value, body: &str, expected: &[(&str, &str)]) {
    let found = events(change, body).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|part| {
            let id = if part.id.is_from_partner() {
                part.id.as_str()
            } else {
                "#"
            };
            (id, std::str::from_utf8(&part.body).unwrap())
        })
        .collect();
    assert_eq!(found, expected, "{body}");
}

fn id(pointer: &str) -> Value {
    json!({"in": "json", "of": "each item", "pointer": pointer})
}

#[test]
fn each_element_is_an_event_with_its_own_bytes() {
    let top = json!({"split": {"each": ""}, "event_id": id("/id")});
    check(
        top.clone(),
        r#"[ {"id" : "a"},{"id":"b","n":1.0} ,7]"#,
        &[
            ("a", r#"{"id" : "a"}"#),
            ("b", r#"{"id":"b","n":1.0}"#),
            ("#", "7"),
        ],
    );
    check(
        json!({"split": {"each": "/data/events"}, "event_id": id("/id")}),
        r#"{"data":{"events":[{"id":"a"}]}}"#,
        &[("a", r#"{"id":"a"}"#)],
    );
    check(
        json!({
            "split": {"each": "/items", "item": "/it"},
            "event_id": {"in": "template", "template": "{header:x-kind}:{/id}"},
        }),
        r#"{"items":[{"it":{"id":"a"}},{"id":"b"}]}"#,
        &[("k:a", r#"{"id":"a"}"#), ("k:b", r#"{"id":"b"}"#)],
    );
    check(
        json!({"event_id": id("/id")}),
        r#"[{"id":"a"}]"#,
        &[("a", r#"{"id":"a"}"#)],
    );
}

#[test]
fn lists_within_lists_and_several_of_them() {
    let split = json!({
        "split": {"each": ["/entry/*/changes", "/entry/*/messaging"]}, "event_id": id("/id"),
    });
    check(
        split,
        r#"{"entry":[{"changes":[{"id":1},{"id":2}]},{"messaging":[{"id":3}]},{"changes":[]}]}"#,
        &[
            ("1", r#"{"id":1}"#),
            ("2", r#"{"id":2}"#),
            ("3", r#"{"id":3}"#),
        ],
    );
    check(
        json!({"split": {"each": "/*/l"}, "event_id": id("/id")}),
        r#"[{"l":[{"id":"a"}]},{"l":7},{}]"#,
        &[("a", r#"{"id":"a"}"#)],
    );
}

#[test]
fn a_list_in_a_form_field_is_decoded() {
    check(
        json!({"split": {"each": "", "form": "events"}, "event_id": id("/id")}),
        "a=1&events=%5B%7B%22id%22%3A%22x%22%7D%5D",
        &[("x", r#"{"id":"x"}"#)],
    );
}

#[test]
fn without_the_list_the_body_is_one_event_and_an_empty_list_is_none() {
    let split = json!({"split": {"each": "/events"}, "event_id": id("/id")});
    check(
        split.clone(),
        r#"{"id":"whole"}"#,
        &[("whole", r#"{"id":"whole"}"#)],
    );
    check(split.clone(), "no json", &[("#", "no json")]);
    check(
        split.clone(),
        r#"{"events":7,"id":"w"}"#,
        &[("w", r#"{"events":7,"id":"w"}"#)],
    );
    check(split, r#"{"events":[]}"#, &[]);
}

#[test]
fn events_are_bounded() {
    let split = json!({"split": {"each": ""}, "event_id": id("/id")});
    let list = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    assert_eq!(
        events(split.clone(), &list(PARTS_MAX)).unwrap().len(),
        PARTS_MAX
    );
    assert_eq!(
        events(split, &list(PARTS_MAX + 1)),
        Err(SplitError::TooMany)
    );
    let deep = json!({"split": {"each": "/*/l"}, "event_id": id("/id")});
    let inner = format!("{{\"l\":{}}}", list(600));
    assert_eq!(
        events(deep, &format!("[{inner},{inner}]")),
        Err(SplitError::TooMany)
    );
}

#[test]
fn an_id_that_every_part_shares_is_refused() {
    let document = json!({
        "algorithm": "hmac-sha256", "key": "utf8", "content": "{body}",
        "signature": {"in": "header", "name": "s", "encoding": "hex"},
        "split": {"each": ""}, "event_id": {"in": "header", "name": "x-id"},
    });
    let problems = Scheme::parse(&document).unwrap_err().to_string();
    assert_eq!(
        problems,
        "/event_id: would be the same for every event of one body; read it from JSON"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_split_into_parts_of_themselves(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        json in r#"[\[\]{}",:el0-9 \\n]{0,48}"#,
    ) {
        for body in [String::from_utf8_lossy(&bytes).into_owned(), json] {
            let split = json!({"split": {"each": ["", "/e", "/*/l"]}, "event_id": id("/id")});
            for part in events(split, &body).unwrap() {
                let text = std::str::from_utf8(&part.body).unwrap();
                prop_assert!(body.contains(text));
            }
        }
    }
}
