//! The published test vectors: real partners' signatures, checked by their own libraries.
//!
//! `tests/vectors/signatures.json` describes 33 schemes and 642 requests. Every scheme
//! has to be read; every binding verdict of a scheme that this version supports has to
//! be ours. Where the partner's library and we may differ (`advisory`) the difference
//! is pinned as well, so that it changes on purpose only.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use tidegate_core::signature::{KeySet, RawRequest, Scheme, Secret, event_id, explain, verify};
use tidegate_core::time::Timestamp;

struct Vectors {
    schemes: BTreeMap<String, Value>,
    cases: Vec<Value>,
}

fn load() -> Vectors {
    let text = include_str!("../../../../tests/vectors/signatures.json");
    let mut document: Value = serde_json::from_str(text).unwrap();
    let Value::Object(schemes) = document["schemes"].take() else {
        panic!("schemes")
    };
    let Value::Array(cases) = document["vectors"].take() else {
        panic!("vectors")
    };
    Vectors {
        schemes: schemes.into_iter().collect(),
        cases,
    }
}

fn text<'v>(case: &'v Value, key: &str) -> &'v str {
    case[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} of {case}"))
}

fn request(case: &Value) -> RawRequest {
    let header = |pair: &Value| {
        let (name, value) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
        (name.to_ascii_lowercase(), Bytes::from(value.to_owned()))
    };
    let url = text(case, "url");
    RawRequest {
        method: text(case, "method").to_owned(),
        url: Some(url.to_owned()),
        path: vec![],
        query: url
            .split_once('?')
            .map(|(_, query)| query.to_owned())
            .unwrap_or_default(),
        headers: case["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(header)
            .collect(),
        body: STANDARD.decode(text(case, "body_base64")).unwrap().into(),
    }
}

fn keys(scheme: &Scheme, case: &Value) -> KeySet {
    let secrets = case["secrets"].as_array().unwrap();
    let secrets = secrets
        .iter()
        .map(|secret| Secret::new(secret.as_str().unwrap().as_bytes().to_vec()).unwrap());
    KeySet::prepare(scheme, secrets).unwrap()
}

/// Whether our verdict on a case is the expected one, and what is wrong where not.
fn judge(scheme: &Scheme, case: &Value) -> Result<(), String> {
    let now = Timestamp::from_secs(case["now"].as_i64().unwrap());
    let keys = keys(scheme, case);
    let raw = request(case);
    // The explanation is built of the same steps and has to agree.
    let explained = explain(&raw, scheme, &keys, now);
    let verdict = verify(raw, scheme, &keys, now);
    assert_eq!(
        verdict.as_ref().err(),
        explained.verdict.as_ref().err(),
        "{}",
        text(case, "name")
    );
    match (verdict, text(case, "expected")) {
        (Err(_), "reject") => Ok(()),
        (Ok(_), "reject") => Err("accepted, and has to be refused".into()),
        (Err(refusal), _) => Err(format!("refused, and has to be accepted: {refusal}")),
        (Ok(request), _) => {
            let id = event_id(&request, scheme.event_id());
            let found = id.is_from_partner().then_some(id.as_str());
            let expected = case["event_id_expected"].as_str();
            if found == expected {
                Ok(())
            } else {
                Err(format!("id {found:?}, expected {expected:?}"))
            }
        }
    }
}

#[test]
fn every_scheme_is_read_and_written_back() {
    let schemes = load().schemes;
    assert_eq!(schemes.len(), 33);
    for (partner, document) in &schemes {
        let scheme = Scheme::parse(document).unwrap_or_else(|e| panic!("{partner}: {e}"));
        let canonical = scheme.to_json();
        assert_eq!(Scheme::parse(&canonical).as_ref(), Ok(&scheme), "{partner}");
        assert_eq!(
            Scheme::parse(&canonical).unwrap().to_json(),
            canonical,
            "{partner}"
        );
    }
}

#[test]
fn what_is_not_supported_is_refused_before_any_request() {
    let mut refused = BTreeMap::new();
    for (partner, document) in load().schemes {
        let scheme = Scheme::parse(&document).unwrap();
        if let Err(unsupported) = scheme.check_supported() {
            assert!(KeySet::prepare(&scheme, []).is_err(), "{partner}");
            refused.insert(partner, unsupported.to_string());
        }
    }
    let expected = [
        (
            "adyen",
            "a signature in \"json-each\" is not supported by this version",
        ),
        (
            "aws-sns",
            "scheme algorithm \"special: aws-sns\" is not supported by this version",
        ),
        (
            "discord",
            "scheme algorithm \"ed25519\" is not supported by this version",
        ),
        (
            "kick",
            "scheme algorithm \"rsa-pkcs1-sha256\" is not supported by this version",
        ),
        (
            "netlify",
            "scheme algorithm \"jwt HS256\" is not supported by this version",
        ),
        (
            "plaid",
            "scheme algorithm \"jwt ES256\" is not supported by this version",
        ),
        (
            "sendgrid",
            "scheme algorithm \"ecdsa-p256-sha256 (DER)\" is not supported by this version",
        ),
    ];
    assert_eq!(
        refused,
        expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    );
}

#[test]
#[expect(clippy::print_stdout, reason = "the run's log says what is covered")]
fn every_binding_verdict_of_a_supported_scheme_is_ours() {
    let Vectors { schemes, cases } = load();
    let supported: BTreeMap<_, _> = schemes
        .iter()
        .map(|(partner, document)| (partner.as_str(), Scheme::parse(document).unwrap()))
        .filter(|(_, scheme)| scheme.check_supported().is_ok())
        .collect();
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    let mut advisory_agreed = 0;
    let mut advisory_differs = BTreeSet::new();
    for case in &cases {
        let Some(scheme) = supported.get(text(case, "partner")) else {
            continue;
        };
        match (
            judge(scheme, case),
            text(case, "binding"),
            text(case, "expected"),
        ) {
            (Ok(()), "must", "accept") => accepted += 1,
            (Ok(()), "must", "reject") => refused += 1,
            (Err(why), "must", _) => wrong.push(format!("{}: {why}", text(case, "name"))),
            (Ok(()), _, _) => advisory_agreed += 1,
            (Err(_), _, _) => {
                advisory_differs.insert(text(case, "name"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!(
        "covered: {}",
        supported.keys().copied().collect::<Vec<_>>().join(", ")
    );
    println!("binding: {accepted} accepted, {refused} refused; advisory: {advisory_agreed} agree");
    assert_eq!(supported.len(), 26);
    assert_eq!((accepted, refused, advisory_agreed), (126, 356, 31));
    // We are stricter than one library about blanks, and laxer than some about capitals
    // in hex and a number written as a text: the same bytes and the same instant.
    let expected = [
        "asana/uppercase-hex",
        "calendly/space-inside-signature-value",
        "calendly/uppercase-hex",
        "dropbox/uppercase-hex",
        "github/uppercase-hex",
        "intercom/uppercase-hex",
        "linear/timestamp-as-string",
        "linear/uppercase-hex",
        "meta/uppercase-hex",
        "paddle/uppercase-hex",
        "slack/uppercase-hex",
        "stripe/uppercase-hex",
        "zoom/uppercase-hex",
    ];
    assert_eq!(advisory_differs, expected.into());
}
