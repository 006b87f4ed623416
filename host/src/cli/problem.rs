//! Problems as the operator API tells them (RFC 9457).

use std::fmt;

use serde_json::Value;

use super::output::plain;

/// A refusal in the host's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(super) status: u16,
    pub(super) title: String,
    pub(super) detail: Option<String>,
    /// The oldest change that is kept, where a cursor was older.
    pub(super) oldest: Option<u64>,
}

impl Problem {
    /// Reads the body of an answer with that status; one that is no problem document is
    /// named by its status alone.
    pub(super) fn read(status: hyper::StatusCode, body: &[u8]) -> Self {
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |key: &str| {
            document
                .get(key)
                .and_then(Value::as_str)
                .map(|text| plain(text).into_owned())
        };
        let oldest = document.get("oldest").and_then(|oldest| match oldest {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        });
        let reason = status.canonical_reason().unwrap_or("no known reason");
        Self {
            status: status.as_u16(),
            title: text("title").unwrap_or_else(|| reason.to_owned()),
            detail: text("detail"),
            oldest,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.title, self.status)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &str) {
        assert_eq!(
            Problem::read(StatusCode::GONE, body.as_bytes()).to_string(),
            expected
        );
    }

    #[test]
    fn documents_and_other_bodies() {
        check(
            r#"{"title":"cursor expired","detail":"kept from 9"}"#,
            "cursor expired (410): kept from 9",
        );
        check("<html>", "Gone (410)");
        check("", "Gone (410)");
        check("{\"title\":\"a\\u001bb\"}", "a\u{fffd}b (410)");
    }

    #[test]
    fn the_oldest_change_is_a_text_or_a_number() {
        for body in [r#"{"oldest":"9"}"#, r#"{"oldest":9}"#] {
            assert_eq!(
                Problem::read(StatusCode::GONE, body.as_bytes()).oldest,
                Some(9)
            );
        }
    }
}
