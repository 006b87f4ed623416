//! JSON Web Keys (RFC 7517): one, a set, or the answer of a partner that wraps one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::der::{self, SEQUENCE};
use super::public_key::{InvalidKey, KeyKind, PublicKey};
use crate::time::Timestamp;

/// Most keys of a set that are looked at: a partner's rotation shows two or three.
const KEYS_MAX: usize = 64;

const FORM: InvalidKey = InvalidKey::Form {
    expected: "a JWK or a set of them",
};

/// The keys of a document that signatures can be checked with; at least one. A set may
/// hold keys for other ends, which are skipped.
pub(super) fn read(text: &str) -> Result<Vec<PublicKey>, InvalidKey> {
    let document: Value = serde_json::from_str(text).map_err(|_| FORM)?;
    let members = match &document {
        Value::Array(members) => members.as_slice(),
        Value::Object(object) => match (object.get("keys"), object.get("key")) {
            (Some(Value::Array(members)), _) => members.as_slice(),
            // Plaid answers with the key that was asked for, under this name.
            (None, Some(inner @ Value::Object(_))) => return one(inner).map(|key| vec![key]),
            _ => return one(&document).map(|key| vec![key]),
        },
        _ => return Err(FORM),
    };
    let mut last = FORM;
    let mut keys = Vec::new();
    for value in members.iter().take(KEYS_MAX) {
        match one(value) {
            Ok(key) => keys.push(key),
            Err(invalid) => last = invalid,
        }
    }
    if keys.is_empty() { Err(last) } else { Ok(keys) }
}

fn one(value: &Value) -> Result<PublicKey, InvalidKey> {
    let object = value.as_object().ok_or(FORM)?;
    if object.contains_key("d") {
        return Err(InvalidKey::Private);
    }
    if object.get("use").is_some_and(|usage| usage != "sig") {
        return Err(InvalidKey::Kind);
    }
    let text = |name: &str| object.get(name).and_then(Value::as_str);
    let mut key = match (text("kty"), text("crv")) {
        (Some("EC"), Some("P-256")) => {
            let (x, y) = (number(object, "x")?, number(object, "y")?);
            PublicKey::new(KeyKind::P256, [&[4], x.as_slice(), y.as_slice()].concat())?
        }
        (Some("OKP"), Some("Ed25519")) => PublicKey::new(KeyKind::Ed25519, number(object, "x")?)?,
        (Some("RSA"), _) => {
            let (n, e) = (number(object, "n")?, number(object, "e")?);
            let numbers = [der::unsigned(&n), der::unsigned(&e)].concat();
            PublicKey::new(KeyKind::Rsa, der::element(SEQUENCE, &numbers))?
        }
        (Some(_), _) => return Err(InvalidKey::Kind),
        (None, _) => return Err(FORM),
    };
    key.id = text("kid").map(str::to_owned);
    key.jwk_algorithm = text("alg").map(str::to_owned);
    // Plaid's: when the key was taken out of use, null while it is in use.
    key.not_after = match object.get("expired_at") {
        None | Some(Value::Null) => None,
        Some(value) => Some(Timestamp::from_secs(value.as_i64().ok_or(FORM)?)),
    };
    Ok(key)
}

fn number(object: &Map<String, Value>, name: &str) -> Result<Vec<u8>, InvalidKey> {
    let text = object.get(name).and_then(Value::as_str).ok_or(FORM)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| FORM)
}
