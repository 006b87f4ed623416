//! Takes credentials out of a request whose proof held.
//!
//! What was the proof itself is replaced by `[verified]`, wherever the scheme finds it: a
//! header, an item of the query, a field of the body or of each of its items. Everything
//! else of a body stays byte for byte as it stood. Headers that carry credentials whatever
//! the scheme says are emptied as well.

use bytes::Bytes;

use super::algorithm::Algorithm;
use super::builtin::Builtin;
use super::form;
use super::item;
use super::request::{CREDENTIAL_HEADERS, RawRequest};
use super::scheme::{Scheme, SignaturePlace};
use crate::pointer::JsonPointer;

/// What stands in place of a credential that was the proof itself.
const VERIFIED: &str = "[verified]";

/// The same as a JSON value.
const VERIFIED_JSON: &str = "\"[verified]\"";

/// What stands in place of any other credential.
const REDACTED: &str = "[redacted]";

/// The query item in which Atlassian's token may be.
const TOKEN_ITEM: &str = "jwt";

/// Replaces every credential of a verified request.
pub(super) fn redact(raw: &mut RawRequest, scheme: &Scheme) {
    let proof = scheme.credential_headers();
    for (name, value) in &mut raw.headers {
        if proof.iter().any(|proof| proof.as_str() == name) {
            *value = Bytes::from_static(VERIFIED.as_bytes());
        } else if CREDENTIAL_HEADERS.contains(&name.as_str()) {
            *value = Bytes::from_static(REDACTED.as_bytes());
        }
    }
    if scheme.algorithm == Algorithm::Builtin(Builtin::AtlassianQsh) {
        redact_query(raw, TOKEN_ITEM);
    }
    if !scheme.is_proven_by_credential() {
        return;
    }
    match &scheme.signature.place {
        SignaturePlace::Query(name) => redact_query(raw, name),
        SignaturePlace::Form { name, .. } => {
            raw.body = replace_fields(&raw.body, name).into();
        }
        SignaturePlace::Json(pointer) => {
            let body = raw.body.clone();
            replace_values(raw, pointer, &[body]);
        }
        SignaturePlace::JsonEach {
            each,
            item,
            pointer,
        } => {
            let items = item::items(&raw.body, each, item.as_ref()).unwrap_or_default();
            replace_values(raw, pointer, &items);
        }
        SignaturePlace::Header { .. }
        | SignaturePlace::Headers(_)
        | SignaturePlace::NumberedHeaders { .. } => {}
    }
}

/// Replaces what is a credential under any scheme, in a request that nothing proved.
pub(super) fn redact_unproven(raw: &mut RawRequest) {
    for (name, value) in &mut raw.headers {
        if CREDENTIAL_HEADERS.contains(&name.as_str()) {
            *value = Bytes::from_static(REDACTED.as_bytes());
        }
    }
}

fn redact_query(raw: &mut RawRequest, name: &str) {
    let replaced = replace_fields(raw.query.as_bytes(), name);
    raw.query = String::from_utf8(replaced).unwrap_or_default();
}

/// A form or query with the values of one name replaced.
fn replace_fields(fields: &[u8], name: &str) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(fields.len());
    for (index, field) in fields.split(|b| *b == b'&').enumerate() {
        if index > 0 {
            replaced.push(b'&');
        }
        if form::fields(field).any(|(found, _)| found == name.as_bytes()) {
            let raw_name = field.split(|b| *b == b'=').next().unwrap_or_default();
            replaced.extend_from_slice(raw_name);
            replaced.push(b'=');
            replaced.extend_from_slice(VERIFIED.as_bytes());
        } else {
            replaced.extend_from_slice(field);
        }
    }
    replaced
}

/// Replaces what the pointer finds in each of `items`, which are parts of the body in their
/// order.
fn replace_values(raw: &mut RawRequest, pointer: &JsonPointer, items: &[Bytes]) {
    let body = raw.body.clone();
    let start = body.as_ptr().addr();
    let mut replaced = Vec::with_capacity(body.len());
    let mut taken = 0;
    for item in items {
        let Ok(Some(value)) = pointer.raw_in(item) else {
            continue;
        };
        // The value is a part of the body: its place is how far its start is from the body's.
        let at = value.as_ptr().addr().saturating_sub(start);
        let Some(before) = body.get(taken..at) else {
            continue;
        };
        replaced.extend_from_slice(before);
        replaced.extend_from_slice(VERIFIED_JSON.as_bytes());
        taken = at + value.len();
    }
    replaced.extend_from_slice(body.get(taken..).unwrap_or_default());
    raw.body = replaced.into();
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[track_caller]
    fn check(signature: &Value, query: &str, body: &'static str, expected: (&str, &str)) {
        let scheme = Scheme::parse(&json!({
            "algorithm": "shared-token", "key": "utf8", "signature": signature,
        }))
        .unwrap();
        let mut raw = RawRequest {
            method: "POST".into(),
            url: None,
            path: vec![],
            query: query.into(),
            headers: vec![],
            body: Bytes::from_static(body.as_bytes()),
        };
        redact(&mut raw, &scheme);
        let body = std::str::from_utf8(&raw.body).unwrap();
        assert_eq!((raw.query.as_str(), body), expected);
    }

    #[test]
    fn what_was_the_proof_is_replaced_and_nothing_else() {
        check(
            &json!({"in": "query", "name": "token"}),
            "a=%20&t%6Fken=hunter2&&b",
            "hunter2",
            ("a=%20&t%6Fken=[verified]&&b", "hunter2"),
        );
        check(
            &json!({"in": "form", "name": "token"}),
            "token=x",
            "token=hunter2&a=1&token",
            ("token=x", "token=[verified]&a=1&token=[verified]"),
        );
        check(
            &json!({"in": "json", "pointer": "/passcode"}),
            "",
            r#"{ "a" : 1.0, "passcode":"hu\u006eter2" , "b":"hunter2"}"#,
            (
                "",
                r#"{ "a" : 1.0, "passcode":"[verified]" , "b":"hunter2"}"#,
            ),
        );
        check(
            &json!({"in": "json-each", "each": "/value", "pointer": "/clientState"}),
            "",
            r#"{"value":[{"clientState":"s","id":"1"}, {"id":"2"},{"id":"3","clientState":"s"}]}"#,
            (
                "",
                r#"{"value":[{"clientState":"[verified]","id":"1"}, {"id":"2"},{"id":"3","clientState":"[verified]"}]}"#,
            ),
        );
        check(
            &json!({"in": "json", "pointer": "/p"}),
            "",
            "no",
            ("", "no"),
        );
    }
}
