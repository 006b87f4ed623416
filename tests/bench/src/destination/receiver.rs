//! An HTTP server that takes signed webhooks: finds out which events a body holds, and
//! answers 204. It can be told to hang: to take requests and never answer.
//!
//! Signatures are not checked here: `tests/partners` does that with the receivers'
//! libraries, and a receiver's costs are not what is measured.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tidegate_e2e::requests::{number_of_delivery, number_of_entity};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use super::receipts::Receipts;

/// What stands before an entity's id in an event.
const SUBJECT: &[u8] = b"\"subject\":\"";

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    hangs: watch::Sender<bool>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts it at an address of its own.
    pub(crate) fn start(receipts: Arc<Receipts>) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (hangs, hanging) = watch::channel(false);
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let thread = std::thread::spawn(move || {
            let accepting = Box::pin(accept(listener, receipts, hanging));
            // Nothing is ever sent: it resolves when the other end is dropped. With the
            // runtime end the connections.
            match runtime.block_on(select(accepting, stopped)) {
                Either::Left((Err(error), _)) => eprintln!("the receiver ended: {error}"),
                Either::Left((Ok(never), _)) => match never {},
                Either::Right(_) => {}
            }
        });
        Ok(Self {
            address,
            hangs,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where webhooks go.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// From now on requests are taken and not answered, or answered again. Those that
    /// hang when that ends never are.
    pub(crate) fn hang(&self, hangs: bool) {
        self.hangs.send_replace(hangs);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic was printed by the thread itself.
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    receipts: Arc<Receipts>,
    hanging: watch::Receiver<bool>,
) -> anyhow::Result<Infallible> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await.context("could not accept")?;
        tokio::spawn(serve(stream, receipts.clone(), hanging.clone()));
    }
}

async fn serve(stream: TcpStream, receipts: Arc<Receipts>, hanging: watch::Receiver<bool>) {
    // Refusing to set it costs latency only.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| take(request, &receipts, hanging.clone()));
    // A host that was killed breaks its connections.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn take(
    request: Request<Incoming>,
    receipts: &Receipts,
    mut hanging: watch::Receiver<bool>,
) -> io::Result<Response<Empty<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if *hanging.borrow() {
        // Until it ends, or the receiver does.
        let _ = hanging.wait_for(|hangs| !hangs).await;
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let at = Instant::now();
    for number in numbers(&head.headers, &body) {
        receipts.take(number, at);
    }
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Which events a request is about: the one of its `webhook-id` where that is a delivery
/// id, or those of the `CloudEvents` in the body.
fn numbers(headers: &HeaderMap, body: &[u8]) -> Vec<Option<usize>> {
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok());
    if let Some(number) = id.and_then(number_of_delivery) {
        return vec![Some(number)];
    }
    memmem::find_iter(body, SUBJECT)
        .map(|at| {
            let rest = body.get(at + SUBJECT.len()..).unwrap_or_default();
            number_at_start(rest)
        })
        .collect()
}

/// The event of an entity's id that stands there, in quotes.
pub(super) fn number_at_start(text: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b'"', text)?;
    number_of_entity(std::str::from_utf8(text.get(..end)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: &'static str, body: &str, expect: &[Option<usize>]) {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        assert_eq!(numbers(&headers, body.as_bytes()), expect);
    }

    #[test]
    fn events_are_found_by_id_and_in_batches() {
        check("7d2d3a00-5a4f-11ef-8c3a-00000000000c", "{}", &[Some(12)]);
        check("chg_000000000000002a", "{}", &[]);
        check("chg_1", r#"{"subject":"8","data":{"id":3}}"#, &[Some(7)]);
        let batch = r#"[{"subject":"8"},{"subject":"x"},{"subject":"1"}]"#;
        check("bat_1", batch, &[Some(7), None, Some(0)]);
    }
}
