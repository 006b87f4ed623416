//! Requests and expectations in files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{bounds, connection, outcome_json, webhook};
use crate::{Mapper, Webhook};

const IN_SUFFIX: &str = ".in.json";

/// The environment variable that makes [`check_fixtures`] write expectations instead of
/// comparing them.
pub const WRITE_FIXTURES: &str = "TIDEGATE_WRITE_FIXTURES";

/// One request from a file, and where its expectation is.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// The file's name without `.in.json`.
    pub name: String,
    /// The request.
    pub webhook: Webhook,
    /// The `.out.json` file beside it, which may not be there yet.
    pub expectation: PathBuf,
}

/// Why fixtures could not be loaded or written.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// A folder or file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not a fixture", path.display())]
    Parse {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A folder holds no fixture, which is more likely a wrong path than a wish.
    #[error("no *.in.json in {}", path.display())]
    Empty {
        /// Which one.
        path: PathBuf,
    },
    /// An expectation could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An `.in.json` file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: Option<String>,
    headers: BTreeMap<String, String>,
    body: Box<RawValue>,
}

/// Loads every `*.in.json` of a folder, in the order of their names.
///
/// # Errors
/// Where a file cannot be read or is not a fixture, and where there is none at all.
pub fn load_fixtures(folder: impl AsRef<Path>) -> Result<Vec<Fixture>, FixtureError> {
    let folder = folder.as_ref();
    let read = |source| FixtureError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut fixtures = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let file_name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = file_name.and_then(|name| name.strip_suffix(IN_SUFFIX)) {
            fixtures.push(load(&path, name)?);
        }
    }
    if fixtures.is_empty() {
        return Err(FixtureError::Empty {
            path: folder.to_owned(),
        });
    }
    fixtures.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(fixtures)
}

fn load(path: &Path, name: &str) -> Result<Fixture, FixtureError> {
    let request: Request = read_json(path)?;
    let body = body(&request.body).map_err(|source| FixtureError::Parse {
        path: path.to_owned(),
        source,
    })?;
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut webhook = webhook(&headers, body);
    if let Some(method) = request.method {
        webhook.method = method;
    }
    Ok(Fixture {
        name: name.to_owned(),
        webhook,
        expectation: path.with_file_name(format!("{name}.out.json")),
    })
}

/// Plays every fixture of a folder at a mapping and compares with its expectation, and
/// with the bounds of the contract. A path is relative to the package, as in every test.
///
/// # Panics
/// With all differences at once.
#[track_caller]
pub fn check_fixtures<M: Mapper>(folder: impl AsRef<Path>) {
    let write = std::env::var_os(WRITE_FIXTURES).is_some_and(|value| value == "1");
    let problems = match differences::<M>(folder.as_ref(), write) {
        Ok(problems) => problems,
        Err(error) => vec![with_source(&error)],
    };
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// What differs, each in a paragraph. With `write`, expectations are made to agree.
fn differences<M: Mapper>(folder: &Path, write: bool) -> Result<Vec<String>, FixtureError> {
    let fixtures = load_fixtures(folder)?;
    let mut problems = Vec::new();
    let kinds = bounds::declared_kinds(&M::descriptor()).unwrap_or_else(|error| {
        problems.push(format!("descriptor: {error}"));
        BTreeSet::new()
    });
    let connection = connection("test");
    for Fixture {
        name,
        webhook,
        expectation,
    } in fixtures
    {
        let result = M::map_webhook(&connection, &webhook);
        for problem in bounds::broken(&result, &kinds) {
            problems.push(format!("{name}: {problem}"));
        }
        let got = outcome_json(&result);
        if write {
            let text = format!("{got:#}\n");
            fs::write(&expectation, text).map_err(|source| FixtureError::Write {
                path: expectation,
                source,
            })?;
        } else {
            let expected: Value = read_json(&expectation)?;
            if got != expected {
                problems.push(format!(
                    "{name}: expected {expected:#}\n{name}: got {got:#}"
                ));
            }
        }
    }
    Ok(problems)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, FixtureError> {
    let text = fs::read_to_string(path).map_err(|source| FixtureError::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| FixtureError::Parse {
        path: path.to_owned(),
        source,
    })
}

/// The bytes that a fixture's body stands for.
fn body(raw: &RawValue) -> Result<Vec<u8>, serde_json::Error> {
    if raw.get().starts_with('"') {
        serde_json::from_str::<String>(raw.get()).map(String::into_bytes)
    } else {
        Ok(without_white_space(raw.get()))
    }
}

/// Valid JSON without the white space between its tokens, everything else as written.
fn without_white_space(json: &str) -> Vec<u8> {
    let mut compact = Vec::with_capacity(json.len());
    let mut in_string = false;
    let mut escaped = false;
    for byte in json.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        compact.push(byte);
    }
    compact
}

/// An error and what caused it, on one line.
fn with_source(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::fs;

    use tempfile::TempDir;

    use super::{differences, load_fixtures, with_source};
    use crate::{Change, Connection, Describer, Failure, Mapper, Outcome, Webhook};

    /// Upserts a tide whose id is the body's length, unless a header says to skip.
    struct Tides;

    impl Describer for Tides {
        fn descriptor() -> Cow<'static, str> {
            r#"{"entities":[{"kind":"tide"}]}"#.into()
        }
    }

    impl Mapper for Tides {
        fn map_webhook(_: &Connection, webhook: &Webhook) -> Result<Outcome, Failure> {
            if webhook.header("skip").is_some() {
                return Ok(Outcome::skip("asked to"));
            }
            Ok(Change::upsert("tide", webhook.body.len()).into())
        }
    }

    const EXPECTED: &str = r#"{"changes":[{"kind":"tide","id":"7","operation":"upsert",
        "version":null,"occurred_at":null,"data":null}]}"#;

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_fixture_that_agrees() {
        let folder = folder(&[
            (
                "ebb.in.json",
                "{\"headers\": {}, \"body\": { \"a\" :\n 1 }}",
            ),
            ("ebb.out.json", EXPECTED),
            (
                "flow.in.json",
                r#"{"method": "PUT", "headers": {"Skip": "1"}, "body": "text"}"#,
            ),
            ("flow.out.json", r#"{"skip": "asked to"}"#),
        ]);
        assert_eq!(
            differences::<Tides>(folder.path(), false).unwrap(),
            Vec::<String>::new()
        );
        let fixtures = load_fixtures(folder.path()).unwrap();
        assert_eq!(fixtures[0].webhook.body, br#"{"a":1}"#);
        assert_eq!(fixtures[1].webhook.body, b"text");
        assert_eq!(fixtures[1].webhook.method, "PUT");
    }

    #[test]
    fn a_fixture_that_differs_is_shown_with_both_sides() {
        let folder = folder(&[
            ("ebb.in.json", r#"{"headers": {}, "body": [1]}"#),
            ("ebb.out.json", EXPECTED),
        ]);
        let problems = differences::<Tides>(folder.path(), false).unwrap();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].contains(r#""id": "7""#), "{}", problems[0]);
        assert!(problems[0].contains(r#""id": "3""#), "{}", problems[0]);
    }

    #[test]
    fn writing_makes_a_fixture_agree() {
        let folder = folder(&[("ebb.in.json", r#"{"headers": {}, "body": [1]}"#)]);
        differences::<Tides>(folder.path(), true).unwrap();
        assert_eq!(
            differences::<Tides>(folder.path(), false).unwrap(),
            Vec::<String>::new()
        );
    }

    #[track_caller]
    fn check_error(files: &[(&str, &str)], fragment: &str) {
        let folder = folder(files);
        let error = differences::<Tides>(folder.path(), false).unwrap_err();
        let text = with_source(&error);
        assert!(text.contains(fragment), "{text}");
    }

    #[test]
    fn what_is_wrong_with_a_folder_is_named() {
        check_error(&[], "no *.in.json in");
        check_error(&[("a.in.json", "{")], "a.in.json is not a fixture: EOF");
        check_error(
            &[("a.in.json", r#"{"headers":{},"body":{},"bodi":1}"#)],
            "unknown field `bodi`",
        );
        check_error(
            &[("a.in.json", r#"{"headers":{},"body":{}}"#)],
            "a.out.json: No such file",
        );
    }

    #[test]
    fn white_space_inside_strings_stays() {
        let json = "{ \"a\\\" b\" : [ 1 , \"\\\\\" ] }";
        assert_eq!(
            super::without_white_space(json),
            b"{\"a\\\" b\":[1,\"\\\\\"]}"
        );
    }
}
