//! Asking a receiver whether it wants events, so that nobody can have us send them to a
//! stranger (`CloudEvents` webhooks, 4: abuse protection).
//!
//! One `OPTIONS` before the first delivery of a process, and again once a receiver has
//! taken nothing. A rate that the receiver names is kept.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::time::Timestamp;
use tidegate_egress::header::HeaderValue;
use tidegate_egress::{Egress, HeaderMap, Method, Request, Response};
use tokio::time::Instant;

use super::verdict::verdict;
use super::{ANSWER_BYTES_MAX, WebhookSink};

/// How a receiver stands to being sent to.
#[derive(Debug)]
pub(super) struct Permission {
    origin: HeaderValue,
    granted: Mutex<Option<Pace>>,
}

/// How often one may send: from `next` on, once each `every`.
#[derive(Clone, Copy, Debug)]
struct Pace {
    every: Duration,
    next: Instant,
}

impl Permission {
    pub(super) fn new(origin: HeaderValue) -> Self {
        Self {
            origin,
            granted: Mutex::new(None),
        }
    }

    /// Returns once something may be sent; asks the receiver where that is not known.
    pub(super) async fn ask(
        &self,
        egress: &Egress,
        sink: &WebhookSink,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if self.turn(sink.timeout).await? {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        headers.insert("webhook-request-origin", self.origin.clone());
        let request = Request {
            method: Method::OPTIONS,
            url: &sink.url,
            headers,
            body: bytes::Bytes::new(),
            timeout: sink.timeout,
            response_bytes_max: ANSWER_BYTES_MAX,
            repeatable: true,
        };
        let response = egress
            .request(request)
            .await
            .map_err(|error| error.failure())?;
        verdict(sink.url.origin(), &response, now).map_err(|unsent| unsent.failure)?;
        let pace = self.pace_of(&response).ok_or_else(|| {
            let origin = sink.url.origin();
            let message = format!("{origin} does not allow webhooks from this origin");
            Failure::new(FailureClass::Unauthorized, message)
        })?;
        *self.granted.lock().unwrap_or_else(PoisonError::into_inner) = Some(pace);
        Ok(())
    }

    /// The next delivery asks again.
    pub(super) fn forget(&self) {
        *self.granted.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Waits for a place within the receiver's rate; false where it has not been asked.
    async fn turn(&self, within: Duration) -> Result<bool, Failure> {
        let now = Instant::now();
        let turn = {
            let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(pace) = granted.as_mut() else {
                return Ok(false);
            };
            let turn = pace.next.max(now);
            if turn.duration_since(now) > within {
                let delay = Some(turn.duration_since(now));
                let message = "the receiver's allowed rate is used up";
                return Err(Failure::new(FailureClass::RateLimited { delay }, message));
            }
            pace.next = turn + pace.every;
            turn
        };
        tokio::time::sleep_until(turn).await;
        Ok(true)
    }

    /// What the receiver's answer grants; none where it does not allow our origin.
    fn pace_of(&self, response: &Response) -> Option<Pace> {
        let allowed = response.headers.get("webhook-allowed-origin")?;
        if allowed != "*" && allowed != self.origin {
            return None;
        }
        // Requests a minute; `*` and what is no number set no bound.
        let rate = response.headers.get("webhook-allowed-rate");
        let rate = rate.and_then(|rate| rate.to_str().ok()?.parse::<u32>().ok());
        let every = rate.map_or(Duration::ZERO, |rate| Duration::from_mins(1) / rate.max(1));
        Some(Pace {
            every,
            next: Instant::now() + every,
        })
    }
}
