//! Reading the parts of a scheme document.

use serde_json::Value;

use super::event_id::read_event_id;
use super::read_claims::read_claims;
use super::read_signature::{read_signature, read_timestamp};
use super::{COMPONENTS_MAX, KEY_URL_KEYS, SCHEME_KEYS, TEXT_BYTES_MAX, URL_VARIANTS_MAX};
use crate::document::{Object, Problems, Report, as_text};
use crate::event::BodyAuthenticated;
use crate::pointer::JsonPointer;
use crate::signature::algorithm::Algorithm;
use crate::signature::builtin::{Builtin, COMPONENTS};
use crate::signature::event_id::EventIdRule;
use crate::signature::fetched::KeyUrl;
use crate::signature::key_form::KeyForm;
use crate::signature::request::HeaderName;
use crate::signature::scheme::{Scheme, SignatureRule};
use crate::signature::split::SplitRule;
use crate::signature::template::Template;
use crate::signature::url::UrlVariant;

impl Scheme {
    /// Reads a scheme document, like those that a descriptor or the configuration holds.
    /// Whether this version supports the scheme is asked apart:
    /// [`Scheme::check_supported`].
    pub fn parse(document: &Value) -> Result<Self, Problems> {
        let mut report = Report::default();
        let scheme = Self::read(document, "", &mut report);
        report.finish(scheme)
    }

    pub(crate) fn read(document: &Value, at: &str, report: &mut Report) -> Option<Self> {
        let object = Object::read(document, at, &SCHEME_KEYS, report)?;
        let algorithm = read_algorithm(&object, report);
        let key = object
            .required_text("key", TEXT_BYTES_MAX, report)
            .map(KeyForm::parse);
        let key_url = read_key_url(&object, report);
        let signature = read_where_signed(&object, algorithm.as_ref(), report);
        let is_special = algorithm.as_ref().is_some_and(Algorithm::is_special);
        let (content, content_note) = if is_special {
            let note = object.text("content", TEXT_BYTES_MAX, report);
            (None, note.map(str::to_owned))
        } else {
            (read_content(&object, report), None)
        };
        let timestamp = object
            .get("timestamp")
            .map(|value| read_timestamp(value, &object.at("timestamp"), report));
        let url_variants = read_url_variants(&object, report);
        let newline_variant = read_content_variants(&object, report);
        let event_id = match object.get("event_id") {
            None => Some(EventIdRule::BodyHash),
            Some(value) => read_event_id(value, &object.at("event_id"), report),
        };
        let (jwt, body_hash) = read_claims(&object, report);
        let components = read_components(&object, algorithm.as_ref(), report);
        let declared = read_body_authenticated(&object, report);
        let split = object
            .get("split")
            .map(|value| SplitRule::read(value, &object.at("split"), report));
        let then = object
            .text("then", TEXT_BYTES_MAX, report)
            .map(str::to_owned);

        let mut scheme = Self {
            algorithm: algorithm?,
            key: key?,
            key_url,
            signature: signature?,
            content,
            content_note,
            timestamp: match timestamp {
                Some(timestamp) => Some(timestamp?),
                None => None,
            },
            url_variants,
            newline_variant,
            jwt,
            body_hash,
            components,
            event_id: event_id?,
            body_authenticated: BodyAuthenticated::None,
            split: match split {
                Some(split) => Some(split?),
                None => None,
            },
            then,
        };
        scheme.check_algorithm_parts(&object, report);
        scheme.check_timestamp(&object, report);
        scheme.check_event_id(&object.at("event_id"), report);
        scheme.body_authenticated = scheme.judge_body(declared, &object, report);
        Some(scheme)
    }
}

fn read_algorithm(object: &Object<'_>, report: &mut Report) -> Option<Algorithm> {
    let text = object.required_text("algorithm", TEXT_BYTES_MAX, report)?;
    let algorithm = Algorithm::parse(text);
    if algorithm.is_none() {
        report.unknown(object.at("algorithm"), "algorithm", text, &Algorithm::NAMES);
    }
    algorithm
}

/// Where the signature is; a construction with code of its own knows that without the
/// document, which may say it all the same.
fn read_where_signed(
    object: &Object<'_>,
    algorithm: Option<&Algorithm>,
    report: &mut Report,
) -> Option<SignatureRule> {
    let own = match algorithm {
        Some(Algorithm::Builtin(builtin)) => builtin.signature(),
        _ => None,
    };
    match (object.get("signature"), own) {
        // Its parts stand in headers of their own, whatever a document says about them.
        (Some(_), own @ Some(_)) if algorithm == Some(&Algorithm::Builtin(Builtin::Rfc9421)) => own,
        (None, own @ Some(_)) => own,
        _ => object
            .required("signature", report)
            .and_then(|value| read_signature(value, &object.at("signature"), report)),
    }
}

/// Where the keys are published: the URL alone, or with what is to be sent there.
fn read_key_url(object: &Object<'_>, report: &mut Report) -> Option<KeyUrl> {
    let value = object.get("key_url")?;
    let place = if value.is_string() {
        let url = object.text("key_url", TEXT_BYTES_MAX, report)?;
        KeyUrl {
            url: url.to_owned(),
            post: None,
        }
    } else {
        let inner = Object::read(value, &object.at("key_url"), &KEY_URL_KEYS, report)?;
        let url = inner.required_text("url", TEXT_BYTES_MAX, report)?;
        let post = inner.text("post", TEXT_BYTES_MAX, report);
        KeyUrl {
            url: url.to_owned(),
            post: post.map(str::to_owned),
        }
    };
    if !is_https(&place.url) {
        report.problem(
            object.at("key_url"),
            "has to be an https URL without a port",
        );
        return None;
    }
    Some(place)
}

fn is_https(url: &str) -> bool {
    url.strip_prefix("https://").is_some_and(|rest| {
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
        !host.is_empty() && host.bytes().all(plain)
    })
}

/// Whether the content may have a newline at its end.
fn read_content_variants(object: &Object<'_>, report: &mut Report) -> bool {
    let known = ["as-is", "newline-appended"];
    let mut newline = false;
    for (at, value) in object.list("content_variants", URL_VARIANTS_MAX, report) {
        match as_text(value, &at, report) {
            Some("newline-appended") => newline = true,
            Some("as-is") | None => {}
            Some(other) => report.unknown(at, "content variant", other, &known),
        }
    }
    newline
}

/// What an RFC 9421 signature has to cover.
fn read_components(
    object: &Object<'_>,
    algorithm: Option<&Algorithm>,
    report: &mut Report,
) -> Vec<String> {
    if algorithm != Some(&Algorithm::Builtin(Builtin::Rfc9421)) {
        if object.get("components").is_some() {
            report.problem(object.at("components"), "belongs to \"special: rfc9421\"");
        }
        return Vec::new();
    }
    if object.get("components").is_none() {
        return COMPONENTS.map(str::to_owned).to_vec();
    }
    object
        .list("components", COMPONENTS_MAX, report)
        .into_iter()
        .filter_map(|(at, value)| as_text(value, &at, report).map(str::to_owned))
        .collect()
}

fn read_content(object: &Object<'_>, report: &mut Report) -> Option<Template> {
    let text = object.text("content", TEXT_BYTES_MAX, report)?;
    Template::parse(text)
        .map_err(|e| report.problem(object.at("content"), e.to_string()))
        .ok()
}

fn read_url_variants(object: &Object<'_>, report: &mut Report) -> Vec<UrlVariant> {
    let mut variants = Vec::new();
    for (at, value) in object.list("url_variants", URL_VARIANTS_MAX, report) {
        let Some(text) = as_text(value, &at, report) else {
            continue;
        };
        match UrlVariant::parse(text) {
            Some(variant) => variants.push(variant),
            None => report.unknown(at, "URL variant", text, &UrlVariant::NAMES),
        }
    }
    variants
}

/// Reads `body_authenticated`, or `body_bound` as older documents call it.
fn read_body_authenticated(object: &Object<'_>, report: &mut Report) -> Option<BodyAuthenticated> {
    if object.get("body_bound").is_some() && object.get("body_authenticated").is_some() {
        let message =
            "is the old name of \"body_authenticated\", which is there as well; leave it out";
        report.problem(object.at("body_bound"), message);
    }
    if let Some(value) = object.get("body_bound") {
        return match value {
            Value::Bool(true) => Some(BodyAuthenticated::Full),
            Value::Bool(false) => Some(BodyAuthenticated::None),
            Value::String(text) if text == "listed fields only" => Some(BodyAuthenticated::Fields),
            _ => {
                let message = "has to be true, false or \"listed fields only\"";
                report.problem(object.at("body_bound"), message);
                None
            }
        };
    }
    match object.text("body_authenticated", TEXT_BYTES_MAX, report)? {
        "full" => Some(BodyAuthenticated::Full),
        "fields" => Some(BodyAuthenticated::Fields),
        "none" => Some(BodyAuthenticated::None),
        other => {
            report.unknown(
                object.at("body_authenticated"),
                "value",
                other,
                &["full", "fields", "none"],
            );
            None
        }
    }
}

/// Reads a header's name, which has to be there.
pub(crate) fn read_header_name(
    object: &Object<'_>,
    key: &str,
    report: &mut Report,
) -> Option<HeaderName> {
    let text = object.required_text(key, TEXT_BYTES_MAX, report)?;
    HeaderName::parse(text)
        .map_err(|e| report.problem(object.at(key), e.to_string()))
        .ok()
}

/// Reads a JSON pointer, which has to be there.
pub(crate) fn read_pointer(
    object: &Object<'_>,
    key: &str,
    report: &mut Report,
) -> Option<JsonPointer> {
    let text = object.required_text(key, TEXT_BYTES_MAX, report)?;
    JsonPointer::parse(text)
        .map_err(|e| report.problem(object.at(key), e.to_string()))
        .ok()
}
