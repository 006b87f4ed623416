//! Signing as Standard Webhooks says: HMAC-SHA256 over id, time and body.
//!
//! While secrets rotate each of them signs, so that a receiver may change over at any
//! moment in between. A key's state is made once; a request costs the hash of its body.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tidegate_core::signature::Secret;
use tidegate_core::time::Timestamp;
use tidegate_egress::HeaderMap;
use tidegate_egress::header::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What stands before a secret in base64; without it a secret is its own text.
const PREFIX: &[u8] = b"whsec_";

/// The keys of one receiver. Shows none of them.
pub struct Signer {
    keys: Vec<(Secret, Hmac<Sha256>)>,
}

/// A secret that cannot sign. Positions count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigningSecret {
    /// There is none.
    #[error("there is no secret to sign with")]
    None,
    /// What follows `whsec_` is not base64, or nothing.
    #[error("secret {position} has no base64 after whsec_")]
    NotBase64 {
        /// Which.
        position: usize,
    },
}

impl Signer {
    /// Prepares secrets: `whsec_` and base64, or plain text.
    pub fn new(secrets: Vec<Secret>) -> Result<Self, InvalidSigningSecret> {
        let mut keys = Vec::with_capacity(secrets.len());
        for (position, secret) in (1..).zip(secrets) {
            let invalid = InvalidSigningSecret::NotBase64 { position };
            let key = key_of(secret.expose()).ok_or(invalid)?;
            let mac = Hmac::new_from_slice(&key).map_err(|_| invalid)?;
            keys.push((secret, mac));
        }
        if keys.is_empty() {
            return Err(InvalidSigningSecret::None);
        }
        Ok(Self { keys })
    }

    /// Adds id, time and signatures of that body. Where every secret has run out, the
    /// last one that was given signs all the same: a receiver says clearer than we could
    /// that it believes it no longer.
    pub(crate) fn sign(&self, headers: &mut HeaderMap, id: &str, body: &[u8], now: Timestamp) {
        let time = now.as_secs().to_string();
        let mut signatures = String::new();
        let counting = self.keys.iter().filter(|(secret, _)| secret.counts_at(now));
        for (_, key) in counting {
            append(&mut signatures, key, id, &time, body);
        }
        if let (true, Some((_, key))) = (signatures.is_empty(), self.keys.last()) {
            append(&mut signatures, key, id, &time, body);
        }
        for (name, value) in [(ID, id), (TIMESTAMP, &time), (SIGNATURE, &signatures)] {
            // Digits, base64 and ids of our own: always a value.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("keys", &self.keys.len())
            .finish()
    }
}

fn key_of(secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let Some(text) = secret.strip_prefix(PREFIX) else {
        return Some(Zeroizing::new(secret.to_vec()));
    };
    let key = Zeroizing::new(STANDARD.decode(text).ok()?);
    (!key.is_empty()).then_some(key)
}

fn append(signatures: &mut String, key: &Hmac<Sha256>, id: &str, time: &str, body: &[u8]) {
    let mut mac = key.clone();
    for piece in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        mac.update(piece);
    }
    if !signatures.is_empty() {
        signatures.push(' ');
    }
    signatures.push_str("v1,");
    STANDARD.encode_string(mac.finalize().into_bytes(), signatures);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.into()).unwrap()
    }

    #[track_caller]
    fn check(secrets: Vec<Secret>, expect: &str) {
        let mut headers = HeaderMap::new();
        let now = Timestamp::from_secs(1_614_265_330);
        let body = br#"{"test": 2432232314}"#;
        let signer = Signer::new(secrets).unwrap();
        signer.sign(&mut headers, "msg_p5jXN8AQM9LWM0D4loKWxJek", body, now);
        assert_eq!(headers["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        assert_eq!(headers["webhook-signature"], expect);
    }

    const KNOWN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    /// The example of the specification, which its libraries test themselves by.
    #[test]
    fn the_specification_s_own_example() {
        check(vec![secret(KNOWN)], SIGNED);
    }

    #[test]
    fn each_secret_signs_until_it_has_run_out() {
        let old = |until| secret("old").with_not_after(Timestamp::from_secs(until));
        let both = format!("{SIGNED} v1,CcMrCYxu2nGkW3RMERBdyXGTc/4IIfNEPUPNJdo5PWg=");
        check(vec![secret(KNOWN), old(1_614_265_330)], &both);
        check(vec![secret(KNOWN), old(1_614_265_329)], SIGNED);
        check(vec![secret(KNOWN).with_not_after(Timestamp::EPOCH)], SIGNED);
    }

    #[test]
    fn what_cannot_sign() {
        let fault = |secrets| Signer::new(secrets).unwrap_err().to_string();
        assert_eq!(fault(vec![]), "there is no secret to sign with");
        for text in ["whsec_", "whsec_!"] {
            let text = fault(vec![secret("good"), secret(text)]);
            assert_eq!(text, "secret 2 has no base64 after whsec_");
        }
    }
}
