//! Opening connections: to checked addresses, and in a fair share of the time each.

use std::io;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use bytes::Bytes;

use crate::error::EgressError;
use crate::url::Origin;

/// Most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What requests are sent on.
pub(crate) type Sender = http1::SendRequest<Full<Bytes>>;

/// Connects to the first of these addresses that answers. Each has its share of what is
/// left until `deadline`, so that one that swallows packets does not take all of it.
pub(crate) async fn tcp(
    origin: &Origin,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<TcpStream, EgressError> {
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / left.max(1);
        left = left.saturating_sub(1);
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are written whole: nothing is gained by waiting for more.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(EgressError::Connect {
        origin: origin.clone(),
        source: last,
    })
}

/// Speaks HTTP/1.1 over that stream. The connection is driven by a loop of its own, which
/// ends with the sender.
pub(crate) async fn http<S>(origin: &Origin, stream: S) -> Result<Sender, EgressError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_header_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| EgressError::Exchange {
            origin: origin.clone(),
            source,
        })?;
    // Whatever ends it is told to the request that is under way.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
