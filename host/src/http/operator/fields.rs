//! The members of a request's JSON body, each known by name: one that is misspelt would
//! otherwise be a filter that silently does not filter.
//!
//! A body is bounded in bytes and in time. None at all stands for an object without
//! members; `null` stands for a member that is not there. An empty text does not: it is
//! refused where it means nothing, since what was meant to narrow must not widen.

use std::fmt::{self, Display};
use std::str::FromStr;

use axum::body::Body;
use hyper::StatusCode;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use tidegate_core::limits::REQUEST_READ_TIMEOUT;

use super::super::problem::{self, Problem};
use super::query::nearest;

/// Largest body of a request.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 1_000;

/// A body's members.
#[derive(Debug)]
pub(super) struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Reads a body of which these members may be there, each once.
    pub(super) async fn read(body: Body, known: &[&str]) -> Result<Self, Problem> {
        let reading = axum::body::to_bytes(body, BODY_BYTES_MAX);
        match tokio::time::timeout(REQUEST_READ_TIMEOUT, reading).await {
            Ok(Ok(bytes)) => Self::parse(&bytes, known),
            Ok(Err(error)) => Err(unread(&error)),
            Err(_) => Err(problem::too_slow("body", REQUEST_READ_TIMEOUT.as_secs())),
        }
    }

    fn parse(bytes: &[u8], known: &[&str]) -> Result<Self, Problem> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self(Vec::new()));
        }
        let Self(mut members) =
            serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        for (place, (name, _)) in members.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(unknown(name, known));
            }
            if members.iter().take(place).any(|(other, _)| other == name) {
                return Err(bad(format!("member {name:?} is there twice")));
            }
        }
        members.retain(|(_, value)| !value.is_null());
        Ok(Self(members))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value)
    }

    /// A member's text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let text = value.as_str();
        text.map(Some)
            .ok_or_else(|| bad(format!("member {name:?} has to be a text")))
    }

    /// A member's text as what it stands for.
    pub(super) fn parse_text<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|error| bad(format!("member {name:?}: {error}")))
    }

    /// Whether a member says so; no where it is not there.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(bad(format!("member {name:?} has to be true or false"))),
        }
    }

    /// Why a person does it, where they say so.
    pub(super) fn reason(&self) -> Result<Option<&str>, Problem> {
        match self.text("reason")?.map(str::trim) {
            None => Ok(None),
            Some(reason) if (1..=REASON_CHARS_MAX).contains(&reason.chars().count()) => {
                Ok(Some(reason))
            }
            Some(_) => Err(bad(format!(
                "member \"reason\" has to have 1 to {REASON_CHARS_MAX} characters"
            ))),
        }
    }

    /// Why a person does it, where that has to be said.
    pub(super) fn given_reason(&self) -> Result<&str, Problem> {
        let missing = || bad("member \"reason\" is missing: say why, it stands in the audit log");
        self.reason()?.ok_or_else(missing)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Fields(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A body that cannot be read.
pub(super) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad-body",
        "The body cannot be read",
        detail,
    )
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let name: String = name.chars().take(80).collect();
    Problem::new(
        StatusCode::BAD_REQUEST,
        "unknown-member",
        "A member of the body is not known",
        format!("member {name:?} is not known: {}", nearest(&name, known)),
    )
    .with("member", name)
}

fn unread(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "The body is too large",
                format!("at most {BODY_BYTES_MAX} bytes are taken"),
            );
        }
        cause = error.source();
    }
    problem::bad_framing("the body broke off before its end")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["connection", "forced", "reason", "with"];

    #[track_caller]
    fn check(body: &str, expected: &str) {
        let got = Fields::parse(body.as_bytes(), &KNOWN).and_then(|fields| {
            let (text, forced) = (fields.text("connection")?, fields.flag("forced")?);
            Ok(format!("{text:?} {forced} {:?}", fields.reason()?))
        });
        let got = got.unwrap_or_else(|problem| format!("{} {problem}", problem.slug()));
        assert!(
            got.contains(expected),
            "{body:?}: {got:?} does not say {expected:?}"
        );
    }

    #[test]
    fn members() {
        check("", "None false None");
        check(" {} ", "None false None");
        check(
            "{\"connection\": null, \"forced\": null}",
            "None false None",
        );
        check(
            "{\"connection\":\"a/b\",\"forced\":true,\"reason\":\" mended \"}",
            "Some(\"a/b\") true Some(\"mended\")",
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_by_name() {
        check("{\"conection\":\"a\"}", "did you mean \"connection\"?");
        check(
            "{\"colour\":1}",
            "there are connection, forced, reason, with",
        );
        check("{\"with\":1,\"with\":1}", "member \"with\" is there twice");
        check(
            "{\"connection\":7}",
            "member \"connection\" has to be a text",
        );
        check("{\"forced\":\"yes\"}", "has to be true or false");
        check("{\"reason\":\"  \"}", "1 to 1000 characters");
        check("[]", "a JSON object");
        check("{\"with\":", "bad-body");
        let long = format!("{{\"reason\":\"{}\"}}", "å".repeat(1_001));
        check(&long, "1 to 1000 characters");
    }
}
