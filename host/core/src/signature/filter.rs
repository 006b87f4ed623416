//! Filters of a template's variables.

use sha2::{Digest as _, Sha256};

use super::refusal::Refusal;

/// What is done to the bytes of a variable before they are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// Their CRC-32 in decimal digits.
    Crc32Decimal,
    /// As a JSON string with its quotes; the bytes have to be text.
    JsonString,
    /// Their SHA-256 in hex.
    Sha256Hex,
}

impl Filter {
    /// The words of a template, in the order of the variants.
    pub(super) const NAMES: [&'static str; 3] = ["crc32-decimal", "json-string", "sha256-hex"];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "crc32-decimal" => Self::Crc32Decimal,
            "json-string" => Self::JsonString,
            "sha256-hex" => Self::Sha256Hex,
            _ => return None,
        })
    }

    pub(super) fn apply(self, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        Ok(match self {
            Self::Crc32Decimal => crc32fast::hash(bytes).to_string().into(),
            Self::JsonString => {
                let text = std::str::from_utf8(bytes).map_err(|_| Refusal::PartMissing {
                    part: "text where a JSON string is made".into(),
                })?;
                serde_json::Value::from(text).to_string().into()
            }
            Self::Sha256Hex => hex::encode(Sha256::digest(bytes)).into(),
        })
    }
}
