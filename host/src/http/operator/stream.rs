//! The change log as Server-Sent Events: each change once, in order, with its place as
//! the event's id, so that a reader that comes back says where it was.
//!
//! A page is read only when the one before it has left for the socket: a reader that is
//! slow holds one page, and one that has stopped reading is cut by the connection loop.
//! Silence is broken by a heartbeat, which also tells how far the filter has looked.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use tidegate_core::change::Change;
use tidegate_core::ids::ChangeSeq;
use tidegate_core::limits::CHANGE_STREAMS_MAX;
use tidegate_store::ChangeFilter;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, Instant};

use super::super::problem::Problem;
use super::follow::Follower;
use super::query::bad_cursor;
use super::{Api, view};
use crate::metrics::StreamCount;

/// Longest silence: proxies cut connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Changes in one piece of a stream.
const PIECE_ROWS_MAX: usize = 256;

/// The place after which a reader that comes back wants to continue.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<ChangeSeq>, Problem> {
    const NAME: &str = "last-event-id";
    let Some(value) = headers.get(NAME).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let place = value.to_str().ok().and_then(|text| text.parse().ok());
    place
        .map(|place| Some(ChangeSeq::new(place)))
        .ok_or_else(|| bad_cursor("Last-Event-ID"))
}

/// Opens a stream of the changes after `since`.
pub(super) async fn open(
    api: Api,
    filter: ChangeFilter,
    since: ChangeSeq,
) -> Result<Response, Problem> {
    let permit = api
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| crowded())?;
    let count = api.host.metrics.streaming();
    let mut follower = Follower::new(api, filter, since);
    // A cursor that cannot be continued from is a plain answer, not a broken stream.
    let first = follower.next(PIECE_ROWS_MAX, Instant::now()).await?;
    let first = piece(&first, since, follower.cursor())?;
    let reader = Reader {
        follower,
        first: Some(first),
        _permit: permit,
        _count: count,
    };
    let body = Body::from_stream(stream::unfold(Some(reader), step));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would gather events otherwise.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((headers, body).into_response())
}

struct Reader {
    follower: Follower,
    first: Option<Bytes>,
    _permit: OwnedSemaphorePermit,
    _count: StreamCount,
}

type Step = Option<(Result<Bytes, Infallible>, Option<Reader>)>;

/// The next piece of a stream, and the reader if there may be another.
async fn step(reader: Option<Reader>) -> Step {
    let mut reader = reader?;
    if let Some(first) = reader.first.take() {
        return Some((Ok(first), Some(reader)));
    }
    let before = reader.follower.cursor();
    let read = reader
        .follower
        .next(PIECE_ROWS_MAX, Instant::now() + HEARTBEAT)
        .await;
    let written = read.and_then(|changes| {
        let ended = changes.is_empty() && reader.follower.is_ending();
        Ok((!ended).then_some(piece(&changes, before, reader.follower.cursor())?))
    });
    match written {
        Ok(Some(piece)) => Some((Ok(piece), Some(reader))),
        Ok(None) => None,
        Err(problem) => Some((Ok(last_words(&problem)), None)),
    }
}

/// Changes as events, or a heartbeat.
fn piece(changes: &[Change], before: ChangeSeq, cursor: ChangeSeq) -> Result<Bytes, Problem> {
    let mut text = Vec::with_capacity(64 + 512 * changes.len());
    for change in changes {
        let place = change.seq.get();
        text.extend_from_slice(format!("id: {place}\nevent: change\ndata: ").as_bytes());
        view::change(change, &mut text)?;
        text.extend_from_slice(b"\n\n");
    }
    if changes.is_empty() {
        // An id without data moves the reader's cursor and is no event.
        let moved = if cursor > before {
            format!("id: {}\n", cursor.get())
        } else {
            String::new()
        };
        text.extend_from_slice(format!("{moved}: still here\n\n").as_bytes());
    }
    Ok(Bytes::from(text))
}

/// Why a stream ends before the host does.
fn last_words(problem: &Problem) -> Bytes {
    let document = problem.document();
    [b"event: problem\ndata: ", document.as_ref(), b"\n\n"]
        .concat()
        .into()
}

fn crowded() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too-many-streams",
        "Too many streams are open",
        format!("at most {CHANGE_STREAMS_MAX} are: close one, or poll with ?wait="),
    )
    .retry_after(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Option<&'static str>, expected: Result<Option<u64>, &str>) {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert("last-event-id", HeaderValue::from_static(value));
        }
        let got = last_event_id(&headers);
        let got = got
            .as_ref()
            .map(|place| place.map(ChangeSeq::get))
            .map_err(Problem::slug);
        assert_eq!(got, expected);
    }

    #[test]
    fn a_reader_says_where_it_was() {
        check(None, Ok(None));
        check(Some(""), Ok(None));
        check(Some("12"), Ok(Some(12)));
        check(Some("twelve"), Err("bad-cursor"));
        check(Some("-1"), Err("bad-cursor"));
    }

    #[test]
    fn a_heartbeat_tells_how_far_the_filter_looked() {
        let beat = |before, cursor| {
            let piece = piece(&[], ChangeSeq::new(before), ChangeSeq::new(cursor)).unwrap();
            String::from_utf8(piece.to_vec()).unwrap()
        };
        assert_eq!(beat(7, 7), ": still here\n\n");
        assert_eq!(beat(7, 9), "id: 9\n: still here\n\n");
    }
}
