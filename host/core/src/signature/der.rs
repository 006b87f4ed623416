//! As much of DER as public keys need: elements of definite length, read and written.
//!
//! What a key means is said in `public_key`; a certificate as a whole is read by a crate.
//! Nothing here fails loudly: bytes that are no DER give None.

/// Tag of INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// Tag of BIT STRING.
pub(super) const BIT_STRING: u8 = 0x03;
/// Tag of OBJECT IDENTIFIER.
pub(super) const OBJECT_ID: u8 = 0x06;
/// Tag of SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;

/// The elements that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The tag and content of the next element.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.rest.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81 => {
                let (length, rest) = rest.split_first()?;
                (usize::from(*length), rest)
            }
            0x82 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            // Longer than any key, or of indefinite length.
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((*tag, content))
    }

    /// The content of the next element, which has to have that tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }

    /// The elements of the next one, a SEQUENCE.
    pub(super) fn sequence(&mut self) -> Option<Self> {
        self.expect(SEQUENCE).map(Self::new)
    }

    /// Whether nothing follows.
    pub(super) const fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}

/// An element with that content.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|b| *b != 0).unwrap_or(length.len());
    let significant = length.get(significant..).unwrap_or(&[]);
    match significant {
        [] => bytes.push(0),
        [short @ 0..=0x7f] => bytes.push(*short),
        long => {
            bytes.push(0x80 | u8::try_from(long.len()).unwrap_or(0x7f));
            bytes.extend_from_slice(long);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// An INTEGER that is not negative, from its bytes in order of weight.
pub(super) fn unsigned(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|b| *b != 0).unwrap_or(number.len());
    let number = number.get(start..).unwrap_or(&[]);
    match number.first() {
        None => element(INTEGER, &[0]),
        Some(first) if *first >= 0x80 => element(INTEGER, &[&[0], number].concat()),
        Some(_) => element(INTEGER, number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_as_they_were_written() {
        for length in [0, 1, 127, 128, 255, 256, 1_000] {
            let content = vec![7; length];
            let bytes = element(SEQUENCE, &content);
            let mut der = Der::new(&bytes);
            assert_eq!(der.expect(SEQUENCE), Some(content.as_slice()), "{length}");
            assert!(der.is_done());
            assert!(
                Der::new(bytes.get(..bytes.len() - 1).unwrap())
                    .next()
                    .is_none()
            );
        }
        assert_eq!(unsigned(&[0, 0x80]), [INTEGER, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 0, 5]), [INTEGER, 1, 5]);
        assert_eq!(unsigned(&[]), [INTEGER, 1, 0]);
    }

    #[test]
    fn what_is_no_der_gives_nothing() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 0x80],
            &[0x30, 0x84, 0, 0, 0, 1, 0],
            &[0x30, 2, 0],
        ] {
            assert!(Der::new(bytes).next().is_none(), "{bytes:?}");
        }
    }
}
