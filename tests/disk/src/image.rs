//! A disk's durable content, and how it is laid out as a folder.
//!
//! Files may be large and mostly empty (an engine sets a journal's size beforehand):
//! runs of zero bytes are never written, so that copies stay as sparse as they were.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// One step of what happened to a file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The bytes at that range of the log, written there.
    Write {
        /// Where in the file.
        offset: u64,
        /// Where in the log.
        bytes: Range<usize>,
    },
    /// The size set.
    Resize(u64),
}

/// A file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it stands in the image.
    pub path: PathBuf,
    /// Where it stood when recording began, if it was there.
    pub base: Option<PathBuf>,
    /// Permissions.
    pub mode: u32,
    /// What happened to it since, in order.
    pub steps: Vec<Step>,
}

/// What is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Directories, each after its parent.
    pub directories: Vec<PathBuf>,
    /// Files.
    pub files: Vec<ImageFile>,
}

/// Lays the image out in `target`, which must not exist. `base` is a copy of the folder
/// as it was when recording began.
pub fn lay_out(image: &Image, base: &Path, log: &[u8], target: &Path) -> io::Result<()> {
    fs::create_dir(target)?;
    for directory in &image.directories {
        fs::create_dir(target.join(directory))?;
    }
    for file in &image.files {
        let made = create(&target.join(&file.path), file.mode)?;
        if let Some(from) = &file.base {
            copy_sparse(&base.join(from), &made)?;
        }
        for step in &file.steps {
            match step {
                Step::Resize(length) => made.set_len(*length)?,
                Step::Write { offset, bytes } => {
                    made.write_all_at(log.get(bytes.clone()).unwrap_or_default(), *offset)?;
                }
            }
        }
    }
    Ok(())
}

/// Copies a folder with everything in it to `target`, which must not exist.
pub fn copy_folder(from: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir(target)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            let mode = std::os::unix::fs::MetadataExt::mode(&entry.metadata()?);
            copy_sparse(&entry.path(), &create(&to, mode)?)?;
        }
    }
    Ok(())
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    File::options()
        .write(true)
        .create_new(true)
        .mode(mode & 0o777)
        .open(path)
}

fn copy_sparse(from: &Path, to: &File) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            return to.set_len(offset);
        }
        let bytes = chunk.get(..read).unwrap_or_default();
        if bytes.iter().any(|byte| *byte != 0) {
            to.write_all_at(bytes, offset)?;
        }
        offset += u64::try_from(read).unwrap_or(0);
    }
}
