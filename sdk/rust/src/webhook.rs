//! One verified webhook request, and reading what is needed out of it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use crate::{Failure, Timestamp, form};

/// Longest text of a parse error, far below the 4 KiB that the contract allows.
const REASON_LEN_MAX: usize = 512;

/// How much of the body the signature vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyAuthenticated {
    /// Every byte.
    Full,
    /// Some fields only; the partner's documentation names them.
    Fields,
    /// Nothing: a shared token proved the sender, the body is taken on trust.
    None,
}

/// A name and its value. Values are raw bytes: HTTP does not promise text.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// In lower case where it comes from the host.
    pub name: String,
    /// The raw value.
    pub value: Vec<u8>,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value.escape_ascii())
    }
}

/// A webhook request whose signature verified. Filled in by the host.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Tidegate's id of the event, `evt_…`: the same on every replay.
    pub event_id: String,
    /// When the host received it. The plugin's clock stands here too.
    pub received_at: Timestamp,
    /// `POST` or `PUT`.
    pub method: String,
    /// Path segments after `/in/{connector}/{account}`, decoded.
    pub path: Vec<String>,
    /// The raw query string without `?`; empty where there is none. Items that are
    /// credentials are replaced by `[verified]`.
    pub query: String,
    /// Headers as received, order kept. Credentials are replaced by `[verified]`.
    pub headers: Vec<Header>,
    /// The body exactly as received.
    pub body: Vec<u8>,
    /// How far the signature vouches for `body`.
    pub body_authenticated: BodyAuthenticated,
}

impl Webhook {
    /// The value of the first header called `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers_named(name).next()
    }

    /// The value of a header that must be there once, as text.
    ///
    /// # Errors
    /// Permanent, where the header is missing, is not text, or stands twice with
    /// different values: which one counts would be a guess.
    pub fn header_text(&self, name: &str) -> Result<&str, Failure> {
        let mut values = self.headers_named(name);
        let Some(value) = values.next() else {
            return Err(Failure::Permanent(format!("header {name} is missing")));
        };
        if values.any(|other| other != value) {
            return Err(Failure::Permanent(format!("header {name} stands twice")));
        }
        str::from_utf8(value)
            .map_err(|_| Failure::Permanent(format!("header {name} is not UTF-8 text")))
    }

    /// The body as `T`, which names just the fields that are needed and borrows them.
    /// Use [`Text`](crate::Text) for strings.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use tidegate_sdk::{Text, testing};
    ///
    /// #[derive(Deserialize)]
    /// struct Ping<'a> {
    ///     #[serde(borrow)]
    ///     zen: Text<'a>,
    /// }
    ///
    /// let webhook = testing::webhook(&[], r#"{"zen":"Keep it logically awesome.","hook_id":1}"#);
    /// let ping: Ping<'_> = webhook.json()?;
    /// assert_eq!(ping.zen.as_str(), "Keep it logically awesome.");
    ///
    /// let broken = testing::webhook(&[], r#"{"zen":7}"#);
    /// assert_eq!(
    ///     broken.json::<Ping<'_>>().err().unwrap().to_string(),
    ///     "body: invalid type: integer `7`, expected a string at line 1 column 8",
    /// );
    /// # Ok::<(), tidegate_sdk::Failure>(())
    /// ```
    ///
    /// # Errors
    /// Permanent, saying what was wrong and at which line and column.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        parse_json(&self.body)
    }

    /// Whether the body says that it is `application/x-www-form-urlencoded`.
    pub fn is_form(&self) -> bool {
        self.header("content-type").is_some_and(|value| {
            let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
            media_type
                .trim_ascii()
                .eq_ignore_ascii_case(form::MEDIA_TYPE)
        })
    }

    /// The decoded value of the first field called `name` of a form body.
    pub fn form_field(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        form::field(&self.body, name)
    }

    fn headers_named(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.as_slice())
    }
}

/// Headers and body are a customer's data: only their extent is shown.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("event_id", &self.event_id)
            .field("received_at", &self.received_at)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &self.headers.len())
            .field("body_len", &self.body.len())
            .field("body_authenticated", &self.body_authenticated)
            .finish_non_exhaustive()
    }
}

/// JSON bytes as `T`, for a payload that is not the body itself; see [`Webhook::json`].
///
/// # Errors
/// Permanent, saying what was wrong and at which line and column.
pub fn parse_json<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(json).map_err(|error| Failure::Permanent(reason(&error)))
}

/// What was wrong and where. The error may quote a value of the payload in full, which
/// would break the contract's bound on a failure, so the quote is cut short.
fn reason(error: &serde_json::Error) -> String {
    let whole = format!("body: {error}");
    if whole.len() <= REASON_LEN_MAX {
        return whole;
    }
    let start = whole
        .get(..whole.floor_char_boundary(REASON_LEN_MAX))
        .unwrap_or_default();
    format!(
        "{start}… at line {} column {}",
        error.line(),
        error.column()
    )
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use crate::testing::webhook;
    use crate::{Failure, Timestamp};

    #[derive(Debug, Deserialize)]
    struct Payload {
        #[expect(dead_code, reason = "only its presence is tested")]
        id: u64,
        #[expect(dead_code, reason = "only its form is tested")]
        at: Option<Timestamp>,
    }

    #[track_caller]
    fn check_body(body: &[u8], reason: &str) {
        let webhook = webhook(&[], body);
        let failure = webhook.json::<Payload>().unwrap_err();
        assert_eq!(failure, Failure::permanent(reason));
    }

    #[test]
    fn a_body_that_does_not_fit_is_permanent_and_says_where() {
        check_body(b"", "body: EOF while parsing a value at line 1 column 0");
        check_body(
            b"{\"id\":1",
            "body: EOF while parsing an object at line 1 column 7",
        );
        check_body(
            b"{\"at\":null}",
            "body: missing field `id` at line 1 column 11",
        );
        check_body(
            b"{\"id\":\"1\"}",
            "body: invalid type: string \"1\", expected u64 at line 1 column 9",
        );
        check_body(
            b"{\"id\":1,\"at\":\"now\"}",
            "body: not a time as RFC 3339 writes it (2024-05-01T12:00:00Z) at line 1 column 18",
        );
        check_body(
            b"{\"id\":1} x",
            "body: trailing characters at line 1 column 10",
        );
        check_body(
            b"{\"at\":\"\xff\"}",
            "body: invalid unicode code point at line 1 column 8",
        );
    }

    #[test]
    fn a_long_value_is_not_quoted_in_full() {
        let body = format!("{{\"id\":\"{}\"}}", "ü".repeat(4_000));
        let reason = webhook(&[], body)
            .json::<Payload>()
            .unwrap_err()
            .to_string();
        assert!(reason.len() < 600, "{} bytes", reason.len());
        assert!(reason.ends_with("ü… at line 1 column 8008"), "{reason}");
    }

    #[track_caller]
    fn check_header(headers: &[(&str, &str)], expected: Result<&str, &str>) {
        let webhook = webhook(headers, "");
        let got = webhook.header_text("X-Tide-Event");
        assert_eq!(got, expected.map_err(Failure::permanent));
    }

    #[test]
    fn headers_compare_without_case() {
        check_header(&[("x-tide-event", "ebb")], Ok("ebb"));
        check_header(
            &[("X-TIDE-EVENT", "ebb"), ("x-tide-events", "flow")],
            Ok("ebb"),
        );
    }

    #[test]
    fn a_doubled_header_counts_only_where_both_agree() {
        check_header(
            &[("x-tide-event", "ebb"), ("X-Tide-Event", "ebb")],
            Ok("ebb"),
        );
        check_header(
            &[("x-tide-event", "ebb"), ("X-Tide-Event", "flow")],
            Err("header X-Tide-Event stands twice"),
        );
    }

    #[test]
    fn a_missing_header_is_named() {
        check_header(&[], Err("header X-Tide-Event is missing"));
    }

    #[test]
    fn a_header_that_is_not_text_is_named() {
        let mut webhook = webhook(&[("x-tide-event", "")], "");
        webhook.headers[0].value = vec![0xff];
        assert_eq!(
            webhook.header_text("x-tide-event"),
            Err(Failure::permanent("header x-tide-event is not UTF-8 text"))
        );
    }

    #[test]
    fn a_form_is_told_by_its_media_type() {
        for (value, expected) in [
            ("application/x-www-form-urlencoded", true),
            ("Application/X-WWW-Form-Urlencoded ; charset=utf-8", true),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(
                webhook(&[("Content-Type", value)], "").is_form(),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn debug_shows_no_customer_data() {
        let shown = format!("{:?}", webhook(&[("x-key", "hush-header")], "hush-body"));
        assert!(!shown.contains("hush"), "{shown}");
    }
}
