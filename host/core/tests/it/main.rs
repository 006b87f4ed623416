//! What crosses the modules of the core, and the partners' own test vectors.

// `cfg(test)` tells clippy that helpers here are test code; it always holds.
#[cfg(test)]
mod algorithms;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod builtins;
#[cfg(test)]
mod fetched;
#[cfg(test)]
mod handshakes;
#[cfg(test)]
mod presets;
#[cfg(test)]
mod rfc9421;
#[cfg(test)]
mod signers;
#[cfg(test)]
mod signing;
#[cfg(test)]
mod tampering;
#[cfg(test)]
mod vectors;
