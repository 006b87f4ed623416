//! Signatures: how a partner proves that a request is its own.
//!
//! A [`Scheme`] is data, read from a descriptor or the configuration. A [`KeySet`] is
//! made of an operator's secrets for one scheme. [`verify()`] takes a [`RawRequest`] and
//! both, and gives a [`VerifiedRequest`] or a [`Refusal`]; nothing else makes one.
//! [`event_id()`] then says by what the event is deduplicated, and [`explain()`] tells an
//! operator why a request does not verify without telling anyone how to forge one.
//!
//! Pure: bytes and an instant come in. Parsing of bodies happens before verification
//! only where a scheme signs fields instead of bytes.

mod algorithm;
mod body_hash;
mod builtin;
mod certificate;
mod config;
mod der;
mod encoding;
mod event_id;
mod explain;
mod fetched;
mod filter;
mod form;
mod handshake;
mod id_template;
mod item;
mod jwk;
mod jws;
mod key_form;
mod keys;
mod locate;
mod material;
mod pem;
mod preset;
mod public_key;
mod redact;
mod refusal;
mod request;
mod scheme;
pub(crate) mod scheme_json;
mod secret;
mod source;
mod split;
mod suspect;
mod template;
mod timestamp;
mod url;
mod verify;
mod waiver;

pub use algorithm::{Algorithm, Hash, JwtAlgorithm, PublicAlgorithm};
pub use builtin::Builtin;
pub use config::SchemeConfig;
pub use encoding::Encoding;
pub use event_id::{EventIdRule, EventIdText, IdInJson, event_id};
pub use explain::{Cause, Excerpt, Explanation, explain};
pub use fetched::{FETCHED_KEY_BYTES_MAX, FetchedKey, KeySource, KeySourceKind, KeyUrl};
pub use handshake::{Handshake, HandshakeKind, HandshakeState, Outcome, Reply};
#[cfg(test)]
pub(crate) use handshake::{KEYS as HANDSHAKE_KEYS, METHODS as HANDSHAKE_METHODS};
pub use id_template::{IdTemplate, InvalidIdTemplate};
pub use key_form::KeyForm;
pub use keys::{KeySet, KeySetError};
pub use preset::{ConfigValue, Preset};
pub use public_key::InvalidKey;
pub use refusal::{ClaimFault, Malformed, Refusal};
pub use request::{HeaderName, InvalidHeaderName, RawRequest, RequestParts, VerifiedRequest};
pub use scheme::{
    BodyHashPlace, BodyHashRule, HeaderForm, JwtRule, Scheme, SignaturePlace, SignatureRule,
    Unsupported, UrlHashClaim,
};
pub use secret::{InvalidSecret, SECRET_BYTES_MAX, SECRETS_MAX, Secret};
pub use source::Source;
#[cfg(test)]
pub(crate) use split::SPLIT_KEYS;
pub use split::{EventPart, PARTS_MAX, SplitError, SplitRule, events_of};
pub use template::{InvalidTemplate, Template};
pub use timestamp::{TimestampPlace, TimestampRule, TimestampUnit};
pub use url::UrlVariant;
pub use verify::verify;
pub use waiver::Waiver;
