//! The published test vectors: real partners' signatures, checked by their own libraries.
//!
//! `tests/vectors/signatures.json` describes 33 schemes and 642 requests. Every scheme
//! has to be read; every binding verdict has to be ours. Where the partner's library and we may differ (`advisory`) the difference
//! is pinned as well, so that it changes on purpose only.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_core::signature::{
    EventIdText, KeySet, RawRequest, Scheme, SchemeConfig, Secret, events_of, explain, verify,
};
use tidegate_core::time::Timestamp;

pub(crate) struct Vectors {
    pub(crate) schemes: BTreeMap<String, Value>,
    pub(crate) cases: Vec<Value>,
    pub(crate) handshakes: Vec<Value>,
}

pub(crate) fn load() -> Vectors {
    let text = include_str!("../../../../tests/vectors/signatures.json");
    let mut document: Value = serde_json::from_str(text).unwrap();
    let Value::Object(schemes) = document["schemes"].take() else {
        panic!("schemes")
    };
    let Value::Array(cases) = document["vectors"].take() else {
        panic!("vectors")
    };
    let Value::Array(handshakes) = document["handshakes"].take() else {
        panic!("handshakes")
    };
    Vectors {
        schemes: schemes.into_iter().collect(),
        cases,
        handshakes,
    }
}

pub(crate) fn text<'v>(case: &'v Value, key: &str) -> &'v str {
    case[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} of {case}"))
}

pub(crate) fn request(case: &Value) -> RawRequest {
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

/// The secrets or public keys of a case, prepared for its scheme.
pub(crate) fn keys(scheme: &Scheme, case: &Value) -> KeySet {
    let secrets = case["secrets"].as_array().into_iter().flatten();
    let public = case["public_keys"].as_array().into_iter().flatten();
    let texts = secrets
        .map(plain)
        .chain(public.map(|key| plain(&key["key"])));
    let secrets = texts.map(|text| Secret::new(text.into_bytes()).unwrap());
    let config = case["config"].as_object().into_iter().flatten();
    let config: SchemeConfig = config
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    KeySet::prepare_with(scheme, secrets, &config).unwrap()
}

/// A text as it stands, and a key that is a document as its text.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether our verdict on a case is the expected one, and what is wrong where not.
pub(crate) fn judge(scheme: &Scheme, case: &Value) -> Result<(), String> {
    let own = case["tolerance_s"].as_u64();
    let scheme = &match own {
        Some(tolerance_s) => scheme.clone().with_tolerance_s(tolerance_s),
        None => scheme.clone(),
    };
    let now = Timestamp::from_secs(case["now"].as_i64().unwrap());
    let keys = keys(scheme, case);
    let raw = request(case);
    // The explanation is built of the same steps and has to agree.
    let explained = explain(&raw, scheme, &keys, None, now);
    let verdict = verify(raw, scheme, &keys, None, now);
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
            let events = events_of(&request, scheme).unwrap();
            let id = events.first().map(|event| &event.id);
            let found = id
                .filter(|id| id.is_from_partner())
                .map(EventIdText::as_str);
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
fn what_is_not_known_is_refused_before_any_request() {
    let scheme = Scheme::parse(&json!({
        "algorithm": "special: morse", "key": "utf8",
        "signature": {"in": "header", "name": "x-signature"},
    }));
    let scheme = scheme.unwrap();
    let unsupported = "scheme algorithm \"special: morse\" is not supported by this version";
    assert_eq!(
        scheme.check_supported().unwrap_err().to_string(),
        unsupported
    );
    assert!(KeySet::prepare(&scheme, []).is_err());
}

#[test]
#[expect(clippy::print_stdout, reason = "the run's log says what is covered")]
fn every_binding_verdict_is_ours() {
    let Vectors { schemes, cases, .. } = load();
    let supported: BTreeMap<_, _> = schemes
        .iter()
        .map(|(partner, document)| (partner.as_str(), Scheme::parse(document).unwrap()))
        .collect();
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    let mut advisory_agreed = 0;
    let mut advisory_differs = BTreeSet::new();
    for case in &cases {
        let scheme = &supported[text(case, "partner")];
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
    assert_eq!(supported.len(), 33);
    assert_eq!((accepted, refused, advisory_agreed), (151, 438, 32));
    // We are stricter than some libraries about blanks and about the alphabet and padding of
    // base64, and laxer than others about capitals in hex and a number written as a text:
    // the same bytes and the same instant.
    let expected = [
        "adyen/base64-without-padding",
        "asana/uppercase-hex",
        "aws-sns/base64-without-padding",
        "aws-sns/base64url-alphabet",
        "calendly/space-inside-signature-value",
        "calendly/uppercase-hex",
        "dropbox/uppercase-hex",
        "github/uppercase-hex",
        "intercom/uppercase-hex",
        "kick/base64-without-padding",
        "kick/base64url-alphabet",
        "kick/space-inside-signature-value",
        "linear/timestamp-as-string",
        "linear/uppercase-hex",
        "meta/uppercase-hex",
        "paddle/uppercase-hex",
        "sendgrid/base64-without-padding",
        "sendgrid/base64url-alphabet",
        "slack/uppercase-hex",
        "stripe/uppercase-hex",
        "zoom/uppercase-hex",
    ];
    assert_eq!(advisory_differs, expected.into());
}
