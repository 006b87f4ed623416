//! `PayPal`: id, time, webhook id and the body's CRC-32, signed under a certificate.
//!
//! The request says where the certificate is; it has to be at or below `paypal.com`, and
//! what is fetched there has to chain up to a root of the web. The signature vouches for
//! the checksum of the body only, and a CRC is no hash: anyone who has seen one delivery
//! can send another body with the same checksum under its signature. The body counts as not
//! authenticated, and the transmission id is what stops a second delivery.

use super::{WebUrl, check_age, header_text, signed_content};
use crate::signature::algorithm::PublicAlgorithm;
use crate::signature::certificate::is_at_or_below;
use crate::signature::fetched::{KeySource, KeySourceKind};
use crate::signature::refusal::Refusal;
use crate::signature::request::RawRequest;
use crate::signature::verify::{Attempt, Proof};

const DOMAIN: &str = "paypal.com";

/// The one algorithm in use, as the request names it.
const ALGORITHM: &str = "SHA256withRSA";

/// The configured value that is part of the content.
const WEBHOOK_ID: &str = "webhook_id";

pub(super) fn check(attempt: &Attempt<'_>) -> Result<Proof, Refusal> {
    let raw = attempt.raw;
    if header_text(raw, "paypal-auth-algo")? != ALGORITHM {
        return Err(Refusal::OtherAlgorithm {
            expected: ALGORITHM,
        });
    }
    let webhook_id = attempt.config.get(WEBHOOK_ID);
    let webhook_id = webhook_id.ok_or_else(|| Refusal::ConfigMissing {
        name: WEBHOOK_ID.to_owned(),
    })?;
    let content = format!(
        "{}|{}|{webhook_id}|{}",
        header_text(raw, "paypal-transmission-id")?,
        header_text(raw, "paypal-transmission-time")?,
        crc32fast::hash(&raw.body),
    );
    let proof = signed_content(attempt, PublicAlgorithm::RsaPkcs1Sha256, content.as_bytes())?;
    check_age(attempt)?;
    Ok(proof)
}

/// The certificate that a request names.
pub(super) fn certificate(raw: &RawRequest) -> Result<KeySource, Refusal> {
    let url = header_text(raw, "paypal-cert-url")?;
    let host = WebUrl::split(url).and_then(WebUrl::https_host);
    if host.is_some_and(|host| is_at_or_below(host, DOMAIN)) {
        Ok(KeySource {
            kind: KeySourceKind::CertificateChain { domain: DOMAIN },
            url: url.to_owned(),
            kid: None,
            post: None,
        })
    } else {
        Err(Refusal::KeyUrlForeign {
            allowed: "https://paypal.com or below",
        })
    }
}
