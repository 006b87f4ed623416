//! The connection to the database: by the same checked way out as every request, and over
//! TLS unless the host is one that may do without.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_egress::{Egress, EgressError, Origin, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{self, ChannelBinding, TlsConnect};
use tokio_postgres::{Client, Config, Connection, NoTls};

use super::fault::{Fault, doing};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const PORT: u16 = 5432;

/// Connects to the first host of the list that lets us.
pub(super) async fn connect(config: &Config, egress: &Arc<Egress>) -> Result<Client, Fault> {
    let ports = config.get_ports();
    let mut last = None;
    for (at, host) in config.get_hosts().iter().enumerate() {
        // One port for all hosts, or one for each.
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
        let connected = match host {
            Host::Tcp(name) => tcp(config, egress, &Origin::of_host(name, port)).await,
            Host::Unix(folder) => {
                let path = folder.join(format!(".s.PGSQL.{port}"));
                unix(config, path).await
            }
        };
        match connected {
            Ok(client) => return Ok(client),
            Err(fault) => last = Some(fault),
        }
    }
    let none = io::Error::from(io::ErrorKind::NotFound);
    Err(last.unwrap_or(Fault::Socket(none)))
}

async fn unix(config: &Config, path: std::path::PathBuf) -> Result<Client, Fault> {
    let stream = UnixStream::connect(path).await.map_err(Fault::Socket)?;
    let mut config = config.clone();
    config.ssl_mode(SslMode::Disable);
    let connected = config.connect_raw(stream, NoTls).await;
    let (client, connection) = doing("log in to the database", connected)?;
    drive(connection);
    Ok(client)
}

async fn tcp(config: &Config, egress: &Arc<Egress>, origin: &Origin) -> Result<Client, Fault> {
    let (stream, may_be_plain) = egress.connect(origin, CONNECT_TIMEOUT).await?;
    let mut config = config.clone();
    if !may_be_plain {
        config.ssl_mode(SslMode::Require);
    }
    let tls = Tls {
        egress: egress.clone(),
        origin: origin.clone(),
    };
    let connected = config.connect_raw(stream, tls).await;
    let (client, connection) = doing("log in to the database", connected)?;
    drive(connection);
    Ok(client)
}

/// Drives the connection until the client is dropped or it breaks, which the next
/// statement is told.
fn drive<S, T>(connection: Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move { drop(connection.await) });
}

/// Agrees on TLS by the way out.
struct Tls {
    egress: Arc<Egress>,
    origin: Origin,
}

impl TlsConnect<TcpStream> for Tls {
    type Stream = Secured;
    type Error = EgressError;
    type Future = Pin<Box<dyn Future<Output = Result<Secured, EgressError>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move {
            let secured = self.egress.secure(&self.origin, stream).await?;
            Ok(Secured(secured))
        })
    }
}

/// A stream over TLS, as the client of the database wants it.
struct Secured(TlsStream<TcpStream>);

impl tls::TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
