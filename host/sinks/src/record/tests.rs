use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::samples::{change, delete};

fn parsed(write: impl Fn(&mut Vec<u8>)) -> Value {
    let mut bytes = Vec::new();
    write(&mut bytes);
    assert!(!bytes.contains(&b'\n'));
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn an_event_says_everything() {
    let one = change(42, "7", "{\n\"a\":1}");
    let event = parsed(|into| structured(&one, "/tidegate/s1", into));
    let expect = json!({
        "specversion": "1.0", "id": "chg_000000000000002a",
        "source": "/tidegate/s1/github/acme", "type": "tidegate.github.issue.upsert",
        "subject": "7", "time": "1970-01-01T00:00:01Z",
        "sequence": "00000000000000000042", "partitionkey": "github/acme/issue/7",
        "datacontenttype": "application/json",
        "data": {
            "seq": "42", "connection": "github/acme", "entity": {"kind": "issue", "id": "7"},
            "operation": "upsert", "version": "42", "revision": "r42",
            "occurred_at": "1970-01-01T00:00:01Z", "committed_at": "1970-01-01T00:00:02Z",
            "origin": "webhook", "event": "evt_0000000000000001", "data": {"a": 1},
        },
    });
    assert_eq!(event, expect);
}

#[test]
fn a_delete_has_no_data_and_unknown_things_are_null() {
    let mut one = delete(1, "7");
    one.change.version = None;
    one.event = None;
    let shown = parsed(|into| record(&one, into));
    assert_eq!(shown["operation"], "delete");
    for name in ["data", "version", "event"] {
        assert_eq!(shown[name], Value::Null, "{name}");
    }
}

#[test]
fn odd_names_are_escaped_where_they_must_be() {
    let mut one = change(1, "a\"b\n%é", "{}");
    one.connection = "github/Åcme GmbH".parse().unwrap();
    let event = parsed(|into| structured(&one, "/t", into));
    assert_eq!(event["source"], "/t/github/%C3%85cme%20GmbH");
    assert_eq!(event["subject"], "a\"b%0A%é");
    assert_eq!(event["data"]["entity"]["id"], "a\"b\n%é");
    assert_eq!(field_value("a\"b%é €"), "a%22b%25%C3%A9%20%E2%82%AC");
}

proptest! {
    #[test]
    fn whatever_an_id_is_the_event_is_json_and_keeps_it(id in "(?s).{1,64}") {
        let event = parsed(|into| structured(&change(1, &id, "{}"), "/t", into));
        prop_assert_eq!(event["data"]["entity"]["id"].as_str(), Some(&*id));
        let subject = event["subject"].as_str().unwrap_or_default();
        prop_assert!(!subject.chars().any(char::is_control));
        prop_assert!(field_value(&id).bytes().all(|byte| matches!(byte, b'!'..=b'~')));
    }
}
