#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
//!
//! # Where things are
//!
//! An author implements [`Describer`] and [`Mapper`], and exports them with
//! [`export!`]. [`Webhook`] is what comes in, [`Outcome`] (of [`Change`]s) or
//! [`Failure`] is what goes out. [`testing`] plays fixtures natively.
//!
//! [`Poller`], [`Lister`] and [`Partner`] are the rest of the contract. They can be
//! implemented, exported and tested natively; a host of version 0.1 does not call
//! them yet.
//!
//! What must not be here: retries, storage, signatures, clocks, sockets. They are the
//! host's, so that every connector behaves like every other.

#[cfg(any(test, all(target_family = "wasm", feature = "arena")))]
mod arena;
mod change;
mod connection;
mod export;
mod failure;
mod form;
mod lister;
mod mapper;
mod outcome;
mod partner;
mod poller;
mod rfc3339;
mod text;
mod timestamp;
mod webhook;

#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod guest;
#[cfg(all(target_family = "wasm", feature = "arena"))]
mod memory;
#[cfg(all(target_family = "wasm", feature = "stderr-only"))]
mod stderr;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use change::{Change, EntityRef, Operation};
pub use connection::Connection;
pub use failure::{Failure, RateLimit};
pub use lister::{Listed, Lister, Listing, Scope};
pub use mapper::{Describer, Mapper};
pub use outcome::{Mapping, Outcome};
pub use partner::{Method, Partner, Request, Response};
pub use poller::{Checkpoint, Page, Poller, Position};
pub use text::Text;
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use webhook::{BodyAuthenticated, Header, Webhook, parse_json};

/// What [`export!`] expands to in a guest. Not for authors, and free to change.
#[doc(hidden)]
#[cfg(target_family = "wasm")]
pub mod __private {
    pub use crate::bindings::{describer, lister, mapper, poller};
    pub use crate::guest::Guest;
}

/// What [`export!`] expands to natively: one bound for each capability.
#[doc(hidden)]
#[cfg(not(target_family = "wasm"))]
pub mod __private {
    pub fn describes<T: crate::Describer>() {}
    pub fn maps<T: crate::Mapper>() {}
    pub fn polls<T: crate::Poller>() {}
    pub fn lists<T: crate::Lister>() {}
}
