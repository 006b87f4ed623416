//! Secrets that partners handed over, sealed.
//!
//! The store keeps them as ciphertext (ChaCha20-Poly1305) under a key that is not in the
//! store, bound to their connection and position: one that is moved elsewhere does not open.
//! The key, and the random nonces, are the host's. What must not be here: a secret in the
//! open beyond the call that seals or opens it.

use std::fmt;

use bytes::Bytes;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use tidegate_core::ids::ConnectionId;
use tidegate_core::signature::Secret;
use tidegate_core::time::Timestamp;

use crate::keys;

/// Bytes of the key.
pub const SECRET_KEY_BYTES: usize = 32;

/// Random bytes for each sealing, never used twice under one key.
pub const SECRET_NONCE_BYTES: usize = NONCE_LEN;

/// What received secrets are sealed with.
pub struct SecretKey(LessSafeKey);

/// What is known of a secret that a partner handed over, beside itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedSecret {
    /// Whose.
    pub connection: ConnectionId,
    /// Its place among the connection's received secrets, never given twice.
    pub position: u32,
    /// By which handshake it came.
    pub origin: String,
    /// When.
    pub received: Timestamp,
    /// Up to when it is believed, where another has taken its place.
    pub not_after: Option<Timestamp>,
}

/// A received secret as the store keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// What is known of it.
    pub known: ReceivedSecret,
    pub(crate) nonce: [u8; SECRET_NONCE_BYTES],
    pub(crate) sealed: Bytes,
}

/// A sealed secret that the key does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was sealed with another key, or is not what was stored")]
pub struct NotOpened;

impl SecretKey {
    /// Takes the key; none where its length is another than [`SECRET_KEY_BYTES`].
    pub fn new(key: &[u8]) -> Option<Self> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    /// Seals a secret for its place. None where it is too large to be sealed, which no
    /// [`Secret`] is.
    pub fn seal(
        &self,
        known: ReceivedSecret,
        secret: &Secret,
        nonce: [u8; SECRET_NONCE_BYTES],
    ) -> Option<SealedSecret> {
        let mut sealed = Vec::with_capacity(secret.expose().len() + CHACHA20_POLY1305.tag_len());
        sealed.extend_from_slice(secret.expose());
        let place = Aad::from(known.place());
        let unique = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(unique, place, &mut sealed)
            .ok()?;
        Some(SealedSecret {
            known,
            nonce,
            sealed: sealed.into(),
        })
    }

    /// Opens a secret that was sealed with this key, for its place.
    pub fn open(&self, sealed: &SealedSecret) -> Result<Secret, NotOpened> {
        let mut opened = Vec::from(sealed.sealed.clone());
        let place = Aad::from(sealed.known.place());
        let unique = Nonce::assume_unique_for_key(sealed.nonce);
        let length = self
            .0
            .open_in_place(unique, place, &mut opened)
            .map_err(|_| NotOpened)?
            .len();
        opened.truncate(length);
        let secret = Secret::new(opened).map_err(|_| NotOpened)?;
        Ok(match sealed.known.not_after {
            Some(until) => secret.with_not_after(until),
            None => secret,
        })
    }
}

impl ReceivedSecret {
    /// The row that it stands in, which its ciphertext is bound to.
    fn place(&self) -> Vec<u8> {
        keys::received_secret(&self.connection, self.position)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecret")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretKey {
        SecretKey::new(&[byte; SECRET_KEY_BYTES]).unwrap()
    }

    fn known(connection: &str, position: u32) -> ReceivedSecret {
        ReceivedSecret {
            connection: connection.parse().unwrap(),
            position,
            origin: "store-header".into(),
            received: Timestamp::from_secs(1),
            not_after: Some(Timestamp::from_secs(9)),
        }
    }

    fn sealed() -> SealedSecret {
        let secret = Secret::new(b"hunter2".to_vec()).unwrap();
        key(7)
            .seal(known("asana/acme", 1), &secret, [3; 12])
            .unwrap()
    }

    #[test]
    fn it_opens_with_its_key_at_its_place_only() {
        let opened = key(7).open(&sealed()).unwrap();
        assert_eq!(opened.expose(), b"hunter2");
        assert!(!opened.counts_at(Timestamp::from_secs(10)));
        assert_eq!(key(8).open(&sealed()), Err(NotOpened));
        for place in [known("asana/acme", 2), known("asana/beta", 1)] {
            let moved = SealedSecret {
                known: place,
                ..sealed()
            };
            assert_eq!(key(7).open(&moved), Err(NotOpened));
        }
    }

    #[test]
    fn neither_form_nor_debug_holds_it() {
        let sealed = sealed();
        assert!(!sealed.sealed.windows(7).any(|window| window == b"hunter2"));
        let shown = format!("{sealed:?} {:?}", key(7));
        assert!(
            !shown.contains("hunter2") && !shown.contains('7'),
            "{shown}"
        );
        assert!(SecretKey::new(&[0; 31]).is_none());
    }
}
