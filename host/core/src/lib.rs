//! What Tidegate decides, without touching anything.
//!
//! Rules are pure functions over plain data: ids, events, changes, the version rule,
//! the task state machine, signature schemes, descriptors and grants. Time, chance and
//! I/O come in through [`ports`].
//!
//! Deliberately absent: I/O, clocks, randomness, async runtimes, disk and wire
//! formats of the host (the store and the host own theirs). Documents that people
//! write by hand (schemes, descriptors, grants) are parsed here, since their shape is
//! the concept.

#![deny(missing_docs)]

pub mod alert;
pub mod alerting;
pub mod audit;
pub mod change;
pub mod descriptor;
pub mod document;
pub mod errors;
pub mod event;
pub mod failure;
pub mod grant;
pub mod ids;
pub mod limits;
pub mod mapping;
pub mod pointer;
pub mod policy;
pub mod ports;
pub mod replay;
pub mod retry;
pub mod setback;
pub mod signature;
pub mod sink;
pub mod task;
pub mod time;
pub mod version;
pub mod window;
