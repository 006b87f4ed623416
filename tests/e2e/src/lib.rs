//! The real `tidegate` binary, driven from outside over its sockets, its files and its
//! signals.
//!
//! The tests here, the load generator of `tests/bench` and the long runs that
//! `cargo xtask sim` starts share these pieces: a [`host`] process, signed
//! [`requests`], [`load`] on one thread, a reader that [`follow`]s the change log.
//!
//! Deliberately absent: any crate of the host's. What is checked here must hold for what a
//! user meets, so nothing of the host's own code may help to check it.

#![expect(
    clippy::indexing_slicing,
    reason = "tools of tests, over data that they made themselves"
)]

pub mod disk;
pub mod follow;
pub mod full_disk;
pub mod histogram;
pub mod host;
pub mod http;
pub mod kill9;
pub mod load;
pub mod operator;
pub mod play;
pub mod postgres;
pub mod powercut;
pub mod receiver;
pub mod reload;
pub mod requests;
pub mod seed;
pub mod sinks;
pub mod sync_failure;
