//! Key material in the state in which it is used, and the MACs and digests made with it.

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha1::{Digest as _, Sha1};
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq as _};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::algorithm::{Algorithm, Hash, JwtAlgorithm};
use super::builtin::Builtin;
use super::encoding::{self, MAC_BYTES_MAX};
use super::key_form::KeyForm;
use super::keys::KeySetError;
use super::pem;
use super::public_key::PublicKey;
use super::scheme::Scheme;
use super::template::{Late, Piece};
use crate::time::Timestamp;

/// Words of the longest MAC.
const MAC_WORDS_MAX: usize = MAC_BYTES_MAX / size_of::<u64>();

/// Key material in the state in which it is used.
pub(super) enum Material {
    HmacSha1(Box<Hmac<Sha1>>),
    HmacSha256(Box<Hmac<Sha256>>),
    HmacSha512(Box<Hmac<Sha512>>),
    /// A secret that goes into the content and is hashed with it.
    Hashed(Zeroizing<Vec<u8>>),
    Token(Zeroizing<Vec<u8>>),
    Basic(Zeroizing<Vec<u8>>),
    Public(PublicKey),
}

impl Material {
    /// What one secret makes: a set of public keys makes several.
    pub(super) fn make(
        scheme: &Scheme,
        secret: &[u8],
        position: usize,
    ) -> Result<Vec<Self>, KeySetError> {
        let form = scheme.key_form();
        let wrong = || KeySetError::Form {
            position,
            form: form.text(),
        };
        if form.is_public() {
            return Self::public(form, secret, position);
        }
        if is_public_key(secret) {
            return Err(KeySetError::PublicAsSecret { position });
        }
        let decoded = match form {
            KeyForm::Utf8 => Zeroizing::new(secret.to_vec()),
            KeyForm::Nfkd => nfkd(secret).ok_or_else(wrong)?,
            KeyForm::Sha1OfText => Zeroizing::new(Sha1::digest(secret).to_vec()),
            KeyForm::Hex => encoding::secret_from_hex(secret).ok_or_else(wrong)?,
            KeyForm::Base64 { optional_prefix } => {
                let prefix = optional_prefix.as_deref().unwrap_or_default().as_bytes();
                let text = secret.strip_prefix(prefix).unwrap_or(secret);
                encoding::secret_from_base64(text).ok_or_else(wrong)?
            }
            KeyForm::UserPassword if secret.contains(&b':') => Zeroizing::new(secret.to_vec()),
            _ => return Err(wrong()),
        };
        if decoded.is_empty() {
            return Err(KeySetError::Empty { position });
        }
        let keyed = match scheme.algorithm() {
            Algorithm::Hmac(Hash::Sha1) => keyed(&decoded).map(Self::HmacSha1),
            Algorithm::Hmac(Hash::Sha256)
            | Algorithm::Jwt(JwtAlgorithm::Hs256)
            | Algorithm::Builtin(
                Builtin::Rfc9421 | Builtin::Contentful | Builtin::AtlassianQsh | Builtin::Hygraph,
            ) => keyed(&decoded).map(Self::HmacSha256),
            Algorithm::Hmac(Hash::Sha512) => keyed(&decoded).map(Self::HmacSha512),
            Algorithm::Sha256WithSecret => Some(Self::Hashed(decoded)),
            Algorithm::SharedToken => Some(Self::Token(decoded)),
            Algorithm::HttpBasic => Some(Self::Basic(decoded)),
            Algorithm::Public(_)
            | Algorithm::Jwt(JwtAlgorithm::Es256 | JwtAlgorithm::Rs256)
            | Algorithm::Builtin(Builtin::AwsSns | Builtin::PayPal)
            | Algorithm::Unknown(_) => None,
        };
        keyed.map(|material| vec![material]).ok_or_else(wrong)
    }

    fn public(form: &KeyForm, text: &[u8], position: usize) -> Result<Vec<Self>, KeySetError> {
        PublicKey::read(text, form)
            .map(|keys| keys.into_iter().map(Self::Public).collect())
            .map_err(|source| KeySetError::PublicKey { position, source })
    }

    /// Whether it is to be believed at that instant; what is shared does not say.
    pub(super) fn counts_at(&self, now: Timestamp) -> bool {
        match self {
            Self::Public(key) => key.counts_at(now),
            _ => true,
        }
    }

    /// The MAC or digest of a content; None where the key makes none.
    pub(super) fn mac(&self, pieces: &[Piece<'_>], url: &str) -> Option<ComputedMac> {
        let late = Late { url, secret: &[] };
        match self {
            Self::HmacSha1(keyed) => Some(finish(&**keyed, pieces, late)),
            Self::HmacSha256(keyed) => Some(finish(&**keyed, pieces, late)),
            Self::HmacSha512(keyed) => Some(finish(&**keyed, pieces, late)),
            Self::Hashed(secret) => Some(digest(pieces, Late { url, secret })),
            Self::Token(_) | Self::Basic(_) | Self::Public(_) => None,
        }
    }

    /// Whether `proof` is the secret itself, in a time that depends on lengths only.
    pub(super) fn is_itself(&self, proof: &[u8]) -> Choice {
        match self {
            Self::Token(secret) | Self::Basic(secret) => encoding::same(secret, proof),
            _ => Choice::from(0),
        }
    }
}

/// A MAC that was computed here. It is what a forger wants: it is compared, wiped and
/// never shown. In words, since each byte that is wiped by itself costs a write.
pub(super) struct ComputedMac {
    words: Zeroizing<[u64; MAC_WORDS_MAX]>,
    length: usize,
}

impl ComputedMac {
    fn new(output: &[u8]) -> Self {
        let mut words = Zeroizing::new([0; MAC_WORDS_MAX]);
        for (to, word) in words.iter_mut().zip(encoding::words(output)) {
            *to = word;
        }
        Self {
            words,
            length: output.len(),
        }
    }

    /// In hex, for an answer that the partner computes as well.
    pub(super) fn to_hex(&self) -> Zeroizing<String> {
        let bytes = self.words.iter().flat_map(|word| word.to_ne_bytes());
        let bytes = Zeroizing::new(bytes.take(self.length).collect::<Vec<u8>>());
        Zeroizing::new(hex::encode(&*bytes))
    }

    /// In a time that depends on lengths only.
    pub(super) fn matches(&self, received: &[u8]) -> Choice {
        let lengths = Choice::from(u8::from(self.length == received.len()));
        let words = self.words.iter().zip(encoding::words(received));
        words.fold(lengths, |same, (computed, word)| {
            same & computed.ct_eq(&word)
        })
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> Option<Box<M>> {
    <M as KeyInit>::new_from_slice(key).ok().map(Box::new)
}

fn finish<M: Mac + Clone>(keyed: &M, pieces: &[Piece<'_>], late: Late<'_>) -> ComputedMac {
    let mut mac = keyed.clone();
    for piece in pieces {
        mac.update(piece.bytes(late));
    }
    ComputedMac::new(mac.finalize().as_bytes())
}

fn digest(pieces: &[Piece<'_>], late: Late<'_>) -> ComputedMac {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece.bytes(late));
    }
    ComputedMac::new(&hash.finalize())
}

fn nfkd(secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(secret).ok()?;
    let normal = Zeroizing::new(text.nfkd().collect::<String>());
    Some(Zeroizing::new(normal.as_bytes().to_vec()))
}

/// Whether a text is a public key or certificate: whoever keys a MAC with one lets
/// everyone sign.
fn is_public_key(secret: &[u8]) -> bool {
    std::str::from_utf8(secret).is_ok_and(|text| {
        let pem = pem::is_pem(text) && PublicKey::read(secret, &KeyForm::Spki).is_ok();
        let jwk = text.trim_start().starts_with(['{', '['])
            && PublicKey::read(secret, &KeyForm::Jwk).is_ok();
        pem || jwk
    })
}
