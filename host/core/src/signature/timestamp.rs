//! The timestamp that a scheme signs against replays: its form, and how old it may be.

use super::refusal::Refusal;
use super::request::HeaderName;
use crate::pointer::JsonPointer;
use crate::time::Timestamp;

/// Where a request's timestamp is, how it is written and how far it may be off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampRule {
    pub(super) place: TimestampPlace,
    pub(super) unit: TimestampUnit,
    pub(super) tolerance_s: Option<u64>,
    pub(super) signed: bool,
}

/// Where a request's timestamp is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimestampPlace {
    /// In a header of its own.
    Header(HeaderName),
    /// In the signature's header, under that key.
    SignatureItem(String),
    /// In the JSON body.
    Json(JsonPointer),
    /// In a field of the form body.
    Form(String),
    /// In a claim of the token.
    Claim(String),
    /// In a parameter of an RFC 9421 signature, where it is in seconds.
    Parameter(String),
}

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampUnit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// RFC 3339 text.
    Rfc3339,
}

impl TimestampUnit {
    /// The words of a scheme document, in the order of the variants.
    pub(crate) const NAMES: [&'static str; 3] = ["s", "ms", "rfc3339"];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "s" => Self::Seconds,
            "ms" => Self::Millis,
            "rfc3339" => Self::Rfc3339,
            _ => return None,
        })
    }

    /// The word of a scheme document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Millis => "ms",
            Self::Rfc3339 => "rfc3339",
        }
    }

    const fn for_people(self) -> &'static str {
        match self {
            Self::Seconds => "seconds since 1970",
            Self::Millis => "milliseconds since 1970",
            Self::Rfc3339 => "RFC 3339",
        }
    }
}

impl TimestampRule {
    /// Where it is.
    pub const fn place(&self) -> &TimestampPlace {
        &self.place
    }

    /// How it is written.
    pub const fn unit(&self) -> TimestampUnit {
        self.unit
    }

    /// How many seconds it may be off, either way; any number where None.
    pub const fn tolerance_s(&self) -> Option<u64> {
        self.tolerance_s
    }

    /// Reads a timestamp strictly.
    pub(super) fn read(&self, text: &str) -> Result<Timestamp, Refusal> {
        let instant = match self.unit {
            TimestampUnit::Seconds => whole_number(text).map(Timestamp::from_secs),
            TimestampUnit::Millis => whole_number(text).map(Timestamp::from_millis),
            TimestampUnit::Rfc3339 => text.parse().ok(),
        };
        instant.ok_or_else(|| self.malformed())
    }

    /// The refusal of a timestamp that is not one.
    pub(super) const fn malformed(&self) -> Refusal {
        Refusal::TimestampMalformed {
            unit: self.unit.for_people(),
        }
    }

    /// Whether `instant` is near enough to `now`, in either direction.
    pub(super) fn check(&self, instant: Timestamp, now: Timestamp) -> Result<(), Refusal> {
        let Some(tolerance_s) = self.tolerance_s else {
            return Ok(());
        };
        let (age, ahead) = (now.since(instant), instant.since(now));
        let tolerance = std::time::Duration::from_secs(tolerance_s);
        if age > tolerance {
            Err(Refusal::TimestampTooOld {
                age_s: age.as_secs(),
                tolerance_s,
            })
        } else if ahead > tolerance {
            Err(Refusal::TimestampInFuture {
                ahead_s: ahead.as_secs(),
                tolerance_s,
            })
        } else {
            Ok(())
        }
    }
}

fn whole_number(text: &str) -> Option<i64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(unit: TimestampUnit) -> TimestampRule {
        let place = TimestampPlace::SignatureItem("t".into());
        TimestampRule {
            place,
            unit,
            tolerance_s: Some(300),
            signed: true,
        }
    }

    #[track_caller]
    fn check_read(unit: TimestampUnit, text: &str, secs: Option<i64>) {
        assert_eq!(
            rule(unit).read(text).ok(),
            secs.map(Timestamp::from_secs),
            "{text:?}"
        );
    }

    #[test]
    fn timestamps_are_read_strictly() {
        check_read(TimestampUnit::Seconds, "1795536000", Some(1_795_536_000));
        check_read(TimestampUnit::Millis, "1795536000000", Some(1_795_536_000));
        check_read(
            TimestampUnit::Rfc3339,
            "2026-11-24T16:00:00Z",
            Some(1_795_536_000),
        );
        for bad in [
            "",
            "abc",
            " 1",
            "1 ",
            "+1",
            "-1",
            "1.5",
            "0x1",
            "99999999999999999999",
        ] {
            check_read(TimestampUnit::Seconds, bad, None);
            check_read(TimestampUnit::Rfc3339, bad, None);
        }
    }

    #[track_caller]
    fn check_window(offset_s: i64, expected: &str) {
        let now = Timestamp::from_secs(1_795_536_000);
        let verdict =
            rule(TimestampUnit::Seconds).check(Timestamp::from_secs(now.as_secs() + offset_s), now);
        assert_eq!(
            verdict.as_ref().err().map_or("ok", Refusal::code),
            expected,
            "{offset_s}"
        );
    }

    #[test]
    fn the_window_reaches_both_ways() {
        check_window(-300, "ok");
        check_window(-301, "timestamp_too_old");
        check_window(300, "ok");
        check_window(301, "timestamp_in_future");
    }
}
