//! Secrets, and the keys that are made of them once.
//!
//! A [`Secret`] is the operator's text; a [`KeySet`] holds what verification needs for
//! one scheme: HMAC states that were keyed when the secret was read, so that a request
//! costs the hash of its content and nothing more. Neither shows what it holds, and both
//! wipe it when they are dropped.

use std::fmt;

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::encoding::{self, MAC_BYTES_MAX};
use super::refusal::Refusal;
use super::scheme::{Algorithm, Hash, KeyForm, Scheme, Unsupported};
use super::template::Piece;
use crate::time::Timestamp;

/// Most secrets of one connection: a rotation needs two, a careless one a few more.
pub const SECRETS_MAX: usize = 16;

/// Longest secret, in bytes.
pub const SECRET_BYTES_MAX: usize = 4_096;

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

/// A set of secrets that does not fit its scheme. Positions count from 1, in the order
/// in which the secrets were given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// The scheme cannot be checked by this version.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// More secrets than the bound.
    #[error("there are more than {SECRETS_MAX} secrets")]
    TooMany,
    /// Not in the form that the scheme describes.
    #[error("secret {position} is not in the form {form:?} that the scheme asks for")]
    Form {
        /// Which secret.
        position: usize,
        /// The form in the scheme's words.
        form: String,
    },
    /// Nothing is left once it is decoded.
    #[error("secret {position} is empty once its prefix is taken away and it is decoded")]
    Empty {
        /// Which secret.
        position: usize,
    },
}

/// The keys of a connection, prepared for its scheme. One without keys refuses every
/// request.
pub struct KeySet {
    keys: Vec<Key>,
}

struct Key {
    material: Material,
    not_after: Option<Timestamp>,
}

/// Key material in the state in which it is used.
pub(super) enum Material {
    HmacSha1(Box<Hmac<Sha1>>),
    HmacSha256(Box<Hmac<Sha256>>),
    HmacSha512(Box<Hmac<Sha512>>),
    Token(Zeroizing<Vec<u8>>),
    Basic(Zeroizing<Vec<u8>>),
}

impl KeySet {
    /// Prepares secrets for a scheme, which this version has to support.
    pub fn prepare(
        scheme: &Scheme,
        secrets: impl IntoIterator<Item = Secret>,
    ) -> Result<Self, KeySetError> {
        scheme.check_supported()?;
        let mut keys = Vec::new();
        for (index, secret) in secrets.into_iter().enumerate() {
            if index == SECRETS_MAX {
                return Err(KeySetError::TooMany);
            }
            let material = Material::make(scheme, &secret.bytes, index + 1)?;
            keys.push(Key {
                material,
                not_after: secret.not_after,
            });
        }
        Ok(Self { keys })
    }

    /// How many secrets it was made of, expired ones included.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it has no secret at all.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that count at `now` under `algorithm`; at least one.
    pub(super) fn in_use(
        &self,
        algorithm: &Algorithm,
        now: Timestamp,
    ) -> Result<Vec<&Material>, Refusal> {
        if self.keys.is_empty() {
            return Err(Refusal::NoKeys);
        }
        let mut current = self
            .keys
            .iter()
            .filter(|key| key.not_after.is_none_or(|until| now <= until))
            .peekable();
        if current.peek().is_none() {
            return Err(Refusal::KeysExpired);
        }
        let fitting: Vec<_> = current
            .map(|key| &key.material)
            .filter(|material| material.fits(algorithm))
            .collect();
        if fitting.is_empty() {
            Err(Refusal::KeysForOtherScheme)
        } else {
            Ok(fitting)
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("keys", &self.keys.len())
            .finish()
    }
}

impl Material {
    fn make(scheme: &Scheme, secret: &[u8], position: usize) -> Result<Self, KeySetError> {
        let form = || KeySetError::Form {
            position,
            form: scheme.key_form().text(),
        };
        let decoded = match scheme.key_form() {
            KeyForm::Utf8 => Zeroizing::new(secret.to_vec()),
            KeyForm::Hex => encoding::secret_from_hex(secret).ok_or_else(form)?,
            KeyForm::Base64 { optional_prefix } => {
                let prefix = optional_prefix.as_deref().unwrap_or_default().as_bytes();
                let text = secret.strip_prefix(prefix).unwrap_or(secret);
                encoding::secret_from_base64(text).ok_or_else(form)?
            }
            KeyForm::UserPassword if secret.contains(&b':') => Zeroizing::new(secret.to_vec()),
            KeyForm::UserPassword | KeyForm::Other(_) => return Err(form()),
        };
        if decoded.is_empty() {
            return Err(KeySetError::Empty { position });
        }
        let keyed = match scheme.algorithm() {
            Algorithm::Hmac(Hash::Sha1) => keyed(&decoded).map(Self::HmacSha1),
            Algorithm::Hmac(Hash::Sha256) => keyed(&decoded).map(Self::HmacSha256),
            Algorithm::Hmac(Hash::Sha512) => keyed(&decoded).map(Self::HmacSha512),
            Algorithm::SharedToken => Some(Self::Token(decoded)),
            Algorithm::HttpBasic => Some(Self::Basic(decoded)),
            Algorithm::Ed25519
            | Algorithm::EcdsaP256Sha256
            | Algorithm::RsaPkcs1(_)
            | Algorithm::Jwt(_)
            | Algorithm::Special(_) => {
                return Err(Unsupported::Algorithm(scheme.algorithm().text()).into());
            }
        };
        keyed.ok_or_else(form)
    }

    fn fits(&self, algorithm: &Algorithm) -> bool {
        match self {
            Self::HmacSha1(_) => *algorithm == Algorithm::Hmac(Hash::Sha1),
            Self::HmacSha256(_) => *algorithm == Algorithm::Hmac(Hash::Sha256),
            Self::HmacSha512(_) => *algorithm == Algorithm::Hmac(Hash::Sha512),
            Self::Token(_) => *algorithm == Algorithm::SharedToken,
            Self::Basic(_) => *algorithm == Algorithm::HttpBasic,
        }
    }

    /// The MAC of a content; None where the secret is itself the proof.
    pub(super) fn mac(&self, pieces: &[Piece<'_>], url: &str) -> Option<ComputedMac> {
        match self {
            Self::HmacSha1(keyed) => Some(finish(&**keyed, pieces, url)),
            Self::HmacSha256(keyed) => Some(finish(&**keyed, pieces, url)),
            Self::HmacSha512(keyed) => Some(finish(&**keyed, pieces, url)),
            Self::Token(_) | Self::Basic(_) => None,
        }
    }

    /// Whether `proof` is the secret itself, in a time that depends on lengths only.
    pub(super) fn is_itself(&self, proof: &[u8]) -> Choice {
        match self {
            Self::Token(secret) | Self::Basic(secret) => secret.ct_eq(proof),
            Self::HmacSha1(_) | Self::HmacSha256(_) | Self::HmacSha512(_) => Choice::from(0),
        }
    }
}

/// A MAC that was computed here. It is what a forger wants: it is compared, wiped and
/// never shown.
pub(super) struct ComputedMac {
    bytes: Zeroizing<[u8; MAC_BYTES_MAX]>,
    length: usize,
}

impl ComputedMac {
    pub(super) fn matches(&self, received: &[u8]) -> Choice {
        self.bytes.get(..self.length).unwrap_or(&[]).ct_eq(received)
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> Option<Box<M>> {
    <M as KeyInit>::new_from_slice(key).ok().map(Box::new)
}

fn finish<M: Mac + Clone>(keyed: &M, pieces: &[Piece<'_>], url: &str) -> ComputedMac {
    let mut mac = keyed.clone();
    for piece in pieces {
        mac.update(piece.bytes(url));
    }
    let output = mac.finalize();
    let output = output.as_bytes();
    let mut bytes = Zeroizing::new([0; MAC_BYTES_MAX]);
    for (to, from) in bytes.iter_mut().zip(output.iter()) {
        *to = *from;
    }
    ComputedMac {
        bytes,
        length: output.len(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scheme(algorithm: &str, key: &str) -> Scheme {
        let hmac = algorithm.starts_with("hmac") || algorithm == "ed25519";
        let mut document = json!({
            "algorithm": algorithm, "key": key, "event_id": null,
            "signature": {"in": "header", "name": "x-signature"},
        });
        if hmac {
            document["content"] = json!("{body}");
            document["signature"]["encoding"] = json!("hex");
        }
        Scheme::parse(&document).unwrap()
    }

    #[track_caller]
    fn check(algorithm: &str, key: &str, secret: &str, expected: Result<usize, &str>) {
        let secret = Secret::new(secret.into()).unwrap();
        let prepared = KeySet::prepare(&scheme(algorithm, key), [secret]);
        let outcome = prepared.map(|keys| keys.len()).map_err(|e| e.to_string());
        assert_eq!(
            outcome.as_ref().map(|n| *n).map_err(String::as_str),
            expected
        );
    }

    #[test]
    fn secrets_have_to_fit_the_scheme() {
        check("hmac-sha256", "utf8", "anything", Ok(1));
        check("hmac-sha256", "hex", "00ff", Ok(1));
        check(
            "hmac-sha256",
            "base64, optional whsec_ prefix",
            "whsec_AAAA",
            Ok(1),
        );
        check(
            "hmac-sha256",
            "base64, optional whsec_ prefix",
            "AAAA",
            Ok(1),
        );
        check("http-basic", "user:password", "user:pass", Ok(1));
        check(
            "hmac-sha256",
            "hex",
            "xx",
            Err("secret 1 is not in the form \"hex\" that the scheme asks for"),
        );
        check(
            "hmac-sha256",
            "base64, optional whsec_ prefix",
            "whsec_",
            Err("secret 1 is empty once its prefix is taken away and it is decoded"),
        );
        check(
            "http-basic",
            "user:password",
            "user",
            Err("secret 1 is not in the form \"user:password\" that the scheme asks for"),
        );
    }

    #[test]
    fn what_is_not_supported_gets_no_keys() {
        check(
            "ed25519",
            "utf8",
            "x",
            Err("scheme algorithm \"ed25519\" is not supported by this version"),
        );
        check(
            "hmac-sha256",
            "sha1 of the text",
            "x",
            Err(
                "scheme key \"sha1 of the text\" is not supported by this version for algorithm \"hmac-sha256\"",
            ),
        );
    }

    #[test]
    fn secrets_are_bounded_and_never_shown() {
        assert_eq!(Secret::new(vec![]).unwrap_err(), InvalidSecret::Empty);
        assert_eq!(
            Secret::new(vec![0; SECRET_BYTES_MAX + 1]).unwrap_err(),
            InvalidSecret::TooLong
        );
        let secret = Secret::new(b"hunter2".to_vec()).unwrap();
        let many = vec![secret.clone(); SECRETS_MAX + 1];
        let scheme = scheme("hmac-sha256", "utf8");
        assert_eq!(
            KeySet::prepare(&scheme, many).unwrap_err(),
            KeySetError::TooMany
        );
        let keys = KeySet::prepare(&scheme, [secret.clone()]).unwrap();
        let shown = format!("{secret:?} {keys:?}");
        assert_eq!(shown, "Secret(…) KeySet { keys: 1 }");
    }

    #[test]
    fn expired_keys_do_not_count() {
        let scheme = scheme("hmac-sha256", "utf8");
        let until = Timestamp::from_secs(100);
        let old = Secret::new(b"old".to_vec()).unwrap().with_not_after(until);
        let in_use = |secrets: Vec<Secret>, now| {
            let keys = KeySet::prepare(&scheme, secrets).unwrap();
            keys.in_use(scheme.algorithm(), Timestamp::from_secs(now))
                .map(|keys| keys.len())
        };
        assert_eq!(in_use(vec![], 0), Err(Refusal::NoKeys));
        assert_eq!(in_use(vec![old.clone()], 100), Ok(1));
        assert_eq!(in_use(vec![old.clone()], 101), Err(Refusal::KeysExpired));
        assert_eq!(
            in_use(vec![old, Secret::new(b"new".to_vec()).unwrap()], 101),
            Ok(1)
        );
    }

    #[test]
    fn keys_of_another_algorithm_do_not_count() {
        let keys = KeySet::prepare(
            &scheme("hmac-sha1", "utf8"),
            [Secret::new(b"x".to_vec()).unwrap()],
        );
        let refused = keys
            .unwrap()
            .in_use(&Algorithm::Hmac(Hash::Sha256), Timestamp::EPOCH)
            .err();
        assert_eq!(refused, Some(Refusal::KeysForOtherScheme));
    }
}
