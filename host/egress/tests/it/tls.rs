//! Whose certificates are believed.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tidegate_core::errors::chain;
use tidegate_egress::{Egress, EgressError, EgressPolicy, Response, Url};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::server::{answer, converse, post};

/// A server for `localhost` alone, whose certificate is its own authority; and that
/// certificate as PEM.
async fn serve() -> (u16, Vec<u8>) {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = own.cert.pem().into_bytes();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream, &[answer("200 OK", "secret")]).await;
            }
        }
    });
    (port, pem)
}

async fn ask(port: u16, host: &str, roots: Option<Vec<u8>>) -> Result<Response, EgressError> {
    let egress = Egress::new(EgressPolicy {
        allow: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        roots,
    });
    let url: Url = format!("https://{host}:{port}/").parse().unwrap();
    egress.unwrap().request(post(&url)).await
}

#[tokio::test]
async fn a_configured_authority_is_believed_for_its_names_alone() {
    let (port, pem) = serve().await;
    let response = ask(port, "localhost", Some(pem.clone())).await.unwrap();
    assert_eq!(&*response.body, b"secret");
    let other = ask(port, "127.0.0.1", Some(pem)).await.unwrap_err();
    assert!(chain(&other).contains("not valid for name"), "{other:?}");
}

#[tokio::test]
async fn an_unknown_authority_is_not_believed() {
    let (port, _) = serve().await;
    let error = ask(port, "localhost", None).await.unwrap_err();
    assert!(matches!(error, EgressError::Tls { .. }), "{error:?}");
    assert!(chain(&error).contains("UnknownIssuer"), "{}", chain(&error));
}

#[test]
fn a_file_without_certificates_is_told_at_the_start() {
    for (roots, expect) in [
        ("", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!", "read"),
    ] {
        let error = Egress::new(EgressPolicy {
            allow: Vec::new(),
            roots: Some(roots.into()),
        });
        let text = error.unwrap_err().to_string();
        assert!(text.contains(expect), "{text}");
    }
}
