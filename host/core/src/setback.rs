//! What a failed attempt leaves behind: what follows, and the failure as it is recorded.
//!
//! The one place where every flow asks [`task::step`], so that no record forgets to say
//! that a delay which was asked for has been cut.

use crate::failure::{Failure, FailureClass};
use crate::limits::{FAILURE_MESSAGE_BYTES_MAX, cut_text};
use crate::retry::{Jitter, RetryPolicy};
use crate::task::{self, Next, Try, Work};
use crate::time::Timestamp;

/// What a failed attempt leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setback {
    /// What follows.
    pub next: Next,
    /// The failure for the attempt's record.
    pub failure: Failure,
}

/// Decides what follows from a failed attempt, and words it.
pub fn setback(
    work: Work,
    tried: Try,
    mut failure: Failure,
    now: Timestamp,
    policy: &RetryPolicy,
    jitter: Jitter,
) -> Setback {
    let next = task::step(work, tried, &failure, now, policy, jitter);
    if let Next::Again(again) = &next
        && let Some(asked) = again.cut
    {
        let bound = match failure.class {
            FailureClass::RateLimited { .. } => "policy.retry.rate_limited_max",
            _ => "policy.retry.delay_max",
        };
        let said = format!(
            " (asked for {} s, granted {} s by {bound})",
            asked.as_secs(),
            again.due.since(now).as_secs(),
        );
        let room = FAILURE_MESSAGE_BYTES_MAX.saturating_sub(said.len());
        failure.message = cut_text(failure.message, room) + &said;
    }
    Setback { next, failure }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(class: FailureClass, message: &str, ends: &str) {
        let tried = Try {
            attempt: 1,
            since: Timestamp::EPOCH,
            limited_since: None,
        };
        let (now, policy) = (Timestamp::from_secs(1_000), RetryPolicy::default());
        let failure = Failure::new(class, message);
        let left = setback(Work::Deliver, tried, failure, now, &policy, Jitter::new(0));
        let message = left.failure.message;
        assert!(message.ends_with(ends), "{message:?}");
        assert!(message.len() <= FAILURE_MESSAGE_BYTES_MAX);
    }

    #[test]
    fn a_delay_that_was_cut_says_by_what() {
        let asked = Some(Duration::from_hours(25));
        let transient = FailureClass::Transient { delay: asked };
        let said = "(asked for 90000 s, granted 86400 s by policy.retry.delay_max)";
        check(transient.clone(), "503", said);
        check(transient, &"x".repeat(FAILURE_MESSAGE_BYTES_MAX), said);
        check(
            FailureClass::RateLimited { delay: asked },
            "429",
            "(asked for 90000 s, granted 86400 s by policy.retry.rate_limited_max)",
        );
        check(FailureClass::TRANSIENT, "503", "503");
    }
}
