//! Plugins that misbehave, and that nothing else notices.
//!
//! Each test ends with an ordinary call on the same runtime: a fault belongs to its own
//! call.

mod admission;
mod answers;
mod cache;
mod faults;
mod guest;
mod senses;
