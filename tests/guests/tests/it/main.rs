//! Plugins that misbehave, and that nothing else notices.
//!
//! Each test ends with an ordinary call on the same runtime: a fault belongs to its own
//! call.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here; clippy counts only functions marked as tests"
)]

mod admission;
mod answers;
mod cache;
mod faults;
mod guest;
mod sdk;
mod senses;
