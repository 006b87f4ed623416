//! Zeros ahead of the end of fjall's journal, which make a sync shorter.
//!
//! fjall begins each journal file as one hole of 64 MiB and then writes into it, so that
//! every sync has to make the file's block map durable besides the bytes: a commit of the
//! file system's own journal, as long again as the write. Where zeros stand in the place
//! already, the bytes alone are written. `PostgreSQL` fills its log for the same reason
//! (`wal_init_zero`).
//!
//! Zeros are written only where zeros are read, so what fjall finds in the file never
//! changes, wherever a file system sees its holes; nothing is lost where a fill fails or is
//! cut off, and the next sync is merely a longer one. What must hold is that fjall writes
//! nothing to the file between the look and the zeros: [`Fjall`](super::Fjall) keeps this
//! behind the lock of its writes. A file that was opened again is not filled: fjall has cut
//! it behind its last batch and appends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use byteview::ByteView;
use tracing::debug;

use super::super::{Batch, Write};

/// Filled at a time. Larger ones are seldom better, and one commit waits for each.
const FILL_BYTES: u64 = 512 * 1024;

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// What fjall writes beside the key and value of one write, at most about.
const WRITE_OVERHEAD: usize = 32;

/// What of the journal has been filled and not been written to.
#[derive(Debug)]
pub(super) struct Prefill {
    dir: PathBuf,
    /// By count, not by looking: it may be wrong either way and costs time alone.
    left: u64,
}

impl Prefill {
    /// The journals stand in that folder.
    pub(super) fn new(dir: &Path) -> Self {
        let dir = dir.to_owned();
        Self { dir, left: 0 }
    }

    /// Makes room for what is written next. Nothing else may write to the journal meanwhile.
    pub(super) fn make_room(&mut self, batch: &Batch) {
        let bytes = journal_bytes(batch);
        if self.left < bytes {
            if let Err(error) = fill(&self.dir, bytes.max(FILL_BYTES)) {
                debug!(%error, "the journal could not be filled ahead: syncs take longer");
            }
            // Whatever became of it: the next look is due after as many bytes.
            self.left = bytes.max(FILL_BYTES);
        }
        self.left -= bytes;
    }
}

fn journal_bytes(batch: &Batch) -> u64 {
    let bytes = |write: &Write| {
        let value = write.value.as_ref().map_or(0, ByteView::len);
        write.key.len() + value + WRITE_OVERHEAD
    };
    batch.writes().iter().map(bytes).sum::<usize>() as u64
}

/// Writes zeros into the first hole of the newest journal.
fn fill(dir: &Path, bytes: u64) -> io::Result<()> {
    let Some(path) = newest_journal(dir)? else {
        return Ok(());
    };
    let file = File::options().read(true).write(true).open(path)?;
    let end = file.metadata()?.len();
    let mut at = first_hole(&file)?.unwrap_or(end);
    let until = end.min(at.saturating_add(bytes));
    let mut there = vec![0; ZEROS.len()];
    while at < until {
        let length = usize::try_from(until - at).unwrap_or(ZEROS.len());
        let zeros = ZEROS.get(..length).unwrap_or(&ZEROS);
        there.resize(zeros.len(), 0);
        file.read_exact_at(&mut there, at)?;
        if there != zeros {
            break;
        }
        file.write_all_at(zeros, at)?;
        at += zeros.len() as u64;
    }
    Ok(())
}

fn newest_journal(dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension() != Some(OsStr::new("jnl")) {
            continue;
        }
        let number = path.file_stem().and_then(OsStr::to_str);
        let number: Option<u64> = number.and_then(|number| number.parse().ok());
        newest = newest.max(number.map(|number| (number, path)));
    }
    Ok(newest.map(|(_, path)| path))
}

/// Where the file's first hole begins; its end where it has none.
#[cfg(target_os = "linux")]
fn first_hole(file: &File) -> io::Result<Option<u64>> {
    Ok(Some(rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(0))?))
}

#[cfg(not(target_os = "linux"))]
fn first_hole(_: &File) -> io::Result<Option<u64>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const LENGTH: u64 = 2 * FILL_BYTES + 5_000;

    fn held(file: &File) -> u64 {
        file.sync_all().unwrap();
        file.metadata().unwrap().blocks() * 512
    }

    #[test]
    fn holes_are_filled_step_by_step_and_nothing_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        // An older one, and one whose name comes later where names are compared.
        for name in ["9.jnl", "10.jnl", "lock"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let path = dir.path().join("10.jnl");
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(LENGTH).unwrap();
        let before = fs::read(&path).unwrap();
        if held(&file) > FILL_BYTES {
            return; // A file system without holes.
        }
        for filled in [FILL_BYTES, 2 * FILL_BYTES, LENGTH, LENGTH] {
            fill(dir.path(), FILL_BYTES).unwrap();
            assert!(held(&file) >= filled, "{} of {filled}", held(&file));
            assert!(fs::read(&path).unwrap() == before);
        }
        assert_eq!(fs::read(dir.path().join("9.jnl")).unwrap(), b"9.jnl");
    }

    #[test]
    fn what_stands_behind_a_hole_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.jnl");
        let file = File::options().write(true).create_new(true).open(&path);
        let file = file.unwrap();
        file.set_len(LENGTH).unwrap();
        // Every other block is a hole, as where a file was copied with its holes found anew.
        for at in (0..FILL_BYTES).step_by(8192) {
            file.write_all_at(&[7; 4096], at).unwrap();
        }
        let before = fs::read(&path).unwrap();
        fill(dir.path(), FILL_BYTES).unwrap();
        assert!(fs::read(&path).unwrap() == before);
    }

    #[test]
    fn without_a_journal_there_is_nothing_to_fill() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), FILL_BYTES).unwrap();
        assert!(fill(&dir.path().join("gone"), FILL_BYTES).is_err());
    }
}
