//! The partners' handshakes, answered by the built-in presets.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_core::signature::{Handshake, HandshakeState, Outcome, Preset, Reply, Secret, verify};
use tidegate_core::time::Timestamp;

use crate::vectors::{keys, load, request, text};

/// What a sender sees, and what is kept.
struct Seen {
    reply: Reply,
    stored: Option<String>,
}

fn refuse(status: u16) -> Seen {
    Seen {
        reply: Reply {
            status,
            headers: vec![],
            body: bytes::Bytes::new(),
        },
        stored: None,
    }
}

/// The steps of a host around the pure decisions.
fn answer(case: &Value) -> Seen {
    let preset = Preset::find(text(case, "partner")).unwrap();
    let scheme = preset.scheme();
    let now = Timestamp::from_secs(case["now"].as_i64().unwrap());
    let keys = keys(scheme, &case["config"]);
    let raw = request(case);
    let state = case["config"]["state"].as_str();
    let token = case["config"]["verify_token"].as_str();
    let state = HandshakeState {
        awaiting: state == Some("awaiting handshake"),
        established: state == Some("established"),
        tokens: token
            .map(|token| {
                (
                    "verify_token".to_owned(),
                    Secret::new(token.into()).unwrap(),
                )
            })
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    };
    let list = preset.handshakes();
    let outcome = Handshake::before(list, &raw, &state, &keys, now);
    let outcome = match outcome {
        Some(outcome) => Some(outcome),
        None => match verify(raw, scheme, &keys, None, now) {
            Ok(verified) => Handshake::after(list, &verified, scheme, &keys, now),
            Err(_) => return refuse(401),
        },
    };
    match outcome.unwrap_or_else(|| panic!("{} is an event", text(case, "name"))) {
        Outcome::Answer(reply) | Outcome::Confirm { reply, .. } => Seen {
            reply,
            stored: None,
        },
        Outcome::Store { secret, reply } => Seen {
            reply,
            stored: Some(String::from_utf8(secret.expose().to_vec()).unwrap()),
        },
        Outcome::Refuse { status } => refuse(status),
        Outcome::PollWish => panic!("{} is a ping", text(case, "name")),
    }
}

fn check(case: &Value) {
    let name = text(case, "name");
    let expected = &case["expected_response"];
    if name == "adyen/handshake-acknowledgement" {
        let acknowledge = Preset::find("adyen").unwrap().acknowledge().unwrap();
        assert_eq!(acknowledge.body.as_deref(), expected["body"].as_str());
        assert_eq!(
            u64::from(acknowledge.status),
            expected["status"].as_u64().unwrap()
        );
        return;
    }
    let Seen { reply, stored } = answer(case);
    let status = Value::from(reply.status);
    let any = expected["status_any"].as_array();
    let good = any.map_or(status == expected["status"], |any| any.contains(&status));
    assert!(good, "{name}: {status}");
    let body = String::from_utf8(reply.body.to_vec()).unwrap();
    if let Some(expected) = expected["body"].as_str() {
        assert_eq!(body, expected, "{name}");
    }
    if let Some(refused) = expected["body_not"].as_str() {
        assert!(!body.contains(refused), "{name}");
    }
    if let Some(expected) = expected.get("body_json") {
        assert_eq!(
            &serde_json::from_str::<Value>(&body).unwrap(),
            expected,
            "{name}"
        );
    }
    let header = |wanted: &str| {
        let found = reply.headers.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    };
    if let Some(expected) = expected["content_type"].as_str() {
        assert!(
            expected.starts_with(header("content-type").unwrap()),
            "{name}"
        );
    }
    for required in expected["header_required"].as_array().into_iter().flatten() {
        let (wanted, value) = required.as_str().unwrap().split_once(": ").unwrap();
        assert_eq!(header(&wanted.to_ascii_lowercase()), Some(value), "{name}");
    }
    assert_eq!(
        stored.as_deref(),
        case["stores"]["secret"].as_str(),
        "{name}"
    );
}

#[test]
fn every_handshake_of_the_vectors_is_answered_as_the_partner_expects() {
    let handshakes = load().handshakes;
    assert_eq!(handshakes.len(), 16);
    handshakes.iter().for_each(check);
}
