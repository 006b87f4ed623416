//! The benches themselves: that they measure what they say, in a second.

// `cfg(test)` tells clippy that helpers here are test code; it always holds.
#[cfg(test)]
mod ingest;
