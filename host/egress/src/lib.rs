//! The one way out of the host: HTTP requests to partners and receivers, and checked
//! connections for protocols that are not HTTP.
//!
//! Every address is checked between its resolution and the connection to it, and it is
//! that very address which is connected to, so that a name cannot point outwards for the
//! check and inwards for the connection. Redirects are answers like any other and never
//! followed; proxies are unknown. Time and size are bounded, and no error, log line or
//! `Debug` shows more of a URL than scheme and host: paths and queries hold secrets.
//!
//! Deliberately absent: retries (the policy's), credentials (the caller's), and any
//! knowledge of what is sent. A request that was lost half-way is an error of its class;
//! whether the other side has acted on it is unknown, and the caller must bear that.

#![deny(missing_docs)]

mod address;
mod allow;
mod answer;
mod client;
mod connect;
mod error;
mod pool;
mod resolve;
mod tls;
mod url;

pub use address::{Zone, zone};
pub use allow::{Allow, InvalidAllow};
pub use answer::{failure_of, retry_after};
pub use client::{Egress, EgressPolicy, Request, Response};
pub use error::{EgressError, Stage};
pub use hyper::{HeaderMap, Method, StatusCode, header};
pub use resolve::{Resolution, Resolver, SystemResolver};
pub use tls::{InvalidRoots, TlsStream};
pub use url::{InvalidUrl, Origin, Url};
