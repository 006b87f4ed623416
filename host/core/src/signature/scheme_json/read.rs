//! Reading the parts of a scheme document.

use serde_json::Value;

use super::{
    BODY_HASH_KEYS, EVENT_ID_HEADER_KEYS, EVENT_ID_POINTER_KEYS, EVENT_ID_TEMPLATE_KEYS,
    JSON_EACH_KEYS, KEY_VALUE_LIST_KEYS, LIST_KEYS, NUMBERED_HEADERS_KEYS, SCHEME_KEYS,
    SIGNATURE_JSON_KEYS, SINGLE_KEYS, TEXT_BYTES_MAX, TIMESTAMP_HEADER_KEYS, TIMESTAMP_ITEM_KEYS,
    TIMESTAMP_JSON_KEYS, TOLERANCE_S_MAX, URL_VARIANTS_MAX,
};
use crate::document::{Object, Problems, Report, as_text};
use crate::event::BodyAuthenticated;
use crate::pointer::JsonPointer;
use crate::signature::encoding::Encoding;
use crate::signature::event_id::{EventIdRule, IdInJson, IdTemplate};
use crate::signature::request::HeaderName;
use crate::signature::scheme::{
    Algorithm, BodyHashClaim, Hash, HeaderForm, JwtRule, KeyForm, Scheme, SignaturePlace,
    SignatureRule,
};
use crate::signature::template::Template;
use crate::signature::timestamp::{TimestampPlace, TimestampRule, TimestampUnit};
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
        let signature = object
            .required("signature", report)
            .and_then(|value| read_signature(value, &object.at("signature"), report));
        let content = read_content(&object, report);
        let timestamp = object
            .get("timestamp")
            .map(|value| read_timestamp(value, &object.at("timestamp"), report));
        let url_variants = read_url_variants(&object, report);
        let event_id = match object.get("event_id") {
            None => Some(EventIdRule::BodyHash),
            Some(value) => read_event_id(value, &object.at("event_id"), report),
        };
        let jwt = read_jwt(&object, report);
        let declared = read_body_authenticated(&object, report);
        let then = object
            .text("then", TEXT_BYTES_MAX, report)
            .map(str::to_owned);

        let mut scheme = Self {
            algorithm: algorithm?,
            key: key?,
            signature: signature?,
            content,
            timestamp: match timestamp {
                Some(timestamp) => Some(timestamp?),
                None => None,
            },
            url_variants,
            jwt: jwt?,
            event_id: event_id?,
            body_authenticated: BodyAuthenticated::None,
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

fn read_content(object: &Object<'_>, report: &mut Report) -> Option<Template> {
    let text = object.text("content", TEXT_BYTES_MAX, report)?;
    Template::parse(text)
        .map_err(|e| report.problem(object.at("content"), e.to_string()))
        .ok()
}

fn read_signature(value: &Value, at: &str, report: &mut Report) -> Option<SignatureRule> {
    let object = Object::read_any(value, at, report)?;
    let place = match object.required_text("in", TEXT_BYTES_MAX, report)? {
        "header" => read_signature_header(&object, report),
        "numbered-headers" => {
            object.check_keys(&NUMBERED_HEADERS_KEYS, report);
            let name_prefix = read_header_name(&object, "name_prefix", report);
            name_prefix.map(|name_prefix| SignaturePlace::NumberedHeaders { name_prefix })
        }
        "json" => {
            object.check_keys(&SIGNATURE_JSON_KEYS, report);
            read_pointer(&object, "pointer", report).map(SignaturePlace::Json)
        }
        "json-each" => {
            object.check_keys(&JSON_EACH_KEYS, report);
            read_json_each(&object, report)
        }
        other => {
            let known = ["header", "numbered-headers", "json", "json-each"];
            report.unknown(object.at("in"), "place", other, &known);
            None
        }
    };
    let encoding = match object.text("encoding", TEXT_BYTES_MAX, report) {
        None => None,
        Some(text) => {
            let encoding = Encoding::parse(text);
            if encoding.is_none() {
                report.unknown(object.at("encoding"), "encoding", text, &Encoding::NAMES);
            }
            encoding
        }
    };
    Some(SignatureRule {
        place: place?,
        encoding,
    })
}

fn read_signature_header(object: &Object<'_>, report: &mut Report) -> Option<SignaturePlace> {
    let name = read_header_name(object, "name", report);
    let text =
        |key, report: &mut Report| object.text(key, TEXT_BYTES_MAX, report).map(str::to_owned);
    let form = match object.get("format").and_then(Value::as_str) {
        None if object.get("format").is_none() => {
            object.check_keys(&SINGLE_KEYS, report);
            Some(HeaderForm::Single {
                prefix: text("prefix", report),
            })
        }
        Some("list") => {
            object.check_keys(&LIST_KEYS, report);
            object.required("item_separator", report);
            let prefix = text("prefix", report);
            text("item_separator", report).map(|item_separator| HeaderForm::List {
                item_separator,
                prefix,
            })
        }
        Some("key-value-list") => {
            object.check_keys(&KEY_VALUE_LIST_KEYS, report);
            read_key_value_list(object, report)
        }
        other => {
            let word = other.unwrap_or_default();
            report.unknown(
                object.at("format"),
                "format",
                word,
                &["list", "key-value-list"],
            );
            None
        }
    };
    Some(SignaturePlace::Header {
        name: name?,
        form: form?,
    })
}

fn read_key_value_list(object: &Object<'_>, report: &mut Report) -> Option<HeaderForm> {
    let mut text = |key| {
        object
            .required_text(key, TEXT_BYTES_MAX, report)
            .map(str::to_owned)
    };
    let (item_separator, pair_separator, key) =
        (text("item_separator"), text("pair_separator"), text("key"));
    let multiple = object.boolean("multiple", report).unwrap_or(false);
    let trim = object.boolean("trim", report).unwrap_or(false);
    Some(HeaderForm::KeyValueList {
        item_separator: item_separator?,
        pair_separator: pair_separator?,
        key: key?,
        multiple,
        trim,
    })
}

fn read_json_each(object: &Object<'_>, report: &mut Report) -> Option<SignaturePlace> {
    let each = read_pointer(object, "each", report);
    let item = object
        .get("item")
        .map(|_| read_pointer(object, "item", report));
    let pointer = read_pointer(object, "pointer", report);
    let item = match item {
        Some(item) => Some(item?),
        None => None,
    };
    Some(SignaturePlace::JsonEach {
        each: each?,
        item,
        pointer: pointer?,
    })
}

fn read_timestamp(value: &Value, at: &str, report: &mut Report) -> Option<TimestampRule> {
    let object = Object::read_any(value, at, report)?;
    let place = match object.required_text("in", TEXT_BYTES_MAX, report)? {
        "header" => {
            object.check_keys(&TIMESTAMP_HEADER_KEYS, report);
            read_header_name(&object, "name", report).map(TimestampPlace::Header)
        }
        "signature-item" => {
            object.check_keys(&TIMESTAMP_ITEM_KEYS, report);
            let key = object.required_text("key", TEXT_BYTES_MAX, report);
            key.map(|key| TimestampPlace::SignatureItem(key.to_owned()))
        }
        "json" => {
            object.check_keys(&TIMESTAMP_JSON_KEYS, report);
            read_pointer(&object, "pointer", report).map(TimestampPlace::Json)
        }
        other => {
            let known = ["header", "signature-item", "json"];
            report.unknown(object.at("in"), "place", other, &known);
            return None;
        }
    };
    let unit = object
        .required_text("unit", TEXT_BYTES_MAX, report)
        .and_then(|text| {
            let unit = TimestampUnit::parse(text);
            if unit.is_none() {
                report.unknown(object.at("unit"), "unit", text, &TimestampUnit::NAMES);
            }
            unit
        });
    let tolerance_s = object.number("tolerance_s", 1..=TOLERANCE_S_MAX, report);
    let signed = object.boolean("signed", report).unwrap_or(true);
    Some(TimestampRule {
        place: place?,
        unit: unit?,
        tolerance_s,
        signed,
    })
}

impl EventIdRule {
    /// Reads a rule that stands alone, like one in the configuration; null means that the
    /// partner sends no id.
    pub fn parse(document: &Value) -> Result<Self, Problems> {
        let mut report = Report::default();
        let rule = read_event_id(document, "", &mut report);
        report.finish(rule)
    }
}

/// Reads an event-id rule; null means that the partner sends no id.
pub(crate) fn read_event_id(value: &Value, at: &str, report: &mut Report) -> Option<EventIdRule> {
    if value.is_null() {
        return Some(EventIdRule::BodyHash);
    }
    let object = Object::read_any(value, at, report)?;
    match object.required_text("in", TEXT_BYTES_MAX, report)? {
        "header" => {
            object.check_keys(&EVENT_ID_HEADER_KEYS, report);
            read_header_name(&object, "name", report).map(EventIdRule::Header)
        }
        "json" => {
            let of_each_item = match object.text("of", TEXT_BYTES_MAX, report) {
                None => false,
                Some("each item") => true,
                Some(other) => {
                    report.unknown(object.at("of"), "value", other, &["each item"]);
                    false
                }
            };
            let find = read_id_in_json(&object, report)?;
            Some(EventIdRule::Json { find, of_each_item })
        }
        other => {
            report.unknown(object.at("in"), "place", other, &["header", "json"]);
            None
        }
    }
}

fn read_id_in_json(object: &Object<'_>, report: &mut Report) -> Option<IdInJson> {
    if object.get("template").is_none() {
        object.check_keys(&EVENT_ID_POINTER_KEYS, report);
        return read_pointer(object, "pointer", report).map(IdInJson::Pointer);
    }
    object.check_keys(&EVENT_ID_TEMPLATE_KEYS, report);
    let text = object.text("template", TEXT_BYTES_MAX, report)?;
    IdTemplate::parse(text)
        .map(IdInJson::Template)
        .map_err(|e| report.problem(object.at("template"), e.to_string()))
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

fn read_jwt(object: &Object<'_>, report: &mut Report) -> Option<JwtRule> {
    let body_hash = match object.get("body_hash") {
        None => None,
        Some(value) => Some(read_body_hash(value, &object.at("body_hash"), report)?),
    };
    Some(JwtRule {
        issuer: object
            .text("issuer", TEXT_BYTES_MAX, report)
            .map(str::to_owned),
        max_age_s: object.number("max_age_s", 1..=TOLERANCE_S_MAX, report),
        body_hash,
    })
}

fn read_body_hash(value: &Value, at: &str, report: &mut Report) -> Option<BodyHashClaim> {
    let object = Object::read(value, at, &BODY_HASH_KEYS, report)?;
    let mut word = |key, known: &[&str]| {
        let text = object.required_text(key, TEXT_BYTES_MAX, report)?;
        if !known.contains(&text) {
            report.unknown(object.at(key), "value", text, known);
        }
        known.contains(&text).then_some(text)
    };
    word("in", &["claim"])?;
    word("hash", &["sha256"])?;
    let encoding = word("encoding", &Encoding::NAMES).and_then(Encoding::parse)?;
    let name = object
        .required_text("name", TEXT_BYTES_MAX, report)?
        .to_owned();
    Some(BodyHashClaim {
        name,
        hash: Hash::Sha256,
        encoding,
    })
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
