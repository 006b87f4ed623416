//! What the tests share: requests, schemes, and a signer of their own.

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tidegate_core::signature::{KeySet, RawRequest, Scheme, Secret};

pub(crate) fn scheme(document: &Value) -> Scheme {
    Scheme::parse(document).unwrap_or_else(|problems| panic!("{problems}"))
}

pub(crate) fn github() -> Scheme {
    scheme(&json!({
        "algorithm": "hmac-sha256",
        "key": "utf8",
        "signature": {
            "in": "header", "name": "X-Hub-Signature-256", "encoding": "hex", "prefix": "sha256=",
        },
        "content": "{body}",
        "event_id": {"in": "header", "name": "X-GitHub-Delivery"},
    }))
}

pub(crate) fn keys(scheme: &Scheme, secrets: &[&[u8]]) -> KeySet {
    let secrets = secrets
        .iter()
        .map(|secret| Secret::new(secret.to_vec()).unwrap());
    KeySet::prepare(scheme, secrets).unwrap()
}

pub(crate) fn request(headers: &[(&str, &[u8])], body: &[u8]) -> RawRequest {
    RawRequest {
        method: "POST".into(),
        url: None,
        path: vec![],
        query: String::new(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), Bytes::copy_from_slice(value)))
            .collect(),
        body: Bytes::copy_from_slice(body),
    }
}

pub(crate) fn sign(secret: &[u8], content: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(content);
    hex::encode(mac.finalize().into_bytes())
}

/// A request that GitHub could have sent.
pub(crate) fn signed(secret: &[u8], body: &[u8]) -> RawRequest {
    let signature = format!("sha256={}", sign(secret, body));
    request(
        &[
            ("X-Hub-Signature-256", signature.as_bytes()),
            ("X-GitHub-Delivery", b"d1"),
        ],
        body,
    )
}
