//! Instants, as the contract counts them.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rfc3339;

/// An instant in microseconds since 1970-01-01T00:00:00Z, negative before that.
///
/// In JSON it reads an RFC 3339 text or a whole number of Unix seconds (GitHub sends
/// both for one field), and writes RFC 3339 in UTC.
///
/// ```
/// use tidegate_sdk::Timestamp;
///
/// let at: Timestamp = "2024-05-01T12:00:00+02:00".parse()?;
/// assert_eq!(at.as_micros(), 1_714_557_600_000_000);
/// assert_eq!(at, Timestamp::from_unix_seconds(1_714_557_600).unwrap());
/// assert_eq!(at.to_string(), "2024-05-01T10:00:00Z");
/// # Ok::<(), tidegate_sdk::InvalidTimestamp>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text that is not an RFC 3339 time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time as RFC 3339 writes it (2024-05-01T12:00:00Z)")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// An instant from microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// An instant from seconds since 1970, None where it does not fit.
    pub const fn from_unix_seconds(seconds: i64) -> Option<Self> {
        match seconds.checked_mul(1_000_000) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// An instant from milliseconds since 1970, None where it does not fit.
    pub const fn from_unix_millis(millis: i64) -> Option<Self> {
        match millis.checked_mul(1_000) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }
}

impl std::str::FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        rfc3339::parse(text).map(Self).ok_or(InvalidTimestamp)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match rfc3339::format(self.0) {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} µs since 1970", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match rfc3339::format(self.0) {
            Some(text) => serializer.serialize_str(&text),
            None => Err(serde::ser::Error::custom(
                "a time outside the years 0 to 9999",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimestampVisitor)
    }
}

struct TimestampVisitor;

impl Visitor<'_> for TimestampVisitor {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 time or whole Unix seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Timestamp, E> {
        Timestamp::from_unix_seconds(seconds).ok_or_else(|| E::custom(InvalidTimestamp))
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Timestamp, E> {
        i64::try_from(seconds)
            .ok()
            .and_then(Timestamp::from_unix_seconds)
            .ok_or_else(|| E::custom("a time in Unix seconds that no clock reaches"))
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[track_caller]
    fn check(json: &str, expected: Result<i64, &str>) {
        match (serde_json::from_str::<Timestamp>(json), expected) {
            (Ok(at), Ok(micros)) => assert_eq!(at.as_micros(), micros, "{json}"),
            (Err(error), Err(fragment)) => {
                assert!(error.to_string().contains(fragment), "{json}: {error}");
            }
            (got, _) => panic!("{json}: {got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn reads_text_and_unix_seconds() {
        check(r#""2019-05-15T15:20:57Z""#, Ok(1_557_933_657_000_000));
        check("1557933657", Ok(1_557_933_657_000_000));
        check("-1", Ok(-1_000_000));
        check(r#""2019-05-15\u005415:20:57Z""#, Ok(1_557_933_657_000_000));
    }

    #[test]
    fn says_what_it_wanted() {
        check(r#""yesterday""#, Err("not a time as RFC 3339"));
        check("18446744073709551615", Err("no clock reaches"));
        check(
            "1.5",
            Err("expected an RFC 3339 time or whole Unix seconds"),
        );
        check("null", Err("expected an RFC 3339 time"));
    }

    #[test]
    fn writes_utc() {
        let at: Timestamp = "2021-05-24T00:10:21.5-04:00".parse().unwrap();
        assert_eq!(
            serde_json::to_string(&at).unwrap(),
            r#""2021-05-24T04:10:21.500000Z""#
        );
    }

    #[test]
    fn a_time_that_rfc_3339_cannot_write_is_an_error_not_a_wrong_text() {
        let far = Timestamp::from_micros(i64::MAX);
        assert!(serde_json::to_string(&far).is_err());
        assert_eq!(far.to_string(), "9223372036854775807 µs since 1970");
    }
}
