//! A place in a request at which a text stands: a header, an item of the query, a field of
//! a JSON or form body.
//!
//! For facts that no signature is computed from, like event ids and challenges. Whatever
//! is ambiguous there counts as absent: two headers of one name, two fields of one name.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use super::form;
use super::request::{HeaderName, RawRequest};
use super::scheme_json::{TEXT_BYTES_MAX, read_header_name, read_pointer};
use crate::document::{Object, Report};
use crate::pointer::JsonPointer;

/// A place in a request at which a text stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A header.
    Header(HeaderName),
    /// An item of the query, decoded.
    Query(String),
    /// A field of the JSON body.
    Json(JsonPointer),
    /// A field of the form body, decoded.
    Form(String),
}

impl Source {
    /// The text at this place; None where nothing, no text or more than one is.
    pub(super) fn find<'a>(&self, raw: &'a RawRequest) -> Option<Cow<'a, str>> {
        match self {
            Self::Header(name) => {
                let value = raw.header(name).ok()??;
                std::str::from_utf8(value).ok().map(Cow::Borrowed)
            }
            Self::Query(name) => field(raw.query.as_bytes(), name),
            Self::Json(pointer) => pointer.text_in(&raw.body).ok()?,
            Self::Form(name) => field(&raw.body, name),
        }
    }

    /// Reads the place of an object whose further keys the caller checks.
    pub(super) fn read(object: &Object<'_>, report: &mut Report) -> Option<Self> {
        let name = |report: &mut Report| {
            object
                .required_text("name", TEXT_BYTES_MAX, report)
                .map(str::to_owned)
        };
        match object.required_text("in", TEXT_BYTES_MAX, report)? {
            "header" => read_header_name(object, "name", report).map(Self::Header),
            "query" => name(report).map(Self::Query),
            "json" => read_pointer(object, "pointer", report).map(Self::Json),
            "form" => name(report).map(Self::Form),
            other => {
                let known = ["header", "query", "json", "form"];
                report.unknown(object.at("in"), "place", other, &known);
                None
            }
        }
    }

    pub(super) fn to_json(&self) -> Value {
        Value::Object(self.members())
    }

    /// The members of its document, to which others may be added.
    pub(super) fn members(&self) -> Map<String, Value> {
        let (place, key, name) = match self {
            Self::Header(name) => ("header", "name", name.as_str()),
            Self::Query(name) => ("query", "name", name.as_str()),
            Self::Json(pointer) => ("json", "pointer", pointer.as_str()),
            Self::Form(name) => ("form", "name", name.as_str()),
        };
        [("in", place), (key, name)]
            .map(|(key, value)| (key.to_owned(), value.into()))
            .into_iter()
            .collect()
    }
}

fn field(fields: &[u8], name: &str) -> Option<Cow<'static, str>> {
    let value = form::only_value(fields, name).ok()??;
    String::from_utf8(value).ok().map(Cow::Owned)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query item {name:?}"),
            Self::Json(pointer) => write!(f, "JSON field {pointer}"),
            Self::Form(name) => write!(f, "form field {name:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[track_caller]
    fn check(source: &Source, body: &'static str, expected: Option<&str>) {
        let raw = RawRequest {
            method: "POST".into(),
            url: None,
            path: vec![],
            query: "a=1%2B2&b=x&b=y&c".into(),
            headers: ["x-one", "x-two", "x-two"]
                .iter()
                .map(|name| ((*name).to_owned(), Bytes::from_static(b"v")))
                .collect(),
            body: Bytes::from_static(body.as_bytes()),
        };
        assert_eq!(source.find(&raw).as_deref(), expected, "{source}");
    }

    #[test]
    fn texts_are_found_and_ambiguous_ones_are_not() {
        let header = |name| Source::Header(HeaderName::parse(name).unwrap());
        check(&header("X-One"), "", Some("v"));
        check(&header("X-Two"), "", None);
        check(&Source::Query("a".into()), "", Some("1+2"));
        check(&Source::Query("b".into()), "", None);
        check(&Source::Query("c".into()), "", Some(""));
        check(&Source::Form("f".into()), "f=%C3%A4&g=1", Some("ä"));
        check(&Source::Form("f".into()), "f=%FF", None);
        let pointer = Source::Json(JsonPointer::parse("/a").unwrap());
        check(&pointer, r#"{"a":"x"}"#, Some("x"));
        check(&pointer, "a=1", None);
    }
}
