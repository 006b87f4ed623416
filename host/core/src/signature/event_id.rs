//! The event id: by what an event is deduplicated, together with its connection.
//!
//! It is read after verification: from a header, the path, a claim, the body, or several
//! of them. Where the rule finds nothing (a header is missing, the body is not JSON, every
//! field is absent) the id is the body's SHA-256: the event is then accepted rather than
//! refused, at the price that two events with the very same bytes count as one. Of a
//! template whose fields are only partly there the missing parts are empty.
//!
//! A rule names one fact and not one object: an object's id alone would swallow what
//! happens to it next.
//!
//! Ids that the host makes begin with `body:` or `sha256:`; a partner's text that
//! begins so, is too long to be kept or holds control characters is hashed, so that the
//! two kinds never meet.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use smallvec::{SmallVec, smallvec};

use super::id_template::IdTemplate;
use super::request::{HeaderName, VerifiedRequest};
use super::source::Source;
use crate::limits::EVENT_ID_BYTES_MAX;
use crate::pointer::JsonPointer;

/// Begins an id that is the hash of the body.
const BODY_PREFIX: &str = "body:";

/// Begins an id that is the hash of the partner's id.
const HASHED_PREFIX: &str = "sha256:";

/// Where a partner's id of an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventIdRule {
    /// Nowhere: the partner sends none.
    BodyHash,
    /// In a header.
    Header(HeaderName),
    /// In the JSON body, or in each part of it where it holds several events.
    Json {
        /// What of the body.
        find: IdInJson,
        /// Whether the document says that each part of the body has one.
        of_each_item: bool,
    },
    /// In an item of the query or a field of a form.
    Field(Source),
    /// In that segment of the path after the account, from 0.
    Path(usize),
    /// In a claim of the token that was the proof.
    Claim(String),
    /// In several places together.
    Template(IdTemplate),
    /// In the first of these in which there is one.
    First(Vec<EventIdRule>),
}

/// What of a JSON body makes the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdInJson {
    /// One field.
    Pointer(JsonPointer),
    /// Several fields.
    Template(IdTemplate),
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

/// The id of the event that a verified request reports, as if it were its only one;
/// [`events_of`](super::events_of) tells several apart.
pub fn event_id(request: &VerifiedRequest, rule: &EventIdRule) -> EventIdText {
    id_of_part(request, request.body(), rule)
}

/// The id of one part of a request's body.
pub(super) fn id_of_part(
    request: &VerifiedRequest,
    part: &[u8],
    rule: &EventIdRule,
) -> EventIdText {
    match rule.find(request, part) {
        Some(found) => EventIdText::from_partner(&found),
        None => EventIdText::from_body(part),
    }
}

impl EventIdRule {
    fn find(&self, request: &VerifiedRequest, part: &[u8]) -> Option<String> {
        let found = match self {
            Self::BodyHash => None,
            Self::Header(name) => request.header_text(name).map(str::to_owned),
            Self::Json {
                find: IdInJson::Pointer(pointer),
                ..
            } => pointer.text_in(part).ok()?.map(Cow::into_owned),
            Self::Json {
                find: IdInJson::Template(template),
                ..
            }
            | Self::Template(template) => template.fill(request, part),
            Self::Field(source) => source.find(request.raw()).map(Cow::into_owned),
            Self::Path(segment) => request.raw().path.get(*segment).cloned(),
            Self::Claim(name) => request.claim(name).and_then(claim_text),
            Self::First(rules) => rules.iter().find_map(|rule| rule.find(request, part)),
        };
        found.filter(|text| !text.is_empty())
    }

    /// The headers that it reads.
    pub(crate) fn headers(&self) -> SmallVec<[&HeaderName; 2]> {
        match self {
            Self::Header(name) => smallvec![name],
            Self::Template(template)
            | Self::Json {
                find: IdInJson::Template(template),
                ..
            } => template.headers().collect(),
            Self::First(rules) => rules.iter().flat_map(Self::headers).collect(),
            _ => SmallVec::new(),
        }
    }

    /// Whether it says that each part of a body has an id of its own.
    pub(super) const fn is_of_each_item(&self) -> bool {
        matches!(
            self,
            Self::Json {
                of_each_item: true,
                ..
            }
        )
    }

    /// Whether it tells the parts of one body apart.
    pub(super) fn reads_part(&self) -> bool {
        match self {
            Self::BodyHash | Self::Json { .. } => true,
            Self::Header(_) | Self::Field(_) | Self::Path(_) | Self::Claim(_) => false,
            Self::Template(template) => template.reads_part(),
            Self::First(rules) => rules.iter().all(Self::reads_part),
        }
    }
}

/// A claim that is a text or a number.
pub(super) fn claim_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
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
                    IdInJson::Template(template) => {
                        write!(f, "JSON fields {}", template.as_str())?;
                    }
                }
                f.write_str(if *of_each_item { " of each item" } else { "" })
            }
            Self::Field(source) => write!(f, "{source}"),
            Self::Path(segment) => write!(f, "path segment {segment}"),
            Self::Claim(name) => write!(f, "claim {name:?}"),
            Self::Template(template) => write!(f, "template {}", template.as_str()),
            Self::First(rules) => {
                f.write_str("the first of")?;
                for (index, rule) in rules.iter().enumerate() {
                    let separator = if index == 0 { " " } else { ", " };
                    write!(f, "{separator}{rule}")?;
                }
                Ok(())
            }
        }
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
            path: vec!["p0".into(), "p1".into()],
            query: "q=a+b".into(),
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
    fn ids_come_from_the_whole_request() {
        let check = |document: Value, expected: &str| {
            check(&EventIdRule::parse(&document).unwrap(), expected);
        };
        check(json!({"in": "path", "segment": 1}), "p1");
        check(json!({"in": "path", "segment": 2}), "BODY");
        check(json!({"in": "query", "name": "q"}), "a b");
        check(json!({"in": "body-hash"}), "BODY");
        check(json!({"in": "claim", "name": "jti"}), "BODY");
        let template = "{header:x-id}/{path:0}/{query:q}/{/id}/{claim:jti}";
        check(
            json!({"in": "template", "template": template}),
            "d1/p0/a b/e1/",
        );
        let hash = format!("e1:{}", hashed("", BODY.as_bytes()));
        check(
            json!({"in": "template", "template": "{/id}:{body-hash}"}),
            &hash,
        );
        let first = json!([
            {"in": "header", "name": "x-none"},
            {"in": "json", "pointer": "/empty"},
            {"in": "path", "segment": 0},
        ]);
        check(json!({"in": "first", "rules": first}), "p0");
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
}
