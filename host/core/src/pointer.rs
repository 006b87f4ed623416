//! JSON pointers (RFC 6901) that find one value in a JSON text without building a tree.
//!
//! Bodies are read on the ingress path for an event id, a timestamp or an account, so
//! the walk borrows from the body and skips what it does not need. Where an object
//! repeats a key the last one counts, as for most parsers.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why the elements of a list are not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoList {
    /// Not a JSON list.
    #[error("is no JSON list")]
    NotOne,
    /// Longer than the bound.
    #[error("is a list of too many elements")]
    TooLong,
}

/// The elements of a JSON list as they stand, each a part of `json`.
pub(crate) fn elements(json: &[u8], length_max: usize) -> Result<Vec<&str>, NoList> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let found = serde::Deserializer::deserialize_seq(&mut deserializer, Elements { length_max })
        .map_err(|_| NoList::NotOne)?;
    deserializer.end().map_err(|_| NoList::NotOne)?;
    found.ok_or(NoList::TooLong)
}

struct Elements {
    length_max: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = Option<Vec<&'de str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(element) = list.next_element::<&RawValue>()? {
            if found.len() == self.length_max {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            found.push(element.get());
        }
        Ok(Some(found))
    }
}

/// Longest pointer, in bytes.
const POINTER_BYTES_MAX: usize = 256;

/// A pointer to a value within a JSON document, one level or more below its top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer {
    text: String,
    tokens: Vec<String>,
}

/// A text that is no JSON pointer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    /// Does not begin with a slash.
    #[error("a JSON pointer begins with \"/\", like \"/data/id\"")]
    NoSlash,
    /// A `~` that is neither `~0` nor `~1`.
    #[error("in a JSON pointer \"~\" is written as \"~0\" and \"/\" as \"~1\"")]
    Escape,
    /// Longer than the bound.
    #[error("a JSON pointer has at most {POINTER_BYTES_MAX} bytes")]
    TooLong,
}

/// A body that is not JSON where it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not JSON")]
pub struct NotJson;

impl JsonPointer {
    /// Reads a pointer like `/data/0/id`.
    pub fn parse(text: &str) -> Result<Self, InvalidPointer> {
        if text.len() > POINTER_BYTES_MAX {
            return Err(InvalidPointer::TooLong);
        }
        let rest = text.strip_prefix('/').ok_or(InvalidPointer::NoSlash)?;
        let tokens = rest.split('/').map(unescape).collect::<Option<_>>();
        Ok(Self {
            text: text.to_owned(),
            tokens: tokens.ok_or(InvalidPointer::Escape)?,
        })
    }

    /// The pointer to a member of the document itself.
    pub(crate) fn to_member(name: &str) -> Self {
        Self {
            text: format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            tokens: vec![name.to_owned()],
        }
    }

    /// The pointer as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text at this place: a string's content, a number's or boolean's digits and
    /// letters exactly as they stand. `None` where nothing, null, a list or an object is.
    pub fn text_in<'j>(&self, json: &'j [u8]) -> Result<Option<Cow<'j, str>>, NotJson> {
        Ok(self.raw_in(json)?.and_then(scalar))
    }

    /// The JSON at this place exactly as it stands; `None` where there is nothing.
    pub(crate) fn raw_in<'j>(&self, json: &'j [u8]) -> Result<Option<&'j str>, NotJson> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let found = Walk(&self.tokens)
            .deserialize(&mut deserializer)
            .map_err(|_| NotJson)?;
        deserializer.end().map_err(|_| NotJson)?;
        Ok(found.map(RawValue::get))
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut text = String::with_capacity(token.len());
    let mut chars = token.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(text)
}

fn scalar(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => match raw.get(1..raw.len().saturating_sub(1)) {
            Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
            _ => serde_json::from_str(raw).ok().map(Cow::Owned),
        },
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// Descends along the tokens and keeps the raw text of what it finds.
struct Walk<'t>(&'t [String]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            <&RawValue as serde::Deserialize>::deserialize(deserializer).map(Some)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let Some((token, rest)) = self.0.split_first() else {
            return Ok(None);
        };
        while let Some(here) = map.next_key_seed(KeyIs(token))? {
            if here {
                found = map.next_value_seed(Walk(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        if let Some((token, rest)) = self.0.split_first()
            && let Some(index) = list_index(token)
        {
            for _ in 0..index {
                if list.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            found = list.next_element_seed(Walk(rest))?.flatten();
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// RFC 6901: digits without a leading zero.
fn list_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with(['0', '+']);
    if canonical { token.parse().ok() } else { None }
}

/// Whether the next key is this one, without allocating it.
struct KeyIs<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[track_caller]
    fn check(pointer: &str, json: &str, expected: Result<Option<&str>, NotJson>) {
        let found = JsonPointer::parse(pointer)
            .unwrap()
            .text_in(json.as_bytes());
        assert_eq!(
            found.as_ref().map(Option::as_deref).map_err(|e| *e),
            expected,
            "{pointer} in {json}"
        );
    }

    #[test]
    fn finds_scalars_as_they_stand() {
        check("/a/0/id", r#"{"a":[{"id":"x"}]}"#, Ok(Some("x")));
        check(
            "/n",
            r#"{"n":12345678901234567890123}"#,
            Ok(Some("12345678901234567890123")),
        );
        check("/n", r#"{"n":1.50}"#, Ok(Some("1.50")));
        check("/b", r#"{"b":true}"#, Ok(Some("true")));
        check("/e", r#"{"e":"a\"b\u00e9"}"#, Ok(Some("a\"bé")));
        check("/a~1b/c~0", r#"{"a/b":{"c~":"x"}}"#, Ok(Some("x")));
        check("/1", "[1,2,3]", Ok(Some("2")));
    }

    #[test]
    fn nothing_there_is_none() {
        check("/x", r#"{"a":1}"#, Ok(None));
        check("/a/b", r#"{"a":1}"#, Ok(None));
        check("/a/b", r#"{"a":"text"}"#, Ok(None));
        check("/a", r#"{"a":null}"#, Ok(None));
        check("/a", r#"{"a":{}}"#, Ok(None));
        check("/5", "[1]", Ok(None));
        check("/01", "[1,2]", Ok(None));
        check("/x", "7", Ok(None));
    }

    #[test]
    fn the_last_of_two_equal_keys_counts() {
        check("/a", r#"{"a":1,"a":2}"#, Ok(Some("2")));
    }

    #[test]
    fn a_body_that_is_not_whole_json_is_refused() {
        check("/a", r#"{"a":1"#, Err(NotJson));
        check("/a", r#"{"a":1}x"#, Err(NotJson));
        check("/a", "", Err(NotJson));
        check("/a", "a=1&b=2", Err(NotJson));
    }

    #[test]
    fn pointers_are_checked() {
        assert_eq!(JsonPointer::parse("a"), Err(InvalidPointer::NoSlash));
        assert_eq!(JsonPointer::parse("/a~2"), Err(InvalidPointer::Escape));
        assert_eq!(
            JsonPointer::parse(&format!("/{}", "a".repeat(300))),
            Err(InvalidPointer::TooLong)
        );
    }

    proptest! {
        /// Agrees with serde_json's tree on documents of texts, lists and objects.
        #[test]
        fn agrees_with_the_tree(keys in prop::collection::vec("[a-c0-2~/]{0,2}", 1..4), leaf in ".*") {
            let tokens: Vec<_> =
                keys.iter().map(|key| key.replace('~', "~0").replace('/', "~1")).collect();
            let pointer = format!("/{}", tokens.join("/"));
            let mut document = Value::String(leaf);
            for key in keys.iter().rev() {
                document = if key == "0" {
                    Value::Array(vec![document, Value::Null])
                } else {
                    serde_json::json!({ (key.as_str()): document, "other": [1, {"x": null}] })
                };
            }
            let json = serde_json::to_vec(&document).unwrap();
            let found = JsonPointer::parse(&pointer).unwrap().text_in(&json).unwrap();
            prop_assert_eq!(found.as_deref(), document.pointer(&pointer).and_then(Value::as_str));
        }
    }
}
