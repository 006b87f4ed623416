//! What is wrong with a configuration, and where.
//!
//! A problem names its line, its key and the fix, so that a person can mend the file
//! without looking anything up. No text here holds a secret: values are repeated only
//! where the key says that they cannot be one.

use std::fmt;
use std::path::{Path, PathBuf};

/// Problems kept of one file; the rest is counted only.
const PROBLEMS_MAX: usize = 200;

/// One thing that is wrong, or worth knowing, with the place where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file as it was named.
    pub(crate) file: PathBuf,
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column in characters, from 1.
    pub(crate) column: usize,
    /// The whole key, like `policy.retry.schedule`; empty where the text is not TOML.
    pub(crate) key: String,
    /// What is wrong, and what would be right.
    pub(crate) text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            text,
            ..
        } = self;
        write!(f, "{}:{line}:{column}: {text}", file.display())
    }
}

/// Everything that is wrong with a file, in the order of its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems {
    listed: Vec<Problem>,
    unlisted: usize,
}

impl Problems {
    /// The problems, at most [`PROBLEMS_MAX`] of them.
    pub(crate) fn as_slice(&self) -> &[Problem] {
        &self.listed
    }

    /// How many more there are.
    pub(crate) const fn unlisted(&self) -> usize {
        self.unlisted
    }

    fn push(&mut self, problem: Problem) {
        if self.listed.len() < PROBLEMS_MAX {
            self.listed.push(problem);
        } else {
            self.unlisted += 1;
        }
    }

    fn sort(&mut self) {
        self.listed
            .sort_by_key(|problem| (problem.line, problem.column));
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.listed.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        if self.unlisted > 0 {
            write!(f, "\n… and {} more", self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A place in the text: the byte at which something begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct At(usize);

impl At {
    /// The beginning of a span, if the parser kept one.
    pub(super) fn start_of(span: Option<std::ops::Range<usize>>) -> Option<Self> {
        span.map(|span| Self(span.start))
    }
}

/// Collects what is found in one file.
pub(super) struct Report<'t> {
    file: &'t Path,
    text: &'t str,
    /// Byte offset at which each line begins.
    lines: Vec<usize>,
    problems: Problems,
    warnings: Problems,
}

impl<'t> Report<'t> {
    pub(super) fn new(file: &'t Path, text: &'t str) -> Self {
        let breaks = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        Self {
            file,
            text,
            lines: std::iter::once(0).chain(breaks).collect(),
            problems: Problems::default(),
            warnings: Problems::default(),
        }
    }

    /// Notes that the value of `key` is not right.
    pub(super) fn problem(&mut self, at: At, key: &str, message: impl fmt::Display) {
        let problem = self.locate(at, key, format!("{key}: {message}"));
        self.problems.push(problem);
    }

    /// Notes a problem whose text says itself what it is about.
    pub(super) fn problem_as_is(&mut self, at: At, key: &str, text: String) {
        let problem = self.locate(at, key, text);
        self.problems.push(problem);
    }

    /// Notes something that works and is probably not what was meant.
    pub(super) fn warning(&mut self, at: At, key: &str, message: impl fmt::Display) {
        let warning = self.locate(at, key, format!("{key}: {message}"));
        self.warnings.push(warning);
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.listed.is_empty()
    }

    /// The warnings, unless there are problems.
    pub(super) fn finish(mut self) -> Result<Vec<Problem>, Problems> {
        self.problems.sort();
        self.warnings.sort();
        if self.has_problems() {
            Err(self.problems)
        } else {
            Ok(self.warnings.listed)
        }
    }

    fn locate(&self, at: At, key: &str, text: String) -> Problem {
        let line = self.lines.partition_point(|start| *start <= at.0).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..at.0).unwrap_or("");
        Problem {
            file: self.file.to_owned(),
            line,
            column: before.chars().count() + 1,
            key: key.to_owned(),
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, at: usize, line: usize, column: usize) {
        let mut report = Report::new(Path::new("t.toml"), text);
        report.problem(At(at), "k", "is bad");
        let problems = report.finish().unwrap_err();
        let found = &problems.as_slice()[0];
        assert_eq!(
            (found.line, found.column),
            (line, column),
            "{text:?} at {at}"
        );
    }

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        check("", 0, 1, 1);
        check("a\nbc", 0, 1, 1);
        check("a\nbc", 3, 2, 2);
        check("ä = 1\n", 3, 1, 3);
        check("a\n", 2, 2, 1);
        check("a", 99, 1, 1);
    }

    #[test]
    fn a_flood_of_problems_is_counted() {
        let mut report = Report::new(Path::new("t.toml"), "");
        for _ in 0..PROBLEMS_MAX + 3 {
            report.problem(At::default(), "k", "is bad");
        }
        let problems = report.finish().unwrap_err();
        assert_eq!(
            (problems.as_slice().len(), problems.unlisted()),
            (PROBLEMS_MAX, 3)
        );
        assert!(problems.to_string().ends_with("… and 3 more"));
    }
}
