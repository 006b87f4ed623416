//! What a signature covers, as a text with variables: `v0:{timestamp}:{body}`.
//!
//! A template is read once and resolved per request into pieces that borrow from the
//! request; the pieces are streamed into the MAC. No text is built and the body is
//! never copied. A signed header that is missing refuses the request; a JSON field that
//! is missing is empty, as the partners that sign fields define it.

use std::borrow::Cow;
use std::fmt;

use super::config::SchemeConfig;
use super::form;
use super::refusal::Refusal;
use super::request::{HeaderName, RawRequest};
use super::scheme::SignatureRule;
use crate::event::BodyAuthenticated;
use crate::pointer::JsonPointer;

/// Most parts of a template: the longest known has 15.
const PARTS_MAX: usize = 64;

/// The signed content of a scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// One part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    Body,
    Url,
    Method,
    Timestamp,
    Secret,
    Config(String),
    Header(HeaderName),
    Json(JsonPointer),
    FormSortedConcat,
}

/// A text that is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// An opening brace without its closing one, or the other way round.
    #[error("has a \"{{\" or \"}}\" without its pair")]
    Unpaired,
    /// Not a variable.
    #[error(
        "has the variable {{{0}}}, which is not known; known: {{body}}, {{timestamp}}, {{url}}, \
         {{method}}, {{secret}}, {{header:NAME}}, {{json:/pointer}}, {{config:NAME}}, \
         {{form-sorted-concat}}"
    )]
    Variable(String),
    /// More parts than the bound.
    #[error("has more than {PARTS_MAX} parts")]
    TooLong,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let literal_length = rest.find(['{', '}']).unwrap_or(rest.len());
            let (literal, after) = rest.split_at(literal_length);
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            rest = after;
            if !after.is_empty() {
                let inner = after.strip_prefix('{').ok_or(InvalidTemplate::Unpaired)?;
                let (name, after) = inner.split_once('}').ok_or(InvalidTemplate::Unpaired)?;
                parts.push(variable(name)?);
                rest = after;
            }
            if parts.len() > PARTS_MAX {
                return Err(InvalidTemplate::TooLong);
            }
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

    pub(super) fn has(&self, part: &Part) -> bool {
        self.parts.contains(part)
    }

    /// Whether anything of a request stands in it.
    pub(super) fn depends_on_request(&self) -> bool {
        self.parts
            .iter()
            .any(|part| !matches!(part, Part::Literal(_)))
    }

    /// How much of the body a signature over this vouches for. Sorted form fields are
    /// joined without a mark between name and value, so that they count as fields only.
    pub(super) fn body_authenticated(&self) -> BodyAuthenticated {
        let fields = |part: &Part| matches!(part, Part::Json(_) | Part::FormSortedConcat);
        if self.has(&Part::Body) {
            BodyAuthenticated::Full
        } else if self.parts.iter().any(fields) {
            BodyAuthenticated::Fields
        } else {
            BodyAuthenticated::None
        }
    }

    /// The pieces of one request, in order.
    pub(super) fn resolve<'a>(&'a self, filling: &Filling<'a>) -> Result<Vec<Piece<'a>>, Refusal> {
        self.parts
            .iter()
            .map(|part| part.resolve(filling))
            .collect()
    }
}

/// With what a template is filled.
#[derive(Clone, Copy)]
pub(super) struct Filling<'a> {
    pub(super) raw: &'a RawRequest,
    /// Where the signature stands, for further items beside it.
    pub(super) signature: &'a SignatureRule,
    pub(super) timestamp: Option<&'a str>,
    pub(super) config: &'a SchemeConfig,
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Bytes of a resolved template; the URL and the secret stay open because several of
/// them may be tried.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    Bytes(Cow<'a, [u8]>),
    Url,
    Secret,
}

/// What is filled in for each try.
#[derive(Clone, Copy)]
pub(super) struct Late<'a> {
    pub(super) url: &'a str,
    pub(super) secret: &'a [u8],
}

impl Piece<'_> {
    pub(super) fn bytes<'p>(&'p self, late: Late<'p>) -> &'p [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Url => late.url.as_bytes(),
            Self::Secret => late.secret,
        }
    }
}

impl Part {
    fn resolve<'a>(&'a self, filling: &Filling<'a>) -> Result<Piece<'a>, Refusal> {
        let Filling { raw, timestamp, .. } = *filling;
        let bytes = match self {
            Self::Literal(text) => Cow::Borrowed(text.as_bytes()),
            Self::Body => Cow::Borrowed(raw.body.as_ref()),
            Self::Url => return Ok(Piece::Url),
            Self::Method => Cow::Borrowed(raw.method.as_bytes()),
            Self::Timestamp => {
                Cow::Borrowed(timestamp.ok_or(Refusal::TimestampMissing)?.as_bytes())
            }
            Self::Secret => return Ok(Piece::Secret),
            Self::Config(name) => {
                let value = filling.config.get(name);
                let value = value.ok_or_else(|| Refusal::ConfigMissing { name: name.clone() });
                Cow::Borrowed(value?.as_bytes())
            }
            Self::Header(name) => match raw.header(name)? {
                Some(value) => Cow::Borrowed(value.as_ref()),
                None => return Err(Refusal::HeaderMissing { name: name.clone() }),
            },
            Self::Json(pointer) => {
                match pointer
                    .text_in(&raw.body)
                    .map_err(|_| Refusal::BodyNotJson)?
                {
                    Some(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
                    Some(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
                    None => Cow::Borrowed([].as_slice()),
                }
            }
            Self::FormSortedConcat => Cow::Owned(form::sorted_concat(&raw.body)),
        };
        Ok(Piece::Bytes(bytes))
    }
}

fn variable(name: &str) -> Result<Part, InvalidTemplate> {
    let unknown = || InvalidTemplate::Variable(crate::document::shortened(name));
    Ok(match name {
        "body" => Part::Body,
        "url" => Part::Url,
        "method" => Part::Method,
        "timestamp" => Part::Timestamp,
        "secret" => Part::Secret,
        "form-sorted-concat" => Part::FormSortedConcat,
        _ => match name.split_once(':').ok_or_else(unknown)? {
            ("header", header) => Part::Header(HeaderName::parse(header).map_err(|_| unknown())?),
            ("config", name) if !name.is_empty() => Part::Config(name.to_owned()),
            ("json", pointer) => Part::Json(JsonPointer::parse(pointer).map_err(|_| unknown())?),
            _ => return Err(unknown()),
        },
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::signature::scheme::SignaturePlace;

    fn request() -> RawRequest {
        RawRequest {
            method: "POST".into(),
            url: None,
            path: vec![],
            query: String::new(),
            headers: vec![("x-id".into(), Bytes::from_static(b"m1"))],
            body: Bytes::from_static(br#"{"a":{"b":7}}"#),
        }
    }

    #[track_caller]
    fn check(template: &str, expected: Result<&str, &str>) {
        let template = Template::parse(template).unwrap();
        let raw = request();
        let config = SchemeConfig::from_iter([("a".to_owned(), "c".to_owned())]);
        let signature = SignatureRule {
            place: SignaturePlace::Query("s".into()),
            encoding: None,
        };
        let filling = Filling {
            raw: &raw,
            signature: &signature,
            timestamp: Some("99"),
            config: &config,
        };
        let late = Late {
            url: "https://u",
            secret: b"s3",
        };
        let resolved = template.resolve(&filling).map(|pieces| {
            let bytes: Vec<u8> = pieces
                .iter()
                .flat_map(|piece| piece.bytes(late).to_vec())
                .collect();
            String::from_utf8(bytes).unwrap()
        });
        assert_eq!(
            resolved.as_deref().map_err(Refusal::code),
            expected,
            "{template}"
        );
    }

    #[test]
    fn variables_are_filled_in() {
        check("v0:{timestamp}:{body}", Ok(r#"v0:99:{"a":{"b":7}}"#));
        check("{method}{url}", Ok("POSThttps://u"));
        check("{header:X-Id}.{json:/a/b}.{json:/none}.", Ok("m1.7.."));
        check("{secret}{config:a}", Ok("s3c"));
        check("{header:X-Other}", Err("header_missing"));
        check("{config:b}", Err("config_missing"));
    }

    #[track_caller]
    fn check_invalid(template: &str, expected: InvalidTemplate) {
        assert_eq!(Template::parse(template), Err(expected), "{template}");
    }

    #[test]
    fn what_is_no_template_is_refused() {
        check_invalid("{body", InvalidTemplate::Unpaired);
        check_invalid("body}", InvalidTemplate::Unpaired);
        check_invalid("{config:}", InvalidTemplate::Variable("config:".into()));
        check_invalid("{json:a}", InvalidTemplate::Variable("json:a".into()));
        check_invalid("{header:}", InvalidTemplate::Variable("header:".into()));
        check_invalid(&"{body}".repeat(65), InvalidTemplate::TooLong);
    }

    #[test]
    fn a_body_alone_is_not_copied() {
        let raw = request();
        let template = Template::parse("{body}").unwrap();
        let signature = SignatureRule {
            place: SignaturePlace::Query("s".into()),
            encoding: None,
        };
        let filling = Filling {
            raw: &raw,
            signature: &signature,
            timestamp: None,
            config: &SchemeConfig::EMPTY,
        };
        let pieces = template.resolve(&filling).unwrap();
        assert!(
            matches!(pieces.as_slice(), [Piece::Bytes(Cow::Borrowed(b))] if b.as_ptr() == raw.body.as_ptr())
        );
    }
}
