//! A TCP connection under hyper, with what hyper leaves out.
//!
//! - Patience: an idle connection, a head that does not end and a peer that does not
//!   read its answer are each given a time. hyper has one timer for the first two.
//! - Words: where hyper refuses a request that it cannot parse it writes a status and an
//!   empty body; the problem document is put there. Our own answers of these statuses
//!   always have a body, so an empty one is hyper's.
//! - Manners: a connection that is closed while the peer still sends is read for a
//!   moment longer; otherwise the peer's system throws the answer away.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tidegate_core::limits::{
    HEADER_BLOCK_BYTES_MAX, HEADERS_MAX, KEEP_ALIVE_TIMEOUT, REQUEST_READ_TIMEOUT,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::head::{HeadWatch, Stage};
use super::problem::{self, MEDIA_TYPE, Problem};

/// Longest wait for a peer to take more of an answer.
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// Longest reading on after an answer that came before the end of the request.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Most bytes read and thrown away in that time.
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a connection's wire and its service tell each other.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// The head that was read last says twice how long its body is.
    framed_twice: AtomicBool,
    /// The peer may still be sending what was answered already.
    answered_early: AtomicBool,
}

impl Signals {
    /// Whether the head that was read last says twice how long its body is.
    pub(super) fn framed_twice(&self) -> bool {
        self.framed_twice.load(Ordering::Relaxed)
    }

    /// Whether the answer came before the end of the request.
    pub(super) fn set_answered_early(&self, early: bool) {
        self.answered_early.store(early, Ordering::Relaxed);
    }
}

/// Whose time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expired {
    /// Nothing was asked.
    Idle,
    /// A head had begun.
    Head,
    /// The peer did not read.
    Write,
}

/// A TCP connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    signals: Arc<Signals>,
    head: HeadWatch,
    /// Whether anything was ever asked: a new connection has less time.
    used: bool,
    /// Since when it has waited for what its stage is about.
    waiting_since: Option<(Stage, Instant)>,
    stalled_since: Option<Instant>,
    /// One timer for both; it may ring early, and is then set again.
    alarm: Pin<Box<Sleep>>,
    expired: Option<Expired>,
    /// A whole answer that stands for the one hyper is writing.
    instead: Bytes,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> (Self, Arc<Signals>) {
        let signals = Arc::new(Signals::default());
        let wire = Self {
            stream,
            signals: signals.clone(),
            head: HeadWatch::new(),
            used: false,
            waiting_since: None,
            stalled_since: None,
            alarm: Box::pin(tokio::time::sleep(REQUEST_READ_TIMEOUT)),
            expired: None,
            instead: Bytes::new(),
        };
        (wire, signals)
    }

    fn saw(&mut self, bytes: &[u8]) {
        if self.head.see(bytes) {
            self.used = true;
            self.signals
                .framed_twice
                .store(self.head.framed_twice(), Ordering::Relaxed);
        }
    }

    /// An answer goes out, and the wait for the next request begins. hyper does not read
    /// before something has come, so the alarm is set here.
    fn answered(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.head.answered();
        self.waiting_since = None;
        match self.poll_patience(cx) {
            Poll::Ready(ended) => ended,
            Poll::Pending => Ok(()),
        }
    }

    /// Nothing can be read: how long that may go on.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stage = self.head.stage();
        let (patience, expired) = match stage {
            Stage::Idle if self.used => (KEEP_ALIVE_TIMEOUT, Expired::Idle),
            Stage::Idle => (REQUEST_READ_TIMEOUT, Expired::Idle),
            Stage::Head => (REQUEST_READ_TIMEOUT, Expired::Head),
            // Whoever handles the request keeps time for its body and its answer.
            Stage::Past => return Poll::Pending,
        };
        let since = match self.waiting_since {
            Some((waiting, since)) if waiting == stage => since,
            _ => self.waiting_since.insert((stage, Instant::now())).1,
        };
        self.poll_alarm(since + patience, expired, cx)
    }

    /// Fails once `deadline` has passed; until then wakes the task by it at the latest.
    fn poll_alarm(
        &mut self,
        deadline: Instant,
        expired: Expired,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if Instant::now() >= deadline {
                self.expired = Some(expired);
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if self.alarm.is_elapsed() || self.alarm.deadline() > deadline {
                self.alarm.as_mut().reset(deadline);
            }
            ready!(self.alarm.as_mut().poll(cx));
        }
    }

    /// Takes leave of the peer, once hyper is done.
    pub(super) async fn part(mut self) {
        if self.expired == Some(Expired::Head) {
            let problem = problem::too_slow("head", REQUEST_READ_TIMEOUT.as_secs());
            let head = format!(
                "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n{}",
                body_headers(&problem)
            );
            let answer = [head.as_bytes(), &problem.document()].concat();
            // One answer to a peer that is slow already is not worth waiting for.
            let writing = self.stream.write_all(&answer);
            let _ = tokio::time::timeout(LINGER_MAX, writing).await;
            self.signals.set_answered_early(true);
        }
        if self.signals.answered_early.load(Ordering::Relaxed) {
            let _ = tokio::time::timeout(LINGER_MAX, self.linger()).await;
        }
    }

    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut dropped = 0;
        let mut buffer = BytesMut::with_capacity(16 * 1024);
        while dropped < LINGER_BYTES_MAX {
            match self.stream.read_buf(&mut buffer).await? {
                0 => break,
                read => dropped += read,
            }
            buffer.clear();
        }
        Ok(())
    }

    /// Writes to the socket, within the peer's time.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => {
                let since = *self.stalled_since.get_or_insert_with(Instant::now);
                self.poll_alarm(since + WRITE_STALL_MAX, Expired::Write, cx)
                    .map_ok(|()| 0)
            }
            ready @ Poll::Ready(_) => {
                self.stalled_since = None;
                ready
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.poll_patience(cx),
            ready @ Poll::Ready(_) => {
                self.saw(buffer.filled().get(before..).unwrap_or_default());
                ready
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_empty() {
            match worded(bytes) {
                None => {
                    let sent = ready!(self.poll_send(cx, bytes))?;
                    if !bytes.starts_with(b"HTTP/1.1 100 ") {
                        self.answered(cx)?;
                    }
                    return Poll::Ready(Ok(sent));
                }
                Some(answer) => {
                    self.signals.set_answered_early(true);
                    self.instead = answer;
                }
            }
        }
        while !self.instead.is_empty() {
            let rest = self.instead.clone();
            let sent = ready!(self.poll_send(cx, &rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(sent);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// hyper's bare refusal with a problem document as its body; none where `bytes` are not
/// one.
fn worded(bytes: &[u8]) -> Option<Bytes> {
    const BARE: &str = "content-length: 0\r\n";
    let status = bytes
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?;
    let problem = match status.get(..4)? {
        b"400 " => problem::bad_request(),
        b"414 " => problem::url_too_long(),
        b"431 " => problem::headers_too_large(HEADER_BLOCK_BYTES_MAX, HEADERS_MAX),
        _ => return None,
    };
    let head = std::str::from_utf8(bytes.strip_suffix(b"\r\n")?).ok()?;
    let (before, after) = head.split_once(BARE)?;
    let head = format!("{before}{after}{}", body_headers(&problem));
    Some([head.as_bytes(), &problem.document()].concat().into())
}

/// The headers that tell of a problem's document, and the end of the head.
fn body_headers(problem: &Problem) -> String {
    format!(
        "content-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\n\r\n",
        problem.document().len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Option<&str>) {
        let answer = worded(written.as_bytes());
        let text = answer
            .as_deref()
            .map(|answer| std::str::from_utf8(answer).unwrap());
        match expected {
            None => assert_eq!(text, None, "{written:?}"),
            Some(slug) => {
                let text = text.unwrap();
                let (head, body) = text.split_once("\r\n\r\n").unwrap();
                assert!(head.contains("\r\ndate: x\r\n") && head.contains("connection: close"));
                assert!(
                    head.contains(&format!("content-length: {}", body.len())),
                    "{head}"
                );
                assert!(body.contains(slug), "{body}");
            }
        }
    }

    #[test]
    fn bare_refusals_get_words() {
        let bare = |status: &str| {
            format!("{status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n")
        };
        check(
            &bare("HTTP/1.1 400 Bad Request"),
            Some("/problems/bad-request"),
        );
        check(
            &bare("HTTP/1.0 400 Bad Request"),
            Some("/problems/bad-request"),
        );
        check(
            &bare("HTTP/1.1 414 URI Too Long"),
            Some("/problems/url-too-long"),
        );
        check(
            &bare("HTTP/1.1 431 Too Large"),
            Some("/problems/headers-too-large"),
        );
        check(&bare("HTTP/1.1 401 Unauthorized"), None);
        check(&bare("HTTP/1.1 200 OK"), None);
        check(
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            None,
        );
        check("HTTP/1.1 100 Continue\r\n\r\n", None);
        check("HTTP", None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut wire, _) = Wire::new(listener.accept().await.unwrap().0);
        let began = Instant::now();
        let endless = vec![b'x'; 64 * 1024];
        let error = loop {
            if let Err(error) = wire.write_all(&endless).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(wire.expired, Some(Expired::Write));
        assert!(began.elapsed() >= WRITE_STALL_MAX);
        drop(peer);
    }
}
