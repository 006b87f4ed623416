//! Reading JSON documents strictly: descriptors, schemes, grants.
//!
//! A reader collects every problem of a document instead of stopping at the first:
//! each with a JSON pointer to the place and what to do about it. Unknown keys are
//! problems that name the nearest known key. Nothing here knows what a document
//! means.
//!
//! Invariant of the readers in this crate: whoever answers `None` has reported a
//! problem or was asked for a part that may be absent. A document without a problem is
//! therefore whole.

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer (RFC 6901) to the place; empty for the document itself.
    pub pointer: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.pointer, self.message)
        }
    }
}

/// Everything that is wrong with a document; at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// Problems reported of one document; the rest is counted only.
const PROBLEMS_MAX: usize = 64;

impl Problems {
    /// A document with that one problem.
    pub fn one(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Problem {
            pointer: pointer.into(),
            message: message.into(),
        }])
    }

    /// The problems in the order in which they were met.
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The known word that `word` was most likely meant to be.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // A third of the letters wrong is still a slip; more is another word, unless it was
    // left unfinished.
    let slips_max = (word.chars().count() / 3).max(1);
    let unfinished = |candidate: &str| word.len() >= 3 && candidate.starts_with(word);
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(slips, candidate)| *slips <= slips_max || unfinished(candidate))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Collects the problems of one document.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<Problem>,
}

impl Report {
    /// Notes a problem.
    pub(crate) fn problem(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem {
                pointer: pointer.into(),
                message: message.into(),
            });
        }
    }

    /// Notes that `word` is none of `known`, and which of them was likely meant.
    pub(crate) fn unknown(
        &mut self,
        pointer: impl Into<String>,
        what: &str,
        word: &str,
        known: &[&str],
    ) {
        let hint = match nearest(word, known.iter().copied()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("known: {}", known.join(", ")),
        };
        self.problem(
            pointer,
            format!("unknown {what} {:?}; {hint}", shortened(word)),
        );
    }

    /// `value`, unless something was wrong.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Problems> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => {
                if self.problems.is_empty() {
                    self.problem("", "is incomplete");
                }
                Err(Problems(self.problems))
            }
        }
    }
}

/// A JSON object whose keys were checked, and where it stands in its document.
#[derive(Debug, Clone)]
pub(crate) struct Object<'a> {
    at: String,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// Reads an object that may have `known` keys and no others.
    pub(crate) fn read(
        value: &'a Value,
        at: &str,
        known: &[&str],
        report: &mut Report,
    ) -> Option<Self> {
        let object = Self::read_any(value, at, report)?;
        object.check_keys(known, report);
        Some(object)
    }

    /// Reads an object whose known keys depend on what stands in it; the caller checks
    /// them with [`Self::check_keys`].
    pub(crate) fn read_any(value: &'a Value, at: &str, report: &mut Report) -> Option<Self> {
        let Value::Object(map) = value else {
            report.problem(
                at,
                format!("is {}, and has to be an object", kind_of(value)),
            );
            return None;
        };
        Some(Self {
            at: at.to_owned(),
            map,
        })
    }

    /// Reports each key that is not known.
    pub(crate) fn check_keys(&self, known: &[&str], report: &mut Report) {
        for key in self.map.keys().filter(|key| !known.contains(&key.as_str())) {
            report.unknown(self.at(key), "key", key, known);
        }
    }

    /// Pointer to the member `key`.
    pub(crate) fn at(&self, key: &str) -> String {
        format!("{}/{}", self.at, key.replace('~', "~0").replace('/', "~1"))
    }

    /// Pointer to the object itself.
    pub(crate) fn place(&self) -> &str {
        &self.at
    }

    /// The member `key` as it stands; null counts as present.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key)
    }

    /// The member `key`; its absence is a problem.
    pub(crate) fn required(&self, key: &str, report: &mut Report) -> Option<&'a Value> {
        let value = self.map.get(key);
        if value.is_none() {
            report.problem(&self.at, format!("key {key:?} is missing"));
        }
        value
    }

    /// A text of 1 to `bytes_max` bytes that has to be there.
    pub(crate) fn required_text(
        &self,
        key: &str,
        bytes_max: usize,
        report: &mut Report,
    ) -> Option<&'a str> {
        self.required(key, report)?;
        self.text(key, bytes_max, report)
    }

    /// A text of 1 to `bytes_max` bytes that may be absent.
    pub(crate) fn text(&self, key: &str, bytes_max: usize, report: &mut Report) -> Option<&'a str> {
        let value = self.map.get(key)?;
        let Value::String(text) = value else {
            report.problem(
                self.at(key),
                format!("is {}, and has to be a text", kind_of(value)),
            );
            return None;
        };
        if text.is_empty() || text.len() > bytes_max {
            let message = format!("has {} bytes, and has to have 1 to {bytes_max}", text.len());
            report.problem(self.at(key), message);
            return None;
        }
        Some(text)
    }

    /// True or false, if it is there.
    pub(crate) fn boolean(&self, key: &str, report: &mut Report) -> Option<bool> {
        let value = self.map.get(key)?;
        if value.as_bool().is_none() {
            let message = format!("is {}, and has to be true or false", kind_of(value));
            report.problem(self.at(key), message);
        }
        value.as_bool()
    }

    /// A whole number within `range`, if it is there.
    pub(crate) fn number(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        report: &mut Report,
    ) -> Option<u64> {
        let value = self.map.get(key)?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = (range.start(), range.end());
            report.problem(
                self.at(key),
                format!("has to be a whole number from {low} to {high}"),
            );
        }
        number
    }

    /// The elements of a list of at most `length_max`, each with its pointer; empty
    /// where the key is absent.
    pub(crate) fn list(
        &self,
        key: &str,
        length_max: usize,
        report: &mut Report,
    ) -> Vec<(String, &'a Value)> {
        let Some(value) = self.map.get(key) else {
            return Vec::new();
        };
        let at = self.at(key);
        let Value::Array(elements) = value else {
            report.problem(at, format!("is {}, and has to be a list", kind_of(value)));
            return Vec::new();
        };
        if elements.len() > length_max {
            report.problem(
                at,
                format!("has {} elements; at most {length_max}", elements.len()),
            );
            return Vec::new();
        }
        elements
            .iter()
            .enumerate()
            .map(|(i, element)| (format!("{at}/{i}"), element))
            .collect()
    }
}

/// `value` as a text; anything else is a problem.
pub(crate) fn as_text<'a>(value: &'a Value, at: &str, report: &mut Report) -> Option<&'a str> {
    if !value.is_string() {
        report.problem(at, format!("is {}, and has to be a text", kind_of(value)));
    }
    value.as_str()
}

/// The start of a text that came from outside, for a message.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_nearest(word: &str, expected: Option<&str>) {
        assert_eq!(
            nearest(word, ["event_id", "scheme", "hosts"]),
            expected,
            "{word}"
        );
    }

    #[test]
    fn a_slip_finds_its_word_and_another_word_does_not() {
        check_nearest("eventid", Some("event_id"));
        check_nearest("shceme", Some("scheme"));
        check_nearest("host", Some("hosts"));
        check_nearest("event", Some("event_id"));
        check_nearest("credentials", None);
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        let value = serde_json::json!({"a": 1, "b~/c": true, "n": 11});
        let mut report = Report::default();
        let object = Object::read(&value, "/top", &["a", "n", "t"], &mut report).unwrap();
        object.text("a", 8, &mut report);
        object.number("n", 1..=10, &mut report);
        object.required("t", &mut report);
        let problems = report.finish(Some(())).unwrap_err();
        let pointers: Vec<_> = problems
            .as_slice()
            .iter()
            .map(|p| p.pointer.as_str())
            .collect();
        assert_eq!(pointers, ["/top/b~0~1c", "/top/a", "/top/n", "/top"]);
    }
}
