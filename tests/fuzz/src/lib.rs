//! What reads a request before it is verified, driven with whatever bytes a stranger may
//! send. It may refuse; it must not panic, loop, or accept what nobody signed.
//!
//! The bodies of the targets are here, so that an ordinary build checks them and a test
//! runs them over the published vectors. `cargo xtask fuzz` builds the binaries with
//! coverage instrumentation and lets libFuzzer look for what these miss.

use std::process::ExitCode;
use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_core::signature::{KeySet, RawRequest, Scheme, Secret, event_id, explain, verify};
use tidegate_core::time::Timestamp;

/// The published vectors: their schemes are what requests are verified with.
const VECTORS: &str = include_str!("../../vectors/signatures.json");

const NOW: Timestamp = Timestamp::from_secs(1_795_536_000);

/// A scheme with a key.
struct Lock {
    scheme: Scheme,
    keys: KeySet,
    /// Nobody signs with the key: everything has to be refused.
    foreign: bool,
}

static LOCKS: LazyLock<Vec<Lock>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(VECTORS).unwrap_or_default();
    let schemes = document
        .get("schemes")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let cases = document.get("vectors").and_then(Value::as_array);
    let cases = cases.map_or(&[][..], Vec::as_slice);
    let locks: Vec<Lock> = schemes
        .filter_map(|(partner, scheme)| lock(scheme).or_else(|| public(partner, scheme, cases)))
        .collect();
    assert!(locks.len() > 30, "only {} schemes have keys", locks.len());
    locks
});

/// A shared key in the form that the scheme asks for; the first that fits.
fn lock(scheme: &Value) -> Option<Lock> {
    let scheme = Scheme::parse(scheme).ok()?;
    let keys = ["00ff00ff00ff00ff", "user:00ff00ff00ff00ff"];
    let keys = keys.into_iter().find_map(|text| prepared(&scheme, text))?;
    Some(Lock {
        scheme,
        keys,
        foreign: true,
    })
}

/// The partner's own public key: without one that fits, nothing further is looked at.
fn public(partner: &str, scheme: &Value, cases: &[Value]) -> Option<Lock> {
    let scheme = Scheme::parse(scheme).ok()?;
    let of_partner = |case: &&Value| case.get("partner").is_some_and(|name| name == partner);
    let key = cases
        .iter()
        .find(of_partner)?
        .pointer("/public_keys/0/key")?;
    let text = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
    let keys = prepared(&scheme, &text)?;
    Some(Lock {
        scheme,
        keys,
        foreign: false,
    })
}

fn prepared(scheme: &Scheme, text: &str) -> Option<KeySet> {
    let secret = Secret::new(text.into()).ok()?;
    KeySet::prepare(scheme, [secret]).ok()
}

/// Headers, query and body of a request under each scheme. The first line of the bytes are
/// headers' values, one for each name that the scheme reads, with tabs between them; the
/// second is the query, and the rest the body.
pub fn headers(bytes: &[u8]) {
    let [values, query, body] = lines(bytes);
    let values: Vec<&[u8]> = values.split(|byte| *byte == b'\t').collect();
    for lock in &*LOCKS {
        let names = names(&lock.scheme);
        let headers = names.iter().zip(values.iter().cycle());
        let headers = headers.map(|(name, value)| (name.clone(), Bytes::copy_from_slice(value)));
        refused(
            lock,
            RawRequest {
                method: "POST".into(),
                url: Some("https://hooks.example.com/in/partner?a=1".into()),
                path: Vec::new(),
                query: String::from_utf8_lossy(query).into_owned(),
                headers: headers.collect(),
                body: Bytes::copy_from_slice(body),
            },
        );
    }
}

/// A scheme whose content is the first line, over a request whose body is the rest.
pub fn template(bytes: &[u8]) {
    let [content, value, body] = lines(bytes);
    let content = String::from_utf8_lossy(content);
    let scheme = json!({
        "algorithm": "hmac-sha256", "key": "utf8", "event_id": null, "content": content,
        "signature": {
            "in": "header", "name": "X-Signature", "format": "key-value-list",
            "item_separator": ",", "pair_separator": "=", "key": "v1", "encoding": "hex",
        },
        "timestamp": {"in": "signature-item", "key": "t", "unit": "s", "tolerance_s": 300},
    });
    if let Some(lock) = lock(&scheme) {
        refused(
            &lock,
            RawRequest {
                method: "POST".into(),
                url: Some("https://hooks.example.com/in/partner?a=1".into()),
                path: Vec::new(),
                query: String::new(),
                headers: vec![("x-signature".into(), Bytes::copy_from_slice(value))],
                body: Bytes::copy_from_slice(body),
            },
        );
    }
}

/// The structured fields of RFC 9421 and RFC 9530, one line each: `Signature-Input`,
/// `Signature`, and the rest is `Content-Digest`.
pub fn structured_fields(bytes: &[u8]) {
    let [input, signature, digest] = lines(bytes);
    let scheme = json!({"algorithm": "special: rfc9421", "key": "utf8", "components": []});
    let lock = lock(&scheme);
    assert!(lock.is_some(), "the scheme is not read");
    if let Some(lock) = lock {
        let header = |name: &str, value| (name.to_owned(), Bytes::copy_from_slice(value));
        refused(
            &lock,
            RawRequest {
                method: "POST".into(),
                url: Some("https://hooks.example.com/in/partner?a=1".into()),
                path: Vec::new(),
                query: "a=1".into(),
                headers: vec![
                    header("signature-input", input),
                    header("signature", signature),
                    header("content-digest", digest),
                ],
                body: Bytes::from_static(b"{}"),
            },
        );
    }
}

/// What the binaries say where they were built without instrumentation.
#[expect(
    clippy::print_stderr,
    reason = "a message for whoever started the binary"
)]
pub fn not_instrumented() -> ExitCode {
    eprintln!("built without instrumentation: start it by cargo xtask fuzz");
    ExitCode::FAILURE
}

/// Nobody has signed with a foreign key, so it is refused; and why can be told.
fn refused(lock: &Lock, raw: RawRequest) {
    let told = explain(&raw, &lock.scheme, &lock.keys, None, NOW);
    let verdict = verify(raw, &lock.scheme, &lock.keys, None, NOW);
    let accepted = verdict.is_ok() && lock.foreign;
    assert!(!accepted, "accepted: {verdict:?}, {told:?}");
    if let Ok(verified) = verdict {
        event_id(&verified, lock.scheme.event_id());
    }
}

/// The headers that a scheme may read, by the names that its document has.
fn names(scheme: &Scheme) -> Vec<String> {
    let document = scheme.to_json();
    let mut names = Vec::new();
    collect(&document, &mut names);
    names
}

fn collect(document: &Value, names: &mut Vec<String>) {
    match document {
        Value::Object(members) => {
            for (key, value) in members {
                match value.as_str() {
                    Some(name) if key == "name" => names.push(name.to_ascii_lowercase()),
                    Some(prefix) if key == "name_prefix" => {
                        names.push(format!("{}1", prefix.to_ascii_lowercase()));
                    }
                    _ => collect(value, names),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Two lines and what is behind them.
fn lines(bytes: &[u8]) -> [&[u8]; 3] {
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
