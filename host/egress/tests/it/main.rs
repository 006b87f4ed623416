//! Requests against servers of this machine that behave, and that do not.

// `cfg(test)` tells clippy that helpers here are test code; it always holds.
#[cfg(test)]
mod addresses;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tls;
