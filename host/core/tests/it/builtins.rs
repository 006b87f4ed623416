//! Constructions with code of their own, signed by the partners' libraries where those sign.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use tidegate_core::event::BodyAuthenticated;
use tidegate_core::signature::{FetchedKey, InvalidKey, RawRequest, SchemeConfig};
use tidegate_core::time::Timestamp;

use crate::bench::{Bench, LATER, NOW, config, set};
use crate::signers::{CERTIFICATE, Signer, hmac_sha256, sha256_hex, token};
use crate::signing::request;

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
    // The same as a document that spells it out.
    let described = Bench {
        config: config(&[("webhook_id", "WH-CONF")]),
        now: LATER,
        ..Bench::new(
            &json!({
                "algorithm": "rsa-pkcs1-sha256", "key": "X.509 from PAYPAL-CERT-URL (https, paypal.com or below)",
                "content": "{header:PAYPAL-TRANSMISSION-ID}|{timestamp}|{config:webhook_id}|{body|crc32-decimal}",
                "signature": {"in": "header", "name": "PAYPAL-TRANSMISSION-SIG", "encoding": "base64"},
                "timestamp": {"in": "header", "name": "PAYPAL-TRANSMISSION-TIME", "unit": "rfc3339"},
            }),
            CERTIFICATE,
        )
    };
    described.check(&raw, |_| {}, "ok");
    described.check(&raw, |r| r.body = Bytes::from_static(b"{}"), "no_match");
    described.check(
        &raw,
        |r| set(r, "paypal-cert-url", "https://evil.example/cert"),
        "key_url_foreign",
    );
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

/// A message of SNS, signed with SHA-256.
pub(crate) fn sns() -> RawRequest {
    let content = "Message\nm\nMessageId\nid-1\nTimestamp\n2027-01-15T08:00:00.000Z\nTopicArn\narn\nType\nNotification\n";
    let message = json!({
        "Type": "Notification", "MessageId": "id-1", "Message": "m", "TopicArn": "arn",
        "Timestamp": "2027-01-15T08:00:00.000Z", "SignatureVersion": "2",
        "Signature": STANDARD.encode(Signer::RsaPkcs1Sha256.sign(content.as_bytes())),
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/cert-1.pem",
    });
    request(&[], message.to_string().as_bytes())
}

/// A genuine request of each construction, with the place of its signature.
fn genuine(body: &[u8]) -> Vec<(Bench, RawRequest, Place)> {
    let url = "https://hooks.example.com/in/x?a=1";
    let shared = |algorithm: &str| {
        let document = json!({"algorithm": format!("special: {algorithm}"), "key": "utf8"});
        Bench::new(&document, "a shared secret")
    };
    let sign = |content: &[u8]| hmac_sha256(b"a shared secret", content);
    let at = |raw: RawRequest| RawRequest {
        url: Some(url.to_owned()),
        query: "a=1".to_owned(),
        ..raw
    };

    let list = "x-contentful-signed-headers,x-contentful-timestamp";
    let head =
        format!("POST\n/in/x?a=1\nx-contentful-signed-headers:{list};x-contentful-timestamp:1\n");
    let mac = hex::encode(sign(&[head.as_bytes(), body].concat()));
    let contentful = at(request(
        &[
            ("x-contentful-signature", mac.as_bytes()),
            ("x-contentful-signed-headers", list.as_bytes()),
            ("x-contentful-timestamp", b"1"),
        ],
        body,
    ));

    let digest = STANDARD.encode(hex::decode(sha256_hex(body)).unwrap());
    let digest = format!("sha-256=:{digest}:");
    let params = "(\"@method\" \"@target-uri\" \"content-digest\");created=1";
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": {url}\n\"content-digest\": {digest}\n\"@signature-params\": {params}"
    );
    let message = |signature: Vec<u8>| {
        at(request(
            &[
                ("content-digest", digest.as_bytes()),
                ("signature-input", format!("s={params}").as_bytes()),
                (
                    "signature",
                    format!("s=:{}:", STANDARD.encode(signature)).as_bytes(),
                ),
            ],
            body,
        ))
    };
    let mut all = vec![
        (
            shared("contentful"),
            contentful,
            Place::Hex("x-contentful-signature"),
        ),
        (
            shared("rfc9421"),
            message(sign(base.as_bytes())),
            Place::Structured,
        ),
    ];
    for signer in [
        Signer::Ed25519,
        Signer::EcdsaFixed,
        Signer::RsaPkcs1Sha256,
        Signer::RsaPssSha512,
    ] {
        let document = json!({"algorithm": "special: rfc9421", "key": "public key"});
        let bench = Bench::new(&document, &signer.key_text(&signer.key()));
        all.push((
            bench,
            message(signer.sign(base.as_bytes())),
            Place::Structured,
        ));
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let content = format!(
            "{{\"Body\":{},\"EnvironmentName\":\"e\",\"TimeStamp\":1}}",
            json!(text)
        );
        let mac = STANDARD.encode(sign(content.as_bytes()));
        let raw = request(
            &[(
                "gcms-signature",
                format!("sign={mac}, env=e, t=1").as_bytes(),
            )],
            body,
        );
        all.push((shared("hygraph"), raw, Place::Nowhere));
    }
    let claims = json!({"qsh": sha256_hex(b"POST&/in/x&a=1")}).to_string();
    let token = token(r#"{"alg":"HS256"}"#, &claims, sign);
    let atlassian = at(request(
        &[("authorization", format!("JWT {token}").as_bytes())],
        b"",
    ));
    all.push((shared("atlassian-qsh"), atlassian, Place::Token));
    all
}

/// How a signature is written.
#[derive(Clone, Copy, Debug)]
enum Place {
    Hex(&'static str),
    Structured,
    Token,
    Nowhere,
}

/// The request with one bit of its decoded signature changed.
fn with_other_signature(raw: &RawRequest, place: Place, at: Index, bit: u8) -> Option<RawRequest> {
    let flip = |mut bytes: Vec<u8>| {
        *at.get_mut(&mut bytes) ^= 1 << bit;
        bytes
    };
    let text = |name: &str| {
        let (_, value) = raw.headers.iter().find(|(found, _)| found == name)?;
        Some(String::from_utf8(value.to_vec()).unwrap())
    };
    let mut changed = raw.clone();
    match place {
        Place::Hex(name) => {
            let signature = hex::encode(flip(hex::decode(text(name)?).unwrap()));
            set(&mut changed, name, &signature);
        }
        Place::Structured => {
            let value = text("signature")?;
            let encoded = value.trim_start_matches("s=:").trim_end_matches(':');
            let signature = STANDARD.encode(flip(STANDARD.decode(encoded).unwrap()));
            set(&mut changed, "signature", &format!("s=:{signature}:"));
        }
        Place::Token => {
            let value = text("authorization")?;
            let (signed, encoded) = value.rsplit_once('.')?;
            let signature = flip(URL_SAFE_NO_PAD.decode(encoded).unwrap());
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            set(&mut changed, "authorization", &token);
        }
        Place::Nowhere => return None,
    }
    Some(changed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_bit_passes_a_construction(
        body in prop::collection::vec(any::<u8>(), 1..100), at in any::<Index>(), bit in 0..8u8,
    ) {
        for (mut bench, raw, place) in genuine(&body) {
            let name = bench.scheme.algorithm().text();
            prop_assert_eq!(bench.code(&raw), "ok", "{}", name);
            if bench.scheme.body_authenticated() == BodyAuthenticated::Full {
                let mut changed = raw.body.to_vec();
                *at.get_mut(&mut changed) ^= 1 << bit;
                let other = RawRequest { body: Bytes::from(changed), ..raw.clone() };
                prop_assert_ne!(bench.code(&other), "ok", "{}", name);
            }
            // Every header counts here: it is signed, or is the signature.
            // Structured fields tolerate bits beside the last byte of base64, and so do we:
            // the bytes of that signature are changed below.
            let text_counts = |name: &str| name != "signature";
            for index in (0..raw.headers.len()).filter(|i| text_counts(&raw.headers[*i].0)) {
                let mut other = raw.clone();
                let mut value = other.headers[index].1.to_vec();
                *at.get_mut(&mut value) ^= 1 << bit;
                // Digits of hex, and of a structured number or key, may be written in two ways.
                if value.eq_ignore_ascii_case(&other.headers[index].1) {
                    continue;
                }
                other.headers[index].1 = Bytes::from(value);
                prop_assert_ne!(bench.code(&other), "ok", "{}", name);
            }
            if let Some(other) = with_other_signature(&raw, place, at, bit) {
                prop_assert_ne!(bench.code(&other), "ok", "{}", name);
            }
            let other = RawRequest { method: "PUT".into(), ..raw.clone() };
            if name != "special: hygraph" {
                prop_assert_ne!(bench.code(&other), "ok", "{}", name);
            }
            "another shared secret".clone_into(&mut bench.secrets[0]);
            if bench.scheme.key_form().text() == "utf8" {
                prop_assert_ne!(bench.code(&raw), "ok", "{}", name);
            }
            bench.secrets.clear();
            prop_assert_eq!(bench.code(&raw), "no_keys", "{}", name);
        }
    }
}
