//! What was said about a failed store without it, beside the store: so that the next start,
//! which has a store again, can say that it is over.
//!
//! The store cannot keep this alert, since it is what failed. The file has its full size from
//! the start, so that a full disk has no say, and it is not waited for that it is on the disk:
//! it survives the end of the process. Where even that fails, or the power goes too, nobody
//! is told that it is over; the host says so in its log, and works all the same.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use tidegate_core::limits::ALERT_EXCERPT_BYTES_MAX;
use tidegate_core::limits::cut_text;
use tidegate_core::time::Timestamp;

/// Its name in the store's folder.
const NAME: &str = "store-alert";

/// Since when, and how many bytes of words follow.
const HEAD_BYTES: usize = 16;

/// What a failed store was reported with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) since: Timestamp,
    pub(super) reason: String,
}

/// Where that is kept; nowhere, where the store is in memory.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    file: Option<File>,
}

impl Outage {
    /// Beside the store in that folder.
    pub(crate) fn beside(folder: Option<&Path>) -> Self {
        let Some(path) = folder.map(|folder| folder.join(NAME)) else {
            return Self::default();
        };
        let file = open(&path).inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "if the store fails, nobody will be told that it is over");
        });
        Self { file: file.ok() }
    }

    /// Keeps what is said.
    pub(super) fn keep(&self, said: &Said) {
        let words = cut_text(said.reason.clone(), ALERT_EXCERPT_BYTES_MAX);
        let mut bytes = said.since.as_micros().to_be_bytes().to_vec();
        bytes.extend((words.len() as u64).to_be_bytes());
        bytes.extend(words.as_bytes());
        self.write(&bytes);
    }

    /// What was said, and not taken over yet.
    pub(super) fn kept(&self) -> Option<Said> {
        let mut bytes = [0; HEAD_BYTES + ALERT_EXCERPT_BYTES_MAX];
        self.file.as_ref()?.read_exact_at(&mut bytes, 0).ok()?;
        let (since, rest) = bytes.split_first_chunk()?;
        let (length, words) = rest.split_first_chunk()?;
        let since = i64::from_be_bytes(*since);
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let words = words.get(..length).unwrap_or_default();
        (since != 0).then(|| Said {
            since: Timestamp::from_micros(since),
            reason: String::from_utf8_lossy(words).into_owned(),
        })
    }

    /// It was taken over.
    pub(super) fn forget(&self) {
        self.write(&[0; HEAD_BYTES]);
    }

    fn write(&self, bytes: &[u8]) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(bytes, 0)
        {
            tracing::warn!(%error, "what is said about the failed store could not be noted beside it");
        }
    }
}

/// The file, written out where it is new.
fn open(path: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let whole = [0; HEAD_BYTES + ALERT_EXCERPT_BYTES_MAX];
    if file.metadata()?.len() != whole.len() as u64 {
        file.set_len(whole.len() as u64)?;
        file.write_all_at(&whole, 0)?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_kept_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let beside = || Outage::beside(Some(folder.path()));
        assert_eq!(beside().kept(), None);
        let said = |reason: &str| Said {
            since: Timestamp::from_secs(7),
            reason: reason.into(),
        };
        for reason in [
            "sync failed",
            "",
            "a longer one, and a shorter after it",
            "x",
        ] {
            beside().keep(&said(reason));
            assert_eq!(beside().kept(), Some(said(reason)));
        }
        let long = "é".repeat(ALERT_EXCERPT_BYTES_MAX);
        beside().keep(&said(&long));
        let cut = beside().kept().unwrap().reason;
        assert!(cut.len() > ALERT_EXCERPT_BYTES_MAX / 2 && !cut.contains('\u{fffd}'));
        beside().forget();
        assert_eq!(beside().kept(), None);
        let memory = Outage::beside(None);
        memory.keep(&said("x"));
        assert_eq!(memory.kept(), None);
    }

    #[test]
    fn a_file_of_anything_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(NAME), [0xff; 7]).unwrap();
        assert_eq!(Outage::beside(Some(folder.path())).kept(), None);
        let noise = [0xff; HEAD_BYTES + ALERT_EXCERPT_BYTES_MAX];
        std::fs::write(folder.path().join(NAME), noise).unwrap();
        let kept = Outage::beside(Some(folder.path())).kept();
        assert!(kept.is_none_or(|said| said.reason.is_empty()));
    }
}
