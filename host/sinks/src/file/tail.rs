//! Reading a file of changes from its end: which lines it has, and where the last whole
//! one ends. Memory is bounded whatever the lines are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};

/// Bytes that are looked at together.
const BLOCK_BYTES: u64 = 64 * 1024;

/// A line as it is told from every other, its line break included. The number of its
/// change would not do: another store begins at 1 again, and its file may stand there yet.
pub(super) type LineDigest = [u8; 32];

/// The digest of a line that is at hand.
pub(super) fn digest(line: &[u8]) -> LineDigest {
    Sha256::digest(line).into()
}

/// What the end of a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Its last lines, the newest first.
    pub(super) lines: Vec<LineDigest>,
    /// Its length without the line that is torn.
    pub(super) whole: u64,
}

/// Reads the last `lines_max` lines of a file.
pub(super) fn tail(file: &File, lines_max: usize) -> io::Result<Tail> {
    let mut found = Found {
        lines: Vec::new(),
        whole: None,
        begin: 0,
    };
    let mut end = file.metadata()?.len();
    let mut block = Vec::new();
    while end > 0 && found.lines.len() < lines_max {
        let start = end.saturating_sub(BLOCK_BYTES);
        block.resize(usize::try_from(end - start).unwrap_or_default(), 0);
        file.read_exact_at(&mut block, start)?;
        for (at, byte) in block.iter().enumerate().rev() {
            if *byte == b'\n' && found.lines.len() < lines_max {
                found.line_from(file, start + at as u64 + 1)?;
            }
        }
        end = start;
    }
    if end == 0 && found.lines.len() < lines_max {
        found.line_from(file, 0)?;
    }
    Ok(Tail {
        lines: found.lines,
        whole: found.whole.unwrap_or(0),
    })
}

/// What has been found, from the end on.
struct Found {
    lines: Vec<LineDigest>,
    whole: Option<u64>,
    /// Where the line begins that was found last.
    begin: u64,
}

impl Found {
    /// Takes note of the line that begins there. The first one seen is the last of the
    /// file, and torn unless nothing is in it; with it the file's whole length is known.
    fn line_from(&mut self, file: &File, begin: u64) -> io::Result<()> {
        if self.whole.is_none() {
            self.whole = Some(begin);
        } else {
            self.lines.push(digest_between(file, begin, self.begin)?);
        }
        self.begin = begin;
        Ok(())
    }
}

/// The digest of what stands between two places.
fn digest_between(file: &File, mut at: u64, end: u64) -> io::Result<LineDigest> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; usize::try_from((end - at).min(BLOCK_BYTES)).unwrap_or_default()];
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX);
        let length = length.min(piece.len());
        piece.truncate(length);
        file.read_exact_at(&mut piece, at)?;
        hasher.update(&piece);
        at += length as u64;
    }
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], lines_max: usize) -> Tail {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        tail(&file, lines_max).unwrap()
    }

    #[track_caller]
    fn check(text: &str, lines_max: usize, lines: &[&str], whole: usize) {
        let expect = Tail {
            lines: lines.iter().map(|line| digest(line.as_bytes())).collect(),
            whole: whole as u64,
        };
        assert_eq!(read(text.as_bytes(), lines_max), expect, "{text:?}");
    }

    #[test]
    fn whole_lines_and_a_torn_one() {
        check("", 9, &[], 0);
        check("one", 9, &[], 0);
        check("one\n", 9, &["one\n"], 4);
        check("one\ntw", 9, &["one\n"], 4);
        check("one\ntwo\n", 9, &["two\n", "one\n"], 8);
        check("one\ntwo\n", 1, &["two\n"], 8);
        check("\n\ntwo\n", 9, &["two\n", "\n", "\n"], 6);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn wherever_it_is_torn_the_whole_lines_stay(
            lengths in proptest::collection::vec(0_usize..150_000, 1..6),
            torn in any::<prop::sample::Index>(),
        ) {
            let lines: Vec<String> = lengths
                .iter()
                .enumerate()
                .map(|(number, length)| format!("{number}{}\n", "x".repeat(*length)))
                .collect();
            let text = lines.concat();
            let cut = torn.index(text.len() + 1);
            let ends = lines.iter().scan(0, |end, line| {
                *end += line.len();
                Some(*end)
            });
            let kept: Vec<usize> = ends.take_while(|end| *end <= cut).collect();
            let found = read(&text.as_bytes()[..cut], 100);
            prop_assert_eq!(found.whole, kept.last().copied().unwrap_or(0) as u64);
            let expect: Vec<LineDigest> = lines[..kept.len()]
                .iter()
                .rev()
                .map(|line| digest(line.as_bytes()))
                .collect();
            prop_assert_eq!(found.lines, expect);
        }
    }
}
