//! PEM (RFC 7468): labelled base64 between two lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;

/// Most blocks of one text: a chain of certificates has three or four.
const BLOCKS_MAX: usize = 16;

/// One block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) label: String,
    pub(super) bytes: Vec<u8>,
}

/// The blocks of a text in order; None where one is not well formed, where there is none
/// or where there are too many.
pub(super) fn blocks(text: &str) -> Option<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, body) = begun.split_once("-----")?;
        let (encoded, after) = body.split_once(&format!("-----END {label}-----"))?;
        let encoded: String = encoded.split_ascii_whitespace().collect();
        let bytes = STANDARD_PAD_INDIFFERENT.decode(encoded).ok()?;
        if blocks.len() == BLOCKS_MAX {
            return None;
        }
        blocks.push(Block {
            label: label.to_owned(),
            bytes,
        });
        rest = after;
    }
    (!blocks.is_empty()).then_some(blocks)
}

/// Whether a text looks like PEM.
pub(super) fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_in_order() {
        let text = "# a\n-----BEGIN A-----\nAAAA\r\nAA==\n-----END A-----\n-----BEGIN B C-----\nAAA\n-----END B C-----";
        let found: Vec<_> = blocks(text)
            .unwrap()
            .into_iter()
            .map(|block| (block.label, block.bytes.len()))
            .collect();
        assert_eq!(found, [("A".to_owned(), 4), ("B C".to_owned(), 2)]);
    }

    #[test]
    fn what_is_no_pem_gives_nothing() {
        let many = "-----BEGIN A-----\n-----END A-----\n".repeat(BLOCKS_MAX + 1);
        for text in [
            "",
            "AAAA",
            "-----BEGIN A-----\nAAAA",
            "-----BEGIN A-----\nAAAA\n-----END B-----",
            "-----BEGIN A-----\n?\n-----END A-----",
            &many,
        ] {
            assert!(blocks(text).is_none(), "{text}");
        }
    }
}
