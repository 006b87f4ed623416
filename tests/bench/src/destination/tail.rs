//! The lines of a file sink, as they are appended.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use memchr::memmem;

use super::receipts::Receipts;
use super::receiver::number_at_start;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What stands before an entity's id, first in a line.
const ID: &[u8] = b"\"id\":\"";

/// Follows one file, which is not rotated meanwhile.
#[derive(Debug)]
pub(crate) struct Tail {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

impl Tail {
    pub(super) fn start(path: &Path, receipts: Arc<Receipts>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (path, stopped) = (path.to_owned(), stop.clone());
        let thread = std::thread::spawn(move || follow(&path, &receipts, &stopped));
        Self { stop, thread }
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let followed = self.thread.join();
        Ok(followed.map_err(|_| anyhow!("the reader of the file panicked"))??)
    }
}

fn follow(path: &Path, receipts: &Receipts, stop: &AtomicBool) -> io::Result<()> {
    let mut file = None;
    let mut bytes = Vec::new();
    loop {
        // Before the last look.
        let stopped = stop.load(Ordering::Relaxed);
        if file.is_none() {
            file = File::open(path).ok();
        }
        if let Some(file) = &mut file {
            file.read_to_end(&mut bytes)?;
        }
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
        let at = Instant::now();
        for line in bytes.drain(..whole).as_slice().split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                let id = memmem::find(line, ID).and_then(|at| line.get(at + ID.len()..));
                receipts.take(id.and_then(number_at_start), at);
            }
        }
        if stopped {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
