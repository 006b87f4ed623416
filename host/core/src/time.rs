//! Instants and spans as Tidegate keeps them.
//!
//! One unit everywhere: microseconds since 1970-01-01T00:00:00Z. No clock is read
//! here; instants come in through the `Clock` port.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text that is not an RFC 3339 instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time as RFC 3339 writes it, like 2026-01-31T08:00:00Z")]
pub struct NotATimestamp {
    text: String,
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The instant that many microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The instant that many milliseconds after the epoch; saturates.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// The instant that many seconds after the epoch; saturates.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// How long after `earlier` this is; zero where it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant and that much later; saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// This instant and that much earlier; saturates.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .ok()
            .and_then(|instant| instant.format(&Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            // Outside the years 0 to 9999 RFC 3339 has no text.
            None => write!(f, "{}us", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(|instant| i64::try_from(instant.unix_timestamp_nanos() / 1_000).ok())
            .map(Self)
            .ok_or_else(|| NotATimestamp {
                text: text.chars().take(64).collect(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let text = "2026-11-24T08:07:44.000001Z";
        let instant: Timestamp = text.parse().unwrap();
        assert_eq!(instant.to_string(), text);
        assert_eq!(instant.as_micros() % 1_000_000, 1);
    }

    #[test]
    fn offsets_are_understood() {
        let zulu: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let east: Timestamp = "2026-01-01T02:00:00+02:00".parse().unwrap();
        assert_eq!(zulu, east);
    }

    #[test]
    fn since_never_goes_negative() {
        let early = Timestamp::from_secs(1);
        assert_eq!(
            early.since(early.plus(Duration::from_secs(1))),
            Duration::ZERO
        );
        assert_eq!(
            early.plus(Duration::from_secs(2)).since(early),
            Duration::from_secs(2)
        );
    }
}
