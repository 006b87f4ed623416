//! Public keys: read from the forms in which partners publish them, and checked against.
//!
//! A key knows its kind, so that a signature is only ever checked under an algorithm of
//! that kind: no bytes of a public key reach an HMAC, and no RSA key a curve. The
//! arithmetic is the `ring` crate's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use ring::signature::{self as ring_signature, UnparsedPublicKey, VerificationAlgorithm};

use super::algorithm::PublicAlgorithm;
use super::certificate;
use super::der::{BIT_STRING, Der, INTEGER, OBJECT_ID};
use super::jwk;
use super::key_form::KeyForm;
use super::pem;
use crate::time::Timestamp;

/// Fewest bytes of an RSA modulus: 2,048 bits.
const RSA_MODULUS_BYTES_MIN: usize = 256;

/// A raw Ed25519 key.
const ED25519_KEY_BYTES: usize = 32;

/// A point on P-256, not compressed.
const P256_POINT_BYTES: usize = 65;

const ID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ID_RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

/// A public key that is none, or none to verify with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not written as its form asks for.
    #[error("the key is not {expected}")]
    Form {
        /// What it should be.
        expected: &'static str,
    },
    /// Of a kind that nothing here verifies with.
    #[error("the key is of a kind that is not supported: Ed25519, P-256 and RSA are")]
    Kind,
    /// A short RSA key.
    #[error("the RSA key has less than 2048 bits")]
    Short,
    /// A private key, which does not belong here.
    #[error("the key is a private one; give the public key alone")]
    Private,
    /// A set without the key that is looked for.
    #[error("there is no key with the id that the request names")]
    UnknownId,
    /// More bytes than a key document has.
    #[error("the key document has more than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// A certificate that no trusted authority vouches for.
    #[error("the certificate is not trusted: {why}")]
    Untrusted {
        /// What the chain lacks.
        why: String,
    },
    /// A certificate for somebody else.
    #[error("the certificate names no host at or below {domain}")]
    Name {
        /// The partner's domain.
        domain: &'static str,
    },
    /// Its time has not come, or is over.
    #[error("the key is not valid now")]
    NotNow,
}

/// What a key can check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Ed25519,
    P256,
    Rsa,
    /// RSA for PSS alone.
    RsaPss,
}

/// A public key with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    kind: KeyKind,
    bytes: Vec<u8>,
    /// Its `kid`.
    pub(super) id: Option<String>,
    /// The algorithm of a JWK, which then has to be the scheme's.
    pub(super) jwk_algorithm: Option<String>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) not_after: Option<Timestamp>,
}

impl PublicKey {
    /// The keys that a text holds in the named form; at least one.
    pub(super) fn read(text: &[u8], form: &KeyForm) -> Result<Vec<Self>, InvalidKey> {
        let expected = expected(form);
        let wrong = InvalidKey::Form { expected };
        let text = std::str::from_utf8(text).map_err(|_| wrong.clone())?.trim();
        let one = |key: Result<Self, InvalidKey>| key.map(|key| vec![key]);
        match form {
            KeyForm::Ed25519Hex => one(Self::ed25519_hex(text)),
            KeyForm::Ed25519Base64 { optional_prefix } => {
                let prefix = optional_prefix.as_deref().unwrap_or_default();
                let text = text.strip_prefix(prefix).unwrap_or(text);
                // Some partners publish the raw key and some the same key as SPKI.
                one(Self::ed25519_base64(text).or_else(|raw| {
                    Self::spki_base64(text)
                        .ok()
                        .filter(|key| key.kind == KeyKind::Ed25519)
                        .ok_or(raw)
                }))
            }
            KeyForm::Spki if pem::is_pem(text) => one(Self::from_pem(text)),
            KeyForm::Spki => one(Self::spki_base64(text)),
            KeyForm::Jwk => jwk::read(text),
            KeyForm::X509 { .. } => one(Self::from_pem(text)),
            KeyForm::AnyPublic => Self::read_any(text),
            _ => Err(wrong),
        }
    }

    /// A key in whatever form it is written. The forms have no text in common.
    fn read_any(text: &str) -> Result<Vec<Self>, InvalidKey> {
        if text.starts_with(['{', '[']) {
            return jwk::read(text);
        }
        let key = if pem::is_pem(text) {
            Self::from_pem(text)
        } else if text.len() == 2 * ED25519_KEY_BYTES {
            Self::ed25519_hex(text)
        } else {
            let text = text.strip_prefix("whpk_").unwrap_or(text);
            Self::ed25519_base64(text).or_else(|_| Self::spki_base64(text))
        };
        key.map(|key| vec![key])
    }

    fn ed25519_hex(text: &str) -> Result<Self, InvalidKey> {
        let expected = expected(&KeyForm::Ed25519Hex);
        let bytes = hex::decode(text).map_err(|_| InvalidKey::Form { expected })?;
        Self::new(KeyKind::Ed25519, bytes)
    }

    fn ed25519_base64(text: &str) -> Result<Self, InvalidKey> {
        let bytes = STANDARD_PAD_INDIFFERENT
            .decode(text)
            .map_err(|_| InvalidKey::Form {
                expected: "a raw Ed25519 key in base64",
            })?;
        Self::new(KeyKind::Ed25519, bytes)
    }

    fn spki_base64(text: &str) -> Result<Self, InvalidKey> {
        let expected = expected(&KeyForm::Spki);
        let text: String = text.split_ascii_whitespace().collect();
        let bytes = STANDARD_PAD_INDIFFERENT
            .decode(text)
            .map_err(|_| InvalidKey::Form { expected })?;
        Self::from_spki(&bytes)
    }

    /// The first key or certificate of a PEM text.
    fn from_pem(text: &str) -> Result<Self, InvalidKey> {
        let expected = "PEM of a public key or a certificate";
        let blocks = pem::blocks(text).ok_or(InvalidKey::Form { expected })?;
        let first = blocks.first().ok_or(InvalidKey::Form { expected })?;
        match first.label.as_str() {
            "PUBLIC KEY" => Self::from_spki(&first.bytes),
            "RSA PUBLIC KEY" => Self::new(KeyKind::Rsa, first.bytes.clone()),
            "CERTIFICATE" => certificate::key_of(&first.bytes),
            label if label.ends_with("PRIVATE KEY") => Err(InvalidKey::Private),
            _ => Err(InvalidKey::Form { expected }),
        }
    }

    /// Reads a `SubjectPublicKeyInfo`.
    pub(super) fn from_spki(der: &[u8]) -> Result<Self, InvalidKey> {
        let expected = expected(&KeyForm::Spki);
        let (id, parameters, bytes) = spki_parts(der).ok_or(InvalidKey::Form { expected })?;
        let kind = match (id, parameters) {
            (ID_ED25519, None) => KeyKind::Ed25519,
            (ID_EC, Some((OBJECT_ID, ID_P256))) => KeyKind::P256,
            (ID_RSA, None | Some((0x05, []))) => KeyKind::Rsa,
            // With parameters it would be bound to a hash and salt that we do not choose.
            (ID_RSA_PSS, None) => KeyKind::RsaPss,
            _ => return Err(InvalidKey::Kind),
        };
        Self::new(kind, bytes.to_vec())
    }

    /// A key from the bytes that the primitive takes.
    pub(super) fn new(kind: KeyKind, bytes: Vec<u8>) -> Result<Self, InvalidKey> {
        let wrong = |expected| Err(InvalidKey::Form { expected });
        match kind {
            KeyKind::Ed25519 if bytes.len() != ED25519_KEY_BYTES => {
                return wrong("an Ed25519 key of 32 bytes");
            }
            KeyKind::P256 if bytes.len() != P256_POINT_BYTES || bytes.first() != Some(&4) => {
                return wrong("a point on P-256 that is not compressed");
            }
            KeyKind::Rsa | KeyKind::RsaPss => match rsa_modulus_bytes(&bytes) {
                None => return wrong("an RSA public key"),
                Some(length) if length < RSA_MODULUS_BYTES_MIN => return Err(InvalidKey::Short),
                Some(_) => {}
            },
            KeyKind::Ed25519 | KeyKind::P256 => {}
        }
        Ok(Self {
            kind,
            bytes,
            id: None,
            jwk_algorithm: None,
            not_before: None,
            not_after: None,
        })
    }

    /// Whether it is of the kind that an algorithm takes.
    pub(super) fn fits(&self, algorithm: PublicAlgorithm) -> bool {
        algorithm.kinds().contains(&self.kind)
    }

    /// Whether a request that names this key id may mean it: one without an id fits any.
    pub(super) fn is_named(&self, key_id: Option<&str>) -> bool {
        match (&self.id, key_id) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        }
    }

    /// Whether a JWK is for this algorithm: one that names none is for any of its kind.
    pub(super) fn is_for(&self, jwk_algorithm: &str) -> bool {
        self.jwk_algorithm
            .as_deref()
            .is_none_or(|own| own == jwk_algorithm)
    }

    /// Whether it is to be believed at that instant.
    pub(super) fn counts_at(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|from| from <= now)
            && self.not_after.is_none_or(|until| now <= until)
    }

    /// Whether `signature` is this key's over `message`.
    pub(super) fn verifies(
        &self,
        algorithm: PublicAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        self.fits(algorithm)
            && UnparsedPublicKey::new(algorithm.primitive(), &self.bytes)
                .verify(message, signature)
                .is_ok()
    }
}

impl PublicAlgorithm {
    const fn kinds(self) -> &'static [KeyKind] {
        match self {
            Self::Ed25519 => &[KeyKind::Ed25519],
            Self::EcdsaP256Der | Self::EcdsaP256Fixed => &[KeyKind::P256],
            Self::RsaPkcs1Sha1 | Self::RsaPkcs1Sha256 => &[KeyKind::Rsa],
            Self::RsaPssSha512 => &[KeyKind::Rsa, KeyKind::RsaPss],
        }
    }

    fn primitive(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 => &ring_signature::ED25519,
            Self::EcdsaP256Der => &ring_signature::ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP256Fixed => &ring_signature::ECDSA_P256_SHA256_FIXED,
            Self::RsaPkcs1Sha1 => &ring_signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::RsaPkcs1Sha256 => &ring_signature::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaPssSha512 => &ring_signature::RSA_PSS_2048_8192_SHA512,
        }
    }
}

/// A tag and its content.
type Parameters<'a> = Option<(u8, &'a [u8])>;

/// Algorithm, its parameters and the key of a `SubjectPublicKeyInfo`.
fn spki_parts(der: &[u8]) -> Option<(&[u8], Parameters<'_>, &[u8])> {
    let mut outer = Der::new(der);
    let mut info = outer.sequence()?;
    let mut algorithm = info.sequence()?;
    let id = algorithm.expect(OBJECT_ID)?;
    let parameters = if algorithm.is_done() {
        None
    } else {
        Some(algorithm.next()?)
    };
    // The first byte counts the bits that are left over, of which a key has none.
    let (0, key) = info.expect(BIT_STRING)?.split_first()? else {
        return None;
    };
    (outer.is_done() && info.is_done() && algorithm.is_done()).then_some((id, parameters, key))
}

/// The length of the modulus of an `RSAPublicKey`, without a leading zero.
fn rsa_modulus_bytes(der: &[u8]) -> Option<usize> {
    let mut outer = Der::new(der);
    let mut numbers = outer.sequence()?;
    let modulus = numbers.expect(INTEGER)?;
    numbers.expect(INTEGER)?;
    let leading = usize::from(modulus.first() == Some(&0));
    (outer.is_done() && numbers.is_done()).then(|| modulus.len() - leading)
}

/// What a key in this form is, for people.
const fn expected(form: &KeyForm) -> &'static str {
    match form {
        KeyForm::Ed25519Hex => "a raw Ed25519 key in hex",
        KeyForm::Ed25519Base64 { .. } => "a raw Ed25519 key in base64",
        KeyForm::Spki => "a public key as SPKI, in PEM or base64",
        KeyForm::Jwk => "a JWK or a set of them",
        KeyForm::X509 { .. } => "a certificate in PEM",
        _ => "a public key",
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::super::der::{self, SEQUENCE};
    use super::*;

    fn prefixed() -> KeyForm {
        KeyForm::Ed25519Base64 {
            optional_prefix: Some("whpk_".into()),
        }
    }

    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "tables read better without &"
    )]
    fn check(form: &KeyForm, text: &str, expected: Result<KeyKind, InvalidKey>) {
        let read = PublicKey::read(text.as_bytes(), form);
        let kind = read.map(|keys| keys.first().map(|key| key.kind).unwrap());
        assert_eq!(kind, expected, "{text}");
    }

    fn wrong(form: &KeyForm) -> Result<KeyKind, InvalidKey> {
        let expected = expected(form);
        Err(InvalidKey::Form { expected })
    }

    fn spki(algorithm: &[u8], key: &[u8]) -> String {
        let bits = der::element(BIT_STRING, &[&[0], key].concat());
        let algorithm = der::element(SEQUENCE, algorithm);
        STANDARD.encode(der::element(SEQUENCE, &[algorithm, bits].concat()))
    }

    fn rsa(modulus_bytes: usize) -> Vec<u8> {
        let modulus = der::unsigned(&vec![0xff; modulus_bytes]);
        der::element(SEQUENCE, &[modulus, der::unsigned(&[1, 0, 1])].concat())
    }

    #[test]
    fn raw_keys_are_read_in_their_form() {
        let (hex, base64) = ("07".repeat(32), STANDARD.encode([7; 32]));
        let ed25519 = || Ok(KeyKind::Ed25519);
        check(&KeyForm::Ed25519Hex, &hex, ed25519());
        check(&KeyForm::Ed25519Hex, &base64, wrong(&KeyForm::Ed25519Hex));
        check(&prefixed(), &base64, ed25519());
        check(&prefixed(), &format!("whpk_{base64}"), ed25519());
        check(&prefixed(), &format!("whsec_{base64}"), wrong(&prefixed()));
        for text in [hex, format!("whpk_{base64}"), format!(" {base64}\n")] {
            check(&KeyForm::AnyPublic, &text, ed25519());
        }
        let short = Err(InvalidKey::Form {
            expected: "an Ed25519 key of 32 bytes",
        });
        check(&KeyForm::Ed25519Hex, "07", short);
    }

    #[test]
    fn keys_of_spki_are_of_a_known_kind() {
        let id = |id: &[u8]| der::element(OBJECT_ID, id);
        let null = [5, 0];
        let check = |text: &str, expected| {
            check(&KeyForm::Spki, text, expected);
        };
        let rsa_id = [id(ID_RSA), null.to_vec()].concat();
        check(&spki(&rsa_id, &rsa(256)), Ok(KeyKind::Rsa));
        check(&spki(&rsa_id, &rsa(255)), Err(InvalidKey::Short));
        check(&spki(&id(ID_RSA_PSS), &rsa(256)), Ok(KeyKind::RsaPss));
        let with_hash = [id(ID_RSA_PSS), vec![SEQUENCE, 0]].concat();
        check(&spki(&with_hash, &rsa(256)), Err(InvalidKey::Kind));
        check(&spki(&id(ID_ED25519), &[7; 32]), Ok(KeyKind::Ed25519));
        let p256 = [id(ID_EC), id(ID_P256)].concat();
        let point = [&[4][..], &[7; 64]].concat();
        check(&spki(&p256, &point), Ok(KeyKind::P256));
        let compressed = [&[2][..], &[7; 32]].concat();
        let expected = "a point on P-256 that is not compressed";
        check(
            &spki(&p256, &compressed),
            Err(InvalidKey::Form { expected }),
        );
        let p384 = [id(ID_EC), id(&[0x2b, 0x81, 0x04, 0x00, 0x22])].concat();
        check(&spki(&p384, &point), Err(InvalidKey::Kind));
        let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
        check(private, Err(InvalidKey::Private));
        check("AAAA", wrong(&KeyForm::Spki));
        let trailing = STANDARD.decode(spki(&rsa_id, &rsa(256))).unwrap();
        let trailing = STANDARD.encode([trailing, vec![0]].concat());
        check(&trailing, wrong(&KeyForm::Spki));
    }

    #[test]
    fn a_key_checks_what_is_of_its_kind() {
        let key = PublicKey::new(KeyKind::RsaPss, rsa(256)).unwrap();
        assert!(key.fits(PublicAlgorithm::RsaPssSha512));
        assert!(!key.fits(PublicAlgorithm::RsaPkcs1Sha256));
        let key = PublicKey::new(KeyKind::Ed25519, vec![7; 32]).unwrap();
        assert!(!key.fits(PublicAlgorithm::EcdsaP256Fixed));
        assert!(!key.verifies(PublicAlgorithm::RsaPkcs1Sha1, b"", &[0; 256]));
    }
}
