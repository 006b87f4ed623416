//! Spans and sizes as people write them: `30s`, `10MiB`.

use std::time::Duration;

/// A text that is no span or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not written as {form}")]
pub(crate) struct NotAQuantity {
    form: &'static str,
}

/// How spans are written.
pub(super) const SPAN_FORM: &str =
    "a number and a unit: \"500ms\", \"30s\", \"5m\", \"1h\" or \"30d\"";

/// How sizes are written.
pub(super) const SIZE_FORM: &str = "a number and a unit: \"512KiB\", \"10MiB\" or \"1GiB\"";

/// Reads a span: a whole number and one of ms, s, m, h, d.
pub(crate) fn span(text: &str) -> Result<Duration, NotAQuantity> {
    let bad = NotAQuantity { form: SPAN_FORM };
    let (number, unit) = split(text).ok_or_else(|| bad.clone())?;
    let millis_each: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad),
    };
    number
        .checked_mul(millis_each)
        .map(Duration::from_millis)
        .ok_or(bad)
}

/// Reads a size in bytes: a whole number and one of B, KiB, MiB, GiB, TiB.
pub(super) fn size(text: &str) -> Result<u64, NotAQuantity> {
    let bad = NotAQuantity { form: SIZE_FORM };
    let (number, unit) = split(text).ok_or_else(|| bad.clone())?;
    let bytes_each: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(bad),
    };
    number.checked_mul(bytes_each).ok_or(bad)
}

/// Writes a span in the largest unit that keeps it whole.
pub(crate) fn span_text(span: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let millis = span.as_millis();
    UNITS
        .iter()
        .find(|(each, _)| millis > 0 && millis.is_multiple_of(*each))
        .map_or_else(
            || format!("{millis}ms"),
            |(each, unit)| format!("{}{unit}", millis / each),
        )
}

/// Writes a size in the largest unit that keeps it whole.
pub(super) fn size_text(bytes: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    UNITS
        .iter()
        .find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift)
        .map_or_else(
            || format!("{bytes}B"),
            |(shift, unit)| format!("{}{unit}", bytes >> shift),
        )
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_span(text: &str, expect_ms: Option<u64>) {
        assert_eq!(
            span(text).ok(),
            expect_ms.map(Duration::from_millis),
            "{text:?}"
        );
    }

    #[track_caller]
    fn check_size(text: &str, expect: Option<u64>) {
        assert_eq!(size(text).ok(), expect, "{text:?}");
    }

    #[test]
    fn spans() {
        check_span("250ms", Some(250));
        check_span("2s", Some(2_000));
        check_span("10m", Some(600_000));
        check_span("4h", Some(14_400_000));
        check_span("30d", Some(2_592_000_000));
        check_span("30 d", Some(2_592_000_000));
        for bad in [
            "",
            "s",
            "5",
            "-5s",
            "5 weeks",
            "5S",
            "1.5h",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            check_span(bad, None);
        }
    }

    #[test]
    fn sizes() {
        check_size("10MiB", Some(10 << 20));
        check_size("1 GiB", Some(1 << 30));
        check_size("512B", Some(512));
        for bad in ["", "10", "10MB", "10mib", "MiB", "99999999999TiB"] {
            check_size(bad, None);
        }
    }

    #[test]
    fn written_quantities_read_back() {
        for text in ["250ms", "2s", "90s", "10m", "4h", "30d"] {
            assert_eq!(span_text(span(text).unwrap()), text);
        }
        for text in ["10MiB", "1GiB", "1536KiB", "7B"] {
            assert_eq!(size_text(size(text).unwrap()), text);
        }
    }
}
