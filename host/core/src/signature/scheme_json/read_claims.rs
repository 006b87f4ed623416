//! Reading what a token has to claim, and where a body's hash stands.

use serde_json::Value;

use super::{BODY_HASH_KEYS, LEEWAY_S_MAX, TEXT_BYTES_MAX, TOLERANCE_S_MAX, URL_HASH_KEYS};
use crate::document::{Object, Report};
use crate::signature::algorithm::Hash;
use crate::signature::encoding::Encoding;
use crate::signature::request::HeaderName;
use crate::signature::scheme::{BodyHashPlace, BodyHashRule, JwtRule, UrlHashClaim};

/// What a token has to claim, and the hash of the body.
pub(super) fn read_claims(
    object: &Object<'_>,
    report: &mut Report,
) -> (JwtRule, Option<BodyHashRule>) {
    let body_hash = object
        .get("body_hash")
        .and_then(|value| read_body_hash(value, &object.at("body_hash"), report));
    let url_hash = object
        .get("url_hash")
        .and_then(|value| read_url_hash(value, &object.at("url_hash"), report));
    let rule = JwtRule {
        issuer: object
            .text("issuer", TEXT_BYTES_MAX, report)
            .map(str::to_owned),
        max_age_s: object.number("max_age_s", 1..=TOLERANCE_S_MAX, report),
        leeway_s: object.number("leeway_s", 0..=LEEWAY_S_MAX, report),
        url_hash,
    };
    (rule, body_hash)
}

fn read_body_hash(value: &Value, at: &str, report: &mut Report) -> Option<BodyHashRule> {
    let object = Object::read(value, at, &BODY_HASH_KEYS, report)?;
    let name = object.required_text("name", TEXT_BYTES_MAX, report);
    let hash = read_hash(&object, report);
    let encoding = read_encoding(&object, report);
    let place = match object.required_text("in", TEXT_BYTES_MAX, report)? {
        "claim" => BodyHashPlace::Claim(name?.to_owned()),
        "query" => BodyHashPlace::Query(name?.to_owned()),
        "header" => BodyHashPlace::Header(
            HeaderName::parse(name?)
                .map_err(|e| report.problem(object.at("name"), e.to_string()))
                .ok()?,
        ),
        other => {
            report.unknown(
                object.at("in"),
                "place",
                other,
                &["claim", "query", "header"],
            );
            return None;
        }
    };
    let optional_when_empty = object.boolean("optional_when_empty", report);
    let unless_form = object.boolean("unless_form", report);
    Some(BodyHashRule {
        place,
        hash: hash?,
        encoding: encoding?,
        optional_when_empty: optional_when_empty.unwrap_or(false),
        unless_form: unless_form.unwrap_or(false),
    })
}

fn read_url_hash(value: &Value, at: &str, report: &mut Report) -> Option<UrlHashClaim> {
    let object = Object::read(value, at, &URL_HASH_KEYS, report)?;
    let name = object.required_text("name", TEXT_BYTES_MAX, report);
    let (hash, encoding) = (read_hash(&object, report), read_encoding(&object, report));
    match object.required_text("in", TEXT_BYTES_MAX, report)? {
        "claim" => Some(UrlHashClaim {
            name: name?.to_owned(),
            hash: hash?,
            encoding: encoding?,
        }),
        other => {
            report.unknown(object.at("in"), "place", other, &["claim"]);
            None
        }
    }
}

fn read_hash(object: &Object<'_>, report: &mut Report) -> Option<Hash> {
    match object.required_text("hash", TEXT_BYTES_MAX, report)? {
        "sha256" => Some(Hash::Sha256),
        "sha512" => Some(Hash::Sha512),
        other => {
            report.unknown(object.at("hash"), "hash", other, &["sha256", "sha512"]);
            None
        }
    }
}

fn read_encoding(object: &Object<'_>, report: &mut Report) -> Option<Encoding> {
    let text = object.required_text("encoding", TEXT_BYTES_MAX, report)?;
    let encoding = Encoding::parse(text);
    if encoding.is_none() {
        report.unknown(object.at("encoding"), "encoding", text, &Encoding::NAMES);
    }
    encoding
}
