//! Text that borrows from the body it was parsed from.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A JSON string, borrowed from the body where it has no escapes.
///
/// The type to use for strings in payload structs. A plain `&str` fails on the first
/// `\n`, and serde gives an owned copy for a `Cow<str>` that stands inside an `Option`
/// or a `Vec`; this one borrows in all places.
///
/// ```
/// use serde::Deserialize;
/// use tidegate_sdk::Text;
///
/// #[derive(Deserialize)]
/// struct Issue<'a> {
///     #[serde(borrow)]
///     title: Text<'a>,
///     body: Option<Text<'a>>,
/// }
///
/// let issue: Issue<'_> = serde_json::from_str(r#"{"title":"Tide","body":"in\nout"}"#)?;
/// assert!(issue.title.is_borrowed());
/// assert_eq!(issue.body.as_deref(), Some("in\nout"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The text, for as long as this value lives.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text points into the body instead of holding a copy.
    pub fn is_borrowed(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text))
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn borrows_inside_option_and_vec() {
        let texts: Vec<Option<Text<'_>>> =
            serde_json::from_str(r#"["plain", null, "esc\"aped"]"#).unwrap();
        let borrowed: Vec<_> = texts
            .iter()
            .map(|text| text.as_ref().map(Text::is_borrowed))
            .collect();
        assert_eq!(borrowed, [Some(true), None, Some(false)]);
        assert_eq!(texts[2].as_deref(), Some("esc\"aped"));
    }

    #[test]
    fn a_number_is_not_text() {
        let error = serde_json::from_str::<Text<'_>>("5").unwrap_err();
        assert!(error.to_string().contains("expected a string"), "{error}");
    }
}
