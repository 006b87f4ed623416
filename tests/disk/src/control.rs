//! The words through which a driver steers a preloaded process while it runs: a small
//! file that both map or write in place.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Names of the environment variables that the preloaded library reads.
pub mod variables {
    /// The folder that is watched. Without it the library does nothing.
    pub const FOLDER: &str = "TIDEGATE_DISK_FOLDER";
    /// Where the log goes. Without it nothing is recorded.
    pub const LOG: &str = "TIDEGATE_DISK_LOG";
    /// The control file. Without it nothing fails.
    pub const CONTROL: &str = "TIDEGATE_DISK_CONTROL";
}

/// A word's value where nothing is to fail.
pub const OFF: u64 = u64::MAX;

/// Size of the file.
pub const CONTROL_BYTES: usize = 16;

/// Where the words stand, in native byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Word {
    /// How many bytes the folder may take.
    Budget = 0,
    /// Which of the coming syncs fails, counted from 1; [`OFF`] again once it has.
    FailingSync = 8,
}

/// The driver's side.
#[derive(Debug)]
pub struct Control(File);

impl Control {
    /// A new file with which nothing fails.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let control = Self(file);
        control.set(Word::Budget, OFF)?;
        control.set(Word::FailingSync, OFF)?;
        Ok(control)
    }

    /// Changes a word, at once and for a running process too.
    pub fn set(&self, word: Word, value: u64) -> io::Result<()> {
        self.0.write_all_at(&value.to_ne_bytes(), word as u64)
    }

    /// Reads a word.
    pub fn get(&self, word: Word) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, word as u64)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}
