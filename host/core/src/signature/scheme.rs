//! A partner's signature scheme as data.
//!
//! A [`Scheme`] says where a signature is, what it covers and with what it is made. It
//! is read from a document (`scheme_json`) and interpreted by `verify`; a new partner
//! is a new document, a new primitive is a variant here. Primitives that are named but
//! not built yet are read as well, so that a descriptor stays readable, and refused by
//! [`Scheme::check_supported`] before anything runs with them: there is no path on
//! which an unsupported scheme accepts a request.

use super::encoding::Encoding;
use super::event_id::EventIdRule;
use super::request::HeaderName;
use super::template::{Part, Template};
use super::timestamp::{TimestampPlace, TimestampRule};
use super::url::UrlVariant;
use crate::event::BodyAuthenticated;
use crate::pointer::JsonPointer;

/// How a partner proves that a request is its own. Made by [`Scheme::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    pub(super) algorithm: Algorithm,
    pub(super) key: KeyForm,
    pub(super) signature: SignatureRule,
    pub(super) content: Option<Template>,
    pub(super) timestamp: Option<TimestampRule>,
    pub(super) url_variants: Vec<UrlVariant>,
    pub(super) jwt: JwtRule,
    pub(super) event_id: EventIdRule,
    pub(super) body_authenticated: BodyAuthenticated,
    pub(super) then: Option<String>,
}

/// With what a proof is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC over the content.
    Hmac(Hash),
    /// The request carries the secret itself.
    SharedToken,
    /// HTTP Basic credentials.
    HttpBasic,
    /// Ed25519 over the content. Not supported yet.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, DER signatures. Not supported yet.
    EcdsaP256Sha256,
    /// RSA PKCS#1 v1.5 over the content. Not supported yet.
    RsaPkcs1(Hash),
    /// A compact JWS with the pinned algorithm. Not supported yet.
    Jwt(JwtAlgorithm),
    /// A construction that needs code of its own, by name. Not supported yet.
    Special(String),
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// The algorithm that a JWT has to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC-SHA256.
    Hs256,
    /// ECDSA on P-256.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
}

/// How a secret's text becomes a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// The text's bytes.
    Utf8,
    /// Hexadecimal.
    Hex,
    /// Base64, after an optional prefix.
    Base64 {
        /// The prefix that may stand before it.
        optional_prefix: Option<String>,
    },
    /// User and password with a colon between them.
    UserPassword,
    /// Any other form, in words; belongs to an algorithm that is not built yet.
    Other(String),
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
    /// In each header with that prefix and a number.
    NumberedHeaders {
        /// The names without their number, in lower case.
        name_prefix: HeaderName,
    },
    /// In a field of the JSON body.
    Json(JsonPointer),
    /// In each element of a list in the JSON body. Not supported yet.
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
        /// The key under which a signature is.
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
    pub(super) issuer: Option<String>,
    pub(super) max_age_s: Option<u64>,
    pub(super) body_hash: Option<BodyHashClaim>,
}

/// The claim of a JWT that holds the body's hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyHashClaim {
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
    /// Where the signature is.
    #[error("a signature in {0:?} is not supported by this version")]
    SignaturePlace(&'static str),
    /// The form of the key.
    #[error("scheme key {key:?} is not supported by this version for algorithm {algorithm:?}")]
    KeyForm {
        /// The form in words.
        key: String,
        /// The algorithm.
        algorithm: String,
    },
    /// Several events in one body.
    #[error("an event id of each item is not supported by this version")]
    EventIdOfEachItem,
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

    /// How much of a body the proof vouches for.
    pub const fn body_authenticated(&self) -> BodyAuthenticated {
        self.body_authenticated
    }

    /// Whether a public URL has to be configured for it.
    pub fn needs_url(&self) -> bool {
        self.content
            .as_ref()
            .is_some_and(|content| content.has(&Part::Url))
    }

    /// The same scheme with another event-id rule, which the caller checks.
    #[must_use]
    pub(crate) fn with_event_id(self, event_id: EventIdRule) -> Self {
        Self { event_id, ..self }
    }

    /// The header whose value is the credential itself, if there is one.
    pub fn credential_header(&self) -> Option<&HeaderName> {
        match (&self.algorithm, &self.signature.place) {
            (
                Algorithm::SharedToken | Algorithm::HttpBasic | Algorithm::Jwt(_),
                SignaturePlace::Header { name, .. },
            ) => Some(name),
            _ => None,
        }
    }

    /// Whether this version can check every part of it. To be asked before a scheme is
    /// put to use; [`KeySet::prepare`](super::KeySet::prepare) asks as well.
    pub fn check_supported(&self) -> Result<(), Unsupported> {
        match (&self.algorithm, &self.key) {
            (Algorithm::Hmac(_), KeyForm::Utf8 | KeyForm::Hex | KeyForm::Base64 { .. })
            | (Algorithm::SharedToken, KeyForm::Utf8)
            | (Algorithm::HttpBasic, KeyForm::UserPassword) => {}
            (Algorithm::Hmac(_) | Algorithm::SharedToken | Algorithm::HttpBasic, key) => {
                return Err(Unsupported::KeyForm {
                    key: key.text(),
                    algorithm: self.algorithm.text(),
                });
            }
            (
                Algorithm::Ed25519
                | Algorithm::EcdsaP256Sha256
                | Algorithm::RsaPkcs1(_)
                | Algorithm::Jwt(_)
                | Algorithm::Special(_),
                _,
            ) => return Err(Unsupported::Algorithm(self.algorithm.text())),
        }
        if let SignaturePlace::JsonEach { .. } = self.signature.place {
            return Err(Unsupported::SignaturePlace("json-each"));
        }
        if self.event_id.is_of_each_item() {
            return Err(Unsupported::EventIdOfEachItem);
        }
        Ok(())
    }

    /// The headers of which a request may have one only.
    pub(super) fn single_headers(&self) -> impl Iterator<Item = &HeaderName> {
        let timestamp = match self.timestamp.as_ref().map(|rule| &rule.place) {
            Some(TimestampPlace::Header(name)) => Some(name),
            _ => None,
        };
        timestamp.into_iter().chain(self.event_id.header())
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

impl Hash {
    /// Bytes of a digest, and so of an HMAC.
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The word of a scheme document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl Algorithm {
    /// The words of a scheme document; beside them `special: NAME`.
    pub(crate) const NAMES: [&'static str; 12] = [
        "hmac-sha1",
        "hmac-sha256",
        "hmac-sha512",
        "shared-token",
        "http-basic",
        "ed25519",
        "ecdsa-p256-sha256 (DER)",
        "rsa-pkcs1-sha1",
        "rsa-pkcs1-sha256",
        "jwt HS256",
        "jwt ES256",
        "jwt RS256",
    ];

    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "hmac-sha1" => Self::Hmac(Hash::Sha1),
            "hmac-sha256" => Self::Hmac(Hash::Sha256),
            "hmac-sha512" => Self::Hmac(Hash::Sha512),
            "shared-token" => Self::SharedToken,
            "http-basic" => Self::HttpBasic,
            "ed25519" => Self::Ed25519,
            "ecdsa-p256-sha256 (DER)" => Self::EcdsaP256Sha256,
            "rsa-pkcs1-sha1" => Self::RsaPkcs1(Hash::Sha1),
            "rsa-pkcs1-sha256" => Self::RsaPkcs1(Hash::Sha256),
            "jwt HS256" => Self::Jwt(JwtAlgorithm::Hs256),
            "jwt ES256" => Self::Jwt(JwtAlgorithm::Es256),
            "jwt RS256" => Self::Jwt(JwtAlgorithm::Rs256),
            _ => Self::Special(
                text.strip_prefix("special: ")
                    .filter(|name| !name.is_empty())?
                    .into(),
            ),
        })
    }

    /// The words of a scheme document.
    pub fn text(&self) -> String {
        match self {
            Self::Hmac(hash) => format!("hmac-{}", hash.name()),
            Self::SharedToken => "shared-token".into(),
            Self::HttpBasic => "http-basic".into(),
            Self::Ed25519 => "ed25519".into(),
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256 (DER)".into(),
            Self::RsaPkcs1(hash) => format!("rsa-pkcs1-{}", hash.name()),
            Self::Jwt(JwtAlgorithm::Hs256) => "jwt HS256".into(),
            Self::Jwt(JwtAlgorithm::Es256) => "jwt ES256".into(),
            Self::Jwt(JwtAlgorithm::Rs256) => "jwt RS256".into(),
            Self::Special(name) => format!("special: {name}"),
        }
    }

    /// Whether it signs a content; the others carry their proof in the request.
    pub(super) const fn signs_content(&self) -> bool {
        match self {
            Self::Hmac(_) | Self::Ed25519 | Self::EcdsaP256Sha256 | Self::RsaPkcs1(_) => true,
            Self::SharedToken | Self::HttpBasic | Self::Jwt(_) | Self::Special(_) => false,
        }
    }
}

impl KeyForm {
    /// Reads the free text of a scheme document. Only the forms that this version uses
    /// are understood, each in one wording; the rest is kept as it stands.
    pub(super) fn parse(text: &str) -> Self {
        let optional_prefix = text
            .strip_prefix("base64, optional ")
            .and_then(|rest| rest.strip_suffix(" prefix"));
        match (text, optional_prefix) {
            ("utf8", _) => Self::Utf8,
            ("hex", _) => Self::Hex,
            ("base64", _) => Self::Base64 {
                optional_prefix: None,
            },
            ("user:password", _) => Self::UserPassword,
            (_, Some(prefix)) => Self::Base64 {
                optional_prefix: Some(prefix.to_owned()),
            },
            (other, None) => Self::Other(other.to_owned()),
        }
    }

    /// The words of a scheme document.
    pub fn text(&self) -> String {
        match self {
            Self::Utf8 => "utf8".into(),
            Self::Hex => "hex".into(),
            Self::Base64 {
                optional_prefix: None,
            } => "base64".into(),
            Self::Base64 {
                optional_prefix: Some(prefix),
            } => {
                format!("base64, optional {prefix} prefix")
            }
            Self::UserPassword => "user:password".into(),
            Self::Other(text) => text.clone(),
        }
    }
}
