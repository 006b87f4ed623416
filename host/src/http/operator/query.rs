//! The parameters of a query, each known by name: one that is misspelt would otherwise
//! be a filter that silently does not filter.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use hyper::StatusCode;
use tidegate_core::limits::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};

use super::super::percent;
use super::super::problem::Problem;

/// A query's parameters.
#[derive(Debug)]
pub(super) struct Query<'q> {
    parameters: Vec<(Cow<'q, str>, Cow<'q, str>)>,
}

impl<'q> Query<'q> {
    /// Reads a query of which these parameters may be there, each once. An empty one
    /// counts as not there.
    pub(super) fn read(query: Option<&'q str>, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters: Vec<(Cow<'q, str>, Cow<'q, str>)> = Vec::new();
        for part in query
            .unwrap_or_default()
            .split('&')
            .filter(|part| !part.is_empty())
        {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (Some(name), Some(value)) =
                (percent::decode_query(name), percent::decode_query(value))
            else {
                return Err(bad("its parameters have to be percent-encoded UTF-8"));
            };
            if !known.contains(&name.as_ref()) {
                return Err(unknown(&name, known));
            }
            if parameters.iter().any(|(other, _)| *other == name) {
                return Err(bad(format!("parameter {name:?} is there twice")));
            }
            if !value.is_empty() {
                parameters.push((name, value));
            }
        }
        Ok(Self { parameters })
    }

    /// A parameter's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_ref())
    }

    /// A parameter as what it stands for.
    pub(super) fn parse<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|error| bad(format!("parameter {name:?}: {error}")))
    }

    /// How many rows are asked for.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        match self.parse::<usize>("limit")? {
            None => Ok(PAGE_ROWS_DEFAULT),
            Some(limit) if (1..=PAGE_ROWS_MAX).contains(&limit) => Ok(limit),
            Some(_) => Err(bad(format!(
                "parameter \"limit\" has to be 1 to {PAGE_ROWS_MAX}"
            ))),
        }
    }

    /// Where an earlier page ended, as that page said.
    pub(super) fn cursor<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        self.text("cursor")
            .map(|text| text.parse().map_err(|_| bad_cursor("cursor")))
            .transpose()
    }
}

/// A parameter that cannot be read.
pub(super) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad-query",
        "The query cannot be read",
        detail,
    )
}

/// A cursor that no page gave.
pub(super) fn bad_cursor(name: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad-cursor",
        "The cursor cannot be read",
        format!("{name} has to be `next` of an earlier answer to the same question, unaltered"),
    )
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let name: String = name.chars().take(80).collect();
    Problem::new(
        StatusCode::BAD_REQUEST,
        "unknown-parameter",
        "A parameter is not known",
        format!("parameter {name:?} is not known: {}", nearest(&name, known)),
    )
    .with("parameter", name)
}

/// What somebody may have meant by a name that is not known.
pub(super) fn nearest(name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    match (nearest, known) {
        (Some((_, nearest)), _) => format!("did you mean {nearest:?}?"),
        (None, []) => "this takes none".to_owned(),
        (None, known) => format!("there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["connector", "cursor", "limit"];

    #[track_caller]
    fn check(query: &str, expected: &str) {
        let got = Query::read(Some(query), &KNOWN).and_then(|query| {
            let limit = query.limit()?;
            Ok(format!(
                "{} {limit}",
                query.text("connector").unwrap_or("-")
            ))
        });
        let got = got.unwrap_or_else(|problem| format!("{} {problem}", problem.slug()));
        assert!(
            got.contains(expected),
            "{query:?}: {got:?} does not say {expected:?}"
        );
    }

    #[test]
    fn parameters() {
        check("", "- 100");
        check("connector=git%20hub&limit=7", "git hub 7");
        check("connector=a+b", "a b 100");
        check("connector=&limit=", "- 100");
    }

    #[test]
    fn what_cannot_be_read_is_told_by_name() {
        check("conector=x", "unknown-parameter");
        check("conector=x", "did you mean \"connector\"?");
        check("colour=x", "there are connector, cursor, limit");
        check("limit=0", "has to be 1 to 1000");
        check("limit=many", "parameter \"limit\"");
        check("limit=1&limit=2", "is there twice");
        check("connector=%ff", "percent-encoded UTF-8");
    }
}
