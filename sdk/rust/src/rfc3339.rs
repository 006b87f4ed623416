//! RFC 3339 to microseconds and back.
//!
//! Own code instead of the `time` crate, since every instance of a plugin pays for
//! what is linked into it, and a payload needs just this one format: no calendars, no
//! zone names, no format descriptions. The tests compare it with `time` over the whole
//! range.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01. Years that begin in March put the leap day last.
const DAYS_TO_EPOCH: i64 = 719_468;
const DAYS_PER_ERA: i64 = 146_097;

/// Longest text that [`format()`] writes: `2024-02-29T12:34:56.123456Z`.
const LEN_MAX: usize = 27;

/// Microseconds since 1970 of an RFC 3339 time, None where the text is not one.
///
/// Digits beyond microseconds are cut off. A leap second counts as the second after it,
/// as Unix time does.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let year = digits(&mut rest, 4)?;
    literal(&mut rest, b"-")?;
    let month = digits(&mut rest, 2)?;
    literal(&mut rest, b"-")?;
    let day = digits(&mut rest, 2)?;
    literal(&mut rest, b"Tt ")?;
    let hour = digits(&mut rest, 2)?;
    literal(&mut rest, b":")?;
    let minute = digits(&mut rest, 2)?;
    literal(&mut rest, b":")?;
    let second = digits(&mut rest, 2)?;
    let micros = fraction(&mut rest)?;
    let offset = offset(&mut rest)?;

    let in_range = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60
        && rest.is_empty();
    if !in_range {
        return None;
    }
    let seconds =
        days_from_date(year, month, day) * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second
            - offset;
    Some(seconds * MICROS_PER_SECOND + micros)
}

/// The time as RFC 3339 in UTC, with a fraction only where there is one. None outside
/// the years 0 to 9999, which the format cannot write.
pub(crate) fn format(micros: i64) -> Option<String> {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    let (year, month, day) = date_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    if !(0..=9_999).contains(&year) {
        return None;
    }
    let second = seconds.rem_euclid(SECONDS_PER_DAY);

    let mut text = String::with_capacity(LEN_MAX);
    push_digits(&mut text, year, 1_000);
    text.push('-');
    push_digits(&mut text, month, 10);
    text.push('-');
    push_digits(&mut text, day, 10);
    text.push('T');
    push_digits(&mut text, second / 3_600, 10);
    text.push(':');
    push_digits(&mut text, second / 60 % 60, 10);
    text.push(':');
    push_digits(&mut text, second % 60, 10);
    if fraction != 0 {
        text.push('.');
        push_digits(&mut text, fraction, 100_000);
    }
    text.push('Z');
    Some(text)
}

/// Takes exactly `count` digits.
fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (head, tail) = rest.split_at_checked(count)?;
    let mut value = 0;
    for byte in head {
        value = value * 10 + digit(*byte)?;
    }
    *rest = tail;
    Some(value)
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

/// Takes one byte out of `accepted`.
fn literal(rest: &mut &[u8], accepted: &[u8]) -> Option<u8> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    accepted.contains(first).then_some(*first)
}

/// Takes an optional fraction of a second, as microseconds.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let Some((b'.', mut tail)) = rest.split_first() else {
        return Some(0);
    };
    let mut micros = 0;
    let mut unit = MICROS_PER_SECOND / 10;
    let mut any = false;
    while let Some((byte, after)) = tail.split_first()
        && let Some(digit) = digit(*byte)
    {
        micros += digit * unit;
        unit /= 10;
        any = true;
        tail = after;
    }
    *rest = tail;
    any.then_some(micros)
}

/// Takes the zone, as seconds east of UTC.
fn offset(rest: &mut &[u8]) -> Option<i64> {
    let sign = match literal(rest, b"Zz+-")? {
        b'+' => 1,
        b'-' => -1,
        _ => return Some(0),
    };
    let hours = digits(rest, 2)?;
    literal(rest, b":")?;
    let minutes = digits(rest, 2)?;
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, after Howard Hinnant's `days_from_civil`.
fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH
}

/// Year, month and day, after Howard Hinnant's `civil_from_days`.
fn date_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_EPOCH;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Writes `value` with leading zeros; `unit` is the value of its first digit.
fn push_digits(text: &mut String, value: i64, mut unit: i64) {
    while unit > 0 {
        let digit = u8::try_from(value / unit % 10).unwrap_or(0);
        text.push(char::from(b'0' + digit));
        unit /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    use super::{format, parse};

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(parse(text), expected, "{text}");
    }

    #[test]
    fn what_github_sends() {
        check("2019-05-15T15:20:33Z", Some(1_557_933_633_000_000));
        check("2021-05-24T00:10:21.000-04:00", Some(1_621_829_421_000_000));
        check("2020-10-02T12:42:30.250Z", Some(1_601_642_550_250_000));
    }

    #[test]
    fn forms_that_the_standard_allows() {
        check("1970-01-01t00:00:00z", Some(0));
        check("1970-01-01 00:00:00Z", Some(0));
        check("1969-12-31T23:59:59.999999Z", Some(-1));
        check("1970-01-01T00:00:00.1234567891Z", Some(123_456));
        check("1990-12-31T23:59:60Z", Some(662_688_000_000_000));
        check("2000-02-29T00:00:00+23:59", Some(951_696_060_000_000));
    }

    #[test]
    fn what_is_not_a_time() {
        for text in [
            "",
            "2019-05-15",
            "2019-05-15T15:20:33",
            "2019-05-15T15:20:33.Z",
            "2019-05-15T15:20:33Z ",
            "2019-13-15T15:20:33Z",
            "2019-00-15T15:20:33Z",
            "2019-02-29T15:20:33Z",
            "1900-02-29T15:20:33Z",
            "2019-05-15T24:20:33Z",
            "2019-05-15T15:60:33Z",
            "2019-05-15T15:20:61Z",
            "2019-05-15T15:20:33+24:00",
            "2019-05-15T15:20:33+0200",
            "+019-05-15T15:20:33Z",
            "２019-05-15T15:20:33Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn years_that_the_format_cannot_write() {
        assert_eq!(format(i64::MAX), None);
        assert_eq!(format(i64::MIN), None);
    }

    proptest! {
        #[test]
        fn agrees_with_the_time_crate(micros in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            let ours = format(micros).unwrap();
            let theirs = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
                .unwrap()
                .format(&Rfc3339)
                .unwrap();
            prop_assert_eq!(OffsetDateTime::parse(&ours, &Rfc3339).unwrap(),
                OffsetDateTime::parse(&theirs, &Rfc3339).unwrap());
            prop_assert_eq!(parse(&ours), Some(micros));
            prop_assert_eq!(parse(&theirs), Some(micros));
        }

        #[test]
        fn agrees_on_offsets(
            micros in -62_000_000_000_000_000_i64..253_000_000_000_000_000,
            minutes in -1_439_i32..=1_439,
        ) {
            let offset = time::UtcOffset::from_whole_seconds(minutes * 60).unwrap();
            let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
                .unwrap()
                .to_offset(offset)
                .format(&Rfc3339)
                .unwrap();
            prop_assert_eq!(parse(&text), Some(micros));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
