//! The rules of the tree.

// `cfg(test)` tells clippy that helpers here are test code; it always holds.
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod directions;
#[cfg(test)]
mod files;
