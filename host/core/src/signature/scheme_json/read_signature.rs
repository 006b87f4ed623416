//! Reading where a signature and its timestamp are.

use serde_json::Value;

use super::read::{read_header_name, read_pointer};
use super::{
    HEADERS_MAX, JSON_EACH_KEYS, KEY_VALUE_LIST_KEYS, LIST_KEYS, NUMBERED_HEADERS_KEYS,
    SIGNATURE_HEADERS_KEYS, SIGNATURE_JSON_KEYS, SIGNATURE_PLACES, SIGNATURE_QUERY_KEYS,
    SINGLE_KEYS, TEXT_BYTES_MAX, TIMESTAMP_HEADER_KEYS, TIMESTAMP_ITEM_KEYS, TIMESTAMP_JSON_KEYS,
    TIMESTAMP_PLACES, TOLERANCE_S_MAX,
};
use crate::document::{Object, Report, as_text};
use crate::signature::encoding::Encoding;
use crate::signature::request::HeaderName;
use crate::signature::scheme::{HeaderForm, SignaturePlace, SignatureRule};
use crate::signature::timestamp::{TimestampPlace, TimestampRule, TimestampUnit};

pub(super) fn read_signature(
    value: &Value,
    at: &str,
    report: &mut Report,
) -> Option<SignatureRule> {
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
        "headers" => {
            object.check_keys(&SIGNATURE_HEADERS_KEYS, report);
            read_header_names(&object, report).map(SignaturePlace::Headers)
        }
        "query" => {
            object.check_keys(&SIGNATURE_QUERY_KEYS, report);
            let name = object.required_text("name", TEXT_BYTES_MAX, report);
            name.map(|name| SignaturePlace::Query(name.to_owned()))
        }
        "form" => {
            let name = object.required_text("name", TEXT_BYTES_MAX, report);
            let form = read_form(&object, report);
            name.zip(form).map(|(name, form)| SignaturePlace::Form {
                name: name.to_owned(),
                form,
            })
        }
        "json-each" => {
            object.check_keys(&JSON_EACH_KEYS, report);
            read_json_each(&object, report)
        }
        other => {
            report.unknown(object.at("in"), "place", other, &SIGNATURE_PLACES);
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
    let form = read_form(object, report);
    Some(SignaturePlace::Header {
        name: name?,
        form: form?,
    })
}

fn read_header_names(object: &Object<'_>, report: &mut Report) -> Option<Vec<HeaderName>> {
    object.required("names", report)?;
    let names: Vec<_> = object
        .list("names", HEADERS_MAX, report)
        .into_iter()
        .filter_map(|(at, value)| {
            let name = as_text(value, &at, report)?;
            HeaderName::parse(name)
                .map_err(|e| report.problem(at, e.to_string()))
                .ok()
        })
        .collect();
    if names.is_empty() {
        report.problem(object.at("names"), "has no header");
        return None;
    }
    Some(names)
}

/// How the text at a place is built.
fn read_form(object: &Object<'_>, report: &mut Report) -> Option<HeaderForm> {
    let text =
        |key, report: &mut Report| object.text(key, TEXT_BYTES_MAX, report).map(str::to_owned);
    match object.get("format").and_then(Value::as_str) {
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
    }
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

pub(super) fn read_timestamp(
    value: &Value,
    at: &str,
    report: &mut Report,
) -> Option<TimestampRule> {
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
        "form" | "claim" | "signature-parameter" => {
            object.check_keys(&TIMESTAMP_HEADER_KEYS, report);
            let name = object.required_text("name", TEXT_BYTES_MAX, report);
            name.map(|name| match object.get("in").and_then(Value::as_str) {
                Some("form") => TimestampPlace::Form(name.to_owned()),
                Some("claim") => TimestampPlace::Claim(name.to_owned()),
                _ => TimestampPlace::Parameter(name.to_owned()),
            })
        }
        other => {
            report.unknown(object.at("in"), "place", other, &TIMESTAMP_PLACES);
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
