//! Reading the API's documents for people: absent parts are empty texts, instants are
//! ages.

use serde_json::Value;
use tidegate_core::time::Timestamp;

use super::output::Tone;

/// The text at a JSON pointer; numbers and truth values as text, anything else as none.
pub(super) fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

/// The elements of a list; none where there is no list.
pub(super) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The number at a JSON pointer, zero where there is none.
pub(super) fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// How long ago the instant at a JSON pointer was; the text itself where it is none.
pub(super) fn age(value: &Value, pointer: &str, now: Timestamp) -> String {
    let written = text(value, pointer);
    match written.parse::<Timestamp>() {
        Ok(instant) if instant > now => written,
        Ok(instant) => format!("{} ago", span(now.since(instant).as_secs())),
        Err(_) => written,
    }
}

/// Seconds in the two largest units that say something.
pub(super) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (each, unit) in UNITS {
        let count = rest / each;
        rest %= each;
        if count > 0 && parts.len() < 2 {
            parts.push(format!("{count}{unit}"));
        } else if !parts.is_empty() {
            break;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// So many of a thing: `1 connector`, `2 connectors`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{ending}")
}

/// Bytes, rounded, in the unit that reads best.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    match UNITS.iter().find(|(each, _)| count >= *each) {
        Some((each, unit)) => {
            let tenths = u128::from(count) * 10 / u128::from(*each);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{count} B"),
    }
}

/// The colour of a state's word.
pub(super) fn tone(state: &str) -> Tone {
    match state {
        "mapped" | "open" | "serving" | "active" | "applied" | "running" => Tone::Good,
        "pending" | "fetching" | "waiting" | "no-plugin" | "disk-low" | "paused" | "waived" => {
            Tone::Attention
        }
        "dead" | "latched" | "failed" | "failing" | "refused" => Tone::Bad,
        "skipped" | "superseded" | "unchanged" => Tone::Faint,
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_age(instant: &str, expected: &str) {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        assert_eq!(age(&json!({"at": instant}), "/at", now), expected);
    }

    #[test]
    fn ages() {
        check_age("2026-01-02T00:00:00Z", "0s ago");
        check_age("2026-01-01T23:58:30Z", "1m 30s ago");
        check_age("2025-12-30T23:00:00Z", "2d 1h ago");
        check_age("2026-01-01T00:00:05Z", "23h 59m ago");
        check_age("2025-12-31T23:59:30Z", "1d ago");
        check_age("2026-01-03T00:00:00Z", "2026-01-03T00:00:00Z");
        check_age("yesterday", "yesterday");
    }

    #[test]
    fn absent_parts_are_empty() {
        let value = json!({"a": {"b": 1, "c": null, "d": ["x"]}});
        assert_eq!(text(&value, "/a/b"), "1");
        assert_eq!(
            text(&value, "/a/c") + &text(&value, "/a/d") + &text(&value, "/z"),
            ""
        );
        assert_eq!(
            (list(&value, "/a/d").len(), list(&value, "/a/b").len()),
            (1, 0)
        );
        assert_eq!((number(&value, "/a/b"), number(&value, "/a/c")), (1, 0));
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
    }
}
