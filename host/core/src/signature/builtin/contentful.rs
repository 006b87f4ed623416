//! Contentful: method, path and query, listed headers and body, a line each.
//!
//! The request lists the headers that are signed. The list has to name itself and the
//! timestamp, or a sender could leave out what it likes.

use std::fmt::Write as _;

use super::{check_age, header_text, maced_content, request_target};
use crate::signature::refusal::Refusal;
use crate::signature::request::HeaderName;
use crate::signature::template::Piece;
use crate::signature::verify::{Attempt, Proof};

const LIST: &str = "x-contentful-signed-headers";
const TIMESTAMP: &str = "x-contentful-timestamp";

/// Most headers of a list.
const NAMES_MAX: usize = 32;

pub(super) fn check(attempt: &Attempt<'_>) -> Result<Proof, Refusal> {
    let names = listed(header_text(attempt.raw, LIST)?)?;
    header_text(attempt.raw, TIMESTAMP)?;
    let mut sorted = names.clone();
    sorted.sort_unstable();
    let target = request_target(attempt.raw)?;
    // The partner's library sorts the headers and escapes the target once more, and its
    // documentation says neither. All four sign the same request.
    let escaped = escaped(target);
    let mut last = None;
    for (target, names) in [
        (escaped.as_str(), &sorted),
        (target, &sorted),
        (escaped.as_str(), &names),
        (target, &names),
    ] {
        match try_spelling(attempt, target, names) {
            Ok(proof) => {
                check_age(attempt)?;
                return Ok(proof);
            }
            Err(refusal) => last = Some(refusal),
        }
    }
    Err(last.unwrap_or_else(|| attempt.scheme.signature.missing()))
}

/// As `encodeURI` leaves the path, and as it leaves what `querystring.escape` made of the
/// query.
fn escaped(target: &str) -> String {
    let mut text = String::with_capacity(target.len());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut escape = |part: &str, plain: &[u8], mark: &str| {
        for byte in part.bytes() {
            if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
                text.push(char::from(byte));
            } else {
                // Writing to a text never fails.
                let _ = write!(text, "{mark}{byte:02X}");
            }
        }
    };
    escape(path, b";,/?:@&=+$-_.!~*'()#", "%");
    if !query.is_empty() {
        escape("?", b"?", "%");
        escape(query, b"-_.!~*'()", "%25");
    }
    text
}

/// The names of a list, which hold the list and the timestamp.
fn listed(text: &str) -> Result<Vec<HeaderName>, Refusal> {
    let names: Vec<_> = text
        .split(',')
        .take(NAMES_MAX)
        .filter_map(|name| HeaderName::parse(name.trim()).ok())
        .collect();
    for needed in [LIST, TIMESTAMP] {
        if !names.iter().any(|name| name.as_str() == needed) {
            return Err(Refusal::NotCovered {
                component: needed.to_owned(),
            });
        }
    }
    Ok(names)
}

/// The content with that target and the headers in that order.
fn try_spelling(
    attempt: &Attempt<'_>,
    target: &str,
    names: &[HeaderName],
) -> Result<Proof, Refusal> {
    let raw = attempt.raw;
    let mut head = format!("{}\n{target}\n", raw.method);
    for (index, name) in names.iter().enumerate() {
        let value = raw.header(name)?.map(|value| std::str::from_utf8(value));
        let Some(Ok(value)) = value else {
            return Err(Refusal::HeaderMissing { name: name.clone() });
        };
        let separator = if index == 0 { "" } else { ";" };
        // Writing to a text never fails.
        let _ = write!(head, "{separator}{name}:{}", value.trim());
    }
    head.push('\n');
    let pieces = [
        Piece::Bytes(head.as_bytes().into()),
        Piece::Bytes(raw.body.as_ref().into()),
    ];
    maced_content(attempt, &pieces)
}
