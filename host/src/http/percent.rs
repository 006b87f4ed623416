//! Percent-encoding of URLs (RFC 3986), strict both ways: `%` and two digits, and text
//! in UTF-8.

use std::borrow::Cow;

/// The text that one path segment stands for; none where it stands for no text.
pub(super) fn decode(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            bytes.push(digit(rest.next()?)? << 4 | digit(rest.next()?)?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The same for a part of a query, where `+` is a space.
pub(super) fn decode_query(part: &str) -> Option<Cow<'_, str>> {
    if part.contains('+') {
        decode(&part.replace('+', "%20")).map(|text| Cow::Owned(text.into_owned()))
    } else {
        decode(part)
    }
}

/// `text` as one path segment.
pub(super) fn encode(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                segment.push(char::from(byte));
            }
            other => {
                segment.push('%');
                segment.push_str(&hex::encode_upper([other]));
            }
        }
    }
    segment
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(segment: &str, expected: Option<&str>) {
        assert_eq!(decode(segment).as_deref(), expected, "{segment:?}");
    }

    #[test]
    fn segments() {
        check("acme", Some("acme"));
        check("a%20b", Some("a b"));
        check("a+b", Some("a+b"));
        check("%C3%85cme", Some("Åcme"));
        check("%c3%85cme", Some("Åcme"));
        check("a%2Fb", Some("a/b"));
        check("%", None);
        check("%4", None);
        check("%+4", None);
        check("%zz", None);
        check("%ff", None);
    }

    #[test]
    fn a_plus_is_a_space_in_a_query_alone() {
        assert_eq!(decode_query("a+b%2B").as_deref(), Some("a b+"));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in ".*") {
            let segment = encode(&text);
            prop_assert!(!segment.contains(['/', '?', '#', '+', ' ']));
            prop_assert_eq!(decode(&segment).unwrap(), text);
        }
    }
}
