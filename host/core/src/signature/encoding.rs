//! Text forms of signatures and secrets.
//!
//! A signature is decoded strictly: the whole value, canonical padding, no white space.
//! Hex in capitals is accepted, since it is the same bytes.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::{
    STANDARD, STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT,
};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::refusal::Malformed;

/// Bytes of the longest MAC: HMAC-SHA512.
pub(super) const MAC_BYTES_MAX: usize = 64;

/// Room for a decoder, which wants three bytes for each begun group of four.
const DECODE_ROOM: usize = MAC_BYTES_MAX + 8;

/// How a signature's bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal digits, in either case.
    Hex,
    /// Base64 (RFC 4648 section 4), padded.
    Base64,
    /// Base64 for URLs (RFC 4648 section 5), padded or not.
    Base64Url,
}

impl Encoding {
    /// The words of a scheme document, in the order of the variants.
    pub(crate) const NAMES: [&'static str; 3] = ["hex", "base64", "base64url"];

    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "hex" => Self::Hex,
            "base64" => Self::Base64,
            "base64url" => Self::Base64Url,
            _ => return None,
        })
    }

    /// The word of a scheme document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
        }
    }

    /// Decodes a signature that has to have `length` bytes.
    pub(super) fn decode(self, text: &str, length: usize) -> Result<MacBytes, Malformed> {
        if text.is_empty() {
            return Err(Malformed::Empty);
        }
        let mut room = [0; DECODE_ROOM];
        let got = match self {
            Self::Hex => decode_hex(text, &mut room)?,
            Self::Base64 => decode_base64(&STANDARD, text, &mut room, Malformed::NotBase64)?,
            Self::Base64Url => decode_base64(
                &URL_SAFE_PAD_INDIFFERENT,
                text,
                &mut room,
                Malformed::NotBase64Url,
            )?,
        };
        if got == length {
            Ok(MacBytes { room, length })
        } else {
            Err(Malformed::Length {
                expected: length,
                got,
            })
        }
    }
}

impl Encoding {
    /// Decodes a signature whose length depends on the key.
    pub(super) fn decode_long(
        self,
        text: &str,
        lengths: &RangeInclusive<usize>,
    ) -> Result<Vec<u8>, Malformed> {
        if text.is_empty() {
            return Err(Malformed::Empty);
        }
        // Nothing that long is decoded.
        let characters_max = 2 * lengths.end() + 4;
        let decoded = match self {
            _ if text.len() > characters_max => Err(Malformed::Length {
                expected: *lengths.end(),
                got: text.len() / 2,
            }),
            Self::Hex => hex::decode(text).map_err(|_| Malformed::NotHex),
            Self::Base64 => STANDARD.decode(text).map_err(|_| Malformed::NotBase64),
            Self::Base64Url => URL_SAFE_PAD_INDIFFERENT
                .decode(text)
                .map_err(|_| Malformed::NotBase64Url),
        }?;
        if lengths.contains(&decoded.len()) {
            Ok(decoded)
        } else {
            Err(Malformed::Length {
                expected: *lengths.start(),
                got: decoded.len(),
            })
        }
    }
}

/// The bytes of a received signature.
#[derive(Clone, Copy, Debug)]
pub(super) struct MacBytes {
    room: [u8; DECODE_ROOM],
    length: usize,
}

impl MacBytes {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.room.get(..self.length).unwrap_or(&[])
    }
}

/// Decodes hex without a branch for each digit: it is in the path of every delivery.
fn decode_hex(text: &str, room: &mut [u8]) -> Result<usize, Malformed> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut wrong = if rest.is_empty() { 0 } else { NO_DIGIT };
    for (byte, [high, low]) in room.iter_mut().zip(pairs) {
        let (high, low) = (hex_digit(*high), hex_digit(*low));
        wrong |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    // What is longer than any MAC is refused for its length, if it is hex at all.
    for [high, low] in pairs.get(room.len()..).unwrap_or_default() {
        wrong |= hex_digit(*high) | hex_digit(*low);
    }
    if wrong & NO_DIGIT == 0 {
        Ok(pairs.len())
    } else {
        Err(Malformed::NotHex)
    }
}

/// A bit that no digit has.
const NO_DIGIT: u8 = 0x80;

const fn hex_digit(character: u8) -> u8 {
    let (digit, letter) = (
        character.wrapping_sub(b'0'),
        (character | 0x20).wrapping_sub(b'a'),
    );
    if digit < 10 {
        digit
    } else if letter < 6 {
        letter + 10
    } else {
        NO_DIGIT
    }
}

/// Whether two texts of bytes are the same, in a time that depends on their lengths only.
/// Eight bytes at a time: the comparison of each word costs a barrier.
pub(super) fn same(a: &[u8], b: &[u8]) -> Choice {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let lengths = Choice::from(u8::from(a.len() == b.len()));
    let words = a_words.iter().zip(b_words);
    let words = words.fold(lengths, |same, (a, b)| {
        same & u64::from_ne_bytes(*a).ct_eq(&u64::from_ne_bytes(*b))
    });
    words & a_rest.ct_eq(b_rest)
}

/// Bytes as words; zeros fill the last one up.
pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, rest) = bytes.as_chunks::<8>();
    let last = (!rest.is_empty()).then(|| {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(rest) {
            *to = *from;
        }
        word
    });
    let words = whole.iter().copied().chain(last);
    words.map(u64::from_ne_bytes)
}

fn decode_base64(
    engine: &impl base64::Engine,
    text: &str,
    room: &mut [u8],
    otherwise: Malformed,
) -> Result<usize, Malformed> {
    match engine.decode_slice(text, room) {
        Ok(got) => Ok(got),
        Err(base64::DecodeSliceError::DecodeError(_)) => Err(otherwise),
        // Longer than any MAC; its exact length is of no interest.
        Err(base64::DecodeSliceError::OutputSliceTooSmall) => Ok(text.len() / 4 * 3),
    }
}

/// Decodes a secret written in hex.
pub(super) fn secret_from_hex(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    hex::decode(text).ok().map(Zeroizing::new)
}

/// Decodes a secret written in base64; operators copy them with and without padding.
pub(super) fn secret_from_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD_PAD_INDIFFERENT
        .decode(text)
        .ok()
        .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(encoding: Encoding, text: &str, expected: Result<&[u8], Malformed>) {
        let decoded = encoding.decode(text, 4);
        assert_eq!(
            decoded.as_ref().map(MacBytes::as_slice).map_err(|e| *e),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn decoding_is_strict() {
        let bytes: &[u8] = &[0xfb, 0xef, 0xbe, 0x01];
        check(Encoding::Hex, "fbefbe01", Ok(bytes));
        check(Encoding::Hex, "FBEFBE01", Ok(bytes));
        check(
            Encoding::Hex,
            "fbefbe",
            Err(Malformed::Length {
                expected: 4,
                got: 3,
            }),
        );
        check(Encoding::Hex, "fbefbe0", Err(Malformed::NotHex));
        check(Encoding::Hex, "fbefbe0g", Err(Malformed::NotHex));
        check(Encoding::Hex, " fbefbe01", Err(Malformed::NotHex));
        check(Encoding::Hex, "", Err(Malformed::Empty));
        check(Encoding::Base64, "+++AQ==", Err(Malformed::NotBase64));
        check(Encoding::Base64, "++++AQ==", Ok(&[0xfb, 0xef, 0xbe, 0x01]));
        check(Encoding::Base64, "++++AQ", Err(Malformed::NotBase64));
        check(Encoding::Base64, "++++AQ==\n", Err(Malformed::NotBase64));
        check(Encoding::Base64, "++++AR==", Err(Malformed::NotBase64));
        check(Encoding::Base64, "----AQ==", Err(Malformed::NotBase64));
        check(Encoding::Base64Url, "----AQ", Ok(&[0xfb, 0xef, 0xbe, 0x01]));
        check(
            Encoding::Base64Url,
            "----AQ==",
            Ok(&[0xfb, 0xef, 0xbe, 0x01]),
        );
        check(
            Encoding::Base64,
            "AAAA",
            Err(Malformed::Length {
                expected: 4,
                got: 3,
            }),
        );
    }

    #[test]
    fn an_endless_signature_is_a_wrong_length() {
        for (encoding, text) in [
            (Encoding::Hex, "ab".repeat(999)),
            (Encoding::Base64, "AAAA".repeat(999)),
        ] {
            let refused = encoding.decode(&text, 32).unwrap_err();
            assert!(
                matches!(refused, Malformed::Length { got, .. } if got > 64),
                "{refused:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn bytes_are_the_same_where_they_are_equal(
            a in prop::collection::vec(0..2u8, 0..24), b in prop::collection::vec(0..2u8, 0..24),
        ) {
            prop_assert_eq!(bool::from(same(&a, &b)), a == b);
            prop_assert!(bool::from(same(&a, &a)));
        }

        #[test]
        fn what_was_encoded_decodes(bytes in prop::collection::vec(any::<u8>(), 1..=64)) {
            for (encoding, text) in [
                (Encoding::Hex, hex::encode(&bytes)),
                (Encoding::Base64, STANDARD.encode(&bytes)),
                (Encoding::Base64Url, URL_SAFE_PAD_INDIFFERENT.encode(&bytes)),
            ] {
                let decoded = encoding.decode(&text, bytes.len()).unwrap();
                prop_assert_eq!(decoded.as_slice(), &bytes[..]);
            }
        }
    }
}
