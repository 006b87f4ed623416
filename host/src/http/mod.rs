//! The two listeners: ingress for partners, and the operator API.
//!
//! Both speak HTTP/1.1 through one connection loop with the same manners and bounds.
//! Nothing is decided here about events: what comes in goes to a flow, what is asked is
//! read from the store, and both only become HTTP here.

mod body;
mod head;
mod ingress;
mod operator;
mod percent;
mod problem;
mod refusals;
mod server;
mod wire;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::sync::Arc;

use tidegate_core::limits::{INGRESS_CONNECTIONS_MAX, OPERATOR_CONNECTIONS_MAX};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) use self::refusals::{Refusals, Refused};

use crate::host::Host;

/// Serves partners until told to stop and drained.
pub(crate) async fn serve_ingress(
    host: Arc<Host>,
    listener: TcpListener,
    stopping: watch::Receiver<bool>,
) {
    let handler = ingress::Ingress::new(host);
    server::serve(listener, INGRESS_CONNECTIONS_MAX, handler, stopping).await;
}

/// Serves operators and consumers until told to stop and drained.
pub(crate) async fn serve_operator(
    host: Arc<Host>,
    listener: TcpListener,
    stopping: watch::Receiver<bool>,
) {
    let handler = operator::Operator::new(host, stopping.clone());
    server::serve(listener, OPERATOR_CONNECTIONS_MAX, handler, stopping).await;
}
