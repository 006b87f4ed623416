//! Paths and queries of the operator API, percent-encoded.

use std::fmt::Write as _;

/// A path with its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    text: String,
    has_query: bool,
}

impl Query {
    /// A path of those segments.
    pub(super) fn path(segments: &[&str]) -> Self {
        let mut text = String::new();
        for segment in segments {
            text.push('/');
            encode(&mut text, segment);
        }
        Self {
            text,
            has_query: false,
        }
    }

    /// The same, with a parameter.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        encode(&mut self.text, name);
        self.text.push('=');
        encode(&mut self.text, value.as_ref());
        self
    }

    /// The same, with a parameter that may be absent.
    #[must_use]
    pub(super) fn with_some(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The text, which begins with a slash.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Everything but the unreserved characters of RFC 3986.
fn encode(target: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            target.push(char::from(byte));
        } else {
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_parameters_are_encoded() {
        let query = Query::path(&["v1", "connectors", "a/b?", "consent"]);
        assert_eq!(query.as_str(), "/v1/connectors/a%2Fb%3F/consent");
        let query = Query::path(&["v1", "events"])
            .with("connection", "github/Åcme & co")
            .with_some("state", None::<&str>)
            .with_some("limit", Some("5"));
        assert_eq!(
            query.as_str(),
            "/v1/events?connection=github%2F%C3%85cme%20%26%20co&limit=5"
        );
    }
}
