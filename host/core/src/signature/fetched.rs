//! Keys that a partner publishes: where one has to be fetched, and what was fetched.
//!
//! A request may name the key it was signed with, by a URL or by an id. Which key that is
//! gets decided here, before anything is fetched: the URL of a certificate has to be one
//! that the partner's rules allow, and the URL of a JWK comes from the scheme alone. The
//! shell fetches and caches by [`KeySource`]; [`FetchedKey::read`] judges what came back.

use super::algorithm::Algorithm;
use super::builtin::Builtin;
use super::certificate;
use super::config::SchemeConfig;
use super::jwk;
use super::key_form::KeyForm;
use super::public_key::{InvalidKey, PublicKey};
use super::refusal::Refusal;
use super::request::RawRequest;
use super::scheme::Scheme;
use super::{builtin, jws};
use crate::time::Timestamp;

/// Longest document of keys or certificates, in bytes.
pub const FETCHED_KEY_BYTES_MAX: usize = 64 * 1_024;

/// Longest id of a key that is asked for.
const KEY_ID_BYTES_MAX: usize = 128;

/// A key to fetch. Equal sources give the same key: it is what a cache looks up by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeySource {
    /// What is there.
    pub kind: KeySourceKind,
    /// Where: https and the default port.
    pub url: String,
    /// Which of the keys there; None where there is one.
    pub kid: Option<String>,
    /// What to POST there, with `{config:NAME}` still in it; None for a GET.
    pub post: Option<String>,
}

/// What is to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySourceKind {
    /// A certificate in PEM, believed because of where it is.
    Certificate,
    /// A certificate in PEM with its chain, believed as far as a root of the web vouches
    /// for it and it names the partner's domain.
    CertificateChain {
        /// The partner's domain.
        domain: &'static str,
    },
    /// A JWK or a set of them.
    Jwk,
}

/// Where a scheme's keys are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUrl {
    pub(super) url: String,
    pub(super) post: Option<String>,
}

/// A key that was fetched, and is to be used for requests of its source alone.
#[derive(Clone, Debug)]
pub struct FetchedKey {
    source: KeySource,
    pub(super) keys: Vec<PublicKey>,
}

impl KeySource {
    /// What to POST, filled in; None for a GET. A value that is not configured is empty.
    pub fn body(&self, config: &SchemeConfig) -> Option<String> {
        let mut body = String::new();
        let mut rest = self.post.as_deref()?;
        while let Some((literal, after)) = rest.split_once("{config:") {
            body.push_str(literal);
            let (name, after) = after.split_once('}')?;
            body.push_str(config.get(name).unwrap_or_default());
            rest = after;
        }
        body.push_str(rest);
        Some(body)
    }
}

impl FetchedKey {
    /// Reads what was fetched from a source.
    pub fn read(source: &KeySource, bytes: &[u8], now: Timestamp) -> Result<Self, InvalidKey> {
        if bytes.len() > FETCHED_KEY_BYTES_MAX {
            return Err(InvalidKey::TooLong {
                max: FETCHED_KEY_BYTES_MAX,
            });
        }
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidKey::Form { expected: "text" })?;
        let keys = match source.kind {
            KeySourceKind::Certificate => {
                let words = String::new();
                PublicKey::read(bytes, &KeyForm::X509 { words })?
            }
            KeySourceKind::CertificateChain { domain } => {
                vec![certificate::trusted_key_of(text, domain, now)?]
            }
            KeySourceKind::Jwk => jwk::read(text)?,
        };
        let keys: Vec<_> = keys
            .into_iter()
            .filter(|key| source.kid.is_none() || key.id == source.kid)
            .collect();
        if keys.is_empty() {
            return Err(InvalidKey::UnknownId);
        }
        if !keys.iter().any(|key| key.counts_at(now)) {
            return Err(InvalidKey::NotNow);
        }
        Ok(Self {
            source: source.clone(),
            keys,
        })
    }

    /// Where it is from.
    pub const fn source(&self) -> &KeySource {
        &self.source
    }

    /// The end of its validity, where it says one: to be fetched again after that.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.keys.iter().filter_map(|key| key.not_after).min()
    }
}

impl Scheme {
    /// The key that has to be fetched to verify this request, where none is configured;
    /// None where the scheme's keys are never fetched. A request that names a key where
    /// the partner publishes none is refused.
    pub fn wanted_key(&self, raw: &RawRequest) -> Result<Option<KeySource>, Refusal> {
        if let Some(named) = self.names_certificate()
            && let Some(source) = builtin::wanted_certificate(named, raw)?
        {
            return Ok(Some(source));
        }
        let Some(place) = &self.key_url else {
            return Ok(None);
        };
        let kid = self.kid_of(raw)?;
        let post = place
            .post
            .as_deref()
            .map(|post| post.replace("{kid}", kid.as_deref().unwrap_or_default()));
        Ok(Some(KeySource {
            kind: KeySourceKind::Jwk,
            url: place.url.clone(),
            kid,
            post,
        }))
    }

    /// The construction whose requests say where their certificate is: the scheme's own, or
    /// the one whose place the words of its key name.
    pub(super) fn names_certificate(&self) -> Option<Builtin> {
        match (&self.algorithm, &self.key) {
            (Algorithm::Builtin(named), _) => Some(*named),
            (Algorithm::Public(_), KeyForm::X509 { words }) => {
                let words = words.to_ascii_lowercase();
                let named = |place: &str| words.contains(place);
                if named("paypal-cert-url") {
                    Some(Builtin::PayPal)
                } else {
                    named("signingcerturl").then_some(Builtin::AwsSns)
                }
            }
            _ => None,
        }
    }

    /// The id of the key that a request names. It goes into a request of ours, so that it
    /// may hold letters, digits and a few marks only.
    fn kid_of(&self, raw: &RawRequest) -> Result<Option<String>, Refusal> {
        let kid = match &self.algorithm {
            Algorithm::Jwt(_) | Algorithm::Builtin(Builtin::AtlassianQsh) => {
                jws::key_id(self, raw)?
            }
            Algorithm::Builtin(named) => builtin::key_id(*named, self, raw)?,
            _ => None,
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:=+/".contains(&b);
        match kid {
            Some(kid) if kid.len() > KEY_ID_BYTES_MAX || !kid.bytes().all(plain) => {
                Err(Refusal::KeyIdMalformed)
            }
            kid => Ok(kid),
        }
    }
}
