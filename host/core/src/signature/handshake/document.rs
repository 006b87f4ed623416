//! The document form of a [`Handshake`], read and written.
//!
//! What is written is canonical: equal handshakes give equal documents, so that a grant
//! pins every part of one and not only its kind.

use serde_json::{Map, Value, json};

use super::answer::{Answer, is_answer};
use super::{Action, Condition, Expected, Guard, Handshake, HandshakeKind, MacGuard};
use crate::document::{Object, Problems, Report, as_text};
use crate::signature::scheme_json::TEXT_BYTES_MAX;
use crate::signature::source::Source;

/// Keys of every handshake.
const COMMON_KEYS: [&str; 3] = ["kind", "method", "when"];

/// Keys of a handshake of any kind.
#[cfg(test)]
pub(crate) const KEYS: [&str; 13] = [
    "answer",
    "challenge",
    "echo",
    "field",
    "guard",
    "hosts",
    "kind",
    "method",
    "origins",
    "rate",
    "secret",
    "url",
    "when",
];
/// Most conditions of a handshake.
const CONDITIONS_MAX: usize = 4;
/// Most hosts or origins of a handshake.
const NAMES_MAX: usize = 16;
/// The methods of handshakes.
pub(crate) const METHODS: [&str; 5] = ["GET", "HEAD", "OPTIONS", "POST", "PUT"];
/// Highest rate that is allowed to an origin, in requests a minute.
const RATE_MAX: u64 = 1_000_000;

impl Handshake {
    /// Reads one that stands alone.
    pub fn parse(document: &Value) -> Result<Self, Problems> {
        let mut report = Report::default();
        let handshake = Self::read(document, "", &mut report);
        report.finish(handshake)
    }

    /// Reads a description, or the bare name of a kind that needs no parameter.
    pub(crate) fn read(value: &Value, at: &str, report: &mut Report) -> Option<Self> {
        if let Value::String(name) = value {
            let kind = read_kind(name, at, report)?;
            return if kind == HandshakeKind::Probe {
                Some(Self {
                    method: "HEAD".into(),
                    when: Vec::new(),
                    action: Action::Probe,
                })
            } else {
                let message =
                    format!("handshake {name:?} needs a description: {{\"kind\": {name:?}, …}}");
                report.problem(at, message);
                None
            };
        }
        let object = Object::read_any(value, at, report)?;
        let name = object.required_text("kind", TEXT_BYTES_MAX, report)?;
        let kind = read_kind(name, &object.at("kind"), report)?;
        check_keys(kind, &object, report);
        let method = read_method(kind, &object, report);
        let when = read_conditions(&object, report);
        let action = read_action(kind, &object, report)?;
        if kind == HandshakeKind::Acknowledge && when.is_empty() {
            let message = "acknowledges every request and takes no event: key \"when\" is missing";
            report.problem(at, message);
        }
        Some(Self {
            method: method?,
            when,
            action,
        })
    }

    /// The canonical document.
    pub fn to_json(&self) -> Value {
        let mut document = Map::new();
        document.insert("kind".into(), self.kind().name().into());
        document.insert("method".into(), self.method.clone().into());
        if !self.when.is_empty() {
            let when: Vec<_> = self.when.iter().map(Condition::to_json).collect();
            document.insert("when".into(), when.into());
        }
        if let Value::Object(action) = self.action.to_json() {
            document.extend(action.into_iter().filter(|(_, value)| !value.is_null()));
        }
        Value::Object(document)
    }
}

fn read_kind(name: &str, at: &str, report: &mut Report) -> Option<HandshakeKind> {
    let kind = HandshakeKind::parse(name);
    if kind.is_none() {
        report.unknown(at, "handshake", name, &HandshakeKind::NAMES);
    }
    kind
}

fn check_keys(kind: HandshakeKind, object: &Object<'_>, report: &mut Report) {
    let own: &[&str] = match kind {
        HandshakeKind::EchoChallenge | HandshakeKind::AnswerChallenge => {
            &["challenge", "guard", "answer"]
        }
        HandshakeKind::StoreSecret => &["secret", "echo"],
        HandshakeKind::Pong => &["answer"],
        HandshakeKind::ConfirmUrl => &["url", "hosts"],
        HandshakeKind::AllowOrigin => &["origins", "rate"],
        HandshakeKind::UnsignedPing => &["field"],
        HandshakeKind::Probe | HandshakeKind::Acknowledge => &[],
    };
    let known: Vec<_> = COMMON_KEYS.iter().chain(own).copied().collect();
    object.check_keys(&known, report);
}

fn read_method(kind: HandshakeKind, object: &Object<'_>, report: &mut Report) -> Option<String> {
    let usual = match kind {
        HandshakeKind::Probe => "HEAD",
        HandshakeKind::AllowOrigin => "OPTIONS",
        _ => "POST",
    };
    if object.get("method").is_none() {
        return Some(usual.to_owned());
    }
    let text = object.text("method", TEXT_BYTES_MAX, report)?;
    if !METHODS.contains(&text) {
        report.unknown(object.at("method"), "method", text, &METHODS);
    }
    // A bare answer to whatever carries events would swallow them.
    if matches!(kind, HandshakeKind::Probe | HandshakeKind::AllowOrigin)
        && ["POST", "PUT"].contains(&text)
    {
        report.problem(object.at("method"), "is a method that carries events");
    }
    Some(text.to_owned())
}

fn read_conditions(object: &Object<'_>, report: &mut Report) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for (at, value) in object.list("when", CONDITIONS_MAX, report) {
        let Some(condition) = Object::read_any(value, &at, report) else {
            continue;
        };
        condition.check_keys(&["empty", "equals", "in", "name", "pointer"], report);
        let place = Source::read(&condition, report);
        let is = if condition.get("empty").is_some() {
            if condition.boolean("empty", report) == Some(false)
                || !matches!(place, Some(Source::Json(_)))
            {
                let message = "can be true only, and of a JSON field";
                report.problem(condition.at("empty"), message);
            }
            Some(Expected::EmptyList)
        } else {
            let text = condition.required_text("equals", TEXT_BYTES_MAX, report);
            text.map(|text| Expected::Text(text.to_owned()))
        };
        conditions.extend(place.zip(is).map(|(at, is)| Condition { at, is }));
    }
    conditions
}

fn read_action(kind: HandshakeKind, object: &Object<'_>, report: &mut Report) -> Option<Action> {
    Some(match kind {
        HandshakeKind::EchoChallenge => Action::Echo {
            challenge: read_source("challenge", object, report)?,
            guard: read_guard(object, report)?,
            answer: match object.get("answer") {
                None => Answer::echo(),
                Some(_) => read_answer(object, report)?,
            },
        },
        HandshakeKind::AnswerChallenge => Action::Mac {
            challenge: read_source("challenge", object, report)?,
            guard: read_mac_guard(object, report)?,
            answer: read_answer(object, report)?,
        },
        HandshakeKind::StoreSecret => read_store(object, report)?,
        HandshakeKind::Probe => Action::Probe,
        HandshakeKind::Pong => Action::Pong(read_answer(object, report)?),
        HandshakeKind::ConfirmUrl => Action::Confirm {
            url: read_source("url", object, report)?,
            hosts: read_names("hosts", object, report)?,
        },
        HandshakeKind::AllowOrigin => Action::AllowOrigin {
            origins: read_names("origins", object, report)?,
            rate: object
                .number("rate", 1..=RATE_MAX, report)
                .and_then(|rate| u32::try_from(rate).ok()),
        },
        HandshakeKind::UnsignedPing => Action::UnsignedPing {
            field: object
                .required_text("field", TEXT_BYTES_MAX, report)?
                .to_owned(),
        },
        HandshakeKind::Acknowledge => Action::Acknowledge,
    })
}

fn read_store(object: &Object<'_>, report: &mut Report) -> Option<Action> {
    let secret = read_source("secret", object, report)?;
    let echo = match (object.boolean("echo", report), &secret) {
        (Some(true), Source::Header(name)) => Some(name.clone()),
        (Some(true), _) => {
            report.problem(object.at("echo"), "has a meaning only for a header");
            None
        }
        _ => None,
    };
    Some(Action::Store { secret, echo })
}

fn read_source(key: &str, object: &Object<'_>, report: &mut Report) -> Option<Source> {
    let value = object.required(key, report)?;
    let source = Object::read_any(value, &object.at(key), report)?;
    source.check_keys(&["in", "name", "pointer"], report);
    Source::read(&source, report)
}

fn read_guard(object: &Object<'_>, report: &mut Report) -> Option<Guard> {
    match object.required("guard", report)? {
        Value::String(text) if text == "none" => Some(Guard::None),
        Value::String(text) if text == "signature" => Some(Guard::Signature),
        Value::String(other) => {
            report.unknown(object.at("guard"), "guard", other, &["none", "signature"]);
            None
        }
        value => {
            let guard = Object::read_any(value, &object.at("guard"), report)?;
            guard.check_keys(&["in", "name", "pointer", "token"], report);
            let at = Source::read(&guard, report);
            let name = guard.required_text("token", TEXT_BYTES_MAX, report);
            Some(Guard::Token {
                at: at?,
                name: name?.to_owned(),
            })
        }
    }
}

fn read_mac_guard(object: &Object<'_>, report: &mut Report) -> Option<MacGuard> {
    match object.required_text("guard", TEXT_BYTES_MAX, report)? {
        "signature" => Some(MacGuard::Signature),
        "short-hex" => Some(MacGuard::ShortHex),
        other => {
            report.unknown(
                object.at("guard"),
                "guard",
                other,
                &["signature", "short-hex"],
            );
            None
        }
    }
}

/// The answer that has to be there.
fn read_answer(object: &Object<'_>, report: &mut Report) -> Option<Answer> {
    let value = object.required("answer", report)?;
    let answer = match value {
        Value::String(text) => Answer::Text(text.clone()),
        Value::Object(_) => Answer::Json(value.clone()),
        _ => {
            report.problem(object.at("answer"), "has to be a text or a JSON object");
            return None;
        }
    };
    let is_short = value.to_string().len() <= TEXT_BYTES_MAX;
    if !is_short || !answer.texts().into_iter().all(is_answer) {
        let message = "has to be short, with no variables but {challenge}, {mac} and {config:NAME}";
        report.problem(object.at("answer"), message);
        return None;
    }
    Some(answer)
}

fn read_names(key: &str, object: &Object<'_>, report: &mut Report) -> Option<Vec<String>> {
    object.required(key, report)?;
    let mut names = Vec::new();
    for (at, value) in object.list(key, NAMES_MAX, report) {
        let name = as_text(value, &at, report)?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.*".contains(&b);
        if name.is_empty() || !name.bytes().all(plain) {
            report.problem(at, "has to be a host's name in lower case");
            return None;
        }
        names.push(name.to_owned());
    }
    Some(names)
}

impl Condition {
    fn to_json(&self) -> Value {
        let mut members = self.at.members();
        let (key, value) = match &self.is {
            Expected::Text(text) => ("equals", text.as_str().into()),
            Expected::EmptyList => ("empty", true.into()),
        };
        members.insert(key.to_owned(), value);
        Value::Object(members)
    }
}

impl Action {
    /// The keys of its own; null where one is left out.
    fn to_json(&self) -> Value {
        match self {
            Self::Echo {
                challenge,
                guard,
                answer,
            } => json!({
                "challenge": challenge.to_json(), "guard": guard.to_json(),
                "answer": answer.to_json(),
            }),
            Self::Mac {
                challenge,
                guard,
                answer,
            } => json!({
                "challenge": challenge.to_json(), "guard": guard.name(),
                "answer": answer.to_json(),
            }),
            Self::Store { secret, echo } => json!({
                "secret": secret.to_json(), "echo": echo.as_ref().map(|_| true),
            }),
            Self::Pong(answer) => json!({"answer": answer.to_json()}),
            Self::Confirm { url, hosts } => json!({"url": url.to_json(), "hosts": hosts}),
            Self::AllowOrigin { origins, rate } => json!({"origins": origins, "rate": rate}),
            Self::UnsignedPing { field } => json!({"field": field}),
            Self::Probe | Self::Acknowledge => json!({}),
        }
    }
}

impl Guard {
    fn to_json(&self) -> Value {
        match self {
            Self::None => json!("none"),
            Self::Signature => json!("signature"),
            Self::Token { at, name } => {
                let mut members = at.members();
                members.insert("token".to_owned(), name.as_str().into());
                Value::Object(members)
            }
        }
    }
}

impl MacGuard {
    const fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::ShortHex => "short-hex",
        }
    }
}

impl Answer {
    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Json(value) => value.clone(),
        }
    }
}
