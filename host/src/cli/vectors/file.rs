//! A file of test vectors: descriptions of schemes, requests with the verdict that each has
//! to get, and handshakes with the answer that their sender needs.
//!
//! What is read is checked for its form only. A file is somebody's claim; where it is not what
//! it should be, the error names the case.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};
use tidegate_core::signature::RawRequest;
use tidegate_core::time::Timestamp;

use super::super::error::CliError;
use super::super::verify::path_and_query;
use crate::config::read_bounded;

/// Largest file.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What a file holds.
pub(super) struct VectorFile {
    /// Descriptions by partner.
    pub(super) schemes: Map<String, Value>,
    pub(super) cases: Vec<Case>,
    pub(super) handshakes: Vec<HandshakeCase>,
}

/// A request, and with what it is verified.
pub(super) struct Asked {
    pub(super) partner: String,
    pub(super) name: String,
    pub(super) request: RawRequest,
    /// Texts of secrets and of public keys, newest first.
    pub(super) keys: Vec<String>,
    /// What the connection is configured with besides.
    pub(super) config: Map<String, Value>,
    pub(super) now: Timestamp,
    pub(super) tolerance_s: Option<u64>,
}

/// A request with its verdict.
pub(super) struct Case {
    pub(super) asked: Asked,
    /// Whether a verifier has to agree.
    pub(super) binding: bool,
    pub(super) accept: bool,
    pub(super) event_id: ExpectedId,
}

/// What a file says of the first event's id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExpectedId {
    /// Nothing.
    Unsaid,
    /// That the partner sends none.
    None,
    /// That it is this.
    Is(String),
}

impl ExpectedId {
    /// The id, where it names one.
    pub(super) fn named(&self) -> Option<&String> {
        match self {
            Self::Is(id) => Some(id),
            Self::Unsaid | Self::None => None,
        }
    }
}

/// A handshake with its answer.
pub(super) struct HandshakeCase {
    pub(super) asked: Asked,
    pub(super) expected: Map<String, Value>,
    pub(super) event_delivered: Option<bool>,
    /// The secret that has to be kept.
    pub(super) stores: Option<String>,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
struct NotVectors {
    place: String,
    what: String,
}

impl VectorFile {
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let bytes = read_bounded(path, FILE_BYTES_MAX).map_err(|source| CliError::Read {
            path: path.to_owned(),
            source,
        })?;
        let not = |source| CliError::NotWhatItShouldBe {
            path: path.to_owned(),
            what: "a file of test vectors",
            source,
        };
        let document: Value =
            serde_json::from_slice(&bytes).map_err(|error| not(Box::new(error)))?;
        Self::parse(&document).map_err(|error| not(Box::new(error)))
    }

    fn parse(document: &Value) -> Result<Self, NotVectors> {
        let list = |key: &str| {
            let list = document.get(key).and_then(Value::as_array);
            list.map_or(&[][..], Vec::as_slice).iter().enumerate()
        };
        let schemes = document.get("schemes").and_then(Value::as_object);
        let file = Self {
            schemes: schemes.cloned().unwrap_or_default(),
            cases: list("vectors")
                .map(|(index, value)| Case::read(value, &format!("vectors[{index}]")))
                .collect::<Result<_, _>>()?,
            handshakes: list("handshakes")
                .map(|(index, value)| HandshakeCase::read(value, &format!("handshakes[{index}]")))
                .collect::<Result<_, _>>()?,
        };
        if file.cases.is_empty() && file.handshakes.is_empty() {
            return Err(NotVectors {
                place: "the document".into(),
                what: "has neither \"vectors\" nor \"handshakes\"".into(),
            });
        }
        Ok(file)
    }
}

impl Case {
    fn read(value: &Value, place: &str) -> Result<Self, NotVectors> {
        let asked = Asked::read(value, place)?;
        let accept = match value.get("expected").and_then(Value::as_str) {
            Some("accept") => true,
            Some("reject") => false,
            _ => {
                return Err(wrong(
                    &asked.name,
                    "\"expected\" has to be \"accept\" or \"reject\"",
                ));
            }
        };
        Ok(Self {
            binding: value.get("binding").and_then(Value::as_str) != Some("advisory"),
            accept,
            event_id: match value.get("event_id_expected").map(text_of) {
                None => ExpectedId::Unsaid,
                Some(None) => ExpectedId::None,
                Some(Some(id)) => ExpectedId::Is(id),
            },
            asked,
        })
    }
}

impl HandshakeCase {
    fn read(value: &Value, place: &str) -> Result<Self, NotVectors> {
        let asked = Asked::read(value, place)?;
        let expected = value.get("expected_response").and_then(Value::as_object);
        let Some(expected) = expected.cloned() else {
            return Err(wrong(&asked.name, "lacks \"expected_response\""));
        };
        Ok(Self {
            expected,
            event_delivered: value.get("event_delivered").and_then(Value::as_bool),
            stores: value.pointer("/stores/secret").and_then(text_of),
            asked,
        })
    }
}

impl Asked {
    fn read(value: &Value, place: &str) -> Result<Self, NotVectors> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let name = text("name").unwrap_or(place).to_owned();
        let partner = text("partner").ok_or_else(|| wrong(&name, "lacks \"partner\""))?;
        let config = value.get("config").and_then(Value::as_object);
        let config = config.cloned().unwrap_or_default();
        let keys = ["secrets", "public_keys"]
            .into_iter()
            .flat_map(|kind| [value.get(kind), config.get(kind)])
            .flatten()
            .filter_map(Value::as_array)
            .flatten();
        let now = value.get("now").and_then(seconds);
        Ok(Self {
            partner: partner.to_owned(),
            request: request(value).map_err(|what| wrong(&name, &what))?,
            keys: keys.filter_map(key_text).collect(),
            now: now.ok_or_else(|| wrong(&name, "lacks \"now\", in seconds"))?,
            tolerance_s: value.get("tolerance_s").and_then(Value::as_u64),
            config,
            name,
        })
    }
}

fn wrong(place: &str, what: &str) -> NotVectors {
    NotVectors {
        place: place.to_owned(),
        what: what.to_owned(),
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The text of a secret, or of a public key: in `key`, where a format stands beside it.
fn key_text(value: &Value) -> Option<String> {
    text_of(value.get("key").unwrap_or(value))
}

fn seconds(value: &Value) -> Option<Timestamp> {
    match value.as_i64() {
        Some(seconds) => Some(Timestamp::from_secs(seconds)),
        None => value.as_str().and_then(|text| text.parse().ok()),
    }
}

fn request(value: &Value) -> Result<RawRequest, String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let url = text("url").ok_or("lacks \"url\"")?;
    let (path, query) = path_and_query(url);
    let headers = value.get("headers").and_then(Value::as_array);
    let header = |pair: &Value| {
        let (name, value) = (pair.get(0)?.as_str()?, pair.get(1)?.as_str()?);
        // As they come from a connection: without white space around them.
        let value = Bytes::copy_from_slice(value.trim_matches([' ', '\t']).as_bytes());
        Some((name.to_ascii_lowercase(), value))
    };
    let headers = headers.into_iter().flatten();
    let headers = headers
        .map(|pair| header(pair).ok_or("\"headers\" has to be a list of [name, value]"))
        .collect::<Result<_, _>>()?;
    let body = text("body_base64").unwrap_or_default();
    let body = STANDARD
        .decode(body)
        .map_err(|error| format!("\"body_base64\" is not base64: {error}"))?;
    Ok(RawRequest {
        method: text("method").unwrap_or("POST").to_ascii_uppercase(),
        url: Some(url.to_owned()),
        path,
        query,
        headers,
        body: body.into(),
    })
}
