//! Finds the signatures of a request, and the timestamp that stands beside them.
//!
//! What is found is text the sender chose: it is decoded here and compared in `verify`.
//! Ambiguity is refused: a header or key that is there twice where the scheme has one
//! could be read in one way here and in another behind us.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use smallvec::{SmallVec, smallvec};

use super::config::SchemeConfig;
use super::encoding::MacBytes;
use super::form;
use super::refusal::{Malformed, Refusal};
use super::request::{HeaderName, RawRequest};
use super::scheme::{HeaderForm, Scheme, SignaturePlace, SignatureRule};
use super::timestamp::{TimestampPlace, TimestampRule};

/// Most signatures looked at in one request: a sender's rotation shows two or three.
const SIGNATURES_MAX: usize = 16;

/// Decoded MACs of a request; nearly always one.
pub(super) type MacsReceived = SmallVec<[MacBytes; 1]>;

/// Most places have one text, and a sender's rotation shows two.
pub(super) type Texts<'a> = SmallVec<[Cow<'a, str>; 2]>;

/// The texts at the place where signatures are.
pub(super) struct Located<'a> {
    /// At least one, without prefixes.
    pub(super) texts: Texts<'a>,
}

impl SignatureRule {
    /// The place in words for an operator: names from the scheme only.
    pub fn describe(&self) -> String {
        match &self.place {
            SignaturePlace::Header {
                name,
                form: HeaderForm::KeyValueList { key, .. },
            } => {
                format!("item {key:?} of header {name}")
            }
            SignaturePlace::Header { name, .. } => format!("header {name}"),
            SignaturePlace::NumberedHeaders { name_prefix } => format!("header {name_prefix}N"),
            SignaturePlace::Headers(names) => {
                let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
                format!("header {}", names.join(" or "))
            }
            SignaturePlace::Json(pointer) => format!("JSON field {pointer}"),
            SignaturePlace::Form { name, .. } => format!("form field {name:?}"),
            SignaturePlace::Query(name) => format!("query item {name:?}"),
            SignaturePlace::JsonEach { each, .. } => format!("each item of JSON list {each}"),
        }
    }

    pub(super) fn missing(&self) -> Refusal {
        Refusal::SignatureMissing {
            place: self.describe(),
        }
    }

    fn doubled(&self) -> Refusal {
        Refusal::SignatureDoubled {
            place: self.describe(),
        }
    }

    pub(super) fn malformed(&self, why: Malformed) -> Refusal {
        Refusal::SignatureMalformed {
            place: self.describe(),
            why,
        }
    }

    /// The candidate texts of a request.
    pub(super) fn locate<'a>(
        &self,
        raw: &'a RawRequest,
        config: &SchemeConfig,
    ) -> Result<Located<'a>, Refusal> {
        let texts = match &self.place {
            SignaturePlace::Header { name, form } => {
                let value = self.only_value(raw, name)?.ok_or_else(|| self.missing())?;
                self.split(form, value, config)?
            }
            SignaturePlace::Headers(names) => self.any_of(raw, names)?,
            SignaturePlace::Form { name, form } => {
                let value = self.only_field(&raw.body, name)?;
                let texts = self.split(form, &value, config)?;
                texts
                    .into_iter()
                    .map(|t| Cow::Owned(t.into_owned()))
                    .collect()
            }
            SignaturePlace::Query(name) => smallvec![self.only_field(raw.query.as_bytes(), name)?],
            SignaturePlace::NumberedHeaders { name_prefix } => self.numbered(raw, name_prefix)?,
            // Of a list, the body is the item that is looked at.
            SignaturePlace::Json(pointer) | SignaturePlace::JsonEach { pointer, .. } => {
                let text = pointer
                    .text_in(&raw.body)
                    .map_err(|_| Refusal::BodyNotJson)?;
                smallvec![text.ok_or_else(|| self.missing())?]
            }
        };
        if texts.len() > SIGNATURES_MAX {
            return Err(self.malformed(Malformed::TooMany));
        }
        Ok(Located { texts })
    }

    /// The decoded signatures. Those that are malformed are skipped if another is not:
    /// a sender may list several while it rotates its keys.
    pub(super) fn decode(
        &self,
        located: &Located<'_>,
        length: usize,
        decoded: &mut MacsReceived,
    ) -> Result<(), Refusal> {
        let mut why = Malformed::Empty;
        for text in &located.texts {
            match self
                .encoding
                .ok_or(Malformed::Empty)
                .and_then(|e| e.decode(text, length))
            {
                Ok(bytes) => decoded.push(bytes),
                Err(malformed) => why = malformed,
            }
        }
        if decoded.is_empty() {
            Err(self.malformed(why))
        } else {
            Ok(())
        }
    }

    /// The decoded signatures of an algorithm whose signatures differ in length.
    pub(super) fn decode_long(
        &self,
        located: &Located<'_>,
        lengths: &RangeInclusive<usize>,
    ) -> Result<Vec<Vec<u8>>, Refusal> {
        let mut why = Malformed::Empty;
        let mut decoded = Vec::with_capacity(located.texts.len());
        for text in &located.texts {
            match self
                .encoding
                .ok_or(Malformed::Empty)
                .and_then(|e| e.decode_long(text, lengths))
            {
                Ok(bytes) => decoded.push(bytes),
                Err(malformed) => why = malformed,
            }
        }
        if decoded.is_empty() {
            Err(self.malformed(why))
        } else {
            Ok(decoded)
        }
    }

    /// The one value of a field of a form or query.
    fn only_field(&self, fields: &[u8], name: &str) -> Result<Cow<'static, str>, Refusal> {
        let value = form::only_value(fields, name).map_err(|_| self.doubled())?;
        String::from_utf8(value.ok_or_else(|| self.missing())?)
            .map(Cow::Owned)
            .map_err(|_| self.malformed(Malformed::NotText))
    }

    fn any_of<'a>(&self, raw: &'a RawRequest, names: &[HeaderName]) -> Result<Texts<'a>, Refusal> {
        let mut texts = Texts::new();
        for name in names {
            texts.extend(self.only_value(raw, name)?.map(Cow::Borrowed));
        }
        if texts.is_empty() {
            Err(self.missing())
        } else {
            Ok(texts)
        }
    }

    /// The one value under another key beside the signature.
    pub(super) fn item<'a>(&self, raw: &'a RawRequest, key: &str) -> Result<&'a str, Refusal> {
        let SignaturePlace::Header { name, form } = &self.place else {
            return Err(self.missing());
        };
        let header = self.only_value(raw, name)?.ok_or_else(|| self.missing())?;
        let mut values = values_of(form, header, key);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            (Some(_), Some(_)) => Err(self.doubled()),
            (None, _) => Err(self.missing()),
        }
    }

    pub(super) fn only_value<'a>(
        &self,
        raw: &'a RawRequest,
        name: &HeaderName,
    ) -> Result<Option<&'a str>, Refusal> {
        let value = raw.header(name).map_err(|_| self.doubled())?;
        value
            .map(|bytes| std::str::from_utf8(bytes).map_err(|_| self.malformed(Malformed::NotText)))
            .transpose()
    }

    fn split<'v>(
        &self,
        form: &HeaderForm,
        value: &'v str,
        config: &SchemeConfig,
    ) -> Result<Texts<'v>, Refusal> {
        let texts: Texts<'_> = match form {
            HeaderForm::Single { prefix } => {
                let text = value.strip_prefix(prefix.as_deref().unwrap_or_default());
                let text = text.ok_or_else(|| self.malformed(Malformed::Prefix))?;
                smallvec![Cow::Borrowed(text)]
            }
            HeaderForm::List {
                item_separator,
                prefix,
            } => {
                let prefix = prefix.as_deref().unwrap_or_default();
                let texts: Texts<'_> = value
                    .split(item_separator.as_str())
                    .filter_map(|item| item.strip_prefix(prefix))
                    .take(SIGNATURES_MAX + 1)
                    .map(Cow::Borrowed)
                    .collect();
                if texts.is_empty() {
                    return Err(self.malformed(Malformed::Prefix));
                }
                texts
            }
            HeaderForm::KeyValueList { key, multiple, .. } => {
                let key = config.fill(key)?;
                let texts: Texts<'_> = values_of(form, value, key)
                    .take(SIGNATURES_MAX + 1)
                    .map(Cow::Borrowed)
                    .collect();
                match texts.len() {
                    0 => return Err(self.missing()),
                    1 => texts,
                    _ if *multiple => texts,
                    _ => return Err(self.doubled()),
                }
            }
        };
        Ok(texts)
    }

    fn numbered<'a>(&self, raw: &'a RawRequest, prefix: &HeaderName) -> Result<Texts<'a>, Refusal> {
        let mut seen: Vec<&str> = Vec::new();
        let mut texts = Texts::new();
        for (name, value) in &raw.headers {
            let Some(number) = name.strip_prefix(prefix.as_str()) else {
                continue;
            };
            if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            if seen.contains(&number) {
                return Err(self.doubled());
            }
            if seen.len() == SIGNATURES_MAX {
                return Err(self.malformed(Malformed::TooMany));
            }
            seen.push(number);
            let text =
                std::str::from_utf8(value).map_err(|_| self.malformed(Malformed::NotText))?;
            texts.push(Cow::Borrowed(text));
        }
        if texts.is_empty() {
            Err(self.missing())
        } else {
            Ok(texts)
        }
    }
}

/// The values under `key` in a header of pairs.
fn values_of<'a>(form: &HeaderForm, value: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    let (item_separator, pair_separator, trim) = match form {
        HeaderForm::KeyValueList {
            item_separator,
            pair_separator,
            trim,
            ..
        } => (item_separator.as_str(), pair_separator.as_str(), *trim),
        // Other forms have no pairs: the separators below never split anything.
        HeaderForm::Single { .. } | HeaderForm::List { .. } => ("\0", "\0", false),
    };
    split_at_text(value, item_separator).filter_map(move |item| {
        let item = if trim { item.trim() } else { item };
        let (found, text) = cut(item, pair_separator)?;
        (found == key).then_some(text)
    })
}

/// What stands between separators. Like `str::split`, whose search for a text of one letter
/// costs as much as a hash of the header.
fn split_at_text<'a>(text: &'a str, separator: &str) -> impl Iterator<Item = &'a str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (item, after) = match cut(text, separator) {
            Some((item, after)) => (item, Some(after)),
            None => (text, None),
        };
        rest = after;
        Some(item)
    })
}

/// What stands before and after the first separator.
fn cut<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    match separator.as_bytes() {
        [byte] if byte.is_ascii() => text.split_once(char::from(*byte)),
        _ => text.split_once(separator),
    }
}

/// The text of a request's timestamp, which has to be there once.
pub(super) fn timestamp_text<'a>(
    scheme: &Scheme,
    rule: &TimestampRule,
    raw: &'a RawRequest,
) -> Result<Cow<'a, str>, Refusal> {
    match &rule.place {
        TimestampPlace::Header(name) => {
            let value = raw.header(name).map_err(|_| Refusal::TimestampDoubled)?;
            let value = value.ok_or(Refusal::TimestampMissing)?;
            std::str::from_utf8(value)
                .map(Cow::Borrowed)
                .map_err(|_| rule.malformed())
        }
        TimestampPlace::SignatureItem(key) => {
            let SignaturePlace::Header { name, form } = &scheme.signature.place else {
                return Err(Refusal::TimestampMissing);
            };
            let header = scheme
                .signature
                .only_value(raw, name)?
                .ok_or(Refusal::TimestampMissing)?;
            let mut values = values_of(form, header, key);
            let text = values.next().ok_or(Refusal::TimestampMissing)?;
            if values.next().is_some() {
                return Err(Refusal::TimestampDoubled);
            }
            Ok(Cow::Borrowed(text))
        }
        // Read by the construction that has them.
        TimestampPlace::Claim(_) | TimestampPlace::Parameter(_) => Err(Refusal::TimestampMissing),
        TimestampPlace::Form(field) => {
            let value =
                form::only_value(&raw.body, field).map_err(|_| Refusal::TimestampDoubled)?;
            let value = value.ok_or(Refusal::TimestampMissing)?;
            String::from_utf8(value)
                .map(Cow::Owned)
                .map_err(|_| rule.malformed())
        }
        TimestampPlace::Json(pointer) => pointer
            .text_in(&raw.body)
            .map_err(|_| Refusal::BodyNotJson)?
            .ok_or(Refusal::TimestampMissing),
    }
}
