//! The form fields that Twilio-like schemes sign.
//!
//! Each field as name and value without anything between them, sorted by name; the
//! values of a repeated name sorted and each taken once. Fields are decoded as
//! `application/x-www-form-urlencoded`. Nothing here fails: what is not well formed is
//! taken as it stands, and the signature then decides.

use std::collections::{BTreeMap, BTreeSet};

/// Name and value of each field of `body` in the order in which they are signed.
pub(super) fn sorted_concat(body: &[u8]) -> Vec<u8> {
    let mut fields: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for field in body.split(|b| *b == b'&').filter(|field| !field.is_empty()) {
        let (name, value) = match field.iter().position(|b| *b == b'=') {
            Some(at) => {
                let (name, value) = field.split_at(at);
                (name, value.get(1..).unwrap_or(&[]))
            }
            None => (field, [].as_slice()),
        };
        fields
            .entry(decode(name))
            .or_default()
            .insert(decode(value));
    }
    let mut content = Vec::with_capacity(body.len());
    for (name, values) in &fields {
        for value in values {
            content.extend_from_slice(name);
            content.extend_from_slice(value);
        }
    }
    content
}

fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match (byte, escaped) {
            (_, Some((high, low))) => {
                decoded.push(high << 4 | low);
                rest = after.get(2..).unwrap_or(&[]);
            }
            (b'+', None) => decoded.push(b' '),
            (other, None) => decoded.push(*other),
        }
    }
    decoded
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &str) {
        assert_eq!(
            String::from_utf8_lossy(&sorted_concat(body.as_bytes())),
            expected,
            "{body}"
        );
    }

    #[test]
    fn fields_are_decoded_sorted_and_joined() {
        check("b=2&a=1", "a1b2");
        check("a=%2B1+x&e=", "a+1 xe");
        check("a=2&a=1&a=2", "a1a2");
        check("flag&a=b=c", "ab=cflag");
        check("a=%4&b=%zz&c=%", "a%4b%zzc%");
        check("", "");
        check("&&", "");
    }
}
