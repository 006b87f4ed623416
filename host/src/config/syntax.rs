//! From text to a TOML document, past lines that are not TOML.
//!
//! The parser stops at its first error. So that a file with several mistakes is mended
//! in one go, a line `key = value` that it stumbles over is reported, blanked out (its
//! bytes become spaces, so that every place stays what it was) and the rest is parsed
//! again. Any other broken line, like a header, decides what the lines below it mean;
//! reading ends there.

use std::ops::Range;

use toml_edit::{Document, TomlError};

use super::problem::{At, Report};

/// Broken lines that are passed over in one file.
const BROKEN_LINES_MAX: usize = 20;

/// The document, or none where too little of it can be understood. Each line that was
/// left out has been reported.
pub(super) fn parse(text: &str, report: &mut Report<'_>) -> Option<Document<String>> {
    let mut text = text.to_owned();
    for _ in 0..=BROKEN_LINES_MAX {
        let error = match Document::parse(text.clone()) {
            Ok(document) => return Some(document),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let line = line_around(&text, span.start);
        let hint = hint(text.get(line.clone()).unwrap_or(""));
        let at = At::start_of(Some(span)).unwrap_or_default();
        report.problem_as_is(at, "", format!("is not TOML: {}{hint}", describe(&error)));
        if !is_key_and_value(text.get(line.clone())?) {
            return None;
        }
        let blank = " ".repeat(line.len());
        text.replace_range(line, &blank);
    }
    None
}

/// The parser's words. They name what was expected and nothing that stands in the file.
fn describe(error: &TomlError) -> String {
    error.message().lines().collect::<Vec<_>>().join(", ")
}

fn hint(line: &str) -> &'static str {
    let line = line.trim_start();
    if line.starts_with("[connections.") && line.contains('/') {
        return "; put the connection's name in quotes: [connections.\"connector/account\"]";
    }
    if line.contains("env:") || line.contains("file:") {
        return "; a reference stands in quotes: \"env:NAME\"";
    }
    ""
}

/// The line that holds the byte at `at`, without its line break.
fn line_around(text: &str, at: usize) -> Range<usize> {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = text
        .get(start..)
        .and_then(|rest| rest.find('\n'))
        .map_or(text.len(), |at| start + at);
    start..end
}

/// Whether the line says one thing and ends with it.
fn is_key_and_value(line: &str) -> bool {
    let Some((key, value)) = line.split_once('=') else {
        return false;
    };
    let opens =
        |open: char, close: char| value.matches(open).count() != value.matches(close).count();
    !key.trim().is_empty()
        && !key.trim_start().starts_with(['[', '{', '"', '\'', '#'])
        && !opens('[', ']')
        && !opens('{', '}')
        && !value.contains("\"\"\"")
        && !value.contains("'''")
}
