//! The digest of the body in `Content-Digest` (RFC 9530).
//!
//! Digests of algorithms that are not known, or are broken, say nothing and are skipped;
//! every other has to be the body's, and there has to be one.

use sfv::{Dictionary, Item, ListEntry, Parser};
use subtle::ConstantTimeEq as _;

use super::CONTENT_DIGEST;
use super::input::field;
use crate::signature::algorithm::Hash;
use crate::signature::body_hash::digest;
use crate::signature::refusal::Refusal;
use crate::signature::request::RawRequest;

pub(super) fn check(raw: &RawRequest) -> Result<(), Refusal> {
    let text = field(raw, CONTENT_DIGEST).ok_or(Refusal::BodyHash)?;
    let digests: Dictionary = Parser::new(&text).parse().map_err(|_| Refusal::BodyHash)?;
    let mut known = 0;
    for (name, hash) in [("sha-256", Hash::Sha256), ("sha-512", Hash::Sha512)] {
        let Some(claimed) = digests.get(name) else {
            continue;
        };
        let ListEntry::Item(Item { bare_item, .. }) = claimed else {
            return Err(Refusal::BodyHash);
        };
        let claimed = bare_item.as_byte_sequence().ok_or(Refusal::BodyHash)?;
        if !bool::from(digest(hash, &raw.body).ct_eq(claimed)) {
            return Err(Refusal::BodyHash);
        }
        known += 1;
    }
    if known == 0 {
        Err(Refusal::BodyHash)
    } else {
        Ok(())
    }
}
