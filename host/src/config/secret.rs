//! Secrets: references in the file, values from the environment or from files.
//!
//! A value never stands in the configuration, in a problem or in a log. It is read
//! once, when the configuration is loaded, into a type that does not print itself and
//! wipes its memory.

use std::ffi::OsString;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tidegate_core::signature::{InvalidSecret, SECRET_BYTES_MAX, Secret};
use tidegate_store::SECRET_KEY_BYTES;
use zeroize::Zeroizing;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretRef {
    /// In an environment variable.
    Env(String),
    /// In a file; a line break at its end is not part of it.
    File(PathBuf),
}

impl SecretRef {
    /// Reads `env:NAME` or `file:PATH`; a relative path begins in `folder`.
    pub(super) fn parse(text: &str, folder: &Path) -> Result<Self, NotAReference> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
                Ok(Self::Env(name.to_owned()))
            }
            Some(("file", path)) if !path.is_empty() && !path.contains('\0') => {
                Ok(Self::File(folder.join(path)))
            }
            _ => Err(NotAReference),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A text that is no reference. It may be a secret, so it is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a reference: write \"env:NAME\" or \"file:PATH\"; a secret itself never stands in this file"
)]
pub(super) struct NotAReference;

/// Why a reference has no value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSecret {
    /// No such variable.
    #[error("environment variable {0} is not set")]
    NotSet(String),
    /// The variable holds bytes that are not text.
    #[error("environment variable {0} is not UTF-8 text; use a file for it")]
    NotText(String),
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is there cannot be a secret.
    #[error("{reference}: {source}")]
    Invalid {
        /// Which.
        reference: SecretRef,
        /// Why.
        source: InvalidSecret,
    },
}

/// The key under which received secrets are sealed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoreSecretKey(Zeroizing<[u8; SECRET_KEY_BYTES]>);

/// A text that is no such key. It may be one that was cut, so it is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "holds no key: it has to be {SECRET_KEY_BYTES} random bytes as hexadecimal or base64, as `openssl rand -hex {SECRET_KEY_BYTES}` makes them"
)]
pub(crate) struct NotAKey;

impl StoreSecretKey {
    /// Takes a key's bytes.
    pub(crate) const fn new(bytes: Zeroizing<[u8; SECRET_KEY_BYTES]>) -> Self {
        Self(bytes)
    }

    /// Reads hexadecimal or base64.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, NotAKey> {
        let text = text.trim_ascii();
        let decoded = hex::decode(text)
            .ok()
            .or_else(|| BASE64.decode(text).ok())
            .map(Zeroizing::new)
            .ok_or(NotAKey)?;
        let bytes = decoded.as_slice().try_into().map_err(|_| NotAKey)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// The key itself, for whoever seals with it.
    pub(crate) fn expose(&self) -> &[u8; SECRET_KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for StoreSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreSecretKey(redacted)")
    }
}

/// Looks an environment variable up.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The environment of this process.
pub(crate) fn process_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Fetches the secret behind a reference.
pub(crate) fn resolve(
    reference: &SecretRef,
    environment: Environment<'_>,
) -> Result<Secret, NoSecret> {
    let mut value = fetch(reference, environment)?;
    Secret::new(std::mem::take(&mut *value)).map_err(|source| NoSecret::Invalid {
        reference: reference.clone(),
        source,
    })
}

/// Fetches the bytes behind a reference; at least one.
pub(super) fn resolve_bytes(
    reference: &SecretRef,
    environment: Environment<'_>,
) -> Result<Zeroizing<Vec<u8>>, NoSecret> {
    let value = fetch(reference, environment)?;
    let source = match value.len() {
        0 => InvalidSecret::Empty,
        1..=SECRET_BYTES_MAX => return Ok(value),
        _ => InvalidSecret::TooLong,
    };
    Err(NoSecret::Invalid {
        reference: reference.clone(),
        source,
    })
}

fn fetch(
    reference: &SecretRef,
    environment: Environment<'_>,
) -> Result<Zeroizing<Vec<u8>>, NoSecret> {
    match reference {
        SecretRef::Env(name) => from_environment(name, environment),
        SecretRef::File(path) => from_file(path).map_err(|source| NoSecret::Unreadable {
            path: path.clone(),
            source,
        }),
    }
}

fn from_environment(
    name: &str,
    environment: Environment<'_>,
) -> Result<Zeroizing<Vec<u8>>, NoSecret> {
    let value = environment(name).ok_or_else(|| NoSecret::NotSet(name.to_owned()))?;
    let text = value
        .into_string()
        .map_err(|_| NoSecret::NotText(name.to_owned()))?;
    Ok(Zeroizing::new(text.into_bytes()))
}

fn from_file(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Room for the longest secret, its line break and proof that there is more: a buffer
    // that grows leaves copies behind.
    const ROOM: usize = SECRET_BYTES_MAX + 3;
    let mut value = Zeroizing::new(Vec::with_capacity(ROOM + 1));
    std::fs::File::open(path)?
        .take(ROOM as u64)
        .read_to_end(&mut value)?;
    trim_line_break(&mut value);
    Ok(value)
}

fn trim_line_break(value: &mut Vec<u8>) {
    if value.last() == Some(&b'\n') {
        value.pop();
        if value.last() == Some(&b'\r') {
            value.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<OsString> {
        match name {
            "GOOD" => Some("hunter2".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        }
    }

    #[track_caller]
    fn check_refused(reference: &SecretRef, expected: &str) {
        let error = resolve(reference, &environment).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn references() {
        let folder = Path::new("/etc/tidegate");
        assert_eq!(
            SecretRef::parse("env:A_B", folder),
            Ok(SecretRef::Env("A_B".into()))
        );
        let file = SecretRef::File("/etc/tidegate/s/k".into());
        assert_eq!(SecretRef::parse("file:s/k", folder), Ok(file));
        assert_eq!(
            SecretRef::parse("file:/run/k", folder),
            Ok(SecretRef::File("/run/k".into()))
        );
        for bad in ["", "hunter2", "env:", "file:", "vault:x", "env:A=B"] {
            let error = SecretRef::parse(bad, folder).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_has_no_value_is_named_without_one() {
        check_refused(
            &SecretRef::Env("MISSING".into()),
            "variable MISSING is not set",
        );
        check_refused(
            &SecretRef::Env("EMPTY".into()),
            "env:EMPTY: the secret is empty",
        );
        check_refused(
            &SecretRef::File("/nowhere/at/all".into()),
            "cannot read /nowhere/at/all",
        );
    }

    #[test]
    fn a_files_last_line_break_is_not_part_of_the_secret() {
        for (content, expected) in [("k\n", "k"), ("k\r\n", "k"), ("k\n\n", "k\n"), ("k ", "k ")] {
            let mut value = content.as_bytes().to_vec();
            trim_line_break(&mut value);
            assert_eq!(value, expected.as_bytes(), "{content:?}");
        }
    }

    #[test]
    fn a_configured_secret_does_not_print_itself() {
        let reference = SecretRef::Env("GOOD".into());
        let secret = resolve(&reference, &environment).unwrap();
        let configured = secret;
        assert!(!format!("{configured:?}").contains("hunter2"));
    }
}
