//! The key under which received secrets are sealed: the operator's, or one that is made once
//! and kept beside the store, readable by the host's user alone.
//!
//! A key that is made is on the disk before anything is sealed with it: a secret whose key a
//! power cut took away would be lost, and its partner does not send it again. It is written
//! under another name first, so that no half of a key is ever taken for one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tidegate_store::{SECRET_KEY_BYTES, SecretKey};
use zeroize::Zeroizing;

use crate::config::{NotAKey, StoreConfig, StoreSecretKey, read_bounded};
use crate::system::random_bytes;

/// Mode of the generated file: the host's user alone.
const FILE_MODE: u32 = 0o600;

/// Longest content of the generated file that is read.
const FILE_BYTES_MAX: u64 = 4_096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretKeyError {
    /// The file could not be read.
    #[error("could not read the key of received secrets in {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file holds none.
    #[error("{} holds no key of received secrets: put the right one back, or remove the file and have the partners' handshakes done again", path.display())]
    NoKey {
        path: PathBuf,
        #[source]
        source: NotAKey,
    },
    /// The file could not be written.
    #[error("could not write a key of received secrets to {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Randomness.
    #[error("the system gave no random bytes for the key of received secrets")]
    Random(#[source] getrandom::Error),
    /// The key has another length than the cipher's.
    #[error("the key of received secrets does not fit its cipher")]
    Cipher,
}

/// The configured key, or the one in the store's folder, which is made where it is not there.
/// A store in memory gets one that ends with it.
pub(crate) fn prepare(store: &StoreConfig) -> Result<SecretKey, SecretKeyError> {
    let key = match (&store.secret_key, store.secret_key_file()) {
        (Some(key), _) => key.clone(),
        (None, None) => generate()?,
        (None, Some(path)) => match read(&path)? {
            Some(key) => key,
            None => make(&path)?,
        },
    };
    SecretKey::new(key.expose()).ok_or(SecretKeyError::Cipher)
}

fn generate() -> Result<StoreSecretKey, SecretKeyError> {
    let bytes = random_bytes::<SECRET_KEY_BYTES>().map_err(SecretKeyError::Random)?;
    Ok(StoreSecretKey::new(Zeroizing::new(bytes)))
}

fn read(path: &Path) -> Result<Option<StoreSecretKey>, SecretKeyError> {
    let text = match read_bounded(path, FILE_BYTES_MAX) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(SecretKeyError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let key = StoreSecretKey::parse(&text).map_err(|source| SecretKeyError::NoKey {
        path: path.to_owned(),
        source,
    })?;
    Ok(Some(key))
}

fn make(path: &Path) -> Result<StoreSecretKey, SecretKeyError> {
    let key = generate()?;
    write(path, &key).map_err(|source| SecretKeyError::Write {
        path: path.to_owned(),
        source,
    })?;
    tracing::info!(path = %path.display(), "a key for received secrets was made: keep a copy of it apart from the store's");
    Ok(key)
}

fn write(path: &Path, key: &StoreSecretKey) -> io::Result<()> {
    let text = Zeroizing::new(hex::encode(key.expose()));
    let unfinished = path.with_extension("key.new");
    // What a start that broke off has left there is nobody's key yet.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn store(dir: &Path) -> StoreConfig {
        StoreConfig {
            dir: Some(dir.to_owned()),
            ..StoreConfig::default()
        }
    }

    #[test]
    fn a_key_is_made_once_for_the_hosts_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret.key");
        fs::write(dir.path().join("secret.key.new"), "half").unwrap();
        prepare(&store(dir.path())).unwrap();
        let first = fs::read(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode, first.len()), (FILE_MODE, 65));
        prepare(&store(dir.path())).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn half_a_key_is_none_and_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret.key");
        fs::write(&path, "00ff\n").unwrap();
        let refused = prepare(&store(dir.path())).unwrap_err();
        assert!(matches!(refused, SecretKeyError::NoKey { .. }), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"00ff\n");
    }
}
