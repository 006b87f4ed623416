//! Constructions with code of their own, signed by the partners' libraries where those sign.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_core::event::BodyAuthenticated;
use tidegate_core::signature::{
    FetchedKey, InvalidKey, KeySet, KeySource, KeySourceKind, RawRequest, Scheme, SchemeConfig,
    Secret, verify,
};
use tidegate_core::time::Timestamp;

use crate::signers::{CERTIFICATE, Signer, hmac_sha256, sha256_hex, token};
use crate::signing::{request, scheme};

const NOW: Timestamp = Timestamp::from_secs(1_795_536_000);

/// Within the validity of the certificate.
const LATER: Timestamp = Timestamp::from_secs(1_800_000_000);

fn config(values: &[(&str, &str)]) -> SchemeConfig {
    values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A scheme with what it is asked with.
struct Bench {
    scheme: Scheme,
    secrets: Vec<String>,
    config: SchemeConfig,
    fetched: Option<FetchedKey>,
    now: Timestamp,
}

impl Bench {
    fn new(document: &Value, secret: &str) -> Self {
        Self {
            scheme: scheme(document),
            secrets: vec![secret.to_owned()],
            config: SchemeConfig::EMPTY,
            fetched: None,
            now: NOW,
        }
    }

    fn code(&self, raw: &RawRequest) -> &'static str {
        let secrets = self.secrets.iter().map(|text| {
            let text = text.as_bytes().to_vec();
            Secret::new(text).unwrap()
        });
        let keys = KeySet::prepare_with(&self.scheme, secrets, &self.config).unwrap();
        verify(
            raw.clone(),
            &self.scheme,
            &keys,
            self.fetched.as_ref(),
            self.now,
        )
        .err()
        .map_or("ok", |refusal| refusal.code())
    }

    #[track_caller]
    fn check(&self, raw: &RawRequest, change: impl FnOnce(&mut RawRequest), expected: &str) {
        let mut raw = raw.clone();
        change(&mut raw);
        assert_eq!(self.code(&raw), expected);
    }
}

fn set(raw: &mut RawRequest, name: &str, value: &str) {
    raw.headers.retain(|(found, _)| found != name);
    raw.headers
        .push((name.to_owned(), Bytes::from(value.to_owned())));
}

/// Made by `signRequest` of `@contentful/node-apps-toolkit`.
#[test]
fn contentful_signs_a_canonical_request() {
    let secret = ["a".repeat(32), "b".repeat(32)].concat();
    let bench = Bench::new(
        &json!({
            "algorithm": "special: contentful", "key": "utf8",
            "timestamp": {"in": "header", "name": "X-Contentful-Timestamp", "unit": "ms", "tolerance_s": 30},
        }),
        &secret,
    );
    assert_eq!(bench.scheme.body_authenticated(), BodyAuthenticated::Full);
    let list = "b-header,content-type,x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic";
    let mut raw = request(
        &[
            (
                "x-contentful-signature",
                b"16a268a3a7717a03243619a99b11c67bfa747ee7a832820bab1a02bcca994b92",
            ),
            ("x-contentful-signed-headers", list.as_bytes()),
            ("x-contentful-timestamp", b"1795536000000"),
            ("x-contentful-topic", b"ContentManagement.Entry.publish"),
            ("content-type", b"application/json"),
            ("b-header", b"v"),
        ],
        r#"{"sys":{"id":"Zoë"}}"#.as_bytes(),
    );
    raw.url = Some("https://hooks.example.com/in/contentful/main?x=1&y=a%20b".into());
    bench.check(&raw, |_| {}, "ok");
    bench.check(&raw, |r| r.body = Bytes::from_static(b"{}"), "no_match");
    bench.check(&raw, |r| r.method = "PUT".into(), "no_match");
    bench.check(
        &raw,
        |r| r.url = Some("https://hooks.example.com/in?x=1".into()),
        "no_match",
    );
    bench.check(&raw, |r| set(r, "b-header", "w"), "no_match");
    bench.check(&raw, |r| set(r, "x-other", "w"), "ok");
    bench.check(
        &raw,
        |r| set(r, "x-contentful-timestamp", "1795536000001"),
        "no_match",
    );
    bench.check(
        &raw,
        |r| r.headers.retain(|(name, _)| name != "b-header"),
        "header_missing",
    );
    bench.check(
        &raw,
        |r| set(r, "x-contentful-signed-headers", "b-header"),
        "not_covered",
    );
    bench.check(&raw, |r| r.url = None, "url_not_configured");
    let late = Bench {
        now: Timestamp::from_secs(NOW.as_secs() + 31),
        ..bench
    };
    late.check(&raw, |_| {}, "timestamp_too_old");
}

/// Made by `generateWebhookSignature` of `@hygraph/utils`.
#[test]
fn hygraph_signs_a_json_text() {
    let bench = Bench::new(
        &json!({
            "algorithm": "special: hygraph", "key": "utf8",
            "timestamp": {"in": "signature-item", "key": "t", "unit": "ms", "tolerance_s": 300},
        }),
        "hygraph-secret",
    );
    let body = "{\"operation\":\"publish\",\"data\":{\"t\":\"a\\u00e9 \u{2028} é \\\"x\\\"\"}}";
    let header = "sign=z4TqIH9CMMlSVmfs9STIZQS3G4ED9BAO2apH5tJK7us=, env=master, t=1795536000000";
    let raw = request(&[("gcms-signature", header.as_bytes())], body.as_bytes());
    bench.check(&raw, |_| {}, "ok");
    bench.check(&raw, |r| r.body = Bytes::from_static(b"{}"), "no_match");
    bench.check(
        &raw,
        |r| r.body = Bytes::from_static(b"\xff"),
        "signature_malformed",
    );
    let other = |from: &str, to: &str| header.replace(from, to);
    bench.check(
        &raw,
        |r| set(r, "gcms-signature", &other("master", "dev")),
        "no_match",
    );
    bench.check(
        &raw,
        |r| set(r, "gcms-signature", &other("36000000", "36000001")),
        "no_match",
    );
    bench.check(
        &raw,
        |r| set(r, "gcms-signature", &other("env=", "e=")),
        "signature_missing",
    );
    bench.check(
        &raw,
        |r| set(r, "gcms-signature", &other("t=1", "t=x")),
        "signature_malformed",
    );
}

/// Made by `encodeSymmetric` and `createQueryStringHash` of `atlassian-jwt`.
#[test]
fn atlassian_hashes_the_request() {
    let document = json!({
        "algorithm": "special: atlassian-qsh", "key": "utf8",
    });
    let bench = Bench {
        config: config(&[("base_url", "https://hooks.example.com/in/jira/acct")]),
        ..Bench::new(&document, "shared-secret")
    };
    let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJjbGllbnQta2V5IiwiaWF0IjoxNzk1NTM2MDAwLCJleHAiOjE3OTU1MzYxODAsInFzaCI6IjEyNzRkYmY0ODMzNWEzMzE1NmNhYTUzMjAzZDhhNTFjZWQ3NDcwZjY3OTY1N2U2N2MyMWY4YWI2ODMxNjZlNDgifQ.rkZta7w1H6rWMOtkH2P-M5M2XoPfTLKMYd7m27YR2B4";
    let query = "zee_last=param&repeated=parameter%201&first=param&repeated=parameter+2&s=*~";
    let mut raw = request(
        &[("authorization", format!("JWT {token}").as_bytes())],
        b"{}",
    );
    let url = "https://hooks.example.com/in/jira/acct/hook/a&b/";
    raw.url = Some(format!("{url}?{query}"));
    raw.query = query.into();
    bench.check(&raw, |_| {}, "ok");
    bench.check(
        &raw,
        |r| r.url = Some(format!("{url}?{query}&x=1")),
        "claim",
    );
    bench.check(&raw, |r| r.url = Some(format!("{url}x?{query}")), "claim");
    bench.check(&raw, |r| r.method = "GET".into(), "claim");
    bench.check(
        &raw,
        |r| {
            r.headers.clear();
            r.query = format!("{query}&jwt={token}");
            r.url = Some(format!("{url}?{}", r.query));
        },
        "ok",
    );
    bench.check(&raw, |r| r.headers.clear(), "header_missing");
    bench.check(
        &raw,
        |r| set(r, "authorization", token),
        "signature_missing",
    );
    let late = Bench {
        now: Timestamp::from_secs(NOW.as_secs() + 186),
        ..bench
    };
    late.check(&raw, |_| {}, "timestamp_too_old");
}

const PAYPAL_CERTIFICATE: &str = "https://api.paypal.com/v1/notifications/certs/CERT-1";

fn paypal(body: &[u8]) -> RawRequest {
    let crc = {
        // The checksum of `{"id":"WH-1"}`, computed elsewhere.
        assert_eq!(body, br#"{"id":"WH-1"}"#);
        838_965_618_u32
    };
    let content = format!("id-1|2027-01-15T08:00:00Z|WH-CONF|{crc}");
    let signature = STANDARD.encode(Signer::RsaPkcs1Sha256.sign(content.as_bytes()));
    request(
        &[
            ("paypal-transmission-id", b"id-1"),
            ("paypal-transmission-time", b"2027-01-15T08:00:00Z"),
            ("paypal-transmission-sig", signature.as_bytes()),
            ("paypal-cert-url", PAYPAL_CERTIFICATE.as_bytes()),
            ("paypal-auth-algo", b"SHA256withRSA"),
        ],
        body,
    )
}

#[test]
fn paypal_signs_a_checksum_under_a_certificate() {
    let document = json!({
        "algorithm": "special: paypal", "key": "X.509 from PAYPAL-CERT-URL (https, paypal.com or below)",
        "body_bound": true,
    });
    let bench = Bench {
        config: config(&[("webhook_id", "WH-CONF")]),
        now: LATER,
        ..Bench::new(&document, CERTIFICATE)
    };
    // A checksum that anyone can meet with another body vouches for none.
    assert_eq!(bench.scheme.body_authenticated(), BodyAuthenticated::None);
    let raw = paypal(br#"{"id":"WH-1"}"#);
    bench.check(&raw, |_| {}, "ok");
    bench.check(&raw, |r| r.body = Bytes::from_static(b"{}"), "no_match");
    bench.check(
        &raw,
        |r| set(r, "paypal-transmission-id", "id-2"),
        "no_match",
    );
    bench.check(
        &raw,
        |r| set(r, "paypal-auth-algo", "SHA1withRSA"),
        "other_algorithm",
    );
    for foreign in [
        "https://evil.example/cert",
        "http://api.paypal.com/cert",
        "https://api.paypal.com:8443/cert",
        "https://notpaypal.com/cert",
        "https://api.paypal.com@evil.example/cert",
    ] {
        bench.check(
            &raw,
            |r| set(r, "paypal-cert-url", foreign),
            "key_url_foreign",
        );
    }
    let source = bench.scheme.wanted_key(&raw).unwrap().unwrap();
    assert_eq!(source.url, PAYPAL_CERTIFICATE);
    // Fetched, the certificate has to chain up to a root of the web.
    let refused = FetchedKey::read(&source, CERTIFICATE.as_bytes(), LATER).unwrap_err();
    assert!(matches!(refused, InvalidKey::Untrusted { .. }), "{refused}");
    let expired = Bench {
        now: Timestamp::from_secs(2_200_000_000),
        ..bench
    };
    expired.check(&raw, |_| {}, "keys_expired");
    let unconfigured = Bench {
        config: SchemeConfig::EMPTY,
        now: LATER,
        ..expired
    };
    unconfigured.check(&raw, |_| {}, "config_missing");
}

/// A message of SNS, signed with SHA-256.
fn sns() -> RawRequest {
    let content = "Message\nm\nMessageId\nid-1\nTimestamp\n2027-01-15T08:00:00.000Z\nTopicArn\narn\nType\nNotification\n";
    let message = json!({
        "Type": "Notification", "MessageId": "id-1", "Message": "m", "TopicArn": "arn",
        "Timestamp": "2027-01-15T08:00:00.000Z", "SignatureVersion": "2",
        "Signature": STANDARD.encode(Signer::RsaPkcs1Sha256.sign(content.as_bytes())),
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/cert-1.pem",
    });
    request(&[], message.to_string().as_bytes())
}

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
    let number = |range: std::ops::Range<usize>| {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&point[range])
    };
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

#[test]
fn every_construction_refuses_the_empty_list() {
    let documents = [
        json!({"algorithm": "special: contentful", "key": "utf8"}),
        json!({"algorithm": "special: hygraph", "key": "utf8"}),
        json!({"algorithm": "special: atlassian-qsh", "key": "utf8"}),
        json!({"algorithm": "special: rfc9421", "key": "public key"}),
    ];
    for document in documents {
        let bench = Bench {
            secrets: vec![],
            ..Bench::new(&document, "")
        };
        bench.check(&sns(), |_| {}, "no_keys");
        assert!(!bench.scheme.fetches_keys());
    }
    for document in [
        json!({"algorithm": "special: aws-sns", "key": "X.509"}),
        json!({"algorithm": "special: paypal", "key": "X.509"}),
    ] {
        let bench = Bench {
            secrets: vec![],
            ..Bench::new(&document, "")
        };
        let mut raw = sns();
        set(&mut raw, "paypal-cert-url", PAYPAL_CERTIFICATE);
        bench.check(&raw, |_| {}, "key_not_fetched");
    }
}

/// Braintree: a key that is the hash of the secret, the pair of our public key, and a
/// payload that may have lost its newline.
#[test]
fn a_form_may_carry_pairs_under_a_configured_key() {
    let bench = Bench {
        config: config(&[("public_key", "ours")]),
        ..Bench::new(
            &json!({
                "algorithm": "hmac-sha256", "key": "sha1 of the text", "content": "{body}",
                "content_variants": ["as-is", "newline-appended"],
                "signature": {
                    "in": "form", "name": "bt_signature", "format": "key-value-list",
                    "item_separator": "&", "pair_separator": "|", "key": "{config:public_key}",
                    "encoding": "hex",
                },
            }),
            "private",
        )
    };
    // The 20 bytes of the SHA-1 of "private".
    let key = hex::decode("e80721793c24ae14edfca9b26ad406a9815cd3ff").unwrap();
    let raw = |content: &[u8], ours: &str| {
        let good = hex::encode(hmac_sha256(&key, content));
        (good, ours.to_owned())
    };
    let (good, _) = raw(b"x", "ours");
    assert_eq!(good.len(), 64);
    let body = format!("bt_signature=theirs%7C00%26ours%7C{good}");
    let raw = request(&[], body.as_bytes());
    // The signature is part of what would be signed here; only its place is looked at.
    bench.check(&raw, |_| {}, "no_match");
    bench.check(
        &raw,
        |r| r.body = Bytes::from_static(b"bt_signature=theirs%7C00"),
        "signature_missing",
    );
    bench.check(
        &raw,
        |r| r.body = Bytes::from_static(b"a=b"),
        "signature_missing",
    );
    bench.check(
        &raw,
        |r| r.body = Bytes::from_static(b"bt_signature=a&bt_signature=b"),
        "signature_doubled",
    );
}
