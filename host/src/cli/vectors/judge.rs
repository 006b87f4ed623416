//! Whether we agree with a case, and with a handshake.
//!
//! A handshake goes the way that ingress goes: what may be answered unsigned, then the
//! signature, then what may be answered once it held, and an event's acknowledgement last.

use serde_json::{Map, Value};
use tidegate_core::signature::{
    EventIdText, Handshake, HandshakeState, Outcome, Reply, Secret, events_of, verify,
};

use super::file::{Case, ExpectedId, HandshakeCase};
use super::measure::{Measure, Measures};

/// What we say of a case.
pub(super) struct Verdict {
    pub(super) accepted: bool,
    /// Why not, where it is refused or could not be judged.
    pub(super) reason: Option<String>,
    /// The first event's id; none where the partner sends none, or nothing was accepted.
    pub(super) event_id: Option<String>,
}

impl Verdict {
    /// Whether the request gets the answer that the file names.
    pub(super) fn agrees(&self, case: &Case) -> bool {
        self.accepted == case.accept
    }

    /// Whether the id is the one that the file names; none where it names none, or the case is
    /// not accepted by both.
    pub(super) fn id_agrees(&self, case: &Case) -> Option<bool> {
        let said = case.event_id != ExpectedId::Unsaid;
        let asked = said && case.accept && self.accepted;
        asked.then(|| case.event_id.named() == self.event_id.as_ref())
    }
}

/// Judges a case.
pub(super) fn judge(case: &Case, measures: &mut Measures<'_>) -> Verdict {
    let refused = |reason: String| Verdict {
        accepted: false,
        reason: Some(reason),
        event_id: None,
    };
    let Measure { scheme, keys, .. } = match measures.of(&case.asked) {
        Ok(measure) => measure,
        // Nothing that was judged: neither answer is ours.
        Err(reason) => {
            return Verdict {
                accepted: !case.accept,
                reason: Some(reason),
                event_id: None,
            };
        }
    };
    let raw = case.asked.request.clone();
    let verified = match verify(raw, &scheme, &keys, None, case.asked.now) {
        Ok(verified) => verified,
        Err(refusal) => return refused(refusal.to_string()),
    };
    match events_of(&verified, &scheme) {
        Ok(parts) => {
            let first = parts.into_iter().next().map(|part| part.id);
            Verdict {
                accepted: true,
                reason: None,
                event_id: first
                    .filter(EventIdText::is_from_partner)
                    .map(EventIdText::into_string),
            }
        }
        Err(error) => refused(error.to_string()),
    }
}

/// What a handshake's sender gets.
struct Answered {
    reply: Reply,
    stored: Option<Secret>,
    event: bool,
}

/// Judges a handshake: what is wrong with our answer, if anything.
pub(super) fn judge_handshake(
    case: &HandshakeCase,
    measures: &mut Measures<'_>,
) -> Result<(), String> {
    let measure = measures.of(&case.asked)?;
    let Answered {
        reply,
        stored,
        event,
    } = answer(case, &measure);
    check_reply(&case.expected, &reply)?;
    if case.event_delivered.is_some_and(|wanted| wanted != event) && !is_any_event(case) {
        return Err(if event {
            "it is taken as an event".into()
        } else {
            "no event is taken of it".into()
        });
    }
    match (&case.stores, stored) {
        (Some(wanted), Some(stored)) if stored.expose() == wanted.as_bytes() => Ok(()),
        (None, None) => Ok(()),
        (Some(_), _) => Err("its secret is not kept".into()),
        (None, Some(_)) => Err("a secret is kept".into()),
    }
}

/// Whether the case is about the acknowledgement of whatever is accepted.
fn is_any_event(case: &HandshakeCase) -> bool {
    let note = case.asked.config.get("note").and_then(Value::as_str);
    note.is_some_and(|note| note.contains("any accepted"))
}

fn answer(case: &HandshakeCase, measure: &Measure) -> Answered {
    let asked = &case.asked;
    let list = measure.preset.handshakes();
    if is_any_event(case) {
        return acknowledged(measure);
    }
    let (raw, keys, now) = (&asked.request, &measure.keys, asked.now);
    if let Some(outcome) = Handshake::before(list, raw, &state(&asked.config), keys, now) {
        return of_outcome(outcome, measure);
    }
    match verify(raw.clone(), &measure.scheme, keys, None, now) {
        Err(_) => reply(status(401)),
        Ok(verified) => match Handshake::after(list, &verified, &measure.scheme, keys, now) {
            Some(outcome) => of_outcome(outcome, measure),
            None => acknowledged(measure),
        },
    }
}

/// The state and the tokens of a case's configuration, under each of their names.
fn state(config: &Map<String, Value>) -> HandshakeState {
    let state = config.get("state").and_then(Value::as_str);
    let texts = super::measure::config(config);
    let tokens = texts.iter().filter_map(|(name, text)| {
        Some((name.to_owned(), Secret::new(text.as_bytes().to_vec()).ok()?))
    });
    HandshakeState {
        awaiting: state.is_some_and(|state| state.contains("await")),
        established: state.is_some_and(|state| state.contains("established")),
        tokens: tokens.collect(),
    }
}

fn of_outcome(outcome: Outcome, measure: &Measure) -> Answered {
    match outcome {
        Outcome::Answer(answer) | Outcome::Confirm { reply: answer, .. } => reply(answer),
        Outcome::Store {
            secret,
            reply: answer,
        } => Answered {
            stored: Some(secret),
            ..reply(answer)
        },
        Outcome::Refuse { status: code } => reply(status(code)),
        Outcome::PollWish => Answered {
            event: false,
            ..acknowledged(measure)
        },
    }
}

fn acknowledged(measure: &Measure) -> Answered {
    let wanted = measure.preset.acknowledge();
    let mut answer = status(wanted.map_or(200, |wanted| wanted.status));
    if let Some(body) = wanted.and_then(|wanted| wanted.body.clone()) {
        answer.body = body.into();
    }
    Answered {
        event: true,
        ..reply(answer)
    }
}

const fn reply(reply: Reply) -> Answered {
    Answered {
        reply,
        stored: None,
        event: false,
    }
}

fn status(status: u16) -> Reply {
    Reply {
        status,
        headers: Vec::new(),
        body: bytes::Bytes::new(),
    }
}

/// Whether an answer is what the sender needs to see.
fn check_reply(expected: &Map<String, Value>, reply: &Reply) -> Result<(), String> {
    let text = |key: &str| expected.get(key).and_then(Value::as_str);
    let statuses: Vec<u64> = match (expected.get("status"), expected.get("status_any")) {
        (Some(one), _) => one.as_u64().into_iter().collect(),
        (None, Some(any)) => {
            let any = any.as_array().into_iter().flatten();
            any.filter_map(Value::as_u64).collect()
        }
        (None, None) => Vec::new(),
    };
    if !statuses.is_empty() && !statuses.contains(&reply.status.into()) {
        return Err(format!(
            "it is answered {}, expected {statuses:?}",
            reply.status
        ));
    }
    let body = String::from_utf8_lossy(&reply.body);
    if text("body").is_some_and(|wanted| wanted != body) {
        return Err("the body of the answer is another".into());
    }
    if text("body_not").is_some_and(|never| !never.is_empty() && body.contains(never)) {
        return Err("the answer holds what it must not".into());
    }
    if let Some(wanted) = expected.get("body_json") {
        let got: Option<Value> = serde_json::from_str(&body).ok();
        if got.as_ref() != Some(wanted) {
            return Err("the JSON of the answer is another".into());
        }
    }
    let header = |name: &str| {
        let found = reply
            .headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    if let Some(wanted) = text("content_type") {
        // Words about alternatives may follow the media type.
        let wanted = wanted.split([' ', ';']).next().unwrap_or_default();
        let got = header("content-type").unwrap_or_default();
        if got.split(';').next().map(str::trim) != Some(wanted) {
            return Err(format!("the answer is {got:?}, expected {wanted:?}"));
        }
    }
    let required = expected.get("header_required").and_then(Value::as_array);
    for line in required.into_iter().flatten().filter_map(Value::as_str) {
        let (name, wanted) = line.split_once(':').unwrap_or((line, ""));
        if header(name.trim()) != Some(wanted.trim()) {
            return Err(format!("the answer lacks header {name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn got() -> Reply {
        Reply {
            status: 200,
            headers: vec![
                ("content-type".into(), "text/plain; charset=utf-8".into()),
                ("x-content-type-options".into(), "nosniff".into()),
            ],
            body: "abc".into(),
        }
    }

    #[track_caller]
    fn check(expected: &Value, ok: bool) {
        let checked = check_reply(expected.as_object().unwrap(), &got());
        assert_eq!(checked.is_ok(), ok, "{expected}: {checked:?}");
    }

    #[test]
    fn answers_are_compared_with_what_is_said_of_them() {
        check(&json!({}), true);
        check(&json!({"status": 200, "body": "abc"}), true);
        check(&json!({"status_any": [200, 204]}), true);
        check(&json!({"status": 401}), false);
        check(&json!({"status_any": [400, 404]}), false);
        check(&json!({"body": "abcd"}), false);
        check(&json!({"body_not": "b"}), false);
        check(&json!({"body_json": {"a": 1}}), false);
        check(&json!({"content_type": "text/plain (or JSON)"}), true);
        check(&json!({"content_type": "application/json"}), false);
        let nosniff = "X-Content-Type-Options: nosniff";
        check(&json!({"header_required": [nosniff]}), true);
        check(&json!({"header_required": ["X-Hook-Secret: s"]}), false);
    }
}
