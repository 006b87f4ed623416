//! One loop for both listeners: takes connections, within a bound, and has hyper speak
//! HTTP/1.1 on each.
//!
//! A connection that fails is nobody else's matter, nor is one that could not be taken:
//! the loop goes on until it is told to stop. Then nothing new is taken and the requests
//! in flight are finished, within a bound. Dropping the future cuts what is left.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tidegate_core::limits::{DRAIN_TIMEOUT, HEADER_BLOCK_BYTES_MAX, HEADERS_MAX};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::problem::{self, Problem};
use super::wire::{Signals, Wire};

/// Wait after a connection could not be taken, usually for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What answers the requests of a listener.
pub(super) trait Handler: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + From<Bytes>
        + Send
        + 'static;

    /// Answers one request.
    fn handle(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Serves a listener until told to stop, at most `connections_max` connections at once.
pub(super) async fn serve<H: Handler>(
    listener: TcpListener,
    connections_max: usize,
    handler: H,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = told_to_stop(&mut stopping) => break,
            Some(ended) = connections.join_next() => tell_panic(ended),
            taken = listener.accept(), if connections.len() < connections_max => match taken {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, handler.clone(), stopping.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    let drain = async {
        while let Some(ended) = connections.join_next().await {
            tell_panic(ended);
        }
    };
    if tokio::time::timeout(DRAIN_TIMEOUT, drain).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut");
    }
}

/// Resolves when the listener shall stop; a sender that is gone says so too.
pub(super) async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn tell_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request was not answered: this is a defect of Tidegate");
    }
}

/// Speaks with one peer to the end.
async fn converse<H: Handler>(stream: TcpStream, handler: H, mut stopping: watch::Receiver<bool>) {
    // Answers are written whole, so there is nothing to gather.
    let _ = stream.set_nodelay(true);
    let (wire, signals) = Wire::new(stream);
    let service = service_fn(|request| {
        let (handler, signals) = (handler.clone(), signals.clone());
        async move { Ok::<_, Infallible>(answer(&handler, &signals, request).await) }
    });
    let mut connection = Builder::new()
        .keep_alive(true)
        // The wire has a timer for each stage.
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEADER_BLOCK_BYTES_MAX)
        // One write for head and body.
        .writev(false)
        .serve_connection(TokioIo::new(wire), service);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = told_to_stop(&mut stopping) => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(
            error = tidegate_core::errors::chain(&error),
            "a connection broke off"
        );
    }
    connection.into_parts().io.into_inner().part().await;
}

async fn answer<H: Handler>(
    handler: &H,
    signals: &Arc<Signals>,
    request: Request<Incoming>,
) -> Response<H::Body> {
    let has_body = !request.body().is_end_stream();
    let mut answer = match check_framing(signals, request.headers()) {
        Ok(()) => handler.handle(request).await,
        Err(problem) => problem.answer(),
    };
    // A refusal may come before the body has.
    let early = has_body && !answer.status().is_success();
    signals.set_answered_early(early);
    let unfinished = matches!(
        answer.status(),
        StatusCode::BAD_REQUEST | StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE
    );
    if early && unfinished {
        // What follows on this connection cannot be told from the rest of the body.
        answer
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Refuses what two readers of HTTP may cut in two ways.
fn check_framing(signals: &Signals, headers: &HeaderMap) -> Result<(), Problem> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(encoding) = encodings.next() else {
        return Ok(());
    };
    if signals.framed_twice() {
        return Err(problem::bad_framing(
            "it has both Content-Length and Transfer-Encoding: send one of them",
        ));
    }
    let chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if chunked && encodings.next().is_none() {
        Ok(())
    } else {
        Err(problem::bad_framing(
            "the only Transfer-Encoding that is taken is chunked, once",
        ))
    }
}
