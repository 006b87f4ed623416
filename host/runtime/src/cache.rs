//! Compiled plugins on disk, so that a restart compiles nothing.
//!
//! An entry is named by the plugin's digest and by everything that its compiled form
//! depends on: the version of wasmtime, the machine, the engine's configuration. It ends
//! in a checksum of itself. What is not whole, or not ours, is compiled anew and
//! overwritten; a cache that cannot be written costs time and nothing else.
//!
//! Compiled code is trusted code. The folder belongs to this user alone, and nothing is
//! ever put there that was not compiled by this program's own compiler.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use tidegate_core::ids::PluginDigest;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Entries kept; of more, the oldest go. A portfolio has a few dozen connectors, each
/// with a version or two.
const ENTRIES_MAX: usize = 256;

/// Bytes of the checksum at the end of an entry.
const CHECKSUM_BYTES: usize = 32;

const SUFFIX: &str = "cwasm";
const SUFFIX_UNFINISHED: &str = "tmp";

/// Why a folder cannot hold compiled plugins.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} {}", path.display())]
pub struct CacheError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Compiled plugins on disk.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    /// What compiled code depends on besides its source.
    engine: u64,
    unfinished: AtomicU64,
}

impl Cache {
    /// Makes the folder where it is missing, and closes it to everybody else.
    pub(crate) fn open(dir: PathBuf, engine: &Engine) -> Result<Self, CacheError> {
        let failed = |what| {
            let path = dir.clone();
            move |source| CacheError { what, path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(failed("create"))?;
        // Only the owner can do this, so somebody else's folder is found here.
        fs::set_permissions(&dir, Permissions::from_mode(0o700))
            .map_err(failed("take for this user alone"))?;
        for path in files(&dir, SUFFIX_UNFINISHED).map_err(failed("list"))? {
            // Left by a process that ended while it wrote.
            let _ = fs::remove_file(path);
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            dir,
            engine: hasher.finish(),
            unfinished: AtomicU64::new(0),
        })
    }

    /// The compiled form, if a whole one is there.
    pub(crate) fn get(&self, engine: &Engine, digest: PluginDigest) -> Option<Component> {
        let path = self.path(digest);
        match read_checked(&path) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(entry = %path.display(), "compiled plugin is damaged; compiling it anew");
                return None;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(entry = %path.display(), %error, "could not read a compiled plugin; compiling it anew");
                return None;
            }
        }
        #[expect(
            unsafe_code,
            reason = "mapping compiled code from disk is what the cache is for"
        )]
        // SAFETY: the bytes must be what `Engine::precompile_component` gave on a compatible
        // engine, unchanged while mapped. Entries are written by `put` alone, under a name that
        // holds the engine's compatibility hash, into a folder that only this user can
        // change; they are replaced by renaming, never altered in place; and the checksum
        // was compared just now, against damage rather than malice.
        let component = unsafe { Component::deserialize_file(engine, &path) };
        component
            .inspect_err(|error| {
                tracing::warn!(entry = %path.display(), %error, "compiled plugin does not fit; compiling it anew");
            })
            .ok()
    }

    /// Keeps the compiled form. Failing that, says so and goes on.
    pub(crate) fn put(&self, digest: PluginDigest, compiled: &[u8]) {
        let path = self.path(digest);
        let stored = self.write(&path, compiled);
        if let Err(error) = stored.and_then(|()| self.prune()) {
            tracing::warn!(entry = %path.display(), %error, "could not keep a compiled plugin");
        }
    }

    fn path(&self, digest: PluginDigest) -> PathBuf {
        self.dir.join(format!(
            "{}-{:016x}.{SUFFIX}",
            hex::encode(digest.as_bytes()),
            self.engine
        ))
    }

    /// Beside the entry, then renamed over it: readers see the old one or the new one.
    fn write(&self, path: &Path, compiled: &[u8]) -> io::Result<()> {
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.dir.join(format!(
            "{}-{number}.{SUFFIX_UNFINISHED}",
            std::process::id()
        ));
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&unfinished)?;
            file.write_all(compiled)?;
            file.write_all(&Sha256::digest(compiled))?;
            drop(file);
            fs::rename(&unfinished, path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    fn prune(&self) -> io::Result<()> {
        let mut entries = files(&self.dir, SUFFIX)?
            .into_iter()
            .map(|path| Ok((fs::metadata(&path)?.modified()?, path)))
            .collect::<io::Result<Vec<_>>>()?;
        let surplus = entries.len().saturating_sub(ENTRIES_MAX);
        if surplus > 0 {
            entries.sort();
            for (_, path) in entries.into_iter().take(surplus) {
                // Whoever has it mapped keeps it.
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn files(dir: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == suffix)
        {
            files.push(path);
        }
    }
    Ok(files)
}

/// Whether the entry is the one that was written.
fn read_checked(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let Some(len) = file.metadata()?.len().checked_sub(CHECKSUM_BYTES as u64) else {
        return Ok(false);
    };
    let mut hash = Sha256::new();
    // In pieces, or a large plugin would be in memory twice for a moment.
    let mut piece = vec![0; 256 * 1024];
    let mut body = (&mut file).take(len);
    loop {
        let read = body.read(&mut piece)?;
        match piece.get(..read) {
            None | Some([]) => break,
            Some(bytes) => hash.update(bytes),
        }
    }
    let mut checksum = [0; CHECKSUM_BYTES];
    file.seek(io::SeekFrom::Start(len))?;
    file.read_exact(&mut checksum)?;
    Ok(hash.finalize().as_slice() == checksum.as_slice())
}
