//! What a connection's configuration adds to a scheme: the values of `{config:NAME}`.
//!
//! They are facts about the partner's account, like a webhook's id or Braintree's
//! public key, and no secrets: explanations show them as part of the signed content.

use std::collections::BTreeMap;

use super::refusal::Refusal;

/// The values of `{config:NAME}` for one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemeConfig(BTreeMap<String, String>);

impl SchemeConfig {
    /// No value at all.
    pub const EMPTY: Self = Self(BTreeMap::new());

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A text that may be `{config:NAME}` as a whole, filled in.
    pub(super) fn fill<'t>(&'t self, text: &'t str) -> Result<&'t str, Refusal> {
        let name = text
            .strip_prefix("{config:")
            .and_then(|rest| rest.strip_suffix('}'));
        match name {
            None => Ok(text),
            Some(name) => self.get(name).ok_or_else(|| Refusal::ConfigMissing {
                name: name.to_owned(),
            }),
        }
    }

    /// Names and values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl From<BTreeMap<String, String>> for SchemeConfig {
    fn from(values: BTreeMap<String, String>) -> Self {
        Self(values)
    }
}

impl FromIterator<(String, String)> for SchemeConfig {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}
