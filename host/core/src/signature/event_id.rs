//! The event id: by what an event is deduplicated, together with its connection.
//!
//! It is read after verification, from a header or from the JSON body. Where the rule
//! finds nothing (a header is missing, the body is not JSON, every field is absent) the
//! id is the body's SHA-256: the event is then accepted rather than refused, at the
//! price that two events with the very same bytes count as one. Of a template whose
//! fields are only partly there the missing parts are empty.
//!
//! Ids that the host makes begin with `body:` or `sha256:`; a partner's text that
//! begins so, is too long to be kept or holds control characters is hashed, so that the
//! two kinds never meet.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::request::{HeaderName, VerifiedRequest};
use crate::limits::EVENT_ID_BYTES_MAX;
use crate::pointer::{InvalidPointer, JsonPointer, NotJson};

/// Begins an id that is the hash of the body.
const BODY_PREFIX: &str = "body:";

/// Begins an id that is the hash of the partner's id.
const HASHED_PREFIX: &str = "sha256:";

/// Most parts of an id template.
const PARTS_MAX: usize = 16;

/// Where a partner's id of an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventIdRule {
    /// Nowhere: the partner sends none.
    BodyHash,
    /// In a header.
    Header(HeaderName),
    /// In the JSON body.
    Json {
        /// What of the body.
        find: IdInJson,
        /// Whether each element of the body has one. Not supported yet.
        of_each_item: bool,
    },
}

/// What of a JSON body makes the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdInJson {
    /// One field.
    Pointer(JsonPointer),
    /// Several fields.
    Template(IdTemplate),
}

/// An id made of several fields: `{/data/id}:{/event}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdTemplate {
    text: String,
    parts: Vec<IdPart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum IdPart {
    Literal(String),
    Field(JsonPointer),
}

/// A text that is no id template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdTemplate {
    /// A brace without its pair.
    #[error("has a \"{{\" or \"}}\" without its pair")]
    Unpaired,
    /// No field at all.
    #[error("has no field; write one as {{/data/id}}")]
    NoField,
    /// More parts than the bound.
    #[error("has more than {PARTS_MAX} parts")]
    TooLong,
    /// A variable that is no pointer.
    #[error("has a field that is no pointer: {0}")]
    Pointer(#[from] InvalidPointer),
}

/// An event's id as text, of 1 to 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventIdText {
    text: String,
    from_partner: bool,
}

impl EventIdText {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Takes the text.
    pub fn into_string(self) -> String {
        self.text
    }

    /// False where the partner gave none and the body's hash stands in for it.
    pub const fn is_from_partner(&self) -> bool {
        self.from_partner
    }

    fn from_partner(found: &str) -> Self {
        let keep = found.len() <= EVENT_ID_BYTES_MAX
            && !found.starts_with(BODY_PREFIX)
            && !found.starts_with(HASHED_PREFIX)
            && !found.chars().any(char::is_control);
        let text = if keep {
            found.to_owned()
        } else {
            hashed(HASHED_PREFIX, found.as_bytes())
        };
        Self {
            text,
            from_partner: true,
        }
    }

    fn from_body(body: &[u8]) -> Self {
        Self {
            text: hashed(BODY_PREFIX, body),
            from_partner: false,
        }
    }
}

impl fmt::Display for EventIdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn hashed(prefix: &str, bytes: &[u8]) -> String {
    format!("{prefix}{}", hex::encode(Sha256::digest(bytes)))
}

/// The id of the event that a verified request reports.
pub fn event_id(request: &VerifiedRequest, rule: &EventIdRule) -> EventIdText {
    let body = request.body();
    let found = match rule {
        EventIdRule::BodyHash => None,
        EventIdRule::Header(name) => request.header_text(name).map(EventIdText::from_partner),
        EventIdRule::Json {
            find: IdInJson::Pointer(pointer),
            ..
        } => pointer
            .text_in(body)
            .unwrap_or(None)
            .filter(|text| !text.is_empty())
            .map(|text| EventIdText::from_partner(&text)),
        EventIdRule::Json {
            find: IdInJson::Template(template),
            ..
        } => template
            .fill(body)
            .unwrap_or(None)
            .map(|text| EventIdText::from_partner(&text)),
    };
    found.unwrap_or_else(|| EventIdText::from_body(body))
}

impl EventIdRule {
    /// The header that it reads, if it does.
    pub const fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name) => Some(name),
            Self::BodyHash | Self::Json { .. } => None,
        }
    }

    pub(super) const fn is_of_each_item(&self) -> bool {
        matches!(
            self,
            Self::Json {
                of_each_item: true,
                ..
            }
        )
    }
}

impl fmt::Display for EventIdRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BodyHash => f.write_str("the body's hash"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Json { find, of_each_item } => {
                match find {
                    IdInJson::Pointer(pointer) => write!(f, "JSON field {pointer}")?,
                    IdInJson::Template(template) => write!(f, "JSON fields {}", template.text)?,
                }
                f.write_str(if *of_each_item { " of each item" } else { "" })
            }
        }
    }
}

impl IdTemplate {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, InvalidIdTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let literal_length = rest.find(['{', '}']).unwrap_or(rest.len());
            let (literal, after) = rest.split_at(literal_length);
            if !literal.is_empty() {
                parts.push(IdPart::Literal(literal.to_owned()));
            }
            rest = after;
            if !after.is_empty() {
                let inner = after.strip_prefix('{').ok_or(InvalidIdTemplate::Unpaired)?;
                let (field, after) = inner.split_once('}').ok_or(InvalidIdTemplate::Unpaired)?;
                parts.push(IdPart::Field(JsonPointer::parse(field)?));
                rest = after;
            }
            if parts.len() > PARTS_MAX {
                return Err(InvalidIdTemplate::TooLong);
            }
        }
        if !parts.iter().any(|part| matches!(part, IdPart::Field(_))) {
            return Err(InvalidIdTemplate::NoField);
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The id; None where every field is missing or empty.
    fn fill(&self, json: &[u8]) -> Result<Option<String>, NotJson> {
        let mut id = String::new();
        let mut any = false;
        for part in &self.parts {
            match part {
                IdPart::Literal(text) => id.push_str(text),
                IdPart::Field(pointer) => {
                    if let Some(text) = pointer.text_in(json)? {
                        any |= !text.is_empty();
                        id.push_str(&text);
                    }
                }
            }
        }
        Ok(any.then_some(id))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::signature::verify::Proof;
    use crate::signature::{RawRequest, Scheme};
    use crate::time::Timestamp;

    const BODY: &str = r#"{"id":"e1","n":7,"empty":"","a":{"b":"x"}}"#;

    fn request(headers: &[(&str, &str)], body: &str) -> VerifiedRequest {
        let scheme = Scheme::parse(&json!({
            "algorithm": "hmac-sha256", "key": "utf8", "content": "{body}",
            "signature": {"in": "header", "name": "s", "encoding": "hex"}, "event_id": null,
        }))
        .unwrap();
        let raw = RawRequest {
            method: "POST".into(),
            url: None,
            path: vec![],
            query: String::new(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Bytes::from((*value).to_owned())))
                .collect(),
            body: Bytes::from(body.to_owned()),
        };
        VerifiedRequest::new(raw, &scheme, Proof::none(), Timestamp::EPOCH)
    }

    fn header(name: &str) -> EventIdRule {
        EventIdRule::Header(HeaderName::parse(name).unwrap())
    }

    fn pointer(text: &str) -> EventIdRule {
        let find = IdInJson::Pointer(JsonPointer::parse(text).unwrap());
        EventIdRule::Json {
            find,
            of_each_item: false,
        }
    }

    fn template(text: &str) -> EventIdRule {
        let find = IdInJson::Template(IdTemplate::parse(text).unwrap());
        EventIdRule::Json {
            find,
            of_each_item: false,
        }
    }

    #[track_caller]
    fn check(rule: &EventIdRule, expected: &str) {
        let request = request(
            &[("x-id", "d1"), ("x-empty", ""), ("x-body", "body:00")],
            BODY,
        );
        let id = event_id(&request, rule);
        let body = hashed(BODY_PREFIX, BODY.as_bytes());
        assert_eq!(
            id.as_str(),
            if expected == "BODY" { &body } else { expected }
        );
        assert_eq!(id.is_from_partner(), expected != "BODY");
    }

    #[test]
    fn ids_come_from_where_the_rule_says() {
        check(&header("X-Id"), "d1");
        check(&pointer("/id"), "e1");
        check(&pointer("/n"), "7");
        check(&template("{/id}:{/a/b}:{/none}"), "e1:x:");
    }

    #[test]
    fn without_an_id_the_body_counts() {
        check(&EventIdRule::BodyHash, "BODY");
        check(&header("X-None"), "BODY");
        check(&header("X-Empty"), "BODY");
        check(&pointer("/none"), "BODY");
        check(&pointer("/empty"), "BODY");
        check(&pointer("/a"), "BODY");
        check(&template("{/none}:{/empty}"), "BODY");
    }

    #[test]
    fn a_body_that_is_not_json_is_hashed() {
        let id = event_id(&request(&[], "<xml/>"), &pointer("/id"));
        assert_eq!(id.as_str(), hashed(BODY_PREFIX, b"<xml/>"));
    }

    #[test]
    fn a_partner_cannot_name_a_body_hash_and_long_ids_are_bounded() {
        check(&header("X-Body"), &hashed(HASHED_PREFIX, b"body:00"));
        let long = "x".repeat(EVENT_ID_BYTES_MAX + 1);
        let id = event_id(&request(&[("x-id", &long)], BODY), &header("X-Id"));
        assert_eq!(id.as_str(), hashed(HASHED_PREFIX, long.as_bytes()));
        let longest = "x".repeat(EVENT_ID_BYTES_MAX);
        let id = event_id(&request(&[("x-id", &longest)], BODY), &header("X-Id"));
        assert_eq!(id.as_str(), longest);
    }

    #[test]
    fn templates_are_checked() {
        assert_eq!(IdTemplate::parse("{/a"), Err(InvalidIdTemplate::Unpaired));
        assert_eq!(IdTemplate::parse("plain"), Err(InvalidIdTemplate::NoField));
        assert_eq!(
            IdTemplate::parse("{a}"),
            Err(InvalidIdTemplate::Pointer(InvalidPointer::NoSlash))
        );
        assert_eq!(
            IdTemplate::parse(&"{/a}".repeat(17)),
            Err(InvalidIdTemplate::TooLong)
        );
    }
}
