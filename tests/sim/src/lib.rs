//! A seeded simulation that tries to break the promise: an acknowledged event ends as a
//! delivered change or as a dead letter that someone knows about, whatever breaks.
//!
//! `core`, `flow` and the store's logic run as they are, on the in-memory engine, in a
//! world of their own: partners, receivers, people, a plugin, a clock, a disk. One seed
//! fixes everything. After each step the checkers compare what is seen with what must
//! hold; once the faults have stopped everything has to come to rest.
//!
//! Deliberately absent: threads, real time, and any logic of the host's own that is not
//! driving: what decides is under test, not here.

pub mod channel;
pub mod checks;
pub mod exec;
pub mod faults;
pub mod host;
pub mod journal;
pub mod mutations;
pub mod operator;
pub mod partner;
pub mod plan;
pub mod plugin;
pub mod receiver;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod sinks;
pub mod story;
pub mod webhook;
pub mod world;
