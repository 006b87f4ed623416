//! A server that says exactly what a test wants, when it wants it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_egress::{Allow, Egress, EgressPolicy, HeaderMap, Method, Request, Url};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What the server does once a request is there.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Say(String),
    Wait(Duration),
    Close,
}

/// An answer with that status line's end and that body.
pub(crate) fn answer(status: &str, body: &str) -> Step {
    let length = body.len();
    Step::Say(format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Follows these steps at each request.
    pub(crate) async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let steps = steps.clone();
                tokio::spawn(async move { converse(stream, &steps).await });
            }
        });
        Self {
            address,
            connections,
        }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    /// Connections that it has taken.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub(crate) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, steps: &[Step]) {
    while read_request(&mut stream).await.is_some() {
        for step in steps {
            match step {
                Step::Say(text) => {
                    if stream.write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                    let _ = stream.flush().await;
                }
                Step::Wait(span) => tokio::time::sleep(*span).await,
                Step::Close => return,
            }
        }
    }
}

/// Head and body of the next request, as text.
pub(crate) async fn read_request<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let all = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = all.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(all);
            }
        }
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => text.extend_from_slice(&piece[..length]),
        }
    }
}

/// A way out that may go to this machine.
pub(crate) fn egress() -> Egress {
    Egress::new(EgressPolicy {
        allow: vec!["127.0.0.0/8".parse::<Allow>().unwrap()],
        roots: None,
    })
    .unwrap()
}

pub(crate) fn post(url: &Url) -> Request<'_> {
    Request {
        method: Method::POST,
        url,
        headers: HeaderMap::new(),
        body: "hello".into(),
        timeout: Duration::from_secs(5),
        response_bytes_max: 1_000,
        repeatable: true,
    }
}
