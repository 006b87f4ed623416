//! How a key is written, in the words of a scheme document.
//!
//! The words are free text in documents that circulate, so that they are read by what
//! they name; what is written back is one wording for each form.

use std::fmt;

/// How a secret's text becomes a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// The text's bytes.
    Utf8,
    /// The text's bytes once it is normalised to NFKD.
    Nfkd,
    /// The 20 bytes of the text's SHA-1.
    Sha1OfText,
    /// Hexadecimal.
    Hex,
    /// Base64, after an optional prefix.
    Base64 {
        /// The prefix that may stand before it.
        optional_prefix: Option<String>,
    },
    /// User and password with a colon between them.
    UserPassword,
    /// A raw Ed25519 public key in hex.
    Ed25519Hex,
    /// A raw Ed25519 public key in base64, after an optional prefix.
    Ed25519Base64 {
        /// The prefix that may stand before it.
        optional_prefix: Option<String>,
    },
    /// A public key as SPKI: PEM, or its DER in base64.
    Spki,
    /// A JSON Web Key or a set of them, found by `kid`.
    Jwk,
    /// An X.509 certificate in PEM; the words say where it may be fetched.
    X509 {
        /// The words, which operators read.
        words: String,
    },
    /// Whatever a public key is written in.
    AnyPublic,
    /// Any other form, in words; refused before use.
    Other(String),
}

impl KeyForm {
    /// Reads the words of a scheme document.
    pub(super) fn parse(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let has = |word: &str| lower.contains(word);
        let optional_prefix = optional_prefix(text);
        let begins = |word: &str| {
            let rest = lower.strip_prefix(word);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
        };
        match text {
            "user:password" => Self::UserPassword,
            _ if has("nfkd") => Self::Nfkd,
            _ if has("x.509") || has("x509") || has("certificate") => Self::X509 {
                words: text.to_owned(),
            },
            _ if has("jwk") => Self::Jwk,
            _ if has("spki") => Self::Spki,
            _ if has("ed25519") && has("hex") => Self::Ed25519Hex,
            _ if has("ed25519") && has("base64") => Self::Ed25519Base64 { optional_prefix },
            _ if has("ed25519") || has("public key") || has("keyid") => Self::AnyPublic,
            _ if has("sha1") || has("sha-1") => Self::Sha1OfText,
            _ if begins("utf8") || begins("utf-8") => Self::Utf8,
            _ if begins("hex") => Self::Hex,
            _ if begins("base64") => Self::Base64 { optional_prefix },
            other => Self::Other(other.to_owned()),
        }
    }

    /// The words of a scheme document.
    pub fn text(&self) -> String {
        let with_prefix = |form: &str, prefix: &Option<String>| match prefix {
            None => form.to_owned(),
            Some(prefix) => format!("{form}, optional {prefix} prefix"),
        };
        match self {
            Self::Utf8 => "utf8".into(),
            Self::Nfkd => "utf8, NFKD-normalized".into(),
            Self::Sha1OfText => "sha1 of the text".into(),
            Self::Hex => "hex".into(),
            Self::Base64 { optional_prefix } => with_prefix("base64", optional_prefix),
            Self::UserPassword => "user:password".into(),
            Self::Ed25519Hex => "ed25519 public, hex".into(),
            Self::Ed25519Base64 { optional_prefix } => {
                with_prefix("ed25519 public, base64", optional_prefix)
            }
            Self::Spki => "SPKI, PEM or base64 DER".into(),
            Self::Jwk => "JWK by kid".into(),
            Self::X509 { words } | Self::Other(words) => words.clone(),
            Self::AnyPublic => "public key".into(),
        }
    }

    /// Whether it names a key that may be known to everyone. No MAC is made with one.
    pub(super) const fn is_public(&self) -> bool {
        match self {
            Self::Ed25519Hex
            | Self::Ed25519Base64 { .. }
            | Self::Spki
            | Self::Jwk
            | Self::X509 { .. }
            | Self::AnyPublic => true,
            Self::Utf8
            | Self::Nfkd
            | Self::Sha1OfText
            | Self::Hex
            | Self::Base64 { .. }
            | Self::UserPassword
            | Self::Other(_) => false,
        }
    }

    /// Whether it gives the bytes of a secret that is shared.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(
            self,
            Self::Utf8 | Self::Nfkd | Self::Sha1OfText | Self::Hex | Self::Base64 { .. }
        )
    }
}

/// The prefix in words like `base64, optional whsec_ prefix`.
fn optional_prefix(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("optional ")?;
    let prefix = rest.split([' ', ',', ')']).next().unwrap_or_default();
    (!prefix.is_empty() && !prefix.contains(' ')).then(|| prefix.to_owned())
}

impl fmt::Display for KeyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &KeyForm) {
        let form = KeyForm::parse(text);
        assert_eq!(&form, expected, "{text}");
        assert_eq!(KeyForm::parse(&form.text()), form, "{text}");
    }

    #[test]
    fn words_are_read_by_what_they_name() {
        let whsec = || Some("whsec_".to_owned());
        check("utf8", &KeyForm::Utf8);
        check("utf8, NFKD", &KeyForm::Nfkd);
        check("sha1 of the text", &KeyForm::Sha1OfText);
        check("raw SHA-1 of the private key", &KeyForm::Sha1OfText);
        check("hex", &KeyForm::Hex);
        check("hex, decoded", &KeyForm::Hex);
        check("utf8 (the app's client secret)", &KeyForm::Utf8);
        check("ed25519 public key by keyid", &KeyForm::AnyPublic);
        check(
            "base64",
            &KeyForm::Base64 {
                optional_prefix: None,
            },
        );
        check(
            "base64, optional whsec_ prefix",
            &KeyForm::Base64 {
                optional_prefix: whsec(),
            },
        );
        check("ed25519 public, hex", &KeyForm::Ed25519Hex);
        check(
            "ed25519 public, base64, optional whpk_ prefix",
            &KeyForm::Ed25519Base64 {
                optional_prefix: Some("whpk_".into()),
            },
        );
        check("SPKI DER, base64", &KeyForm::Spki);
        check("SPKI PEM", &KeyForm::Spki);
        check("JWK by kid", &KeyForm::Jwk);
        let words = "X.509 from SigningCertURL (https, .pem)".to_owned();
        check(&words.clone(), &KeyForm::X509 { words });
        check("rot13", &KeyForm::Other("rot13".into()));
    }
}
