//! `application/x-www-form-urlencoded` bodies: GitHub's and Slack's other content type.

use std::borrow::Cow;

/// The media type, without parameters.
pub(crate) const MEDIA_TYPE: &[u8] = b"application/x-www-form-urlencoded";

/// The decoded value of the first field called `name`, None where there is none.
pub(crate) fn field<'a>(body: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    body.split(|byte| *byte == b'&').find_map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let key = parts.next()?;
        let value = parts.next().unwrap_or_default();
        (*decode(key) == *name.as_bytes()).then(|| decode(value))
    })
}

/// Undoes `+` and `%XX`. A `%` that begins no escape stands for itself, as in the URL
/// standard.
fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        let (value, tail) = match (byte, tail) {
            (b'+', _) => (b' ', tail),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', tail),
            },
            _ => (*byte, tail),
        };
        decoded.push(value);
        rest = tail;
    }
    Cow::Owned(decoded)
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Writes bytes so that [`field`] gives them back.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn encode(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"*-._".contains(byte) {
            encoded.push(char::from(*byte));
        } else if *byte == b' ' {
            encoded.push('+');
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 0xF] {
                encoded.extend(char::from_digit(u32::from(digit), 16));
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::{encode, field};

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        let got = field(body.as_bytes(), "payload");
        assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{body}");
    }

    #[test]
    fn finds_the_field() {
        check("payload=%7B%22a%22%3A1%7d", Some("{\"a\":1}"));
        check("other=1&payload=a+b", Some("a b"));
        check("pay%6coad=1&payload=2", Some("1"));
        check("payload", Some(""));
        check("payload=a=b", Some("a=b"));
    }

    #[test]
    fn a_percent_that_begins_no_escape_stands_for_itself() {
        check("payload=100%", Some("100%"));
        check("payload=%zz%4", Some("%zz%4"));
    }

    #[test]
    fn no_such_field() {
        check("", None);
        check("payloads=1&xpayload=2", None);
    }

    #[test]
    fn a_value_without_escapes_is_borrowed() {
        assert!(matches!(
            field(b"payload=abc", "payload"),
            Some(Cow::Borrowed(_))
        ));
    }

    proptest! {
        #[test]
        fn gives_back_what_was_encoded(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let body = format!("a=1&payload={}&b=2", encode(&value));
            let got = field(body.as_bytes(), "payload");
            prop_assert_eq!(got.as_deref(), Some(&value[..]));
        }
    }
}
