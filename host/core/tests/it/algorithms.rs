//! Laws of every algorithm: what was signed verifies, and with any one bit changed in what
//! was signed, in the signature or in the key it does not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use tidegate_core::signature::{KeySet, RawRequest, Scheme, Secret, verify};
use tidegate_core::time::Timestamp;

use crate::signers::{Signer, hmac_sha256, sha256_hex, token};
use crate::signing::{request, scheme};

const NOW: Timestamp = Timestamp::from_secs(1_795_536_000);

/// What the key in use has to be made of, or `None` where it is no key of the scheme.
fn keys(scheme: &Scheme, text: &str) -> Option<KeySet> {
    let secret = Secret::new(text.as_bytes().to_vec()).ok()?;
    KeySet::prepare(scheme, [secret]).ok()
}

fn accepts(scheme: &Scheme, raw: &RawRequest, key: &str) -> bool {
    keys(scheme, key).is_some_and(|keys| verify(raw.clone(), scheme, &keys, None, NOW).is_ok())
}

/// The algorithms that sign a content, with the signer of each.
const DESCRIBED: [(&str, Signer); 8] = [
    ("hmac-sha1", Signer::HmacSha1),
    ("hmac-sha256", Signer::HmacSha256),
    ("hmac-sha512", Signer::HmacSha512),
    ("ed25519", Signer::Ed25519),
    ("ecdsa-p256-sha256 (DER)", Signer::EcdsaDer),
    ("ecdsa-p256-sha256 (fixed)", Signer::EcdsaFixed),
    ("rsa-pkcs1-sha256", Signer::RsaPkcs1Sha256),
    ("rsa-pss-sha512", Signer::RsaPssSha512),
];

fn described(algorithm: &str, signer: Signer) -> Scheme {
    scheme(&json!({
        "algorithm": algorithm, "key": signer.form(), "content": "{header:x-id}.{body}",
        "signature": {"in": "header", "name": "x-signature", "encoding": "hex"},
    }))
}

fn signed(id: &[u8], body: &[u8], signature: &[u8]) -> RawRequest {
    let signature = hex::encode(signature);
    request(&[("x-id", id), ("x-signature", signature.as_bytes())], body)
}

fn flipped(bytes: &[u8], at: Index, bit: u8) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    *at.get_mut(&mut changed) ^= 1 << bit;
    changed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_bit_passes_a_signature(
        body in prop::collection::vec(any::<u8>(), 1..200), at in any::<Index>(), bit in 0..8u8,
        which in any::<Index>(),
    ) {
        let (algorithm, signer) = *which.get(&DESCRIBED);
        let scheme = described(algorithm, signer);
        let signature = signer.sign(&[b"m1.", body.as_slice()].concat());
        let key = signer.key();
        let text = signer.key_text(&key);
        prop_assert!(accepts(&scheme, &signed(b"m1", &body, &signature), &text));
        let other_body = flipped(&body, at, bit);
        prop_assert!(!accepts(&scheme, &signed(b"m1", &other_body, &signature), &text));
        let other_id = flipped(b"m1", at, bit);
        prop_assert!(!accepts(&scheme, &signed(&other_id, &body, &signature), &text));
        let other_signature = flipped(&signature, at, bit);
        prop_assert!(!accepts(&scheme, &signed(b"m1", &body, &other_signature), &text));
        let other_key = signer.key_text(&flipped(&key, at, bit));
        prop_assert!(!accepts(&scheme, &signed(b"m1", &body, &signature), &other_key));
    }

    #[test]
    fn no_changed_bit_passes_a_hash_with_the_secret(
        body in prop::collection::vec(any::<u8>(), 1..200), at in any::<Index>(), bit in 0..8u8,
    ) {
        let scheme = scheme(&json!({
            "algorithm": "sha256-with-secret", "key": "hex", "content": "{secret}{method}{url}{body}",
            "signature": {"in": "header", "name": "x-signature", "encoding": "hex"},
        }));
        let content = [b"s3cretPOSThttps://a.example/x", body.as_slice()].concat();
        let signature = hex::decode(sha256_hex(&content)).unwrap();
        let raw = |body: &[u8], signature: &[u8]| {
            let mut raw = signed(b"", body, signature);
            raw.url = Some("https://a.example/x".into());
            raw
        };
        let key = hex::encode("s3cret");
        prop_assert!(accepts(&scheme, &raw(&body, &signature), &key));
        prop_assert!(!accepts(&scheme, &raw(&flipped(&body, at, bit), &signature), &key));
        prop_assert!(!accepts(&scheme, &raw(&body, &flipped(&signature, at, bit)), &key));
        let other_key = hex::encode(flipped(b"s3cret", at, bit));
        prop_assert!(!accepts(&scheme, &raw(&body, &signature), &other_key));
    }

    #[test]
    fn no_changed_bit_passes_a_token(
        body in prop::collection::vec(any::<u8>(), 1..100), at in any::<Index>(), bit in 0..8u8,
        which in any::<Index>(),
    ) {
        let (algorithm, signer) = *which.get(&TOKENS);
        let scheme = with_token(algorithm, signer);
        let key = signer.key();
        let text = signer.key_text(&key);
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        let payload = format!(r#"{{"sha256":"{}","iss":"me"}}"#, sha256_hex(&body));
        let token = token(&header, &payload, |content| signer.sign(content));
        let raw = |token: &[u8], body: &[u8]| request(&[("x-token", token)], body);
        prop_assert!(accepts(&scheme, &raw(token.as_bytes(), &body), &text));
        prop_assert!(!accepts(&scheme, &raw(token.as_bytes(), &flipped(&body, at, bit)), &text));
        let (content, signature) = token.rsplit_once('.').unwrap();
        let changed = [flipped(content.as_bytes(), at, bit), format!(".{signature}").into()].concat();
        prop_assert!(!accepts(&scheme, &raw(&changed, &body), &text));
        let signature = flipped(&URL_SAFE_NO_PAD.decode(signature).unwrap(), at, bit);
        let changed = format!("{content}.{}", URL_SAFE_NO_PAD.encode(signature));
        prop_assert!(!accepts(&scheme, &raw(changed.as_bytes(), &body), &text));
        let other_key = signer.key_text(&flipped(&key, at, bit));
        prop_assert!(!accepts(&scheme, &raw(token.as_bytes(), &body), &other_key));
    }

    #[test]
    fn nothing_that_stands_for_a_token_or_key_makes_it_panic(
        text in prop::collection::vec(any::<u8>(), 0..200), words in "[A-Za-z0-9_.{}\":=; ()-]{0,80}",
    ) {
        for (algorithm, signer) in TOKENS {
            let scheme = with_token(algorithm, signer);
            let key = signer.key_text(&signer.key());
            for token in [text.as_slice(), words.as_bytes()] {
                prop_assert!(!accepts(&scheme, &request(&[("x-token", token)], b"x"), &key));
            }
            let _ = keys(&scheme, &words);
            let _ = keys(&scheme, &String::from_utf8_lossy(&text));
        }
        let rfc9421 = scheme(&json!({"algorithm": "special: rfc9421", "key": "hex", "components": []}));
        for value in [text.as_slice(), words.as_bytes()] {
            let raw = request(&[("signature-input", value), ("signature", b"a=:AA==:")], b"x");
            prop_assert!(!accepts(&rfc9421, &raw, "00"));
            let raw = request(&[("signature-input", b"a=()"), ("signature", value)], b"x");
            prop_assert!(!accepts(&rfc9421, &raw, "00"));
        }
    }
}

const TOKENS: [(&str, Signer); 3] = [
    ("HS256", Signer::HmacSha256),
    ("ES256", Signer::EcdsaFixed),
    ("RS256", Signer::RsaPkcs1Sha256),
];

fn with_token(algorithm: &str, signer: Signer) -> Scheme {
    scheme(&json!({
        "algorithm": format!("jwt {algorithm}"), "key": signer.form(), "issuer": "me",
        "signature": {"in": "header", "name": "x-token"},
        "body_hash": {"in": "claim", "name": "sha256", "hash": "sha256", "encoding": "hex"},
    }))
}

#[test]
fn rsa_with_sha1_is_checked_as_strictly() {
    let scheme = described("rsa-pkcs1-sha1", Signer::RsaPkcs1Sha256);
    let signature = base64::engine::general_purpose::STANDARD.decode("cSGeA+HmcejmCWcsj18dkMAWLUUxNfY/Ma+HndzEFhlQ88+lMvn558Pnj8KeWLV+DjWTXPiV0fsxrK9tUn1O7RLMCMhd6b1hccTrYKLfnLgElmrPZ87QMk83RWCSAXe5yO9cedgGjHu21HO1SM9ZU1kBCBmfrZy9w/f7Sn9oucAdoLOpgerDwLVkf5PbiuF2yrhaDjQEgyoy8+QKvPkZe+kROHy0pfuhIzXCSQSJqRS1GLlskjtHErrsVG9bztJXkzhWNpBDkNy7oApGYv4I9kn71h3Xq2pqEefh2hGCVyd4xFBWq2/5kwQ7ix5jZh06bFzZdv/rH0fp+yjqu4LBaQ==").unwrap();
    let key = Signer::RsaPkcs1Sha256.key();
    let text = Signer::RsaPkcs1Sha256.key_text(&key);
    let body = br#"{"hello":"world"}"#;
    assert!(accepts(&scheme, &signed(b"m1", body, &signature), &text));
    for at in 0..body.len() {
        let mut changed = body.to_vec();
        changed[at] ^= 1;
        assert!(!accepts(
            &scheme,
            &signed(b"m1", &changed, &signature),
            &text
        ));
    }
    for at in (0..signature.len()).step_by(7) {
        let mut changed = signature.clone();
        changed[at] ^= 0x80;
        assert!(!accepts(&scheme, &signed(b"m1", body, &changed), &text));
    }
    for at in (0..key.len()).step_by(7) {
        let mut changed = key.clone();
        changed[at] ^= 1;
        let text = Signer::RsaPkcs1Sha256.key_text(&changed);
        assert!(!accepts(&scheme, &signed(b"m1", body, &signature), &text));
    }
    // What was signed with SHA-1 is none of SHA-256's, and the other way round.
    let sha256 = described("rsa-pkcs1-sha256", Signer::RsaPkcs1Sha256);
    assert!(!accepts(&sha256, &signed(b"m1", body, &signature), &text));
}

#[test]
fn tokens_are_pinned_to_their_algorithm() {
    let payload = format!(r#"{{"sha256":"{}","iss":"me"}}"#, sha256_hex(b"x"));
    for (algorithm, signer) in TOKENS {
        let scheme = with_token(algorithm, signer);
        let key = signer.key_text(&signer.key());
        let check = |header: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>, expected: bool| {
            let token = token(header, &payload, sign);
            let raw = request(&[("x-token", token.as_bytes())], b"x");
            assert_eq!(
                accepts(&scheme, &raw, &key),
                expected,
                "{algorithm}: {header}"
            );
        };
        let sign = |content: &[u8]| signer.sign(content);
        check(&format!(r#"{{"alg":"{algorithm}"}}"#), &sign, true);
        check(r#"{"alg":"none"}"#, &|_| Vec::new(), false);
        check(r#"{"alg":"none"}"#, &sign, false);
        check("{}", &sign, false);
        check(
            &format!(r#"{{"alg":"{algorithm}","crit":["b64"]}}"#),
            &sign,
            false,
        );
        check(
            &format!(r#"{{"alg":"{algorithm}"}}"#),
            &|_| Vec::new(),
            false,
        );
        // An HMAC under the public key, as text and as bytes.
        if algorithm != "HS256" {
            for key in [key.clone().into_bytes(), signer.key()] {
                let hmac = |content: &[u8]| hmac_sha256(&key, content);
                check(r#"{"alg":"HS256"}"#, &hmac, false);
                check(&format!(r#"{{"alg":"{algorithm}"}}"#), &hmac, false);
            }
        }
    }
}

#[test]
fn claims_have_to_hold() {
    let scheme = scheme(&json!({
        "algorithm": "jwt HS256", "key": "utf8", "issuer": "me", "leeway_s": 5, "max_age_s": 300,
        "signature": {"in": "header", "name": "authorization", "prefix": "Bearer "},
        "body_hash": {
            "in": "claim", "name": "hash", "hash": "sha256", "encoding": "hex",
            "optional_when_empty": true,
        },
        "url_hash": {"in": "claim", "name": "url", "hash": "sha256", "encoding": "hex"},
    }));
    let check = |change: &dyn Fn(&mut serde_json::Value), body: &'static [u8], expected: &str| {
        let mut claims = json!({
            "iss": "me", "iat": NOW.as_secs() - 300, "hash": sha256_hex(b"x"),
            "url": sha256_hex(b"https://a.example/x"),
        });
        change(&mut claims);
        let sign = |content: &[u8]| hmac_sha256(b"k", content);
        let token = token(r#"{"alg":"HS256"}"#, &claims.to_string(), sign);
        let token = format!("Bearer {token}");
        let mut raw = request(&[("authorization", token.as_bytes())], b"x");
        raw.body = Bytes::from_static(body);
        raw.url = Some("https://a.example/x".into());
        let verdict = verify(raw, &scheme, &keys(&scheme, "k").unwrap(), None, NOW);
        let code = verdict
            .as_ref()
            .err()
            .map_or("ok", |refusal| refusal.code());
        assert_eq!(code, expected, "{claims}");
        if let Ok(verified) = verdict {
            assert_eq!(verified.matched(), Some(1));
            assert_eq!(verified.claim("iss"), Some(&json!("me")));
            assert_eq!(verified.headers()[0].1, "[verified]");
        }
    };
    let now = NOW.as_secs();
    check(&|_| {}, b"x", "ok");
    check(&|c| c["iss"] = json!("you"), b"x", "claim");
    check(&|c| c["iss"] = json!(1), b"x", "claim");
    check(&|c| c["hash"] = json!(sha256_hex(b"y")), b"x", "body_hash");
    check(&|c| c["hash"] = json!(null), b"x", "body_hash");
    check(&|c| c["hash"] = json!(null), b"", "ok");
    check(&|c| c["url"] = json!(null), b"x", "claim");
    check(
        &|c| c["url"] = json!(sha256_hex(b"https://b.example/x")),
        b"x",
        "claim",
    );
    check(&|c| c["iat"] = json!(now - 301), b"x", "timestamp_too_old");
    check(
        &|c| c["iat"] = json!(now + 301),
        b"x",
        "timestamp_in_future",
    );
    check(&|c| c["iat"] = json!("now"), b"x", "claim");
    check(&|c| c["exp"] = json!(now - 5), b"x", "ok");
    check(&|c| c["exp"] = json!(now - 6), b"x", "timestamp_too_old");
    check(&|c| c["exp"] = json!(f64::MAX), b"x", "claim");
    check(&|c| c["nbf"] = json!(now + 5), b"x", "ok");
    check(&|c| c["nbf"] = json!(now + 6), b"x", "timestamp_in_future");
    check(
        &|c| c["nbf"] = json!(1_795_536_006.5),
        b"x",
        "timestamp_in_future",
    );
}
