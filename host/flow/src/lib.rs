//! What Tidegate does: one file a flow, each one bounded step over the ports of
//! `tidegate-core`.
//!
//! A flow can be repeated safely and is driven from outside: the host's workers call
//! it, the simulation drives it with its own executor.
//!
//! Deliberately absent: spawning, selecting, timers, loops that wait, and any
//! knowledge of the disk, the network or WebAssembly.

#![deny(missing_docs)]

pub mod alert;
pub mod deliver;
pub mod ingest;
pub mod map;
