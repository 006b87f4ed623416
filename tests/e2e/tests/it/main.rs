//! Tests of the release binary as its users meet it.
//!
//! They need `cargo build --release --package tidegate --features sled`, the GitHub
//! plugin and `tidegate-preload`; `cargo xtask test` builds them first.

// `cfg(test)` tells clippy that helpers here are test code; it always holds.
#[cfg(test)]
mod alerts;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod corrected;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod disks;
#[cfg(test)]
mod handshakes;
#[cfg(test)]
mod octokit;
#[cfg(test)]
mod player;
#[cfg(test)]
mod plugin_file;
#[cfg(test)]
mod receivers;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod signers;
#[cfg(test)]
mod sink_answers;
#[cfg(test)]
mod support;
