//! Binding of a body by its hash: what is signed holds the hash, and the body has to have it.
//!
//! To be asked once the signature over the hash held.

use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::algorithm::Hash;
use super::encoding::Encoding;
use super::form;
use super::refusal::Refusal;
use super::request::RawRequest;
use super::scheme::{BodyHashPlace, BodyHashRule};

/// Checks a hash that stands in the request itself.
pub(super) fn check(rule: &BodyHashRule, raw: &RawRequest) -> Result<(), Refusal> {
    let found = match &rule.place {
        BodyHashPlace::Query(name) => form::only_value(raw.query.as_bytes(), name)
            .map_err(|_| Refusal::BodyHash)?
            .and_then(|value| String::from_utf8(value).ok()),
        BodyHashPlace::Header(name) => raw
            .header(name)?
            .and_then(|value| String::from_utf8(value.to_vec()).ok()),
        // Checked with the token that holds it.
        BodyHashPlace::Claim(_) => return Ok(()),
    };
    check_text(rule, found.as_deref(), raw)
}

/// Checks the text that was found where the hash stands.
pub(super) fn check_text(
    rule: &BodyHashRule,
    found: Option<&str>,
    raw: &RawRequest,
) -> Result<(), Refusal> {
    let Some(text) = found else {
        let excused = (rule.optional_when_empty && raw.body.is_empty())
            || (rule.unless_form && form::is_form(raw));
        return if excused {
            Ok(())
        } else {
            Err(Refusal::BodyHash)
        };
    };
    if is_hash_of(text, rule.hash, rule.encoding, &raw.body) {
        Ok(())
    } else {
        Err(Refusal::BodyHash)
    }
}

/// Whether a text is the hash of some bytes.
pub(super) fn is_hash_of(text: &str, hash: Hash, encoding: Encoding, bytes: &[u8]) -> bool {
    encoding
        .decode(text, hash.digest_bytes())
        .is_ok_and(|claimed| digest(hash, bytes).ct_eq(claimed.as_slice()).into())
}

pub(super) fn digest(hash: Hash, bytes: &[u8]) -> Vec<u8> {
    match hash {
        Hash::Sha1 => Sha1::digest(bytes).to_vec(),
        Hash::Sha256 => Sha256::digest(bytes).to_vec(),
        Hash::Sha512 => Sha512::digest(bytes).to_vec(),
    }
}
