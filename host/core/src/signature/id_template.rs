//! Event ids made of several facts: `{/data/id}:{/event}` or `{header:x-kind}:{/id}`.
//!
//! What is missing is empty; where everything is missing there is no id.

use sha2::{Digest as _, Sha256};

use super::event_id::claim_text;
use super::request::{HeaderName, VerifiedRequest};
use super::source::Source;
use crate::pointer::{InvalidPointer, JsonPointer};

/// Most parts of an id template.
const PARTS_MAX: usize = 16;

/// An id made of several facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdTemplate {
    text: String,
    parts: Vec<IdPart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum IdPart {
    Literal(String),
    /// A field of the part of the body that is one event.
    Json(JsonPointer),
    /// Any other place of the request.
    Field(Source),
    Path(usize),
    Claim(String),
    /// The SHA-256 of the part, in hex.
    BodyHash,
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
    /// A place that is not known.
    #[error(
        "has the variable {{{0}}}, which is not known; known: {{/pointer}}, {{header:NAME}}, \
         {{query:NAME}}, {{form:NAME}}, {{path:N}}, {{claim:NAME}}, \
         {{body-hash}}"
    )]
    Variable(String),
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
                parts.push(variable(field)?);
                rest = after;
            }
            if parts.len() > PARTS_MAX {
                return Err(InvalidIdTemplate::TooLong);
            }
        }
        if parts.iter().all(|part| matches!(part, IdPart::Literal(_))) {
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

    /// The id of one part of a body; None where every field is missing or empty.
    pub(super) fn fill(&self, request: &VerifiedRequest, part: &[u8]) -> Option<String> {
        let mut id = String::new();
        let mut any = false;
        for one in &self.parts {
            if let IdPart::Literal(text) = one {
                id.push_str(text);
            } else if let Some(text) = one.find(request, part) {
                any |= !text.is_empty();
                id.push_str(&text);
            }
        }
        any.then_some(id)
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let header = |part| match part {
            &IdPart::Field(Source::Header(ref name)) => Some(name),
            _ => None,
        };
        self.parts.iter().filter_map(header)
    }

    pub(super) fn reads_part(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, IdPart::Json(_) | IdPart::BodyHash))
    }
}

impl IdPart {
    fn find(&self, request: &VerifiedRequest, part: &[u8]) -> Option<String> {
        match self {
            Self::Literal(text) => Some(text.clone()),
            Self::Json(pointer) => Some(pointer.text_in(part).ok()??.into_owned()),
            Self::Field(source) => Some(source.find(request.raw())?.into_owned()),
            Self::Path(segment) => request.raw().path.get(*segment).cloned(),
            Self::Claim(name) => request.claim(name).and_then(claim_text),
            Self::BodyHash => Some(hex::encode(Sha256::digest(part))),
        }
    }
}

fn variable(name: &str) -> Result<IdPart, InvalidIdTemplate> {
    let unknown = || InvalidIdTemplate::Variable(crate::document::shortened(name));
    Ok(match name.split_once(':') {
        None if name == "body-hash" => IdPart::BodyHash,
        _ if name.starts_with('/') => IdPart::Json(JsonPointer::parse(name)?),
        Some(("json", pointer)) => IdPart::Json(JsonPointer::parse(pointer)?),
        Some(("header", header)) => {
            let header = HeaderName::parse(header).map_err(|_| unknown())?;
            IdPart::Field(Source::Header(header))
        }
        Some(("query", item)) if !item.is_empty() => IdPart::Field(Source::Query(item.into())),
        Some(("form", field)) if !field.is_empty() => IdPart::Field(Source::Form(field.into())),
        Some(("path", segment)) => IdPart::Path(segment.parse().map_err(|_| unknown())?),
        Some(("claim", claim)) if !claim.is_empty() => IdPart::Claim(claim.into()),
        Some(_) => return Err(unknown()),
        None => return Err(InvalidPointer::NoSlash.into()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    proptest! {
        #[test]
        fn any_text_is_a_template_or_none(text in ".{0,64}", braces in "[{}/a:~*]{0,32}") {
            for text in [text, braces] {
                if let Ok(template) = IdTemplate::parse(&text) {
                    prop_assert_eq!(template.as_str(), text);
                }
            }
        }
    }
}
