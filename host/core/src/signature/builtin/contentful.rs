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
    let proof = try_order(attempt, &names).or_else(|_| try_order(attempt, &sorted))?;
    check_age(attempt)?;
    Ok(proof)
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

/// The content with its headers in that order: the partner's library sorts them, and its
/// documentation does not say so.
fn try_order(attempt: &Attempt<'_>, names: &[HeaderName]) -> Result<Proof, Refusal> {
    let raw = attempt.raw;
    let mut head = format!("{}\n{}\n", raw.method, request_target(raw)?);
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
