//! The document form of an [`EventIdRule`], read and written.

use serde_json::{Value, json};

use super::{
    EVENT_ID_FIRST_KEYS, EVENT_ID_HEADER_KEYS, EVENT_ID_PATH_KEYS, EVENT_ID_PLACES,
    EVENT_ID_POINTER_KEYS, EVENT_ID_RULES_MAX, EVENT_ID_TEMPLATE_KEYS, PATH_SEGMENT_MAX,
    TEXT_BYTES_MAX, present, read_header_name, read_pointer,
};
use crate::document::{Object, Problems, Report};
use crate::signature::event_id::{EventIdRule, IdInJson};
use crate::signature::id_template::IdTemplate;
use crate::signature::source::Source;

impl EventIdRule {
    /// Reads a rule that stands alone, like one in the configuration; null means that the
    /// partner sends no id.
    pub fn parse(document: &Value) -> Result<Self, Problems> {
        let mut report = Report::default();
        let rule = read_event_id(document, "", &mut report);
        report.finish(rule)
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::BodyHash => Value::Null,
            Self::Header(name) => json!({"in": "header", "name": name.as_str()}),
            Self::Json { find, of_each_item } => {
                let (key, place) = match find {
                    IdInJson::Pointer(pointer) => ("pointer", pointer.as_str()),
                    IdInJson::Template(template) => ("template", template.as_str()),
                };
                let of = of_each_item.then_some("each item");
                present(json!({"in": "json", "of": of, key: place}))
            }
            Self::Field(source) => source.to_json(),
            Self::Path(segment) => json!({"in": "path", "segment": segment}),
            Self::Claim(name) => json!({"in": "claim", "name": name}),
            Self::Template(template) => json!({"in": "template", "template": template.as_str()}),
            Self::First(rules) => {
                let rules: Vec<_> = rules.iter().map(Self::to_json).collect();
                json!({"in": "first", "rules": rules})
            }
        }
    }
}

/// Reads an event-id rule; null means that the partner sends no id.
pub(crate) fn read_event_id(value: &Value, at: &str, report: &mut Report) -> Option<EventIdRule> {
    if value.is_null() {
        return Some(EventIdRule::BodyHash);
    }
    let object = Object::read_any(value, at, report)?;
    let place = object.required_text("in", TEXT_BYTES_MAX, report)?;
    if place == "first" {
        return read_first(&object, report);
    }
    read_one(place, &object, report)
}

/// The first of several, none of which is a choice itself.
fn read_first(object: &Object<'_>, report: &mut Report) -> Option<EventIdRule> {
    object.check_keys(&EVENT_ID_FIRST_KEYS, report);
    object.required("rules", report)?;
    let mut rules = Vec::new();
    for (at, value) in object.list("rules", EVENT_ID_RULES_MAX, report) {
        let rule = Object::read_any(value, &at, report)?;
        let place = rule.required_text("in", TEXT_BYTES_MAX, report)?;
        rules.push(read_one(place, &rule, report)?);
    }
    if rules.is_empty() {
        report.problem(object.at("rules"), "names no place");
        return None;
    }
    Some(EventIdRule::First(rules))
}

fn read_one(place: &str, object: &Object<'_>, report: &mut Report) -> Option<EventIdRule> {
    match place {
        "header" => {
            object.check_keys(&EVENT_ID_HEADER_KEYS, report);
            read_header_name(object, "name", report).map(EventIdRule::Header)
        }
        "json" => read_json(object, report),
        "query" | "form" => {
            object.check_keys(&EVENT_ID_HEADER_KEYS, report);
            Source::read(object, report).map(EventIdRule::Field)
        }
        "path" => {
            object.check_keys(&EVENT_ID_PATH_KEYS, report);
            object.required("segment", report)?;
            let segment = object.number("segment", 0..=PATH_SEGMENT_MAX, report)?;
            usize::try_from(segment).ok().map(EventIdRule::Path)
        }
        "claim" => {
            object.check_keys(&EVENT_ID_HEADER_KEYS, report);
            let name = object.required_text("name", TEXT_BYTES_MAX, report)?;
            Some(EventIdRule::Claim(name.to_owned()))
        }
        "template" => {
            object.check_keys(&EVENT_ID_TEMPLATE_KEYS, report);
            read_template(object, report).map(EventIdRule::Template)
        }
        "body-hash" => {
            object.check_keys(&["in"], report);
            Some(EventIdRule::BodyHash)
        }
        other => {
            report.unknown(object.at("in"), "place", other, &EVENT_ID_PLACES);
            None
        }
    }
}

fn read_json(object: &Object<'_>, report: &mut Report) -> Option<EventIdRule> {
    let of_each_item = match object.text("of", TEXT_BYTES_MAX, report) {
        None => false,
        Some("each item") => true,
        Some(other) => {
            report.unknown(object.at("of"), "value", other, &["each item"]);
            false
        }
    };
    let find = if object.get("template").is_none() {
        object.check_keys(&EVENT_ID_POINTER_KEYS, report);
        IdInJson::Pointer(read_pointer(object, "pointer", report)?)
    } else {
        object.check_keys(&EVENT_ID_TEMPLATE_KEYS, report);
        IdInJson::Template(read_template(object, report)?)
    };
    Some(EventIdRule::Json { find, of_each_item })
}

fn read_template(object: &Object<'_>, report: &mut Report) -> Option<IdTemplate> {
    let text = object.required_text("template", TEXT_BYTES_MAX, report)?;
    IdTemplate::parse(text)
        .map_err(|e| report.problem(object.at("template"), e.to_string()))
        .ok()
}
