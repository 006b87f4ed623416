//! The keys of a connection, made of its secrets once.
//!
//! A [`KeySet`] holds what verification needs for one scheme: HMAC states that were keyed
//! when the secret was read, so that a request costs the hash of its content and nothing
//! more, and public keys that were checked. It does not show what it holds.

use std::fmt;

use smallvec::SmallVec;
use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use super::config::SchemeConfig;
use super::fetched::FetchedKey;
use super::material::Material;
use super::public_key::{InvalidKey, PublicKey};
use super::refusal::Refusal;
use super::scheme::{Scheme, Unsupported};
use super::secret::{SECRETS_MAX, Secret};
use super::template::Piece;
use crate::time::Timestamp;

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
    /// A shared secret that is a public key: everyone could sign with it.
    #[error("secret {position} is a public key or certificate, and the scheme shares a secret")]
    PublicAsSecret {
        /// Which secret.
        position: usize,
    },
    /// No public key to verify with.
    #[error("secret {position} is no public key of the scheme")]
    PublicKey {
        /// Which secret.
        position: usize,
        /// What is wrong with it.
        source: InvalidKey,
    },
}

/// The keys of a connection, prepared for its scheme. One without keys refuses every
/// request, but for schemes whose keys are fetched.
pub struct KeySet {
    algorithm: Algorithm,
    keys: Vec<Key>,
    config: SchemeConfig,
}

struct Key {
    material: Material,
    not_after: Option<Timestamp>,
    position: usize,
}

/// A key that counts now.
#[derive(Clone, Copy)]
pub(super) struct KeyInUse<'k> {
    pub(super) material: MaterialInUse<'k>,
    /// The position of the secret it was made of, from 1; None for a fetched one.
    pub(super) position: Option<usize>,
}

/// The keys that count now; a rotation has two.
pub(super) type KeysInUse<'k> = SmallVec<[KeyInUse<'k>; 2]>;

/// What a key in use is made of.
#[derive(Clone, Copy)]
pub(super) enum MaterialInUse<'k> {
    Own(&'k Material),
    Fetched(&'k PublicKey),
}

impl KeySet {
    /// Prepares secrets for a scheme, which this version has to support.
    pub fn prepare(
        scheme: &Scheme,
        secrets: impl IntoIterator<Item = Secret>,
    ) -> Result<Self, KeySetError> {
        Self::prepare_with(scheme, secrets, &SchemeConfig::EMPTY)
    }

    /// Prepares secrets for a scheme whose content has values of the connection in it.
    pub fn prepare_with(
        scheme: &Scheme,
        secrets: impl IntoIterator<Item = Secret>,
        config: &SchemeConfig,
    ) -> Result<Self, KeySetError> {
        scheme.check_supported()?;
        let mut keys = Vec::new();
        for (index, secret) in secrets.into_iter().enumerate() {
            if index == SECRETS_MAX {
                return Err(KeySetError::TooMany);
            }
            let position = index + 1;
            for material in Material::make(scheme, secret.expose(), position)? {
                keys.push(Key {
                    material,
                    not_after: secret.not_after(),
                    position,
                });
            }
        }
        Ok(Self {
            algorithm: scheme.algorithm().clone(),
            keys,
            config: config.clone(),
        })
    }

    /// How many secrets it was made of, expired ones included.
    pub fn len(&self) -> usize {
        self.keys.last().map_or(0, |key| key.position)
    }

    /// Whether it has no secret at all.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The values of `{config:NAME}`.
    pub const fn config(&self) -> &SchemeConfig {
        &self.config
    }

    /// The key to fetch before this request can be verified; None where keys are
    /// configured, or are never fetched.
    pub fn wanted_key(
        &self,
        scheme: &Scheme,
        raw: &super::RawRequest,
    ) -> Result<Option<super::KeySource>, Refusal> {
        let wanted = scheme.wanted_key(raw)?;
        Ok(wanted.filter(|_| self.is_empty()))
    }

    /// The MAC of a challenge under the newest shared key in use, in hex: what a handshake
    /// answers whose guard held. None where there is no such key.
    pub(super) fn mac_in_hex(&self, challenge: &[u8], now: Timestamp) -> Option<Zeroizing<String>> {
        let pieces = [Piece::Bytes(challenge.into())];
        let mut current = self.keys.iter().filter(|key| key.counts_at(now));
        current.find_map(|key| Some(key.material.mac(&pieces, "")?.to_hex()))
    }

    /// The keys that count at `now` for this request; at least one. Fetched keys count
    /// only where no secret is configured.
    pub(super) fn in_use<'k>(
        &'k self,
        scheme: &Scheme,
        raw: &super::RawRequest,
        fetched: Option<&'k FetchedKey>,
        now: Timestamp,
    ) -> Result<KeysInUse<'k>, Refusal> {
        if self.algorithm != *scheme.algorithm() {
            return Err(Refusal::KeysForOtherScheme);
        }
        // Asked with configured keys as well: a request that names a foreign key is refused.
        let wanted = scheme.wanted_key(raw)?;
        let keys: KeysInUse<'_> = if self.keys.is_empty() {
            let wanted = wanted.ok_or(Refusal::NoKeys)?;
            let fetched = fetched
                .filter(|fetched| *fetched.source() == wanted)
                .ok_or(Refusal::KeyNotFetched)?;
            fetched
                .keys
                .iter()
                .filter(|key| key.counts_at(now))
                .map(|key| KeyInUse {
                    material: MaterialInUse::Fetched(key),
                    position: None,
                })
                .collect()
        } else {
            self.keys
                .iter()
                .filter(|key| key.counts_at(now))
                .map(|key| KeyInUse {
                    material: MaterialInUse::Own(&key.material),
                    position: Some(key.position),
                })
                .collect()
        };
        if keys.is_empty() {
            Err(Refusal::KeysExpired)
        } else {
            Ok(keys)
        }
    }
}

impl Key {
    fn counts_at(&self, now: Timestamp) -> bool {
        self.not_after.is_none_or(|until| now <= until) && self.material.counts_at(now)
    }
}

impl<'k> KeyInUse<'k> {
    /// The public key, if it is one.
    pub(super) const fn public(self) -> Option<&'k PublicKey> {
        match self.material {
            MaterialInUse::Own(Material::Public(key)) | MaterialInUse::Fetched(key) => Some(key),
            MaterialInUse::Own(_) => None,
        }
    }

    /// What a secret was made into, if it is one that is shared.
    pub(super) const fn shared(self) -> Option<&'k Material> {
        match self.material {
            MaterialInUse::Own(Material::Public(_)) | MaterialInUse::Fetched(_) => None,
            MaterialInUse::Own(material) => Some(material),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("secrets", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::signature::RawRequest;

    fn scheme(algorithm: &str, key: &str) -> Scheme {
        let mut document = json!({
            "algorithm": algorithm, "key": key, "event_id": null,
            "signature": {"in": "header", "name": "x-signature"},
        });
        if !["shared-token", "http-basic"].contains(&algorithm) {
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
        let whsec = "base64, optional whsec_ prefix";
        check("hmac-sha256", "utf8", "anything", Ok(1));
        check("hmac-sha256", "hex", "00ff", Ok(1));
        check("hmac-sha256", whsec, "whsec_AAAA", Ok(1));
        check("hmac-sha256", whsec, "AAAA", Ok(1));
        check("http-basic", "user:password", "user:pass", Ok(1));
        check("ed25519", "ed25519 public, hex", &"07".repeat(32), Ok(1));
        check(
            "hmac-sha256",
            "hex",
            "xx",
            Err("secret 1 is not in the form \"hex\" that the scheme asks for"),
        );
        check(
            "hmac-sha256",
            whsec,
            "whsec_",
            Err("secret 1 is empty once its prefix is taken away and it is decoded"),
        );
        check(
            "http-basic",
            "user:password",
            "user",
            Err("secret 1 is not in the form \"user:password\" that the scheme asks for"),
        );
        check(
            "ed25519",
            "ed25519 public, hex",
            "07",
            Err("secret 1 is no public key of the scheme"),
        );
    }

    #[test]
    fn what_is_not_supported_gets_no_keys() {
        check(
            "ed25519",
            "utf8",
            "x",
            Err("scheme key \"utf8\" is not supported by this version for algorithm \"ed25519\""),
        );
        check(
            "hmac-sha256",
            "SPKI PEM",
            "x",
            Err(
                "scheme key \"SPKI, PEM or base64 DER\" is not supported by this version for algorithm \"hmac-sha256\"",
            ),
        );
    }

    #[test]
    fn keys_are_bounded_and_never_shown() {
        let secret = Secret::new(b"hunter2".to_vec()).unwrap();
        let many = vec![secret.clone(); SECRETS_MAX + 1];
        let scheme = scheme("hmac-sha256", "utf8");
        assert_eq!(
            KeySet::prepare(&scheme, many).unwrap_err(),
            KeySetError::TooMany
        );
        let keys = KeySet::prepare(&scheme, [secret]).unwrap();
        assert_eq!(format!("{keys:?}"), "KeySet { secrets: 1, .. }");
    }

    fn request() -> RawRequest {
        RawRequest {
            method: "POST".into(),
            url: None,
            path: vec![],
            query: String::new(),
            headers: vec![],
            body: bytes::Bytes::new(),
        }
    }

    #[test]
    fn expired_keys_do_not_count() {
        let scheme = scheme("hmac-sha256", "utf8");
        let until = Timestamp::from_secs(100);
        let old = Secret::new(b"old".to_vec()).unwrap().with_not_after(until);
        let new = Secret::new(b"new".to_vec()).unwrap();
        let in_use = |secrets: Vec<Secret>, now| {
            let keys = KeySet::prepare(&scheme, secrets).unwrap();
            keys.in_use(&scheme, &request(), None, Timestamp::from_secs(now))
                .map(|keys| keys.iter().map(|key| key.position).collect::<Vec<_>>())
        };
        assert_eq!(in_use(vec![], 0), Err(Refusal::NoKeys));
        assert_eq!(in_use(vec![old.clone()], 100), Ok(vec![Some(1)]));
        assert_eq!(in_use(vec![old.clone()], 101), Err(Refusal::KeysExpired));
        assert_eq!(in_use(vec![old, new], 101), Ok(vec![Some(2)]));
    }

    #[test]
    fn keys_of_another_algorithm_do_not_count() {
        let secret = Secret::new(b"x".to_vec()).unwrap();
        let keys = KeySet::prepare(&scheme("hmac-sha1", "utf8"), [secret]).unwrap();
        let other = scheme("hmac-sha256", "utf8");
        let refused = keys.in_use(&other, &request(), None, Timestamp::EPOCH);
        assert_eq!(refused.err(), Some(Refusal::KeysForOtherScheme));
    }
}
