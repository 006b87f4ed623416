//! What an answer that is no success means.

use std::time::{Duration, SystemTime};

use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, StatusCode};
use tidegate_core::failure::FailureClass;
use tidegate_core::time::Timestamp;

/// Longest delay that is read: beyond it no policy grants anything.
const DELAY_MAX: Duration = Duration::from_hours(366 * 24);

/// Longest text of a delay: the longest form of a date has 33 bytes.
const FIELD_BYTES_MAX: usize = 64;

/// How long an answer asks to wait (RFC 9110, 10.2.3): in seconds, or until a date. None
/// where it does not, where what it says is neither, and where it is over already.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.is_empty() || text.len() > FIELD_BYTES_MAX {
        return None;
    }
    let delay = if text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number holds still mean: long.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        let seconds = date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        Timestamp::from_secs(i64::try_from(seconds).ok()?).since(now)
    };
    (delay > Duration::ZERO).then(|| delay.min(DELAY_MAX))
}

/// What kind of failure an answer of a partner's API is. Of its body only whether it
/// speaks of a rate limit counts: several partners say 403 for that.
pub fn failure_of(
    status: StatusCode,
    headers: &HeaderMap,
    body_excerpt: &[u8],
    now: Timestamp,
) -> FailureClass {
    let delay = retry_after(headers, now);
    match status.as_u16() {
        429 => FailureClass::RateLimited { delay },
        403 if delay.is_some() || speaks_of_a_rate_limit(body_excerpt) => {
            FailureClass::RateLimited { delay }
        }
        401 | 403 => FailureClass::Unauthorized,
        404 | 410 => FailureClass::NotFound,
        408 | 425 | 500..=599 => FailureClass::Transient { delay },
        _ => FailureClass::Permanent,
    }
}

fn speaks_of_a_rate_limit(body: &[u8]) -> bool {
    body.windows(10)
        .any(|window| window.eq_ignore_ascii_case(b"rate limit"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(retry_after: &str) -> HeaderMap {
        let value = retry_after.parse().unwrap();
        HeaderMap::from_iter([(RETRY_AFTER, value)])
    }

    #[track_caller]
    fn check_delay(text: &str, expect: Option<u64>) {
        // 1994-11-06T08:49:37Z, the date of RFC 9110's examples, a minute before.
        let now = Timestamp::from_secs(784_111_717);
        let delay = retry_after(&headers(text), now);
        assert_eq!(delay.map(|delay| delay.as_secs()), expect, "{text:?}");
    }

    #[test]
    fn delays_in_seconds_and_as_dates() {
        check_delay("120", Some(120));
        check_delay(" 7 ", Some(7));
        check_delay("Sun, 06 Nov 1994 08:49:37 GMT", Some(60));
        check_delay("Sunday, 06-Nov-94 08:49:37 GMT", Some(60));
        check_delay("Sun Nov  6 08:49:37 1994", Some(60));
        check_delay("99999999999999999999999999", Some(DELAY_MAX.as_secs()));
    }

    #[test]
    fn what_is_no_delay() {
        for text in [
            "",
            "0",
            "-5",
            "1.5",
            "soon",
            "Sun, 06 Nov 1994 08:48:00 GMT",
        ] {
            check_delay(text, None);
        }
        check_delay(&"1".repeat(100), None);
    }

    #[track_caller]
    fn check_class(status: u16, body: &str, expect: &str) {
        let status = StatusCode::from_u16(status).unwrap();
        let class = failure_of(status, &HeaderMap::new(), body.as_bytes(), Timestamp::EPOCH);
        assert_eq!(class.code(), expect, "{status}");
    }

    #[test]
    fn classes_of_answers() {
        check_class(301, "", "permanent");
        check_class(400, "", "permanent");
        check_class(401, "", "unauthorized");
        check_class(403, "", "unauthorized");
        check_class(403, "API Rate Limit exceeded", "rate-limited");
        check_class(404, "", "not-found");
        check_class(408, "", "transient");
        check_class(422, "", "permanent");
        check_class(429, "", "rate-limited");
        check_class(503, "", "transient");
    }

    proptest! {
        #[test]
        fn a_delay_is_bounded_whatever_comes(text in "[ -~]{0,80}", now in any::<i64>()) {
            if let Some(delay) = retry_after(&headers(&text), Timestamp::from_micros(now)) {
                prop_assert!(delay > Duration::ZERO && delay <= DELAY_MAX);
            }
        }
    }
}
