//! A secret as the operator gave it. It does not show what it holds, and wipes it when it
//! is dropped.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::time::Timestamp;

/// Most secrets of one connection: a rotation needs two, a careless one a few more.
pub const SECRETS_MAX: usize = 16;

/// Longest secret, in bytes: a chain of certificates is the longest kind.
pub const SECRET_BYTES_MAX: usize = 16_384;

/// A secret as the operator gave it. Never empty.
#[derive(Clone)]
pub struct Secret {
    bytes: Zeroizing<Vec<u8>>,
    not_after: Option<Timestamp>,
}

/// A secret that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    /// Nothing in it: it would let anyone sign.
    #[error("the secret is empty")]
    Empty,
    /// Longer than the bound.
    #[error("the secret has more than {SECRET_BYTES_MAX} bytes")]
    TooLong,
}

impl Secret {
    /// Takes a secret's bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, InvalidSecret> {
        let bytes = Zeroizing::new(bytes);
        match bytes.len() {
            0 => Err(InvalidSecret::Empty),
            length if length > SECRET_BYTES_MAX => Err(InvalidSecret::TooLong),
            _ => Ok(Self {
                bytes,
                not_after: None,
            }),
        }
    }

    /// The same secret, believed up to that instant only.
    #[must_use]
    pub fn with_not_after(self, not_after: Timestamp) -> Self {
        Self {
            not_after: Some(not_after),
            ..self
        }
    }

    /// The text itself, for whoever signs or connects with it; it must not be shown.
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// Until when it is believed; None where no end is set.
    pub const fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }

    /// Whether it is still believed at that instant.
    pub fn counts_at(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|until| now <= until)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether they are the same, for telling one configuration from the next. Takes the same
/// time wherever they differ.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let same: bool = self.bytes.as_slice().ct_eq(&other.bytes).into();
        same && self.not_after == other.not_after
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_bounded_and_never_shown() {
        assert_eq!(Secret::new(vec![]).unwrap_err(), InvalidSecret::Empty);
        assert_eq!(
            Secret::new(vec![0; SECRET_BYTES_MAX + 1]).unwrap_err(),
            InvalidSecret::TooLong
        );
        let secret = Secret::new(b"hunter2".to_vec()).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
