//! The one door from a raw request to a verified one.
//!
//! Verification reads the bytes as they were received, tries every key that is in use
//! against every signature in constant time, and only then looks at the age of the
//! timestamp: a refusal for its age is therefore about a genuine request. Whatever goes
//! wrong gives a [`Refusal`] and nothing else of the request.
//!
//! What must not be here: how a scheme is written, where a signature stands (`locate`),
//! what it covers (`template`), constructions with code of their own (`jws`, `builtin`).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use serde_json::{Map, Value};
use subtle::Choice;
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, PublicAlgorithm};
use super::config::SchemeConfig;
use super::encoding::MacBytes;
use super::fetched::FetchedKey;
use super::keys::{KeyInUse, KeySet};
use super::locate::{Located, MacsReceived, timestamp_text};
use super::refusal::{Malformed, Refusal};
use super::request::{RawRequest, VerifiedRequest};
use super::scheme::{Scheme, SignaturePlace};
use super::template::{Filling, Late, Piece, Pieces, Template};
use super::{body_hash, builtin, item, jws, url};
use crate::time::Timestamp;

/// Checks a request against a scheme and the keys that were prepared for it.
///
/// `fetched` is the key that [`Scheme::wanted_key`] asked for, where the scheme's keys are
/// fetched and none is configured.
pub fn verify(
    raw: RawRequest,
    scheme: &Scheme,
    keys: &KeySet,
    fetched: Option<&FetchedKey>,
    now: Timestamp,
) -> Result<VerifiedRequest, Refusal> {
    let proof = check(&raw, scheme, keys, fetched, now)?;
    Ok(VerifiedRequest::new(raw, scheme, proof, now))
}

/// What made a request's proof hold.
#[derive(Debug)]
pub(super) struct Proof {
    /// The position of the secret, from 1; None where it was a fetched key.
    pub(super) matched: Option<usize>,
    /// The claims of its token, where it has one.
    pub(super) claims: Option<Box<Map<String, Value>>>,
}

impl Proof {
    /// One without any key, for tests of what follows verification.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self {
            matched: None,
            claims: None,
        }
    }

    pub(super) fn by(key: KeyInUse<'_>) -> Self {
        Self {
            matched: key.position,
            claims: None,
        }
    }
}

/// Everything that a request is judged by.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) raw: &'a RawRequest,
    pub(super) scheme: &'a Scheme,
    /// At least one.
    pub(super) keys: &'a [KeyInUse<'a>],
    pub(super) config: &'a SchemeConfig,
    pub(super) now: Timestamp,
}

/// Whether the request's proof holds.
pub(super) fn check(
    raw: &RawRequest,
    scheme: &Scheme,
    keys: &KeySet,
    fetched: Option<&FetchedKey>,
    now: Timestamp,
) -> Result<Proof, Refusal> {
    let config = keys.config();
    let keys = keys.in_use(scheme, raw, fetched, now)?;
    for name in scheme.single_headers() {
        raw.header(name)?;
    }
    let attempt = Attempt {
        raw,
        scheme,
        keys: &keys,
        config,
        now,
    };
    match &scheme.signature.place {
        SignaturePlace::JsonEach { each, item, .. } => {
            check_each(&attempt, &item::items(&raw.body, each, item.as_ref())?)
        }
        _ => attempt.check(),
    }
}

/// Whether what a request's signature is over has the form of a text that `is_form` knows;
/// false where that cannot be said.
pub(super) fn signs(
    raw: &RawRequest,
    scheme: &Scheme,
    config: &SchemeConfig,
    is_form: impl Fn(&str) -> bool,
) -> bool {
    let Some(content) = &scheme.content else {
        return false;
    };
    let rule = scheme.timestamp.as_ref();
    let timestamp = rule.and_then(|rule| timestamp_text(scheme, rule, raw).ok());
    let pieces = content.resolve(&Filling {
        raw,
        signature: &scheme.signature,
        timestamp: timestamp.as_deref(),
        config,
    });
    pieces.is_ok_and(|pieces| std::str::from_utf8(&joined(&pieces, "")).is_ok_and(is_form))
}

/// Every item has to hold, like a request whose body it is.
fn check_each(attempt: &Attempt<'_>, items: &[bytes::Bytes]) -> Result<Proof, Refusal> {
    let mut part = attempt.raw.clone();
    let mut first = None;
    for item in items {
        part.body = item.clone();
        let proof = Attempt {
            raw: &part,
            ..*attempt
        }
        .check()?;
        first.get_or_insert(proof);
    }
    first.ok_or_else(|| attempt.scheme.signature.missing())
}

impl<'a> Attempt<'a> {
    fn check(&self) -> Result<Proof, Refusal> {
        match &self.scheme.algorithm {
            Algorithm::Jwt(pinned) => jws::check(self, *pinned),
            Algorithm::Builtin(named) => builtin::check(*named, self),
            _ => self.check_described(),
        }
    }

    /// A scheme that its document describes in full.
    fn check_described(&self) -> Result<Proof, Refusal> {
        let Self {
            raw, scheme, keys, ..
        } = *self;
        let located = scheme.signature.locate(raw, self.config)?;
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
            (Algorithm::Hmac(_) | Algorithm::Sha256WithSecret, Some(content)) => {
                let length = scheme.algorithm.mac_bytes().unwrap_or_default();
                let mut signatures = MacsReceived::new();
                scheme.signature.decode(&located, length, &mut signatures)?;
                self.any_mac_matches(content, text, &signatures)?
            }
            (Algorithm::Public(algorithm), Some(content)) => {
                let lengths = algorithm.signature_bytes();
                let signatures = scheme.signature.decode_long(&located, &lengths)?;
                self.any_key_verifies(*algorithm, content, text, &signatures)?
            }
            (Algorithm::SharedToken, _) => {
                any_is_itself(keys, located.texts.iter().map(|t| t.as_bytes()))
            }
            (Algorithm::HttpBasic, _) => {
                let credentials = basic_credentials(&located)
                    .ok_or_else(|| scheme.signature.malformed(Malformed::NotBasic))?;
                any_is_itself(keys, [credentials.as_slice()].into_iter())
            }
            // No keys can be prepared for an algorithm that is not known, nor a document
            // read that signs a content without having one.
            _ => return Err(Refusal::KeysForOtherScheme),
        };
        let matched = matched.ok_or(Refusal::NoMatch { keys: keys.len() })?;
        if let Some(rule) = &scheme.body_hash {
            body_hash::check(rule, raw)?;
        }
        if let Some((rule, instant)) = instant {
            rule.check(instant, self.now)?;
        }
        Ok(Proof::by(matched))
    }

    /// Tries every key and every spelling of the URL against every signature; no early end,
    /// so that the time says nothing about which one matched.
    fn any_mac_matches(
        &self,
        content: &Template,
        timestamp: Option<&str>,
        signatures: &[MacBytes],
    ) -> Result<Option<KeyInUse<'a>>, Refusal> {
        let urls = self.urls()?;
        let mut pieces = Pieces::new();
        content.resolve_into(&self.filling(timestamp), &mut pieces)?;
        let mut matched = None;
        for ending in self.scheme.endings() {
            if !ending.is_empty() {
                pieces.push(Piece::Bytes((*ending).into()));
            }
            for key in self.keys {
                let mut holds = Choice::from(0);
                for url in &*urls {
                    let Some(mac) = key.shared().and_then(|m| m.mac(&pieces, url)) else {
                        continue;
                    };
                    for signature in signatures {
                        holds |= mac.matches(signature.as_slice());
                    }
                }
                note(&mut matched, *key, holds.into());
            }
        }
        Ok(matched)
    }

    fn any_key_verifies(
        &self,
        algorithm: PublicAlgorithm,
        content: &Template,
        timestamp: Option<&str>,
        signatures: &[Vec<u8>],
    ) -> Result<Option<KeyInUse<'a>>, Refusal> {
        let mut pieces = Pieces::new();
        content.resolve_into(&self.filling(timestamp), &mut pieces)?;
        let mut matched = None;
        for url in &*self.urls()? {
            let message = joined(&pieces, url);
            for signature in signatures {
                let found = self.verified_by(algorithm, &message, signature, None);
                matched = matched.or(found);
            }
        }
        Ok(matched)
    }

    /// The key under which a signature is a message's; `key_id` leaves out keys with
    /// another id.
    pub(super) fn verified_by(
        &self,
        algorithm: PublicAlgorithm,
        message: &[u8],
        signature: &[u8],
        key_id: Option<&str>,
    ) -> Option<KeyInUse<'a>> {
        let mut matched = None;
        for key in self.keys {
            let verifies = key.public().is_some_and(|public| {
                public.is_named(key_id) && public.verifies(algorithm, message, signature)
            });
            note(&mut matched, *key, verifies);
        }
        matched
    }

    /// The key under which a MAC is a message's, which is given in pieces.
    pub(super) fn maced_by(&self, pieces: &[Piece<'_>], mac: &[u8]) -> Option<KeyInUse<'a>> {
        let mut matched = None;
        for key in self.keys {
            let holds = key
                .shared()
                .and_then(|material| material.mac(pieces, ""))
                .map_or(Choice::from(0), |computed| computed.matches(mac));
            note(&mut matched, *key, holds.into());
        }
        matched
    }

    fn filling<'t>(&self, timestamp: Option<&'t str>) -> Filling<'t>
    where
        'a: 't,
    {
        Filling {
            raw: self.raw,
            signature: &self.scheme.signature,
            timestamp,
            config: self.config,
        }
    }

    /// The spellings of the URL to try; one empty text where it is not signed.
    fn urls(&self) -> Result<Cow<'static, [String]>, Refusal> {
        static NONE: [String; 1] = [String::new()];
        if !self.scheme.needs_url() {
            return Ok(Cow::Borrowed(&NONE));
        }
        let configured = self.raw.url.as_deref().ok_or(Refusal::UrlNotConfigured)?;
        Ok(url::spellings(configured, &self.scheme.url_variants).into())
    }
}

fn note<'k>(matched: &mut Option<KeyInUse<'k>>, key: KeyInUse<'k>, holds: bool) {
    if holds && matched.is_none() {
        *matched = Some(key);
    }
}

/// The bytes of a content in one piece; a content of one piece is not copied.
fn joined<'p>(pieces: &'p [Piece<'_>], url: &'p str) -> Cow<'p, [u8]> {
    let late = Late { url, secret: &[] };
    match pieces {
        [one] => one.bytes(late).into(),
        several => several
            .iter()
            .flat_map(|piece| piece.bytes(late))
            .copied()
            .collect::<Vec<_>>()
            .into(),
    }
}

fn any_is_itself<'k, 'p>(
    keys: &[KeyInUse<'k>],
    proofs: impl Iterator<Item = &'p [u8]>,
) -> Option<KeyInUse<'k>> {
    let mut matched = None;
    for proof in proofs {
        for key in keys {
            let is_itself = key
                .shared()
                .map_or(Choice::from(0), |material| material.is_itself(proof));
            note(&mut matched, *key, is_itself.into());
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
