//! Laws of verification: what was signed verifies, and nothing else does.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use tidegate_core::document::Problems;
use tidegate_core::event::BodyAuthenticated;
use tidegate_core::signature::{RawRequest, Refusal, Scheme, explain, verify};
use tidegate_core::time::Timestamp;

use crate::signing::{github, keys, request, scheme, sign, signed};

const NOW: Timestamp = Timestamp::from_secs(1_795_536_000);

fn code(raw: RawRequest, scheme: &Scheme, secrets: &[&[u8]]) -> &'static str {
    verify(raw, scheme, &keys(scheme, secrets), None, NOW)
        .err()
        .map_or("ok", |refusal| refusal.code())
}

proptest! {
    #[test]
    fn one_flipped_bit_of_the_body_is_refused(
        body in prop::collection::vec(any::<u8>(), 1..300), at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let mut raw = signed(b"secret", &body);
        prop_assert_eq!(code(raw.clone(), &github(), &[b"secret"]), "ok");
        let mut changed = body.clone();
        *at.get_mut(&mut changed) ^= 1 << bit;
        raw.body = Bytes::from(changed);
        prop_assert_eq!(code(raw, &github(), &[b"secret"]), "no_match");
    }

    #[test]
    fn one_other_byte_in_the_signature_is_refused(
        body in prop::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut raw = signed(b"secret", &body);
        let mut signature = raw.headers[0].1.to_vec();
        let old = std::mem::replace(at.get_mut(&mut signature), byte);
        // The same hex digit in capitals is the same signature.
        prop_assume!(!old.eq_ignore_ascii_case(&byte));
        raw.headers[0].1 = Bytes::from(signature);
        prop_assert_ne!(code(raw, &github(), &[b"secret"]), "ok");
    }

    #[test]
    fn a_key_that_is_not_listed_is_refused(
        body in prop::collection::vec(any::<u8>(), 0..64),
        listed in prop::collection::vec("[a-z]{1,40}", 0..4),
        other in "[a-z]{1,40}",
    ) {
        let listed: Vec<&[u8]> = listed.iter().map(String::as_bytes).collect();
        prop_assume!(!listed.contains(&other.as_bytes()));
        prop_assert_ne!(code(signed(other.as_bytes(), &body), &github(), &listed), "ok");
        for key in &listed {
            prop_assert_eq!(code(signed(key, &body), &github(), &listed), "ok");
        }
    }

    #[test]
    fn no_header_makes_it_panic_or_accept(value in prop::collection::vec(any::<u8>(), 0..200)) {
        for scheme in [github(), pairs()] {
            let name = if scheme == github() { "x-hub-signature-256" } else { "x-signature" };
            let raw = request(&[(name, &value)], b"body");
            prop_assert_ne!(code(raw, &scheme, &[b"secret"]), "ok");
        }
    }
}

fn pairs() -> Scheme {
    scheme(&json!({
        "algorithm": "hmac-sha256", "key": "utf8", "content": "{timestamp}.{body}",
        "signature": {
            "in": "header", "name": "X-Signature", "format": "key-value-list", "item_separator": ",",
            "pair_separator": "=", "key": "v1", "encoding": "hex", "multiple": true, "trim": true,
        },
        "timestamp": {"in": "signature-item", "key": "t", "unit": "s", "tolerance_s": 300},
    }))
}

#[test]
fn pairs_are_read_strictly() {
    let good = sign(b"s", b"1795536000.body");
    let check = |header: &str, expected: &str| {
        let raw = request(&[("X-Signature", header.as_bytes())], b"body");
        assert_eq!(code(raw, &pairs(), &[b"s"]), expected, "{header}");
    };
    check(&format!("t=1795536000,v1={good}"), "ok");
    check(&format!("t=1795536000, v1=00, v1={good}"), "ok");
    check(
        &format!("t=1795536000,t=1795536000,v1={good}"),
        "timestamp_doubled",
    );
    check(&format!("v1={good}"), "timestamp_missing");
    check("t=1795536000", "signature_missing");
    check("t=1795536000,v1=zz", "signature_malformed");
    check(
        &format!("t=1795536000{}", format!(",v1={good}").repeat(17)),
        "signature_malformed",
    );
    let old = sign(b"s", b"1795535699.body");
    check(&format!("t=1795535699,v1={old}"), "timestamp_too_old");
    check(&format!("t=1795535699,v1={good}"), "no_match");
}

#[test]
fn headers_that_are_there_twice_are_refused() {
    let raw = signed(b"s", b"body");
    let with = |name: &str| {
        let mut raw = raw.clone();
        raw.headers.push((name.into(), Bytes::from_static(b"x")));
        code(raw, &github(), &[b"s"])
    };
    assert_eq!(with("x-other"), "ok");
    assert_eq!(with("x-hub-signature-256"), "signature_doubled");
    assert_eq!(with("x-github-delivery"), "header_doubled");
}

#[test]
fn credentials_do_not_outlive_verification() {
    let mut raw = signed(b"s", b"body");
    for name in ["authorization", "cookie", "x-plain"] {
        raw.headers
            .push((name.into(), Bytes::from_static(b"value")));
    }
    let scheme = github();
    let verified = verify(raw, &scheme, &keys(&scheme, &[b"s"]), None, NOW).unwrap();
    assert_eq!(verified.body_authenticated(), BodyAuthenticated::Full);
    assert_eq!(verified.received(), NOW);
    let values: Vec<_> = verified
        .into_parts()
        .headers
        .into_iter()
        .skip(2)
        .map(|(_, v)| v)
        .collect();
    assert_eq!(
        values,
        ["[redacted]", "[redacted]", "value"].map(Bytes::from)
    );
}

#[test]
fn a_token_is_the_proof_and_is_not_kept() {
    let scheme = scheme(&json!({
        "algorithm": "shared-token", "key": "utf8",
        "signature": {"in": "header", "name": "X-Gitlab-Token"},
    }));
    let raw = request(&[("x-gitlab-token", b"hunter2")], b"{}");
    let verified = verify(
        raw.clone(),
        &scheme,
        &keys(&scheme, &[b"hunter2"]),
        None,
        NOW,
    )
    .unwrap();
    assert_eq!(verified.body_authenticated(), BodyAuthenticated::None);
    assert_eq!(verified.headers()[0].1, "[verified]");
    assert_eq!(code(raw, &scheme, &[b"hunter3"]), "no_match");
}

/// Explains a request whose GitHub signature was made over `sent` and that arrived as
/// `received`.
fn explained(sent: &[u8], received: &[u8]) -> String {
    let scheme = github();
    let mut raw = signed(b"hunter2", sent);
    raw.body = Bytes::copy_from_slice(received);
    let explanation = explain(&raw, &scheme, &keys(&scheme, &[b"hunter2"]), None, NOW);
    let text = explanation.to_string();
    let right = sign(b"hunter2", received);
    assert!(
        !text.contains("hunter2") && !text.contains(&right),
        "{text}"
    );
    text
}

#[test]
fn an_explanation_names_the_cause() {
    let json = r#"{"a":1,"b":"Zoë"}"#.as_bytes();
    let check = |sent: &[u8], received: &[u8], expected: &str| {
        let text = explained(sent, received);
        assert!(text.contains(expected), "{text}");
    };
    check(
        json,
        &[json, b"\n"].concat(),
        "a newline was appended to the body",
    );
    check(
        &[json, b"\n"].concat(),
        json,
        "a newline at the end of the body was lost",
    );
    check(
        json,
        br#"{"a": 1, "b": "Zo\u00eb"}"#,
        "the secret is not the one",
    );
    check(
        json,
        r#"{"a": 1, "b": "Zoë"}"#.as_bytes(),
        "serialised again, with white space added",
    );
    check(
        r#"{"a": 1, "b": "Zoë"}"#.as_bytes(),
        json,
        "serialised again, with white space left out",
    );
    check(
        br#"{"a":1,"b":"Zo\u00eb"}"#,
        json,
        "with its \\u escapes decoded",
    );
    check(
        b"a\nb",
        b"a\r\nb",
        "newlines in the body became carriage return and newline",
    );
    check(json, b"other", "compare its SHA-256 and length");
    check(json, json, "verified\n");
}

#[test]
fn an_explanation_says_what_was_expected_and_what_was_there() {
    let scheme = github();
    let check = |headers: &[(&str, &[u8])], expected: &[&str]| {
        let raw = request(headers, b"body");
        let text = explain(&raw, &scheme, &keys(&scheme, &[b"s"]), None, NOW).to_string();
        for part in expected {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    };
    check(
        &[("x-hub-signature", b"sha1=00")],
        &[
            "not verified: header x-hub-signature-256 is missing (signature_missing)",
            "expected   \"sha256=\", then 64 hex digits (32 bytes)",
            "likely     the signature may be in another header: x-hub-signature",
            "signed     4 bytes: body",
        ],
    );
    check(
        &[("x-hub-signature-256", b"sha1=00")],
        &["likely     the signature begins with \"sha1=\" instead"],
    );
    let short = format!("sha256={}", "0".repeat(40));
    check(
        &[("x-hub-signature-256", short.as_bytes())],
        &[
            "received   40 characters: decodes to 20 bytes, and has to decode to 32",
            "likely     the signature has the length of an HMAC with SHA-1",
        ],
    );
}

#[test]
fn a_url_that_is_signed_has_to_be_configured() {
    let scheme = scheme(&json!({
        "algorithm": "hmac-sha256", "key": "utf8", "content": "{url}{body}",
        "signature": {"in": "header", "name": "X-Signature", "encoding": "hex"},
    }));
    let signature = sign(b"s", b"http://a.example/xbody");
    let mut raw = request(&[("x-signature", signature.as_bytes())], b"body");
    let refused = verify(raw.clone(), &scheme, &keys(&scheme, &[b"s"]), None, NOW).unwrap_err();
    assert_eq!(refused, Refusal::UrlNotConfigured);
    raw.url = Some("http://a.example/x".into());
    assert_eq!(code(raw.clone(), &scheme, &[b"s"]), "ok");
    raw.url = Some("https://a.example/x".into());
    let text = explain(&raw, &scheme, &keys(&scheme, &[b"s"]), None, NOW).to_string();
    assert!(
        text.contains("the partner signs http, and the configured URL is https"),
        "{text}"
    );
}

/// A scheme document with one change, and every problem that it makes.
#[track_caller]
fn check_scheme(change: impl FnOnce(&mut serde_json::Value), expected: &[&str]) {
    let mut document = pairs().to_json();
    change(&mut document);
    let problems = Scheme::parse(&document).err();
    let lines: Vec<_> = problems
        .iter()
        .flat_map(Problems::as_slice)
        .map(ToString::to_string)
        .collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_scheme_that_contradicts_itself_is_refused() {
    check_scheme(|_| {}, &[]);
    check_scheme(
        |d| {
            d["algoritm"] = json!("x");
            d["signature"]["encoding"] = json!("hexx");
            d["signature"]["keys"] = json!("v1");
        },
        &[
            "/algoritm: unknown key \"algoritm\"; did you mean \"algorithm\"?",
            "/signature/keys: unknown key \"keys\"; did you mean \"key\"?",
            "/signature/encoding: unknown encoding \"hexx\"; did you mean \"hex\"?",
            "/signature: key \"encoding\" is missing: hex, base64 or base64url",
        ],
    );
    check_scheme(
        |d| d["content"] = json!("{body}"),
        &[
            "/timestamp: is not part of the signed content; if the partner does it so, say \"signed\": false",
        ],
    );
    check_scheme(
        |d| {
            d["content"] = json!("{body}");
            d["timestamp"]["signed"] = json!(false);
        },
        &[],
    );
    check_scheme(
        |d| d["content"] = json!("{timestamp}"),
        &["promises that the proof covers \"full\" of the body, and the content covers \"none\""],
    );
    check_scheme(
        |d| d["algorithm"] = json!("hmac-sha265"),
        &["/algorithm: unknown algorithm \"hmac-sha265\"; did you mean \"hmac-sha256\"?"],
    );
    check_scheme(
        |d| d["url_variants"] = json!(["as-configured"]),
        &["/url_variants: has no meaning where the content has no {url}"],
    );
    check_scheme(
        |d| d["issuer"] = json!("me"),
        &["keys \"issuer\", \"max_age_s\", \"leeway_s\" and \"url_hash\" belong to jwt algorithms"],
    );
}
