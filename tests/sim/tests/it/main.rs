//! The simulation as a test: the same seed is the same story, then many seeds, then those
//! that once told of a mistake.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests end them"
)]

mod named;
mod seeds;
