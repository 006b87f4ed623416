//! A signed request of each kind, with the bare primitive over the same bytes.
//!
//! Schemes are those of the published vectors, by their names there.

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use serde_json::Value;
use sha1::Sha1;
use sha2::Sha256;
use tidegate_core::signature::{KeySet, RawRequest, Scheme, Secret};
use tidegate_core::time::Timestamp;

/// The schemes that are measured: HMAC over the raw body, with more around it, and public
/// keys.
pub(crate) const NAMES: [&str; 9] = [
    "github", "shopify", "stripe", "slack", "svix", "trello", "discord", "sendgrid", "kick",
];

/// When the requests are verified.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_536_000);

const SECONDS: &str = "1795535998";
const INSTANT: &str = "2026-11-24T15:59:58Z";
const URL: &str = "https://hooks.example.com/in/partner";
const SECRET: &[u8] = b"5f0a8c2e7d914b36a1c0e8f25b7d9a43";
const VECTORS: &str = include_str!("../../vectors/signatures.json");
/// Made for this bench; it signs nothing else.
const RSA_KEY: &[u8] = include_bytes!("rsa-2048.pk8");
const RSA_PUBLIC: &str = include_str!("rsa-2048.pem");

/// A request that verifies.
pub(crate) struct Case {
    pub(crate) scheme: Scheme,
    pub(crate) keys: KeySet,
    pub(crate) raw: RawRequest,
    pub(crate) bare: Bare,
}

/// The primitive, with what it is given.
pub(crate) enum Bare {
    Sha1(Box<Hmac<Sha1>>, Vec<u8>, Vec<u8>),
    Sha256(Box<Hmac<Sha256>>, Vec<u8>, Vec<u8>),
    Public(UnparsedPublicKey<Vec<u8>>, Vec<u8>, Vec<u8>),
}

impl Bare {
    /// Verifies once.
    pub(crate) fn holds(&self) -> bool {
        match self {
            Self::Sha1(keyed, content, tag) => {
                let mut mac = (**keyed).clone();
                mac.update(content);
                mac.verify_slice(tag).is_ok()
            }
            Self::Sha256(keyed, content, tag) => {
                let mut mac = (**keyed).clone();
                mac.update(content);
                mac.verify_slice(tag).is_ok()
            }
            Self::Public(key, content, signature) => key.verify(content, signature).is_ok(),
        }
    }
}

impl Case {
    pub(crate) fn new(name: &str, body_bytes: usize) -> anyhow::Result<Self> {
        let document: Value = serde_json::from_str(VECTORS)?;
        let scheme = document
            .pointer(&format!("/schemes/{name}"))
            .with_context(|| format!("no scheme {name}"))?;
        let scheme = Scheme::parse(scheme).map_err(|problems| anyhow!("{problems}"))?;
        let body = body(body_bytes);
        let signed = Signed::new(name, &body)?;
        let secret = Secret::new(signed.key.into_bytes())?;
        let headers = signed.headers.into_iter();
        Ok(Self {
            keys: KeySet::prepare(&scheme, [secret])?,
            scheme,
            raw: RawRequest {
                method: "POST".into(),
                url: Some(URL.into()),
                path: Vec::new(),
                query: String::new(),
                headers: headers
                    .map(|(name, value)| (name.to_owned(), Bytes::from(value)))
                    .chain(usual_headers(body.len()))
                    .collect(),
                body: Bytes::from(body),
            },
            bare: signed.bare,
        })
    }
}

/// What servers get beside the signature.
fn usual_headers(body_bytes: usize) -> Vec<(String, Bytes)> {
    let length = body_bytes.to_string();
    [
        ("host", "hooks.example.com"),
        ("content-type", "application/json"),
        ("content-length", &*length),
        ("user-agent", "Partner-Hookshot/1.0"),
        ("accept", "*/*"),
        ("accept-encoding", "gzip"),
        ("x-partner-event", "issues"),
    ]
    .map(|(name, value)| (name.to_owned(), Bytes::from(value.to_owned())))
    .into()
}

/// A JSON object of about that many bytes.
fn body(bytes: usize) -> Vec<u8> {
    let mut body = br#"{"id":"evt_1","text":""#.to_vec();
    body.resize(bytes - 2, b'x');
    body.extend_from_slice(b"\"}");
    body
}

struct Signed {
    key: String,
    headers: Vec<(&'static str, String)>,
    bare: Bare,
}

impl Signed {
    fn new(name: &str, body: &[u8]) -> anyhow::Result<Self> {
        let content =
            |around: [&str; 2]| [around[0].as_bytes(), body, around[1].as_bytes()].concat();
        Ok(match name {
            "github" => sha256(content(["", ""]), |tag| {
                vec![(
                    "x-hub-signature-256",
                    format!("sha256={}", hex::encode(tag)),
                )]
            })?,
            "shopify" => sha256(content(["", ""]), |tag| {
                vec![("x-shopify-hmac-sha256", STANDARD.encode(tag))]
            })?,
            "stripe" => sha256(content([&format!("{SECONDS}."), ""]), |tag| {
                let signed = format!("t={SECONDS},v1={}", hex::encode(tag));
                vec![("stripe-signature", signed)]
            })?,
            "slack" => sha256(content([&format!("v0:{SECONDS}:"), ""]), |tag| {
                vec![
                    ("x-slack-request-timestamp", SECONDS.into()),
                    ("x-slack-signature", format!("v0={}", hex::encode(tag))),
                ]
            })?,
            "svix" => {
                let mut signed = sha256(content([&format!("msg_1.{SECONDS}."), ""]), |tag| {
                    vec![
                        ("svix-id", "msg_1".into()),
                        ("svix-timestamp", SECONDS.into()),
                        ("svix-signature", format!("v1,{}", STANDARD.encode(tag))),
                    ]
                })?;
                signed.key = format!("whsec_{}", STANDARD.encode(SECRET));
                signed
            }
            "trello" => sha1(content(["", URL]))?,
            "discord" => discord(content([SECONDS, ""]))?,
            "sendgrid" => sendgrid(content([SECONDS, ""]))?,
            "kick" => kick(content([&format!("d-1.{INSTANT}."), ""]))?,
            _ => return Err(anyhow!("nothing signs for {name}")),
        })
    }
}

fn sha256(
    content: Vec<u8>,
    headers: impl Fn(&[u8]) -> Vec<(&'static str, String)>,
) -> anyhow::Result<Signed> {
    let keyed = Hmac::<Sha256>::new_from_slice(SECRET)?;
    let mut mac = keyed.clone();
    mac.update(&content);
    let tag = mac.finalize().into_bytes().to_vec();
    Ok(Signed {
        key: String::from_utf8(SECRET.to_vec())?,
        headers: headers(&tag),
        bare: Bare::Sha256(Box::new(keyed), content, tag),
    })
}

fn sha1(content: Vec<u8>) -> anyhow::Result<Signed> {
    let keyed = Hmac::<Sha1>::new_from_slice(SECRET)?;
    let mut mac = keyed.clone();
    mac.update(&content);
    let tag = mac.finalize().into_bytes().to_vec();
    Ok(Signed {
        key: String::from_utf8(SECRET.to_vec())?,
        headers: vec![("x-trello-webhook", STANDARD.encode(&tag))],
        bare: Bare::Sha1(Box::new(keyed), content, tag),
    })
}

fn discord(content: Vec<u8>) -> anyhow::Result<Signed> {
    let seed = [7; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| anyhow!("bad seed"))?;
    let signature = pair.sign(&content).as_ref().to_vec();
    let public = pair.public_key().as_ref().to_vec();
    Ok(Signed {
        key: hex::encode(&public),
        headers: vec![
            ("x-signature-timestamp", SECONDS.into()),
            ("x-signature-ed25519", hex::encode(&signature)),
        ],
        bare: Bare::Public(UnparsedPublicKey::new(&ED25519, public), content, signature),
    })
}

fn sendgrid(content: Vec<u8>) -> anyhow::Result<Signed> {
    /// What stands before the point of a P-256 key in its SPKI form.
    const SPKI_HEAD: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    let random = SystemRandom::new();
    let signing = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let made = EcdsaKeyPair::generate_pkcs8(signing, &random).map_err(|_| anyhow!("no key"))?;
    let pair = EcdsaKeyPair::from_pkcs8(signing, made.as_ref(), &random)
        .map_err(|error| anyhow!("{error}"))?;
    let signature = pair
        .sign(&random, &content)
        .map_err(|_| anyhow!("not signed"))?;
    let signature = signature.as_ref().to_vec();
    let public = pair.public_key().as_ref().to_vec();
    let spki = [
        hex::decode(SPKI_HEAD).map_err(|error| anyhow!("{error}"))?,
        public.clone(),
    ]
    .concat();
    Ok(Signed {
        key: STANDARD.encode(spki),
        headers: vec![
            ("x-twilio-email-event-webhook-timestamp", SECONDS.into()),
            (
                "x-twilio-email-event-webhook-signature",
                STANDARD.encode(&signature),
            ),
        ],
        bare: Bare::Public(
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public),
            content,
            signature,
        ),
    })
}

fn kick(content: Vec<u8>) -> anyhow::Result<Signed> {
    let pair = RsaKeyPair::from_pkcs8(RSA_KEY).map_err(|error| anyhow!("{error}"))?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        &content,
        &mut signature,
    )
    .map_err(|_| anyhow!("not signed"))?;
    let public = pair.public().as_ref().to_vec();
    Ok(Signed {
        key: RSA_PUBLIC.to_owned(),
        headers: vec![
            ("kick-event-message-id", "d-1".into()),
            ("kick-event-message-timestamp", INSTANT.into()),
            ("kick-event-signature", STANDARD.encode(&signature)),
        ],
        bare: Bare::Public(
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public),
            content,
            signature,
        ),
    })
}
