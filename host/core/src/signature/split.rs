//! Several events in one body.
//!
//! A [`SplitRule`] names the list whose elements are events. Each becomes a part with an
//! id of its own and the element's bytes exactly as they stood, so that one is retried,
//! deduplicated and mapped without the others. Where a body has none of the lists it is one
//! event as a whole; where the lists are there and empty it reports nothing.

use std::fmt;

use bytes::Bytes;
use serde_json::{Value, json};

use super::event_id::{EventIdText, id_of_part};
use super::form;
use super::request::VerifiedRequest;
use super::scheme::{Scheme, SignaturePlace};
use super::scheme_json::{TEXT_BYTES_MAX, present, read_pointer};
use crate::document::{Object, Report, as_text};
use crate::pointer::{JsonPointer, NoList, elements};

/// Most events of one body.
pub const PARTS_MAX: usize = 1_000;

/// Most lists that a rule names, and most levels of one.
const PATHS_MAX: usize = 4;

/// The keys of a rule.
pub(crate) const SPLIT_KEYS: [&str; 3] = ["each", "form", "item"];

/// Where the events of a body are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitRule {
    /// The form field that holds the JSON; the body itself where None.
    form: Option<String>,
    /// Each is looked at, in this order.
    each: Vec<SplitPath>,
    /// What of an element is the event; all of it where None.
    item: Option<JsonPointer>,
}

/// A list, like `/events` or `/entry/*/changes`; the body itself where it is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SplitPath {
    text: String,
    /// The list within what the level before gave.
    levels: Vec<Option<JsonPointer>>,
}

/// One event of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPart {
    /// By what it is deduplicated.
    pub id: EventIdText,
    /// Its bytes as they stood in the body; the whole body where it is the only event.
    pub body: Bytes,
}

/// A body that cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// More events than the bound.
    #[error("the body holds more than {PARTS_MAX} events")]
    TooMany,
}

/// The events of a verified request, in their order; none where it reports nothing.
pub fn events_of(request: &VerifiedRequest, scheme: &Scheme) -> Result<Vec<EventPart>, SplitError> {
    let part = |body: Bytes| EventPart {
        id: id_of_part(request, &body, scheme.event_id()),
        body,
    };
    let parts = match scheme.split() {
        Some(rule) => rule.parts(request.body())?,
        None => None,
    };
    Ok(match parts {
        Some(parts) => parts.into_iter().map(part).collect(),
        None => vec![part(request.body().clone())],
    })
}

impl SplitRule {
    /// The rule of a scheme that says only that each item has an id: the items that are
    /// signed, or else those of the body itself.
    pub(super) fn of_signature(place: &SignaturePlace) -> Self {
        let (each, item) = match place {
            SignaturePlace::JsonEach { each, item, .. } => (Some(each), item.clone()),
            _ => (None, None),
        };
        Self {
            form: None,
            each: vec![SplitPath {
                text: each.map_or_else(String::new, |each| each.as_str().to_owned()),
                levels: vec![each.cloned()],
            }],
            item,
        }
    }

    /// The events of a body; None where none of the lists is there.
    fn parts(&self, body: &Bytes) -> Result<Option<Vec<Bytes>>, SplitError> {
        let json = match &self.form {
            None => body.clone(),
            Some(name) => match form::only_value(body, name) {
                Ok(Some(value)) => Bytes::from(value),
                _ => return Ok(None),
            },
        };
        let Ok(text) = std::str::from_utf8(&json) else {
            return Ok(None);
        };
        let mut found = Vec::new();
        let mut any = false;
        for path in &self.each {
            any |= collect(text, &path.levels, &mut found)?;
        }
        let slice = |element: &str| {
            let inner = self
                .item
                .as_ref()
                .and_then(|item| item.raw_in(element.as_bytes()).ok()?);
            json.slice_ref(inner.unwrap_or(element).as_bytes())
        };
        Ok(any.then(|| found.into_iter().map(slice).collect()))
    }

    pub(super) fn read(value: &Value, at: &str, report: &mut Report) -> Option<Self> {
        let object = Object::read(value, at, &SPLIT_KEYS, report)?;
        let each = match object.required("each", report)? {
            Value::Array(_) => object
                .list("each", PATHS_MAX, report)
                .into_iter()
                .filter_map(|(at, value)| read_path(value, &at, report))
                .collect(),
            value => vec![read_path(value, &object.at("each"), report)?],
        };
        let item = match object.get("item") {
            None => None,
            Some(_) => Some(read_pointer(&object, "item", report)?),
        };
        let form = object.text("form", TEXT_BYTES_MAX, report);
        Some(Self {
            form: form.map(str::to_owned),
            each,
            item,
        })
    }

    pub(super) fn to_json(&self) -> Value {
        let texts: Vec<_> = self.each.iter().map(|path| path.text.as_str()).collect();
        let each = match texts.as_slice() {
            [one] => json!(one),
            several => json!(several),
        };
        let item = self.item.as_ref().map(JsonPointer::as_str);
        present(json!({"each": each, "form": self.form, "item": item}))
    }
}

impl fmt::Display for SplitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.each.iter().map(|path| path.text.as_str()).collect();
        write!(f, "each element of {:?}", paths.join(" and "))
    }
}

fn read_path(value: &Value, at: &str, report: &mut Report) -> Option<SplitPath> {
    let text = as_text(value, at, report)?;
    let levels: Result<Vec<_>, _> = text
        .split("/*")
        .map(|level| match level {
            "" => Ok(None),
            pointer => JsonPointer::parse(pointer).map(Some),
        })
        .collect();
    match levels {
        Ok(levels) if levels.len() <= PATHS_MAX => Some(SplitPath {
            text: text.to_owned(),
            levels,
        }),
        _ => {
            let message = "has to be a list's place, like \"/events\" or \"/entry/*/changes\"; \
                           \"\" where the body is the list";
            report.problem(at, message);
            None
        }
    }
}

/// Adds the elements of the lists at the last level; whether there was any list there.
fn collect<'j>(
    json: &'j str,
    levels: &[Option<JsonPointer>],
    found: &mut Vec<&'j str>,
) -> Result<bool, SplitError> {
    let Some((level, deeper)) = levels.split_first() else {
        return Ok(false);
    };
    let list = match level {
        None => Some(json),
        Some(pointer) => pointer.raw_in(json.as_bytes()).unwrap_or(None),
    };
    let Some(list) = list else {
        return Ok(false);
    };
    let inner = match elements(list.as_bytes(), PARTS_MAX) {
        Ok(inner) => inner,
        Err(NoList::NotOne) => return Ok(false),
        Err(NoList::TooLong) => return Err(SplitError::TooMany),
    };
    if deeper.is_empty() {
        found.extend(inner);
        return if found.len() > PARTS_MAX {
            Err(SplitError::TooMany)
        } else {
            Ok(true)
        };
    }
    let mut any = false;
    for element in inner {
        any |= collect(element, deeper, found)?;
    }
    Ok(any)
}

#[cfg(test)]
mod tests;
