//! The form fields that Twilio-like schemes sign.
//!
//! Each field as name and value without anything between them, sorted by name; the
//! values of a repeated name sorted and each taken once. Fields are decoded as
//! `application/x-www-form-urlencoded`. Nothing here fails: what is not well formed is
//! taken as it stands, and the signature then decides.

use std::collections::{BTreeMap, BTreeSet};

use super::request::RawRequest;

/// Name and value of each field of `body` in the order in which they are signed.
pub(super) fn sorted_concat(body: &[u8]) -> Vec<u8> {
    let mut sorted: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for (name, value) in fields(body) {
        sorted.entry(name).or_default().insert(value);
    }
    let mut content = Vec::with_capacity(body.len());
    for (name, values) in &sorted {
        for value in values {
            content.extend_from_slice(name);
            content.extend_from_slice(value);
        }
    }
    content
}

/// Name and value of each field in order, decoded.
pub(super) fn fields(form: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    form.split(|b| *b == b'&')
        .filter(|field| !field.is_empty())
        .map(|field| {
            let mut halves = field.splitn(2, |b| *b == b'=');
            let name = halves.next().unwrap_or_default();
            (decode(name), decode(halves.next().unwrap_or_default()))
        })
}

/// Two values where one is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doubled;

/// The decoded value of the one field of that name.
pub(super) fn only_value(fields: &[u8], name: &str) -> Result<Option<Vec<u8>>, Doubled> {
    let mut values = self::fields(fields)
        .filter(|(found, _)| found == name.as_bytes())
        .map(|(_, value)| value);
    let first = values.next();
    if values.next().is_some() {
        Err(Doubled)
    } else {
        Ok(first)
    }
}

/// Whether a request says that its body is a form.
pub(super) fn is_form(raw: &RawRequest) -> bool {
    raw.headers.iter().any(|(name, value)| {
        let media_type = value.split(|b| *b == b';').next().unwrap_or_default();
        name == "content-type"
            && media_type
                .trim_ascii()
                .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
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
