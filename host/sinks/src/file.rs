//! The file sink: one change a line, as NDJSON.
//!
//! A hand-over is one write and one sync; only then is it delivered. The file itself says
//! what it has: at the start its torn last line is cut off, and what stands among its last
//! lines is passed over when it is handed over again, so that each change stands there once
//! whenever the host was killed. Whole lines are compared: a new store numbers its changes
//! from 1 again, and what it has is not delivered yet. After a failed write or sync the file is cut back to
//! where it was and opened anew, since nobody knows what of it would stay. While it is
//! open it is locked: a second writer is refused, and tries again.
//!
//! Rotation renames the file to `NAME.NUMBER`, of six digits or more, and begins another;
//! the highest numbers are the newest.

mod rotation;
mod tail;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_core::change::Change;
use tidegate_core::errors::chain;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::ChangeSeq;
use tidegate_core::limits;
use tidegate_core::ports::{Clock, Outlet, OutletCapacity};

use crate::all;
use crate::record::{length_hint, record};
pub use rotation::rotated_from;
use tail::{LineDigest, digest};
use writer::Writer;

/// What the configuration says about a file sink.
#[derive(Clone, Debug)]
pub struct FileSink {
    /// The current file; rotated ones stand beside it.
    pub path: PathBuf,
    /// Largest file before it is rotated; one hand-over may go beyond it.
    pub rotate_bytes: u64,
    /// Longest age of a file before it is rotated.
    pub rotate_every: Duration,
    /// Rotated files that are kept.
    pub keep: usize,
}

/// A file sink.
pub struct FileOutlet {
    writer: Arc<Mutex<Writer>>,
    path: PathBuf,
}

/// A change as it will stand in the file.
struct Line {
    digest: LineDigest,
    text: Vec<u8>,
}

impl FileOutlet {
    /// A sink of that kind; the file is opened with the first change.
    pub fn new(sink: FileSink, clock: Arc<dyn Clock>) -> Self {
        Self {
            path: sink.path.clone(),
            writer: Arc::new(Mutex::new(Writer::new(sink, clock))),
        }
    }

    async fn append(&self, lines: Vec<Line>) -> Result<(), Failure> {
        let writer = self.writer.clone();
        let written = tokio::task::spawn_blocking(move || {
            // A panic in there leaves nothing that the next opening would not find.
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.append(&lines)
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::new(FailureClass::TRANSIENT, chain(&error))),
            Err(_) => Err(Failure::new(
                FailureClass::TRANSIENT,
                format!("writing to {} was broken off", self.path.display()),
            )),
        }
    }
}

impl fmt::Debug for FileOutlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileOutlet")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Outlet for FileOutlet {
    fn capacity(&self) -> OutletCapacity {
        OutletCapacity {
            batch: limits::SINK_BATCH_MAX,
            concurrency: 1,
        }
    }

    async fn deliver(&self, changes: &[Change]) -> Vec<Result<(), Failure>> {
        let lines = changes.iter().map(|change| {
            let mut text = Vec::with_capacity(length_hint(change));
            record(change, &mut text);
            text.push(b'\n');
            Line {
                digest: digest(&text),
                text,
            }
        });
        all(changes.len(), &self.append(lines.collect()).await)
    }

    /// None: what the file has is found by its lines, which may be out of order.
    async fn cursor(&self) -> Result<Option<ChangeSeq>, Failure> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
