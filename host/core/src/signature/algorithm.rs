//! With what a proof is made, in the words of a scheme document.

use std::fmt;
use std::ops::RangeInclusive;

use super::builtin::Builtin;

/// With what a proof is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC over the content.
    Hmac(Hash),
    /// Plain SHA-256 over a content that holds the secret.
    Sha256WithSecret,
    /// The request carries the secret itself.
    SharedToken,
    /// HTTP Basic credentials.
    HttpBasic,
    /// A signature over the content, checked with a public key.
    Public(PublicAlgorithm),
    /// A compact JWS with the pinned algorithm.
    Jwt(JwtAlgorithm),
    /// A construction that needs code of its own.
    Builtin(Builtin),
    /// A construction that this version does not know, by name. Refused before use.
    Unknown(String),
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// A signature that is checked with a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicAlgorithm {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256, the signature in DER.
    EcdsaP256Der,
    /// ECDSA on P-256 with SHA-256, the signature as two numbers of 32 bytes.
    EcdsaP256Fixed,
    /// RSA PKCS#1 v1.5 with SHA-1, which some partners still sign with.
    RsaPkcs1Sha1,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSA-PSS with SHA-512.
    RsaPssSha512,
}

/// The algorithm that a JWT has to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC-SHA256.
    Hs256,
    /// ECDSA on P-256.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
}

impl Hash {
    /// Bytes of a digest, and so of an HMAC.
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The word of a scheme document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl PublicAlgorithm {
    /// How long its signatures may be.
    pub(super) const fn signature_bytes(self) -> RangeInclusive<usize> {
        match self {
            Self::Ed25519 | Self::EcdsaP256Fixed => 64..=64,
            // Two numbers of 1 to 33 bytes, each with tag and length.
            Self::EcdsaP256Der => 8..=72,
            Self::RsaPkcs1Sha1 | Self::RsaPkcs1Sha256 | Self::RsaPssSha512 => 256..=1_024,
        }
    }
}

impl JwtAlgorithm {
    /// The word in a token's header.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// What checks it, where that is a public key.
    pub(super) const fn public(self) -> Option<PublicAlgorithm> {
        match self {
            Self::Hs256 => None,
            Self::Es256 => Some(PublicAlgorithm::EcdsaP256Fixed),
            Self::Rs256 => Some(PublicAlgorithm::RsaPkcs1Sha256),
        }
    }
}

/// Each algorithm without a name of its own in the document, with its word.
const PLAIN: [(&str, Algorithm); 15] = [
    ("hmac-sha1", Algorithm::Hmac(Hash::Sha1)),
    ("hmac-sha256", Algorithm::Hmac(Hash::Sha256)),
    ("hmac-sha512", Algorithm::Hmac(Hash::Sha512)),
    ("sha256-with-secret", Algorithm::Sha256WithSecret),
    ("shared-token", Algorithm::SharedToken),
    ("http-basic", Algorithm::HttpBasic),
    ("ed25519", Algorithm::Public(PublicAlgorithm::Ed25519)),
    (
        "ecdsa-p256-sha256 (DER)",
        Algorithm::Public(PublicAlgorithm::EcdsaP256Der),
    ),
    (
        "ecdsa-p256-sha256 (fixed)",
        Algorithm::Public(PublicAlgorithm::EcdsaP256Fixed),
    ),
    (
        "rsa-pkcs1-sha1",
        Algorithm::Public(PublicAlgorithm::RsaPkcs1Sha1),
    ),
    (
        "rsa-pkcs1-sha256",
        Algorithm::Public(PublicAlgorithm::RsaPkcs1Sha256),
    ),
    (
        "rsa-pss-sha512",
        Algorithm::Public(PublicAlgorithm::RsaPssSha512),
    ),
    ("jwt HS256", Algorithm::Jwt(JwtAlgorithm::Hs256)),
    ("jwt ES256", Algorithm::Jwt(JwtAlgorithm::Es256)),
    ("jwt RS256", Algorithm::Jwt(JwtAlgorithm::Rs256)),
];

/// Other words for the same, as documents in circulation have them.
const ALIASES: [(&str, &str); 5] = [
    ("sha256", "sha256-with-secret"),
    ("plain sha256", "sha256-with-secret"),
    ("plain-sha256", "sha256-with-secret"),
    ("ecdsa-p256-sha256", "ecdsa-p256-sha256 (DER)"),
    ("basic", "http-basic"),
];

impl Algorithm {
    /// The words of a scheme document; beside them `special: NAME`.
    pub(crate) const NAMES: [&'static str; PLAIN.len()] = {
        let mut names = [""; PLAIN.len()];
        let mut rest: &[(&'static str, Self)] = &PLAIN;
        let mut names_rest: &mut [&'static str] = &mut names;
        while let ([(name, _), others @ ..], [to, other_names @ ..]) = (rest, names_rest) {
            *to = name;
            rest = others;
            names_rest = other_names;
        }
        names
    };

    pub(super) fn parse(text: &str) -> Option<Self> {
        let word = ALIASES
            .iter()
            .find(|(alias, _)| *alias == text)
            .map_or(text, |(_, word)| word);
        if let Some((_, algorithm)) = PLAIN.iter().find(|(name, _)| *name == word) {
            return Some(algorithm.clone());
        }
        let name = text
            .strip_prefix("special: ")
            .filter(|name| !name.is_empty())?;
        Some(Builtin::parse(name).map_or_else(|| Self::Unknown(name.into()), Self::Builtin))
    }

    /// The words of a scheme document.
    pub fn text(&self) -> String {
        match self {
            Self::Builtin(builtin) => format!("special: {builtin}"),
            Self::Unknown(name) => format!("special: {name}"),
            plain => PLAIN
                .iter()
                .find(|(_, algorithm)| algorithm == plain)
                .map_or_else(String::new, |(name, _)| (*name).to_owned()),
        }
    }

    /// Whether it signs a content that the scheme describes; the others carry their proof
    /// in the request or build the content themselves.
    pub(super) const fn signs_content(&self) -> bool {
        match self {
            Self::Hmac(_) | Self::Sha256WithSecret | Self::Public(_) => true,
            Self::SharedToken
            | Self::HttpBasic
            | Self::Jwt(_)
            | Self::Builtin(_)
            | Self::Unknown(_) => false,
        }
    }

    /// The length of what a shared secret makes; None where it makes nothing of its own.
    pub(super) const fn mac_bytes(&self) -> Option<usize> {
        match self {
            Self::Hmac(hash) => Some(hash.digest_bytes()),
            Self::Sha256WithSecret => Some(Hash::Sha256.digest_bytes()),
            _ => None,
        }
    }

    /// Whether it is a construction with code of its own.
    pub(super) const fn is_special(&self) -> bool {
        matches!(self, Self::Builtin(_) | Self::Unknown(_))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_algorithms_agree() {
        for name in Algorithm::NAMES {
            assert_eq!(Algorithm::parse(name).unwrap().text(), name);
        }
        for (alias, name) in ALIASES {
            assert_eq!(Algorithm::parse(alias).unwrap().text(), name);
        }
        for builtin in Builtin::ALL {
            let text = format!("special: {builtin}");
            assert_eq!(Algorithm::parse(&text), Some(Algorithm::Builtin(builtin)));
        }
        let unknown = Algorithm::parse("special: other").unwrap();
        assert_eq!(unknown.text(), "special: other");
        for none in ["special: ", "hmac-md5", "none", ""] {
            assert_eq!(Algorithm::parse(none), None, "{none:?}");
        }
    }
}
