//! The text of an answer: a template with `{challenge}` and `{mac}` in it.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::Reply;
use crate::signature::config::SchemeConfig;

/// Longest challenge that is answered, in bytes; the longest known has some 200.
const CHALLENGE_BYTES_MAX: usize = 1_024;

/// How an answer's body is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Plain text.
    Text(String),
    /// A JSON document of texts and other values.
    Json(Value),
}

/// What is filled into an answer.
#[derive(Clone, Copy)]
pub(super) struct Filling<'a> {
    pub(super) challenge: &'a str,
    /// In hex; empty where the answer has none.
    pub(super) mac: &'a str,
    /// Values of the connection's configuration.
    pub(super) config: &'a SchemeConfig,
}

/// Whether a challenge is one: of some length, bounded, without control characters.
pub(super) fn is_challenge(text: &str) -> bool {
    (1..=CHALLENGE_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl Answer {
    /// The challenge as it came.
    pub(super) fn echo() -> Self {
        Self::Text("{challenge}".into())
    }

    /// The reply; None where a value of the configuration is missing.
    pub(super) fn fill(&self, filling: Filling<'_>) -> Option<Reply> {
        let (content_type, body) = match self {
            Self::Text(text) => ("text/plain", fill(text, filling)?),
            Self::Json(value) => ("application/json", fill_json(value, filling)?.to_string()),
        };
        Some(Reply {
            status: 200,
            headers: [
                ("content-type", content_type),
                ("x-content-type-options", "nosniff"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            body: Bytes::from(body),
        })
    }

    /// The texts in it.
    pub(super) fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::Json(value) => texts_of(value),
        }
    }
}

fn texts_of(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Object(members) => members.values().flat_map(texts_of).collect(),
        _ => Vec::new(),
    }
}

/// Whether every variable of an answer's text is known.
pub(super) fn is_answer(text: &str) -> bool {
    let mut variables = text.split('{').skip(1);
    variables.all(|rest| match rest.split_once('}') {
        Some(("challenge" | "mac", _)) => true,
        Some((name, _)) => name.strip_prefix("config:").is_some_and(|n| !n.is_empty()),
        None => false,
    })
}

/// What is filled in is not looked at again: a challenge with braces stays as it is.
fn fill(text: &str, filling: Filling<'_>) -> Option<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        filled.push_str(literal);
        match name {
            "challenge" => filled.push_str(filling.challenge),
            "mac" => filled.push_str(filling.mac),
            _ => filled.push_str(filling.config.get(name.strip_prefix("config:")?)?),
        }
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

fn fill_json(value: &Value, filling: Filling<'_>) -> Option<Value> {
    Some(match value {
        Value::String(text) => Value::String(fill(text, filling)?),
        Value::Object(members) => {
            let mut filled = Map::new();
            for (key, member) in members {
                filled.insert(key.clone(), fill_json(member, filling)?);
            }
            Value::Object(filled)
        }
        other => other.clone(),
    })
}

impl Reply {
    /// An answer without a body.
    pub(super) const fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(super) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}
