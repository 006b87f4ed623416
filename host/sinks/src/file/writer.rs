//! The current file: opened, appended to, synced, rotated. Blocking.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_core::ports::Clock;
use tidegate_core::time::Timestamp;

use super::rotation::{retire, rotated};
use super::tail::{LineDigest, tail};
use super::{FileSink, Line};

/// Lines that are known to be in the file: twice as many as may be handed over before
/// the store has heard of them.
pub(super) const RECENT_MAX: usize = 2 * tidegate_core::limits::SINK_WINDOW_MAX;

/// What could not be done with a sink's file.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} {}", path.display())]
pub(super) struct FileError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Adds what was being done to what.
pub(super) fn doing<T>(
    doing: &'static str,
    path: &Path,
    result: io::Result<T>,
) -> Result<T, FileError> {
    result.map_err(|source| FileError {
        doing,
        path: path.to_owned(),
        source,
    })
}

/// Whoever writes the file.
pub(super) struct Writer {
    sink: FileSink,
    clock: Arc<dyn Clock>,
    open: Option<Open>,
}

struct Open {
    file: File,
    length: u64,
    began: Timestamp,
    recent: Recent,
}

/// The last lines.
#[derive(Default)]
struct Recent {
    order: VecDeque<LineDigest>,
    known: HashSet<LineDigest>,
}

impl Recent {
    fn add(&mut self, line: LineDigest) {
        if self.known.insert(line) {
            self.order.push_back(line);
        }
        if self.order.len() > RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Writer {
    pub(super) fn new(sink: FileSink, clock: Arc<dyn Clock>) -> Self {
        Self {
            sink,
            clock,
            open: None,
        }
    }

    /// Appends what is not there yet, and returns once all of it is on stable storage.
    pub(super) fn append(&mut self, lines: &[Line]) -> Result<(), FileError> {
        // Taken out: only what ended well is put back.
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.recover()?,
        };
        let mut seen = HashSet::new();
        let fresh: Vec<&Line> = lines
            .iter()
            .filter(|line| !open.recent.known.contains(&line.digest) && seen.insert(line.digest))
            .collect();
        if !fresh.is_empty() {
            let bytes: Vec<u8> = fresh.iter().flat_map(|line| &line.text).copied().collect();
            if self.is_due(&open, bytes.len()) {
                open = self.rotate(open)?;
            }
            self.write(&mut open, &bytes)?;
            for line in fresh {
                open.recent.add(line.digest);
            }
        }
        self.open = Some(open);
        Ok(())
    }

    fn write(&self, open: &mut Open, bytes: &[u8]) -> Result<(), FileError> {
        let path = &self.sink.path;
        let written = doing("write to", path, open.file.write_all(bytes))
            .and_then(|()| doing("sync", path, open.file.sync_data()));
        if let Err(error) = written {
            // What is left of it would be taken for delivered at the next opening.
            doing("cut back", path, open.file.set_len(open.length))?;
            return Err(error);
        }
        open.length += bytes.len() as u64;
        Ok(())
    }

    fn is_due(&self, open: &Open, more: usize) -> bool {
        let full = open.length.saturating_add(more as u64) > self.sink.rotate_bytes;
        let old = self.clock.now().since(open.began) >= self.sink.rotate_every;
        open.length > 0 && (full || old)
    }

    fn rotate(&self, open: Open) -> Result<Open, FileError> {
        retire(&self.sink)?;
        let file = self.open_file()?;
        self.sync_folder()?;
        Ok(Open {
            file,
            length: 0,
            began: self.clock.now(),
            recent: open.recent,
        })
    }

    /// Opens the file as it was left: without its torn line, and on stable storage before
    /// anything of it is passed over as delivered.
    fn recover(&self) -> Result<Open, FileError> {
        let path = &self.sink.path;
        let file = self.open_file()?;
        let found = doing("read", path, tail(&file, RECENT_MAX))?;
        let (mut newest_first, whole) = (found.lines, found.whole);
        doing("cut", path, file.set_len(whole))?;
        doing("sync", path, file.sync_all())?;
        self.sync_folder()?;
        for (_, older) in rotated(path)?.into_iter().rev() {
            if newest_first.len() >= RECENT_MAX {
                break;
            }
            let left = RECENT_MAX - newest_first.len();
            let file = doing("open", &older, File::open(&older))?;
            newest_first.extend(doing("read", &older, tail(&file, left))?.lines);
        }
        let mut recent = Recent::default();
        for line in newest_first.into_iter().rev() {
            recent.add(line);
        }
        let began = if whole == 0 {
            self.clock.now()
        } else {
            birth(&file).unwrap_or_else(|| self.clock.now())
        };
        Ok(Open {
            file,
            length: whole,
            began,
            recent,
        })
    }

    /// Opens the file for this writer alone, as long as it is open: another one would cut
    /// off what stands there already. A crash leaves no lock behind.
    fn open_file(&self) -> Result<File, FileError> {
        let path = &self.sink.path;
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path);
        let file = doing("open", path, file)?;
        doing("lock", path, lock(&file, path))?;
        Ok(file)
    }

    /// Makes names durable that were given or taken away.
    fn sync_folder(&self) -> Result<(), FileError> {
        let folder = folder(&self.sink.path);
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        doing("sync the folder", folder, synced)
    }
}

/// Locks a file that is still the one of that name.
pub(super) fn lock(file: &File, path: &Path) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another sink or host writes it; each needs a file of its own",
        ),
        TryLockError::Error(error) => error,
    })?;
    // Whoever held it may have rotated it since it was opened.
    let (own, named) = (file.metadata()?, fs::metadata(path)?);
    if (own.dev(), own.ino()) == (named.dev(), named.ino()) {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "it was rotated meanwhile",
        ))
    }
}

/// The folder of a file.
pub(super) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

/// When the file came to be, as far as its file system knows.
fn birth(file: &File) -> Option<Timestamp> {
    let metadata: fs::Metadata = file.metadata().ok()?;
    let born = metadata.created().or_else(|_| metadata.modified()).ok()?;
    let since = born
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .ok()?;
    Some(Timestamp::EPOCH.plus(since))
}
