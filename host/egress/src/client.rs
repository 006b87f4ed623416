//! Requests: one way in for every caller.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use hyper::{HeaderMap, Method, StatusCode};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::allow::Allow;
use crate::connect::{self, Sender};
use crate::error::{EgressError, Progress, Stage};
use crate::pool::Pool;
use crate::resolve::{Resolver, SystemResolver, all_allowed, checked};
use crate::tls::{self, InvalidRoots, TlsStream};
use crate::url::{Origin, Url};

const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

/// What the configuration says about the way out.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    /// Hosts and networks beyond public ones over TLS.
    pub allow: Vec<Allow>,
    /// Certificate authorities beyond the public ones, as PEM.
    pub roots: Option<Vec<u8>>,
}

/// The way out. One for the whole host: it keeps connections for the next request.
pub struct Egress {
    allow: Vec<Allow>,
    resolver: Box<dyn Resolver>,
    tls: TlsConnector,
    pool: Pool,
}

/// A request.
#[derive(Debug)]
pub struct Request<'u> {
    /// Its method.
    pub method: Method,
    /// Where to.
    pub url: &'u Url,
    /// Its fields; `host`, `content-length` and `user-agent` are added.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Everything together, from the look-up to the last byte of the answer.
    pub timeout: Duration,
    /// Longest body of an answer.
    pub response_bytes_max: usize,
    /// Whether it does no harm twice: then it is sent again, once, where a connection
    /// that was kept turns out to have been closed meanwhile.
    pub repeatable: bool,
}

/// An answer, redirects and errors included.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Egress {
    /// A way out under that policy.
    pub fn new(policy: EgressPolicy) -> Result<Self, InvalidRoots> {
        Self::with_resolver(policy, Box::new(SystemResolver))
    }

    /// The same, with somebody else who knows the addresses of names.
    pub fn with_resolver(
        policy: EgressPolicy,
        resolver: Box<dyn Resolver>,
    ) -> Result<Self, InvalidRoots> {
        Ok(Self {
            tls: tls::connector(policy.roots.as_deref())?,
            allow: policy.allow,
            resolver,
            pool: Pool::default(),
        })
    }

    /// Sends a request and reads the answer to its end.
    pub async fn request(&self, request: Request<'_>) -> Result<Response, EgressError> {
        let progress = Progress::default();
        let within = request.timeout;
        let origin = request.url.origin();
        let deadline = Instant::now() + within;
        match timeout_at(deadline, self.exchange(request, deadline, &progress)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(EgressError::Time {
                origin: origin.clone(),
                stage: progress.stage(),
                within,
            }),
        }
    }

    /// Opens a connection to a host for another protocol than HTTP, under the same
    /// checks. The flag says whether the host is one that may be spoken to without TLS.
    pub async fn connect(
        &self,
        origin: &Origin,
        within: Duration,
    ) -> Result<(TcpStream, bool), EgressError> {
        let progress = Progress::default();
        let deadline = Instant::now() + within;
        let opened = async {
            let addresses = checked(origin, &self.allow, &*self.resolver).await?;
            progress.enter(Stage::Connect);
            let stream = connect::tcp(origin, &addresses, deadline).await?;
            Ok((stream, all_allowed(origin, &self.allow, &addresses)))
        };
        match timeout_at(deadline, opened).await {
            Ok(outcome) => outcome,
            Err(_) => Err(EgressError::Time {
                origin: origin.clone(),
                stage: progress.stage(),
                within,
            }),
        }
    }

    /// What [`Egress::connect`] opened, over TLS. Bounded in time by the caller.
    pub async fn secure(
        &self,
        origin: &Origin,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, EgressError> {
        tls::agree(&self.tls, origin.host(), stream)
            .await
            .map_err(|source| EgressError::Tls {
                origin: origin.clone(),
                source,
            })
    }

    async fn exchange(
        &self,
        request: Request<'_>,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<Response, EgressError> {
        let url = request.url;
        let bytes_max = request.response_bytes_max;
        let repeatable = request.repeatable;
        let mut message = message(request);
        while let Some(mut sender) = self.pool.take(url.origin()) {
            if sender.ready().await.is_err() {
                continue;
            }
            progress.enter(Stage::Answer);
            let spare = repeatable.then(|| message.clone());
            match sender.try_send_request(message).await {
                Ok(answer) => return self.read(url, sender, answer, bytes_max, progress).await,
                Err(mut error) => {
                    // Closed while it was idle: nothing was sent, or may be sent again.
                    let spare = spare.filter(|_| !error.error().is_parse());
                    match error.take_message().or(spare) {
                        Some(unsent) => message = unsent,
                        None => return Err(broken(url, error.into_error())),
                    }
                }
            }
            break;
        }
        let mut sender = self.open(url.origin(), deadline, progress).await?;
        progress.enter(Stage::Answer);
        match sender.send_request(message).await {
            Ok(answer) => self.read(url, sender, answer, bytes_max, progress).await,
            Err(source) => Err(broken(url, source)),
        }
    }

    async fn open(
        &self,
        origin: &Origin,
        deadline: Instant,
        progress: &Progress,
    ) -> Result<Sender, EgressError> {
        progress.enter(Stage::Resolve);
        let addresses = checked(origin, &self.allow, &*self.resolver).await?;
        if !origin.is_https() && !all_allowed(origin, &self.allow, &addresses) {
            return Err(EgressError::Plain {
                origin: origin.clone(),
            });
        }
        progress.enter(Stage::Connect);
        let stream = connect::tcp(origin, &addresses, deadline).await?;
        if origin.is_https() {
            let stream = self.secure(origin, stream).await?;
            connect::http(origin, stream).await
        } else {
            connect::http(origin, stream).await
        }
    }

    async fn read(
        &self,
        url: &Url,
        sender: Sender,
        answer: hyper::Response<Incoming>,
        bytes_max: usize,
        progress: &Progress,
    ) -> Result<Response, EgressError> {
        progress.enter(Stage::Body);
        let (head, body) = answer.into_parts();
        let body = whole(url, body, bytes_max).await?;
        self.pool.put(url.origin(), sender);
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress")
            .field("allow", &self.allow)
            .finish_non_exhaustive()
    }
}

fn message(request: Request<'_>) -> hyper::Request<Full<Bytes>> {
    let mut message = hyper::Request::new(Full::new(request.body));
    *message.method_mut() = request.method;
    *message.uri_mut() = request.url.target().clone();
    let mut headers = request.headers;
    headers.insert(HOST, request.url.host_field().clone());
    headers.remove(CONTENT_LENGTH);
    headers
        .entry(USER_AGENT)
        .or_insert(hyper::header::HeaderValue::from_static(AGENT));
    *message.headers_mut() = headers;
    message
}

fn broken(url: &Url, source: hyper::Error) -> EgressError {
    EgressError::Exchange {
        origin: url.origin().clone(),
        source,
    }
}

/// The body, unless it is larger than that. The usual one comes in one piece and is not
/// copied.
async fn whole(url: &Url, mut body: Incoming, bytes_max: usize) -> Result<Bytes, EgressError> {
    let too_large = || EgressError::TooLarge {
        origin: url.origin().clone(),
        bytes_max,
    };
    if body.size_hint().lower() > u64::try_from(bytes_max).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|source| broken(url, source))?.into_data() else {
            continue;
        };
        if first.len() + more.len() + data.len() > bytes_max {
            return Err(too_large());
        }
        if first.is_empty() {
            first = data;
        } else {
            more.extend_from_slice(&data);
        }
    }
    if more.is_empty() {
        return Ok(first);
    }
    Ok(Bytes::from([first, more.freeze()].concat()))
}
