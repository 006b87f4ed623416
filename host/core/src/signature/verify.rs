//! The one door from a raw request to a verified one.
//!
//! Verification reads the bytes as they were received, tries every key that is in use
//! against every signature in constant time, and only then looks at the age of the
//! timestamp: a refusal for its age is therefore about a genuine request. Whatever goes
//! wrong gives a [`Refusal`] and nothing else of the request.
//!
//! What must not be here: how a scheme is written, where a signature stands (`locate`),
//! what it covers (`template`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use subtle::Choice;
use zeroize::Zeroizing;

use super::encoding::MacBytes;
use super::keys::{KeySet, Material};
use super::locate::{Located, timestamp_text};
use super::refusal::{Malformed, Refusal};
use super::request::{RawRequest, VerifiedRequest};
use super::scheme::{Algorithm, Scheme};
use super::template::Template;
use super::url;
use crate::time::Timestamp;

/// Checks a request against a scheme and the keys that were prepared for it.
pub fn verify(
    raw: RawRequest,
    scheme: &Scheme,
    keys: &KeySet,
    now: Timestamp,
) -> Result<VerifiedRequest, Refusal> {
    check(&raw, scheme, keys, now)?;
    Ok(VerifiedRequest::new(raw, scheme, now))
}

/// Whether the request's proof holds.
pub(super) fn check(
    raw: &RawRequest,
    scheme: &Scheme,
    keys: &KeySet,
    now: Timestamp,
) -> Result<(), Refusal> {
    let keys = keys.in_use(&scheme.algorithm, now)?;
    for name in scheme.single_headers() {
        raw.header(name)?;
    }
    let located = scheme.signature.locate(raw)?;
    let timestamp = match &scheme.timestamp {
        Some(rule) => Some((rule, timestamp_text(scheme, rule, raw)?)),
        None => None,
    };
    let instant = match &timestamp {
        Some((rule, text)) => Some((rule, rule.read(text)?)),
        None => None,
    };
    let text = timestamp.as_ref().map(|(_, text)| text.as_ref());
    let matched = match (&scheme.algorithm, &scheme.content) {
        (Algorithm::Hmac(hash), Some(content)) => {
            let signatures = scheme.signature.decode(&located, hash.digest_bytes())?;
            let signatures: Vec<_> = signatures.iter().map(MacBytes::as_slice).collect();
            any_mac_matches(raw, scheme, content, text, &keys, &signatures)?
        }
        (Algorithm::SharedToken, _) => {
            any_is_itself(&keys, located.texts.iter().map(|t| t.as_bytes()))
        }
        (Algorithm::HttpBasic, _) => {
            let credentials = basic_credentials(&located)
                .ok_or_else(|| scheme.signature.malformed(Malformed::NotBasic))?;
            any_is_itself(&keys, [credentials.as_slice()].into_iter())
        }
        // No keys can be prepared for the other algorithms.
        (
            Algorithm::Hmac(_)
            | Algorithm::Ed25519
            | Algorithm::EcdsaP256Sha256
            | Algorithm::RsaPkcs1(_)
            | Algorithm::Jwt(_)
            | Algorithm::Special(_),
            _,
        ) => return Err(Refusal::KeysForOtherScheme),
    };
    if !bool::from(matched) {
        return Err(Refusal::NoMatch { keys: keys.len() });
    }
    instant.map_or(Ok(()), |(rule, instant)| rule.check(instant, now))
}

/// Tries every key and every spelling of the URL against every signature; no early end,
/// so that the time says nothing about which one matched.
fn any_mac_matches(
    raw: &RawRequest,
    scheme: &Scheme,
    content: &Template,
    timestamp: Option<&str>,
    keys: &[&Material],
    signatures: &[&[u8]],
) -> Result<Choice, Refusal> {
    let pieces = content.resolve(raw, timestamp)?;
    let urls = if scheme.needs_url() {
        let configured = raw.url.as_deref().ok_or(Refusal::UrlNotConfigured)?;
        url::spellings(configured, &scheme.url_variants)
    } else {
        vec![String::new()]
    };
    let mut matched = Choice::from(0);
    for key in keys {
        for mac in urls.iter().filter_map(|url| key.mac(&pieces, url)) {
            for signature in signatures {
                matched |= mac.matches(signature);
            }
        }
    }
    Ok(matched)
}

fn any_is_itself<'p>(keys: &[&Material], proofs: impl Iterator<Item = &'p [u8]>) -> Choice {
    let mut matched = Choice::from(0);
    for proof in proofs {
        for key in keys {
            matched |= key.is_itself(proof);
        }
    }
    matched
}

/// User and password of a `Basic` header, whose scheme name may be in any case.
fn basic_credentials(located: &Located<'_>) -> Option<Zeroizing<Vec<u8>>> {
    let (name, encoded) = located.texts.first()?.split_once(' ')?;
    let credentials = STANDARD_PAD_INDIFFERENT.decode(encoded.trim()).ok()?;
    name.eq_ignore_ascii_case("basic")
        .then(|| Zeroizing::new(credentials))
}
