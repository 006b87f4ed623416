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

/// Copies that are kept of one connector's versions. Of Python some 20 MiB each.
const KEPT_MAX: usize = 5;

/// The folder of kept copies: the last accepted version of each connector as `NAME.wasm`,
/// and beside it, as `NAME/DIGEST.wasm`, the last few.
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

    /// Where a connector's last accepted version is.
    pub(crate) fn path(&self, name: &ConnectorName) -> PathBuf {
        self.dir.join(format!("{name}.wasm"))
    }

    /// Where a connector's version with that digest is, if it is kept.
    pub(crate) fn version(&self, name: &ConnectorName, digest: PluginDigest) -> PathBuf {
        let file = format!("{}.wasm", hex::encode(digest.as_bytes()));
        self.dir.join(name.as_str()).join(file)
    }

    /// Keeps a copy as the last accepted version, whole or not at all, and through a loss
    /// of power; the oldest versions give way. Waits for the disk.
    pub(crate) fn put(
        &self,
        name: &ConnectorName,
        digest: PluginDigest,
        wasm: &[u8],
    ) -> io::Result<()> {
        make_folder(&self.dir)?;
        replace(&self.path(name), wasm)?;
        let version = self.version(name, digest);
        let folder = self.dir.join(name.as_str());
        make_folder(&folder)?;
        replace(&version, wasm)?;
        forget_oldest(&folder)
    }
}

/// Puts a file in the place of the one before.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("wasm.new");
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn make_folder(dir: &Path) -> io::Result<()> {
    if dir.exists() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    dir.parent().map_or(Ok(()), sync_folder)
}

/// Removes all but the newest files; what a crash has left unfinished is among the oldest
/// soon enough.
fn forget_oldest(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        files.push((file.metadata()?.modified()?, file.path()));
    }
    files.sort_unstable();
    let surplus = files.len().saturating_sub(KEPT_MAX);
    files
        .iter()
        .take(surplus)
        .try_for_each(|(_, path)| fs::remove_file(path))
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
    fn a_copy_is_kept_and_replaced_and_the_last_versions_stay() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(&folder.path().join("plugins"));
        let name: ConnectorName = "github".parse().unwrap();
        let put = |wasm: &[u8]| kept.put(&name, digest(wasm), wasm).unwrap();
        put(b"0");
        let first = stamp(&kept.path(&name)).unwrap();
        for number in 1..=KEPT_MAX {
            put(number.to_string().as_bytes());
        }
        let last = KEPT_MAX.to_string();
        assert_eq!(read(&kept.path(&name)).unwrap(), last);
        assert_ne!(stamp(&kept.path(&name)).unwrap(), first);
        let is_kept = |wasm: &[u8]| kept.version(&name, digest(wasm)).exists();
        assert!(!is_kept(b"0") && is_kept(b"1") && is_kept(last.as_bytes()));
        let count = |dir: &Path| fs::read_dir(dir).unwrap().count();
        assert_eq!(count(&kept.dir), 2, "nothing unfinished is left");
        assert_eq!(count(&kept.dir.join("github")), KEPT_MAX);
        // One that serves again is among the last ones again.
        put(b"1");
        put(b"another");
        assert!(is_kept(b"1") && !is_kept(b"2"));
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
