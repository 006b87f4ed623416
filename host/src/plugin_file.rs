//! Plugin files: noticing that one changed, reading it whole, keeping a copy.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tidegate_core::ids::{ConnectorName, PluginDigest};
use tidegate_core::limits::PLUGIN_BYTES_MAX;

/// What tells that a file has changed without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

/// A plugin file that could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginFileError {
    #[error("could not read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is larger than {} MiB", path.display(), PLUGIN_BYTES_MAX / (1024 * 1024))]
    TooLarge { path: PathBuf },
}

/// The file's stamp now.
pub(crate) fn stamp(path: &Path) -> io::Result<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path)?;
    Ok(Stamp {
        bytes: metadata.len(),
        modified: metadata.modified().ok(),
        inode: metadata.ino(),
    })
}

/// The file's bytes, within the bound.
pub(crate) fn read(path: &Path) -> Result<Bytes, PluginFileError> {
    let failed = |source| PluginFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(PLUGIN_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > PLUGIN_BYTES_MAX {
        return Err(PluginFileError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes.into())
}

/// The digest that names a version.
pub(crate) fn digest(wasm: &[u8]) -> PluginDigest {
    PluginDigest::new(Sha256::digest(wasm).into())
}

/// The folder of kept copies: the last accepted version of each connector.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    dir: PathBuf,
}

impl Kept {
    /// Copies are kept in `dir`, made at need.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// Where a connector's copy is.
    pub(crate) fn path(&self, name: &ConnectorName) -> PathBuf {
        self.dir.join(format!("{name}.wasm"))
    }

    /// Keeps a copy, whole or not at all, and through a loss of power. Waits for the disk.
    pub(crate) fn put(&self, name: &ConnectorName, wasm: &[u8]) -> io::Result<()> {
        if !self.dir.exists() {
            fs::create_dir_all(&self.dir)?;
            self.dir.parent().map_or(Ok(()), sync_folder)?;
        }
        let path = self.path(name);
        let unfinished = path.with_extension("wasm.new");
        let mut file = File::create(&unfinished)?;
        file.write_all(wasm)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        sync_folder(&self.dir)
    }
}

/// Makes what was done to the names in a folder durable: a file that was synced and then
/// renamed is under its old name until its folder is synced, too.
fn sync_folder(dir: &Path) -> io::Result<()> {
    // The parent of a relative path may be empty, which is this folder.
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_kept_and_replaced() {
        let dir = std::env::temp_dir().join(format!("tidegate-kept-{}", std::process::id()));
        let kept = Kept::new(&dir);
        let name: ConnectorName = "github".parse().unwrap();
        kept.put(&name, b"one").unwrap();
        let first = stamp(&kept.path(&name)).unwrap();
        kept.put(&name, b"other").unwrap();
        assert_eq!(read(&kept.path(&name)).unwrap(), "other");
        assert_ne!(stamp(&kept.path(&name)).unwrap(), first);
        let names = fs::read_dir(&dir).unwrap();
        assert_eq!(names.count(), 1, "nothing unfinished is left");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn folders_are_synced_wherever_they_are() {
        sync_folder(Path::new("")).unwrap();
        sync_folder(&std::env::temp_dir()).unwrap();
        assert!(sync_folder(Path::new("/nowhere")).is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nowhere/github.wasm")).unwrap_err();
        assert_eq!(error.to_string(), "could not read /nowhere/github.wasm");
    }
}
