//! `GET /v1/changes`: the change log for consumers, oldest first, as pages that wait for
//! more where asked to, or as a stream.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use hyper::HeaderMap;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use tidegate_core::change::Change;
use tidegate_core::ids::ChangeSeq;
use tidegate_core::limits::LONG_POLL_MAX;
use tokio::time::{Duration, Instant};

use super::super::problem::Problem;
use super::follow::{Follower, filter};
use super::query::{Query, bad, bad_cursor};
use super::{Api, stream, view};

const PARAMETERS: [&str; 6] = [
    "since",
    "limit",
    "wait",
    "connector",
    "connection",
    "entity",
];

/// A page, or a stream where `Accept: text/event-stream` asks for one.
pub(super) async fn list(
    State(api): State<Api>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref(), &PARAMETERS)?;
    let since = query
        .parse::<u64>("since")
        .map_err(|_| bad_cursor("since"))?;
    let since = ChangeSeq::new(since.unwrap_or(0));
    let filter = filter(&query)?;
    let (limit, wait) = (query.limit()?, wait(&query)?);
    if wants_stream(&headers) {
        let since = stream::last_event_id(&headers)?.unwrap_or(since);
        return stream::open(api, filter, since).await;
    }
    let mut follower = Follower::new(api, filter, since);
    let changes = follower.next(limit, Instant::now() + wait).await?;
    page(&changes, follower.cursor())
}

fn wait(query: &Query<'_>) -> Result<Duration, Problem> {
    let seconds = query.parse::<u64>("wait")?.unwrap_or(0);
    let wait = Duration::from_secs(seconds);
    if wait > LONG_POLL_MAX {
        let most = LONG_POLL_MAX.as_secs();
        return Err(bad(format!(
            "parameter \"wait\" is a number of seconds, at most {most}"
        )));
    }
    Ok(wait)
}

fn wants_stream(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value.split(',').any(|range| {
                let media_type = range.split(';').next().unwrap_or_default().trim();
                media_type.eq_ignore_ascii_case("text/event-stream")
            })
        })
}

fn page(changes: &[Change], next: ChangeSeq) -> Result<Response, Problem> {
    let mut body = Vec::with_capacity(64 + 512 * changes.len());
    body.extend_from_slice(b"{\"changes\":[");
    for (place, change) in changes.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        view::change(change, &mut body)?;
    }
    body.extend_from_slice(format!("],\"next\":\"{}\"}}", next.get()).as_bytes());
    Ok((
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body,
    )
        .into_response())
}
