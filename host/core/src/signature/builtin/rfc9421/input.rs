//! The two headers of RFC 9421: what each label covers, and its signature.

use sfv::{BareItem, Dictionary, InnerList, Item, ListEntry, Parameters, Parser};

use crate::signature::refusal::{Malformed, Refusal};
use crate::signature::request::RawRequest;
use crate::signature::scheme::SignatureRule;

/// Most labels that are looked at.
const LABELS_MAX: usize = 16;

/// Most components of one signature.
const COMPONENTS_MAX: usize = 64;

/// One signature and what it says that it covers.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) input: InnerList,
    pub(super) signature: Vec<u8>,
}

/// A parameter that is not of its kind.
pub(super) struct NotANumber;

/// The signatures of a request that have both halves.
pub(super) fn candidates(
    raw: &RawRequest,
    rule: &SignatureRule,
) -> Result<Vec<Candidate>, Refusal> {
    let malformed = |why| rule.malformed(why);
    let inputs = field(raw, "signature-input").ok_or_else(|| rule.missing())?;
    let signatures = field(raw, "signature").ok_or_else(|| rule.missing())?;
    let read = |text: &[u8]| {
        Parser::new(text)
            .parse::<Dictionary>()
            .map_err(|_| malformed(Malformed::NotStructured))
    };
    let (inputs, mut signatures) = (read(&inputs)?, read(&signatures)?);
    if inputs.len() > LABELS_MAX {
        return Err(malformed(Malformed::TooMany));
    }
    let candidates: Vec<_> = inputs
        .into_iter()
        .filter_map(|(label, entry)| {
            let ListEntry::InnerList(input) = entry else {
                return None;
            };
            let signature = signatures.swap_remove(&label)?;
            let ListEntry::Item(Item {
                bare_item: BareItem::ByteSequence(signature),
                ..
            }) = signature
            else {
                return None;
            };
            (input.items.len() <= COMPONENTS_MAX).then_some(Candidate { input, signature })
        })
        .collect();
    if candidates.is_empty() {
        Err(malformed(Malformed::NotStructured))
    } else {
        Ok(candidates)
    }
}

/// The value of a field, its lines joined as HTTP has it; None where it is absent.
pub(super) fn field(raw: &RawRequest, name: &str) -> Option<Vec<u8>> {
    let mut lines = raw
        .headers
        .iter()
        .filter(|(found, _)| found == name)
        .map(|(_, value)| value.trim_ascii());
    let mut joined = lines.next()?.to_vec();
    for line in lines {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line);
    }
    Some(joined)
}

impl Candidate {
    /// Whether it covers a component: one without parameters by its name, any other by its
    /// identifier as it is written, like `"@query-param";name="id"`.
    pub(super) fn covers(&self, component: &str) -> bool {
        self.input.items.iter().any(|item| {
            if item.params.is_empty() {
                item.bare_item.as_string().map(sfv::StringRef::as_str) == Some(component)
            } else {
                super::base::identifier(item) == component
            }
        })
    }

    fn params(&self) -> &Parameters {
        &self.input.params
    }

    /// A parameter that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.params().get(name)?;
        value.as_string().map(sfv::StringRef::as_str)
    }

    /// A parameter that is a whole number, where it is there.
    pub(super) fn whole_number(&self, name: &str) -> Result<Option<i64>, NotANumber> {
        match self.params().get(name) {
            None => Ok(None),
            Some(value) => match value.as_integer() {
                Some(number) => Ok(Some(number.into())),
                None => Err(NotANumber),
            },
        }
    }
}
