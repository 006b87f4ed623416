//! A partner's signature scheme as data.
//!
//! A [`Scheme`] says where a signature is, what it covers and with what it is made. It
//! is read from a document (`scheme_json`) and interpreted by `verify`; a new partner
//! is a new document, a new primitive is a variant here. A construction that this version
//! does not know is read as well, so that a descriptor stays readable, and refused by
//! [`Scheme::check_supported`] before anything runs with it: there is no path on
//! which an unsupported scheme accepts a request.

use std::borrow::Cow;

use super::algorithm::{Algorithm, Hash, JwtAlgorithm};
use super::builtin::Builtin;
use super::encoding::Encoding;
use super::event_id::EventIdRule;
use super::fetched::KeyUrl;
use super::key_form::KeyForm;
use super::request::HeaderName;
use super::split::SplitRule;
use super::template::Template;
use super::timestamp::{TimestampPlace, TimestampRule};
use super::url::UrlVariant;
use crate::event::BodyAuthenticated;
use crate::pointer::JsonPointer;

/// How a partner proves that a request is its own. Made by [`Scheme::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    pub(super) algorithm: Algorithm,
    pub(super) key: KeyForm,
    /// Where its public keys are published; certificates are named by the request.
    pub(super) key_url: Option<KeyUrl>,
    pub(super) signature: SignatureRule,
    pub(super) content: Option<Template>,
    /// For people: what a construction with code of its own signs.
    pub(super) content_note: Option<String>,
    pub(super) timestamp: Option<TimestampRule>,
    pub(super) url_variants: Vec<UrlVariant>,
    /// Whether the content may have been signed with a newline at its end.
    pub(super) newline_variant: bool,
    pub(super) jwt: JwtRule,
    pub(super) body_hash: Option<BodyHashRule>,
    /// What an RFC 9421 signature has to cover at least; empty for other algorithms.
    pub(super) components: Vec<String>,
    pub(super) event_id: EventIdRule,
    pub(super) body_authenticated: BodyAuthenticated,
    pub(super) split: Option<SplitRule>,
    pub(super) then: Option<String>,
}

/// Where a signature is and how its bytes are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureRule {
    pub(super) place: SignaturePlace,
    /// None where the text itself is the proof.
    pub(super) encoding: Option<Encoding>,
}

/// Where a signature is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignaturePlace {
    /// In a header.
    Header {
        /// The header.
        name: HeaderName,
        /// How the header's value is built.
        form: HeaderForm,
    },
    /// In any of several headers, each of which may be absent.
    Headers(Vec<HeaderName>),
    /// In each header with that prefix and a number.
    NumberedHeaders {
        /// The names without their number, in lower case.
        name_prefix: HeaderName,
    },
    /// In a field of the JSON body.
    Json(JsonPointer),
    /// In a field of the form body.
    Form {
        /// The field.
        name: String,
        /// How its value is built.
        form: HeaderForm,
    },
    /// In an item of the query.
    Query(String),
    /// In each element of a list in the JSON body; each has to hold.
    JsonEach {
        /// The list.
        each: JsonPointer,
        /// The signed object within an element.
        item: Option<JsonPointer>,
        /// The signature within the signed object.
        pointer: JsonPointer,
    },
}

/// How the value of a signature header is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderForm {
    /// One signature after an optional literal prefix.
    Single {
        /// The prefix.
        prefix: Option<String>,
    },
    /// Signatures between separators; those with another prefix are skipped.
    List {
        /// Between two signatures.
        item_separator: String,
        /// The prefix of a signature of this scheme.
        prefix: Option<String>,
    },
    /// Pairs of key and value.
    KeyValueList {
        /// Between two pairs.
        item_separator: String,
        /// Between key and value.
        pair_separator: String,
        /// The key under which a signature is; may be `{config:NAME}`.
        key: String,
        /// Whether that key may occur more than once.
        multiple: bool,
        /// Whether white space around pairs is left out.
        trim: bool,
    },
}

/// What a JWT has to claim. Empty for other algorithms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwtRule {
    /// May be `{config:NAME}`.
    pub(super) issuer: Option<String>,
    pub(super) max_age_s: Option<u64>,
    /// How far `exp`, `nbf` and `iat` may be off.
    pub(super) leeway_s: Option<u64>,
    /// The claim that holds the hash of the URL.
    pub(super) url_hash: Option<UrlHashClaim>,
}

/// Where the hash of the body stands that has to be the body's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyHashRule {
    pub(super) place: BodyHashPlace,
    pub(super) hash: Hash,
    pub(super) encoding: Encoding,
    /// Whether it may be absent where the body is empty.
    pub(super) optional_when_empty: bool,
    /// Whether it may be absent where the body is a form, whose fields are then signed.
    pub(super) unless_form: bool,
}

/// Where the hash of the body stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyHashPlace {
    /// In a claim of a JWT.
    Claim(String),
    /// In an item of the query, which the signature covers as part of the URL.
    Query(String),
    /// In a header, which the signature covers.
    Header(HeaderName),
}

/// The claim of a JWT that holds the hash of the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlHashClaim {
    pub(super) name: String,
    pub(super) hash: Hash,
    pub(super) encoding: Encoding,
}

/// A part of a scheme that this version cannot check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The algorithm.
    #[error("scheme algorithm {0:?} is not supported by this version")]
    Algorithm(String),
    /// The form of the key.
    #[error("scheme key {key:?} is not supported by this version for algorithm {algorithm:?}")]
    KeyForm {
        /// The form in words.
        key: String,
        /// The algorithm.
        algorithm: String,
    },
}

impl Scheme {
    /// With what the proof is made.
    pub const fn algorithm(&self) -> &Algorithm {
        &self.algorithm
    }

    /// How a secret's text becomes a key.
    pub const fn key_form(&self) -> &KeyForm {
        &self.key
    }

    /// Where the signature is.
    pub const fn signature(&self) -> &SignatureRule {
        &self.signature
    }

    /// What the signature covers; None where the request carries the secret itself.
    pub const fn content(&self) -> Option<&Template> {
        self.content.as_ref()
    }

    /// The timestamp rule, if the scheme has a timestamp.
    pub const fn timestamp(&self) -> Option<&TimestampRule> {
        self.timestamp.as_ref()
    }

    /// By what an event is deduplicated.
    pub const fn event_id(&self) -> &EventIdRule {
        &self.event_id
    }

    /// Where the events of a body are that holds several.
    pub fn split(&self) -> Option<Cow<'_, SplitRule>> {
        match &self.split {
            Some(rule) => Some(Cow::Borrowed(rule)),
            None if self.event_id.is_of_each_item() => {
                Some(Cow::Owned(SplitRule::of_signature(&self.signature.place)))
            }
            None => None,
        }
    }

    /// Whether a request says only that there is something to poll. Such a body repeats, so
    /// that nothing may be deduplicated by it.
    pub fn is_thin_ping(&self) -> bool {
        self.then
            .as_deref()
            .is_some_and(|then| then == "poll" || then.starts_with("poll:"))
    }

    /// How much of a body the proof vouches for.
    pub const fn body_authenticated(&self) -> BodyAuthenticated {
        self.body_authenticated
    }

    /// Whether a public URL has to be configured for it.
    pub fn needs_url(&self) -> bool {
        self.content.as_ref().is_some_and(Template::needs_url)
            || self.jwt.url_hash.is_some()
            || match &self.algorithm {
                Algorithm::Builtin(builtin) => builtin.needs_url(&self.components),
                _ => false,
            }
    }

    /// Whether it can be verified without any secret, with keys that the partner publishes.
    pub fn fetches_keys(&self) -> bool {
        let named = self.names_certificate();
        matches!(named, Some(Builtin::AwsSns | Builtin::PayPal)) || self.key_url.is_some()
    }

    /// The same scheme with another tolerance for its timestamp, or greatest age of its
    /// token; without either it stays as it is.
    #[must_use]
    pub fn with_tolerance_s(mut self, tolerance_s: u64) -> Self {
        if let Some(rule) = &mut self.timestamp {
            rule.tolerance_s = Some(tolerance_s);
        }
        if let Some(max_age_s) = &mut self.jwt.max_age_s {
            *max_age_s = tolerance_s;
        }
        self
    }

    /// The same scheme with another event-id rule, which the caller checks.
    #[must_use]
    pub(crate) fn with_event_id(self, event_id: EventIdRule) -> Self {
        Self { event_id, ..self }
    }

    /// Whether the text at the signature's place is a credential: whoever has it can send
    /// more requests with it.
    pub(super) const fn is_proven_by_credential(&self) -> bool {
        matches!(
            self.algorithm,
            Algorithm::SharedToken | Algorithm::HttpBasic | Algorithm::Jwt(_)
        )
    }

    /// The headers whose values are the credential itself.
    pub fn credential_headers(&self) -> Vec<&HeaderName> {
        match &self.signature.place {
            _ if !self.is_proven_by_credential() => Vec::new(),
            SignaturePlace::Header { name, .. } => vec![name],
            SignaturePlace::Headers(names) => names.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether this version can check every part of it. To be asked before a scheme is
    /// put to use; [`KeySet::prepare`](super::KeySet::prepare) asks as well.
    pub fn check_supported(&self) -> Result<(), Unsupported> {
        let key = &self.key;
        let fits = match &self.algorithm {
            Algorithm::Hmac(_) | Algorithm::Sha256WithSecret | Algorithm::SharedToken => {
                key.is_shared()
            }
            Algorithm::Jwt(JwtAlgorithm::Hs256) => key.is_shared(),
            Algorithm::HttpBasic => *key == KeyForm::UserPassword,
            Algorithm::Public(_) | Algorithm::Jwt(JwtAlgorithm::Es256 | JwtAlgorithm::Rs256) => {
                key.is_public()
            }
            Algorithm::Builtin(builtin) => match builtin {
                Builtin::AwsSns | Builtin::PayPal => key.is_public(),
                Builtin::Contentful | Builtin::AtlassianQsh | Builtin::Hygraph => key.is_shared(),
                Builtin::Rfc9421 => key.is_public() || key.is_shared(),
            },
            Algorithm::Unknown(_) => {
                return Err(Unsupported::Algorithm(self.algorithm.text()));
            }
        };
        if fits {
            Ok(())
        } else {
            Err(Unsupported::KeyForm {
                key: key.text(),
                algorithm: self.algorithm.text(),
            })
        }
    }

    /// The texts to try at the end of the content.
    pub(super) const fn endings(&self) -> &'static [&'static [u8]] {
        if self.newline_variant {
            &[b"", b"\n"]
        } else {
            &[b""]
        }
    }

    /// The headers of which a request may have one only.
    pub(super) fn single_headers(&self) -> impl Iterator<Item = &HeaderName> {
        let timestamp = match self.timestamp.as_ref().map(|rule| &rule.place) {
            Some(TimestampPlace::Header(name)) => Some(name),
            _ => None,
        };
        timestamp.into_iter().chain(self.event_id.headers())
    }
}

impl SignatureRule {
    /// Where the signature is.
    pub const fn place(&self) -> &SignaturePlace {
        &self.place
    }

    /// How its bytes are written; None where the text itself is the proof.
    pub const fn encoding(&self) -> Option<Encoding> {
        self.encoding
    }
}
