//! TLS as a client: whose certificates are believed, and the handshake.

use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
pub use tokio_rustls::client::TlsStream;

/// Certificates of authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoots {
    /// Not PEM, or not certificates in it.
    #[error("the file of certificate authorities cannot be read: {reason}")]
    Pem {
        /// What is wrong.
        reason: String,
    },
    /// Nothing in it.
    #[error("the file of certificate authorities holds no certificate")]
    Empty,
    /// No protocol version is left.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// Believes Mozilla's list of authorities and those in `extra`, a PEM text.
pub(crate) fn connector(extra: Option<&[u8]>) -> Result<TlsConnector, InvalidRoots> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(pem) = extra {
        add(&mut roots, pem)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(InvalidRoots::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn add(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), InvalidRoots> {
    let unreadable = |reason: String| InvalidRoots::Pem { reason };
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| unreadable(error.to_string()))?;
        found += 1;
    }
    if found == 0 {
        return Err(InvalidRoots::Empty);
    }
    Ok(())
}

/// Agrees on TLS with a host of that name or address, which its certificate must show.
pub(crate) async fn agree<S>(
    connector: &TlsConnector,
    host: &str,
    stream: S,
) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    connector.connect(name, stream).await
}
