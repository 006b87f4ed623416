//! A change as JSON: the record that the change list of the API has too, and around it
//! the envelope of `CloudEvents` 1.0.
//!
//! Written piece by piece into one buffer: the data of an entity is JSON already, checked
//! when it was mapped, and is neither parsed nor copied twice.

use std::fmt::Write as _;

use tidegate_core::change::Change;

/// The record in one line, `seq` first. The same change gives the same bytes whenever it is
/// handed over: a file tells by them what it has.
pub(crate) fn record(change: &Change, into: &mut Vec<u8>) {
    let entity = &change.change.entity;
    raw(into, "{\"seq\":\"");
    raw(into, &change.seq.get().to_string());
    raw(into, "\",\"connection\":");
    text(into, &change.connection.to_string());
    raw(into, ",\"entity\":{\"kind\":");
    text(into, &entity.kind);
    raw(into, ",\"id\":");
    text(into, &entity.id);
    raw(into, "},\"operation\":\"");
    raw(into, change.change.operation.code());
    raw(into, "\",\"version\":");
    optional(into, change.change.version);
    raw(into, ",\"revision\":");
    text(into, &change.change.revision);
    raw(into, ",\"occurred_at\":");
    optional(into, change.change.occurred);
    raw(into, ",\"committed_at\":\"");
    raw(into, &change.committed.to_string());
    raw(into, "\",\"origin\":\"");
    raw(into, change.origin.code());
    raw(into, "\",\"event\":");
    optional(into, change.event);
    raw(into, ",\"data\":");
    match &change.change.data {
        None => raw(into, "null"),
        // A line break can only stand between tokens.
        Some(data) => into.extend(data.iter().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            other => *other,
        })),
    }
    raw(into, "}");
}

/// The attributes of a change as an event, in the words of `CloudEvents`, `specversion`
/// and `datacontenttype` apart. `sequence` and `partitionkey` are its documented
/// extensions.
pub(crate) fn attributes(change: &Change, source: &str) -> [(&'static str, String); 7] {
    let entity = &change.change.entity;
    let connection = &change.connection;
    let (kind, operation) = (&entity.kind, change.change.operation.code());
    let time = change.change.occurred.unwrap_or(change.committed);
    [
        ("id", change.seq.to_string()),
        ("source", source_of(change, source)),
        (
            "type",
            format!("tidegate.{}.{kind}.{operation}", connection.connector),
        ),
        ("subject", visible(&entity.id)),
        ("time", time.to_string()),
        ("sequence", format!("{:020}", change.seq.get())),
        (
            "partitionkey",
            visible(&format!("{connection}/{kind}/{}", entity.id)),
        ),
    ]
}

/// The whole event in structured mode.
pub(crate) fn structured(change: &Change, source: &str, into: &mut Vec<u8>) {
    raw(into, "{\"specversion\":\"1.0\"");
    for (name, value) in attributes(change, source) {
        raw(into, ",\"");
        raw(into, name);
        raw(into, "\":");
        text(into, &value);
    }
    raw(into, ",\"datacontenttype\":\"application/json\",\"data\":");
    record(change, into);
    raw(into, "}");
}

/// About how long a record will be, so that its buffer is taken once.
pub(crate) fn length_hint(change: &Change) -> usize {
    1_024 + change.change.weight()
}

/// `SOURCE/connector/account`, a URI reference.
fn source_of(change: &Change, source: &str) -> String {
    let mut whole = format!("{source}/{}/", change.connection.connector);
    for byte in change.connection.account.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            whole.push(char::from(byte));
        } else {
            percent(&mut whole, byte);
        }
    }
    whole
}

/// Text without control characters, which no attribute may hold; the record has the id as
/// it is.
fn visible(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let mut shown = String::new();
    for one in text.chars() {
        if one.is_control() {
            one.encode_utf8(&mut [0; 4])
                .bytes()
                .for_each(|byte| percent(&mut shown, byte));
        } else {
            shown.push(one);
        }
    }
    shown
}

/// A value for an HTTP field of binary mode: what is not printable ASCII, and space, quote
/// and percent sign, as `%XX` (HTTP binding, 3.1.3.2).
pub(crate) fn field_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'%') {
            value.push(char::from(byte));
        } else {
            percent(&mut value, byte);
        }
    }
    value
}

fn percent(into: &mut String, byte: u8) {
    // Writing into a string cannot fail.
    let _ = write!(into, "%{byte:02X}");
}

fn raw(into: &mut Vec<u8>, text: &str) {
    into.extend_from_slice(text.as_bytes());
}

/// What needs no escaping, in quotes; or null.
fn optional(into: &mut Vec<u8>, value: Option<impl std::fmt::Display>) {
    match value {
        None => raw(into, "null"),
        Some(value) => raw(into, &format!("\"{value}\"")),
    }
}

/// Any text as a JSON string.
pub(crate) fn text(into: &mut Vec<u8>, text: &str) {
    let plain = |byte: &u8| !matches!(byte, 0..=0x1f | b'"' | b'\\');
    if text.as_bytes().iter().all(plain) {
        raw(into, "\"");
        raw(into, text);
        raw(into, "\"");
    } else {
        raw(into, &serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests;
