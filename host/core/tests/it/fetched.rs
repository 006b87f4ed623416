//! Keys that partners publish: which one is asked for, and what is believed of the answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tidegate_core::signature::{FetchedKey, InvalidKey, KeySource, KeySourceKind};

use crate::bench::{Bench, LATER, NOW, config};
use crate::builtins::sns;
use crate::signers::{CERTIFICATE, Signer, sha256_hex, token};
use crate::signing::request;

#[test]
fn a_certificate_that_was_fetched_counts_for_its_url_alone() {
    let document = json!({
        "algorithm": "special: aws-sns", "key": "X.509 from SigningCertURL",
        "timestamp": {"in": "json", "pointer": "/Timestamp", "unit": "rfc3339", "tolerance_s": 3600},
    });
    let raw = sns();
    let mut bench = Bench {
        secrets: vec![],
        now: LATER,
        ..Bench::new(&document, "")
    };
    assert!(bench.scheme.fetches_keys());
    bench.check(&raw, |_| {}, "key_not_fetched");
    let source = bench.scheme.wanted_key(&raw).unwrap().unwrap();
    assert_eq!(source.kind, KeySourceKind::Certificate);
    let read = |source: &KeySource| FetchedKey::read(source, CERTIFICATE.as_bytes(), LATER);
    bench.fetched = Some(read(&source).unwrap());
    assert!(bench.fetched.as_ref().unwrap().not_after().is_some());
    bench.check(&raw, |_| {}, "ok");
    let elsewhere = KeySource {
        url: "https://sns.eu-west-1.amazonaws.com/cert-2.pem".into(),
        ..source.clone()
    };
    bench.fetched = Some(read(&elsewhere).unwrap());
    bench.check(&raw, |_| {}, "key_not_fetched");
    // Before it is valid, and what is no certificate.
    let early = FetchedKey::read(&source, CERTIFICATE.as_bytes(), NOW);
    assert_eq!(early.unwrap_err(), InvalidKey::NotNow);
    assert!(FetchedKey::read(&source, b"<html>", LATER).is_err());
    let huge = vec![b'-'; 65_537];
    assert!(matches!(
        FetchedKey::read(&source, &huge, LATER),
        Err(InvalidKey::TooLong { .. })
    ));
}

/// The certificate is every customer's of a region.
#[test]
fn a_topic_of_another_account_is_refused_where_ones_own_is_named() {
    let document = json!({"algorithm": "special: aws-sns", "key": "X.509 from SigningCertURL"});
    for (topics, expected) in [
        (&[][..], "ok"),
        (&[("topic_arn", "other, arn")][..], "ok"),
        (&[("topic_arn", "arn:of:another")][..], "claim"),
    ] {
        let bench = Bench {
            secrets: vec![CERTIFICATE.to_owned()],
            config: config(topics),
            now: LATER,
            ..Bench::new(&document, "")
        };
        bench.check(&sns(), |_| {}, expected);
    }
}

#[test]
fn a_jwk_is_fetched_by_the_id_that_the_token_names() {
    let document = json!({
        "algorithm": "jwt ES256", "key": "JWK by kid", "max_age_s": 300,
        "key_url": {
            "url": "https://production.partner.example/key/get",
            "post": r#"{"client_id":"{config:client_id}","key_id":"{kid}"}"#,
        },
        "signature": {"in": "header", "name": "x-verification"},
        "body_hash": {"in": "claim", "name": "hash", "hash": "sha256", "encoding": "hex"},
    });
    let mut bench = Bench {
        secrets: vec![],
        ..Bench::new(&document, "")
    };
    let claims = json!({"iat": NOW.as_secs(), "hash": sha256_hex(b"x")}).to_string();
    let signed = |header: &str| {
        let token = token(header, &claims, |content| Signer::EcdsaFixed.sign(content));
        request(&[("x-verification", token.as_bytes())], b"x")
    };
    let raw = signed(r#"{"alg":"ES256","kid":"k-1"}"#);
    let source = bench.scheme.wanted_key(&raw).unwrap().unwrap();
    let expected = r#"{"client_id":"c","key_id":"k-1"}"#;
    assert_eq!(
        source.body(&config(&[("client_id", "c")])).as_deref(),
        Some(expected)
    );
    let point = Signer::EcdsaFixed.key();
    let number = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
    let jwk = |kid: &str, alg: &str, expired: Value| {
        json!({
            "kty": "EC", "crv": "P-256", "x": number(1..33), "y": number(33..65), "kid": kid,
            "alg": alg, "use": "sig", "expired_at": expired,
        })
    };
    let read = |document: &Value| FetchedKey::read(&source, document.to_string().as_bytes(), NOW);
    let good = jwk("k-1", "ES256", json!(null));
    for wrapped in [
        good.clone(),
        json!({"key": good}),
        json!({"keys": [{"kty": "oct"}, good]}),
    ] {
        bench.fetched = Some(read(&wrapped).unwrap());
        bench.check(&raw, |_| {}, "ok");
    }
    assert_eq!(
        read(&jwk("k-2", "ES256", json!(null))).unwrap_err(),
        InvalidKey::UnknownId
    );
    assert_eq!(
        read(&jwk("k-1", "ES256", json!(1))).unwrap_err(),
        InvalidKey::NotNow
    );
    let mut private = good.clone();
    private["d"] = json!("AA");
    assert_eq!(read(&private).unwrap_err(), InvalidKey::Private);
    // For another algorithm it is no key of this scheme.
    bench.fetched = Some(read(&jwk("k-1", "ES384", json!(null))).unwrap());
    bench.check(&raw, |_| {}, "no_match");
    // An id goes into a request of ours, and may not break out of it.
    let quoting = signed(r#"{"alg":"ES256","kid":"k\",\"x\":\""}"#);
    assert_eq!(
        bench.scheme.wanted_key(&quoting).unwrap_err().code(),
        "key_id_malformed"
    );
    bench.check(&quoting, |_| {}, "key_id_malformed");
}
