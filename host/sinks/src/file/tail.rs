//! Reading a file of changes from its end: which ones it has, and where its last whole
//! line ends. Memory is bounded whatever the lines are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes that are looked at together.
const BLOCK_BYTES: u64 = 64 * 1024;

/// What a line begins with, before the number.
const BEGINNING: &[u8] = b"{\"seq\":\"";

/// What the end of a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The changes of its last lines, the newest first.
    pub(super) seqs: Vec<u64>,
    /// Its length without the line that is torn.
    pub(super) whole: u64,
}

/// Reads the last `lines_max` lines of a file.
pub(super) fn tail(file: &File, lines_max: usize) -> io::Result<Tail> {
    let mut found = Tail {
        seqs: Vec::new(),
        whole: 0,
    };
    let mut end = file.metadata()?.len();
    let mut block = Vec::new();
    while end > 0 && found.seqs.len() < lines_max {
        let start = end.saturating_sub(BLOCK_BYTES);
        block.resize(usize::try_from(end - start).unwrap_or_default(), 0);
        file.read_exact_at(&mut block, start)?;
        for (at, byte) in block.iter().enumerate().rev() {
            if *byte == b'\n' && found.seqs.len() < lines_max {
                line_after(file, start + at as u64 + 1, &mut found)?;
            }
        }
        end = start;
    }
    if end == 0 && found.seqs.len() < lines_max {
        line_after(file, 0, &mut found)?;
    }
    Ok(found)
}

/// Takes note of the line that begins there. The first one seen is the last of the file,
/// and torn unless nothing is in it; with it the file's whole length is known.
fn line_after(file: &File, start: u64, found: &mut Tail) -> io::Result<()> {
    if found.whole == 0 {
        found.whole = start;
        return Ok(());
    }
    if let Some(seq) = seq_at(file, start)? {
        found.seqs.push(seq);
    }
    Ok(())
}

/// The number of the change in the line that begins there.
fn seq_at(file: &File, start: u64) -> io::Result<Option<u64>> {
    let mut piece = [0; 32];
    let mut have = 0;
    while let Some(rest) = piece.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, start + have as u64)? {
            0 => break,
            more => have += more,
        }
    }
    let digits = piece
        .get(..have)
        .and_then(|piece| piece.strip_prefix(BEGINNING))
        .and_then(|rest| rest.split(|byte| *byte == b'"').next());
    let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
    Ok(text.and_then(|text| text.parse().ok()))
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
    fn check(text: &str, lines_max: usize, seqs: &[u64], whole: usize) {
        let expect = Tail {
            seqs: seqs.to_vec(),
            whole: whole as u64,
        };
        assert_eq!(read(text.as_bytes(), lines_max), expect, "{text:?}");
    }

    #[test]
    fn whole_lines_and_a_torn_one() {
        check("", 9, &[], 0);
        check("{\"seq\":\"1\",", 9, &[], 0);
        check("{\"seq\":\"1\"}\n", 9, &[1], 12);
        check("{\"seq\":\"1\"}\n{\"seq\":\"2\"", 9, &[1], 12);
        check("{\"seq\":\"1\"}\n{\"seq\":\"2\"}\n", 9, &[2, 1], 24);
        check("{\"seq\":\"1\"}\n{\"seq\":\"2\"}\n", 1, &[2], 24);
        check("what is this\n{\"seq\":\"2\"}\n", 9, &[2], 25);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn wherever_it_is_torn_the_whole_lines_stay(
            lengths in proptest::collection::vec(0_usize..90_000, 1..6),
            torn in any::<prop::sample::Index>(),
        ) {
            let mut text = Vec::new();
            let mut ends = vec![0];
            for (seq, length) in lengths.iter().enumerate() {
                let pad = "x".repeat(*length);
                text.extend_from_slice(format!("{{\"seq\":\"{seq}\",\"{pad}\"}}\n").as_bytes());
                ends.push(text.len());
            }
            let cut = torn.index(text.len() + 1);
            let kept = ends.iter().filter(|end| **end <= cut).count() - 1;
            let found = read(&text[..cut], 100);
            prop_assert_eq!(found.whole, ends[kept] as u64);
            let expect: Vec<u64> = (0..kept as u64).rev().collect();
            prop_assert_eq!(found.seqs, expect);
        }
    }
}
