//! What a signature covers, as a text with variables: `v0:{timestamp}:{body}`.
//!
//! A template is read once and resolved per request into pieces that borrow from the
//! request; the pieces are streamed into the MAC. No text is built and the body is
//! never copied. A signed header, form field or item that is missing refuses the request; a
//! JSON field that is missing is empty, as the partners that sign fields define it.
//!
//! A filter after a variable changes what it gives: `{body|sha256-hex}`.

use std::borrow::Cow;
use std::fmt;

use smallvec::SmallVec;

use super::config::SchemeConfig;
use super::filter::Filter;
use super::refusal::Refusal;
use super::request::{HeaderName, RawRequest};
use super::scheme::SignatureRule;
use super::{builtin, form};
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
    /// Another item of the header of pairs in which the signature is.
    Item(String),
    Json(JsonPointer),
    Form(String),
    FormSortedConcat,
    Query(String),
    PathAndQuery,
    /// What another part gives, changed.
    Filtered(Box<Part>, Filter),
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
         {{method}}, {{path-and-query}}, {{secret}}, {{header:NAME}}, {{item:KEY}}, \
         {{json:/pointer}}, {{form:NAME}}, {{form-sorted-concat}}, {{query:NAME}}, \
         {{config:NAME}}"
    )]
    Variable(String),
    /// Not a filter, or one of what is filled in late.
    #[error(
        "has the filter {0:?}, which is not known there; known for everything but {{url}} and \
         {{secret}}: {known}", known = Filter::NAMES.join(", ")
    )]
    Filter(String),
    /// More parts than the bound.
    #[error("has more than {PARTS_MAX} parts")]
    TooLong,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        // A brace before anything but a name is signed itself, like that of a JSON text.
        let mut open = 0_usize;
        while let Some(at) = rest.find(['{', '}']) {
            let (literal, braced) = rest.split_at(at);
            push_literal(&mut parts, literal);
            rest = match braced.strip_prefix('{') {
                Some(inner) if inner.starts_with(char::is_alphanumeric) => {
                    let (name, after) = inner.split_once('}').ok_or(InvalidTemplate::Unpaired)?;
                    parts.push(variable(name)?);
                    after
                }
                Some(after) => {
                    open += 1;
                    push_literal(&mut parts, "{");
                    after
                }
                None => {
                    open = open.checked_sub(1).ok_or(InvalidTemplate::Unpaired)?;
                    push_literal(&mut parts, "}");
                    braced.get(1..).unwrap_or_default()
                }
            };
            if parts.len() > PARTS_MAX {
                return Err(InvalidTemplate::TooLong);
            }
        }
        if open > 0 {
            return Err(InvalidTemplate::Unpaired);
        }
        push_literal(&mut parts, rest);
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

    /// Whether the public URL stands in it.
    pub(super) fn needs_url(&self) -> bool {
        let is_url = |part: &Part| matches!(part.inner(), Part::Url | Part::PathAndQuery);
        self.parts.iter().any(is_url)
    }

    /// How much of the body a signature over this vouches for: as much as its strongest part.
    pub(super) fn body_authenticated(&self) -> BodyAuthenticated {
        let given: Vec<_> = self.parts.iter().map(Part::body_authenticated).collect();
        let either = [BodyAuthenticated::Full, BodyAuthenticated::Fields];
        let strongest = either.into_iter().find(|one| given.contains(one));
        strongest.unwrap_or(BodyAuthenticated::None)
    }

    /// The pieces of one request, in order.
    pub(super) fn resolve<'a>(&'a self, filling: &Filling<'a>) -> Result<Pieces<'a>, Refusal> {
        let mut pieces = Pieces::new();
        self.resolve_into(filling, &mut pieces)?;
        Ok(pieces)
    }

    /// The same, put where they stay: moving them costs as much as finding them.
    pub(super) fn resolve_into<'a>(
        &'a self,
        filling: &Filling<'a>,
        pieces: &mut Pieces<'a>,
    ) -> Result<(), Refusal> {
        for part in &self.parts {
            pieces.push(part.resolve(filling)?);
        }
        Ok(())
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

/// The pieces of a content; most have one to five.
pub(super) type Pieces<'a> = SmallVec<[Piece<'a>; 5]>;

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
        match self {
            Self::Url => Ok(Piece::Url),
            Self::Secret => Ok(Piece::Secret),
            _ => self.bytes(filling).map(Piece::Bytes),
        }
    }

    /// The bytes of a part that is the same for every key and every spelling of the URL.
    fn bytes<'a>(&'a self, filling: &Filling<'a>) -> Result<Cow<'a, [u8]>, Refusal> {
        let Filling { raw, timestamp, .. } = *filling;
        Ok(match self {
            Self::Literal(text) => text.as_bytes().into(),
            Self::Body => raw.body.as_ref().into(),
            Self::Method => raw.method.as_bytes().into(),
            Self::Timestamp => timestamp
                .ok_or(Refusal::TimestampMissing)?
                .as_bytes()
                .into(),
            Self::Config(name) => {
                let value = filling.config.get(name);
                let value = value.ok_or_else(|| Refusal::ConfigMissing { name: name.clone() });
                value?.as_bytes().into()
            }
            Self::Header(name) => match raw.header(name)? {
                Some(value) => value.as_ref().into(),
                None => return Err(Refusal::HeaderMissing { name: name.clone() }),
            },
            Self::Item(key) => filling.signature.item(raw, key)?.as_bytes().into(),
            Self::Json(pointer) => json_text(pointer, raw)?,
            Self::Form(name) => field(&raw.body, name, "form field")?.into(),
            Self::Query(name) => field(raw.query.as_bytes(), name, "query item")?.into(),
            Self::FormSortedConcat => form::sorted_concat(&raw.body).into(),
            Self::PathAndQuery => builtin::request_target(raw)?.as_bytes().into(),
            Self::Filtered(part, filter) => filter.apply(&part.bytes(filling)?)?.into(),
            // Filled in late, and never filtered: `variable` refuses that.
            Self::Url | Self::Secret => [].as_slice().into(),
        })
    }

    /// The part that a filter is applied to.
    fn inner(&self) -> &Self {
        match self {
            Self::Filtered(part, _) => part,
            other => other,
        }
    }

    /// Sorted form fields are joined without a mark between name and value, so that they
    /// count as fields only; a CRC finds accidents and no attackers.
    fn body_authenticated(&self) -> BodyAuthenticated {
        match self {
            Self::Body => BodyAuthenticated::Full,
            Self::Json(_) | Self::Form(_) | Self::FormSortedConcat => BodyAuthenticated::Fields,
            Self::Filtered(_, Filter::Crc32Decimal) => BodyAuthenticated::None,
            Self::Filtered(part, _) => part.body_authenticated(),
            _ => BodyAuthenticated::None,
        }
    }
}

fn json_text<'a>(pointer: &JsonPointer, raw: &'a RawRequest) -> Result<Cow<'a, [u8]>, Refusal> {
    let text = pointer.text_in(&raw.body);
    Ok(match text.map_err(|_| Refusal::BodyNotJson)? {
        Some(Cow::Borrowed(text)) => text.as_bytes().into(),
        Some(Cow::Owned(text)) => text.into_bytes().into(),
        None => [].as_slice().into(),
    })
}

/// The one decoded value of a form field or query item, which is signed and has to be there.
fn field(fields: &[u8], name: &str, what: &str) -> Result<Vec<u8>, Refusal> {
    let value = form::only_value(fields, name).unwrap_or(None);
    value.ok_or_else(|| Refusal::PartMissing {
        part: format!("{what} {name:?}"),
    })
}

/// Adds a text to the literal before it, or as a part of its own.
fn push_literal(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Literal(before)) => before.push_str(text),
        _ if text.is_empty() => {}
        _ => parts.push(Part::Literal(text.to_owned())),
    }
}

fn variable(text: &str) -> Result<Part, InvalidTemplate> {
    let Some((name, filter)) = text.rsplit_once('|') else {
        return plain_variable(text);
    };
    let part = plain_variable(name)?;
    let unknown = || InvalidTemplate::Filter(crate::document::shortened(filter));
    if matches!(part, Part::Url | Part::Secret) {
        return Err(unknown());
    }
    let filter = Filter::parse(filter).ok_or_else(unknown)?;
    Ok(Part::Filtered(Box::new(part), filter))
}

fn plain_variable(name: &str) -> Result<Part, InvalidTemplate> {
    let unknown = || InvalidTemplate::Variable(crate::document::shortened(name));
    Ok(match name {
        "body" => Part::Body,
        "url" => Part::Url,
        "method" => Part::Method,
        "path-and-query" => Part::PathAndQuery,
        "timestamp" => Part::Timestamp,
        "secret" => Part::Secret,
        "form-sorted-concat" => Part::FormSortedConcat,
        _ => match name.split_once(':').ok_or_else(unknown)? {
            (_, "") => return Err(unknown()),
            ("header", header) => Part::Header(HeaderName::parse(header).map_err(|_| unknown())?),
            ("item", key) => Part::Item(key.to_owned()),
            ("config", name) => Part::Config(name.to_owned()),
            ("json", pointer) => Part::Json(JsonPointer::parse(pointer).map_err(|_| unknown())?),
            ("form", field) => Part::Form(field.to_owned()),
            ("query", item) => Part::Query(item.to_owned()),
            _ => return Err(unknown()),
        },
    })
}

#[cfg(test)]
mod tests;
