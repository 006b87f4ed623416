//! Alert channels: how a person is told.
//!
//! What a notice says is the same everywhere ([`notice`]); each channel puts it into its
//! receiver's form. A second notice after a retry does less harm than none, so nothing is
//! kept here.

mod command;
mod notice;
mod pagerduty;
mod slack;
mod webhook;

use std::time::Duration;

use tidegate_core::failure::Failure;
use tidegate_core::time::Timestamp;
use tidegate_egress::header::{CONTENT_TYPE, HeaderValue};
use tidegate_egress::{Egress, HeaderMap, Method, Request, Url, failure_of};

use crate::webhook::excerpt;

pub use command::CommandChannel;
pub use pagerduty::{PagerDutyChannel, pagerduty_url};
pub use slack::SlackChannel;
pub use webhook::WebhookChannel;

/// Longest time of one notice.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Posts a JSON document. Receivers of notices answer as any API does.
async fn post(
    egress: &Egress,
    url: &Url,
    mut headers: HeaderMap,
    body: Vec<u8>,
    now: Timestamp,
) -> Result<(), Failure> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let request = Request {
        method: Method::POST,
        url,
        headers,
        body: body.into(),
        timeout: NOTICE_TIMEOUT,
        response_bytes_max: ANSWER_BYTES_MAX,
        repeatable: true,
    };
    let response = egress
        .request(request)
        .await
        .map_err(|error| error.failure())?;
    if response.status.is_success() {
        return Ok(());
    }
    let class = failure_of(response.status, &response.headers, &response.body, now);
    let (origin, status) = (url.origin(), response.status);
    let said = excerpt(&response.body);
    Err(Failure::new(
        class,
        format!("{origin} answered {status}{said}"),
    ))
}

#[cfg(test)]
mod tests;
