//! Who may use the operator API: bearer tokens and what each is good for.
//!
//! Only digests are kept in memory. With none configured and a listener that this
//! machine alone reaches, a token is made once and kept in the store's folder, readable
//! by the host's user alone. A listener that others reach without a token does not start.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use crate::config::{OperatorToken, Scope};
use crate::system::random_bytes;

/// Mode of the generated file: the host's user alone.
const FILE_MODE: u32 = 0o600;

/// Longest content of the generated file that is read.
const FILE_BYTES_MAX: u64 = 4_096;

/// Shortest token that is taken from the file: 128 bits as hexadecimal digits.
const FILE_TOKEN_BYTES_MIN: usize = 32;

/// What a route asks of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Reading changes and the mirror: what a consumer needs.
    Consume,
    /// Reading anything.
    Read,
    /// Running work again, giving it up, pausing and resuming.
    Operate,
    /// Changing what the host trusts.
    Admin,
}

impl Permission {
    /// The word of the configuration, for a person who lacks it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Consume => "consume",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// Whether a scope gives it: each of read, operate and admin holds those before it.
    const fn given_by(self, scope: Scope) -> bool {
        match self {
            Self::Consume => true,
            Self::Read => matches!(scope, Scope::Read | Scope::Operate | Scope::Admin),
            Self::Operate => matches!(scope, Scope::Operate | Scope::Admin),
            Self::Admin => matches!(scope, Scope::Admin),
        }
    }
}

/// Why a caller may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The token is none of ours.
    Unknown,
    /// The token is good for other things.
    Scope,
}

/// Why the tokens could not be prepared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokensError {
    /// Others reach the listener and nothing keeps them out.
    #[error(
        "the operator API listens beyond this machine and no token is configured: add [[operator.tokens]], or listen on 127.0.0.1"
    )]
    Exposed,
    /// There is no folder to keep a generated token in.
    #[error(
        "no operator token is configured, and a store in memory has no folder to keep a generated one in: add [[operator.tokens]]"
    )]
    NoFolder,
    /// The file could not be read.
    #[error("could not read the operator token in {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The file holds no token.
    #[error(
        "{} holds no operator token: remove it, and a new one is made", path.display()
    )]
    NoToken { path: PathBuf },
    /// The file could not be written.
    #[error("could not write an operator token to {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Randomness.
    #[error("the system gave no random bytes for an operator token")]
    Random(#[source] getrandom::Error),
}

/// The tokens that open the operator API.
#[derive(Debug)]
pub(crate) struct Tokens {
    tokens: Vec<Token>,
}

struct Token {
    name: String,
    scopes: Vec<Scope>,
    digest: [u8; 32],
}

/// A digest is enough to try guesses against.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

impl Token {
    fn new(name: &str, scopes: Vec<Scope>, token: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            scopes,
            digest: Sha256::digest(token).into(),
        }
    }
}

impl Tokens {
    /// The configured tokens or, on a listener that this machine alone reaches, the one
    /// in `token_file`, which is made where it is not there.
    pub(crate) fn prepare(
        configured: &[OperatorToken],
        token_file: Option<PathBuf>,
        loopback: bool,
    ) -> Result<Self, TokensError> {
        if !configured.is_empty() {
            let tokens = configured
                .iter()
                .map(|token| Token::new(&token.name, token.scopes.clone(), &token.token))
                .collect();
            return Ok(Self { tokens });
        }
        if !loopback {
            return Err(TokensError::Exposed);
        }
        let path = token_file.ok_or(TokensError::NoFolder)?;
        let token = match read_file(&path)? {
            Some(token) => token,
            None => make_file(&path)?,
        };
        tracing::info!(path = %path.display(), "the operator token is in this file");
        Ok(Self {
            tokens: vec![Token::new("generated", vec![Scope::Admin], &token)],
        })
    }

    /// Whether a presented token gives a permission, and its name where it does. Takes the
    /// same time for every wrong token.
    pub(crate) fn check(&self, presented: &[u8], permission: Permission) -> Result<&str, Denied> {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        let (mut known, mut permitted) = (Choice::from(0), Choice::from(0));
        let mut name = "";
        for token in &self.tokens {
            let same = token.digest.ct_eq(&digest);
            let gives = token.scopes.iter().any(|scope| permission.given_by(*scope));
            known |= same;
            let permits = same & Choice::from(u8::from(gives));
            permitted |= permits;
            if bool::from(permits) {
                name = &token.name;
            }
        }
        match (bool::from(permitted), bool::from(known)) {
            (true, _) => Ok(name),
            (false, true) => Err(Denied::Scope),
            (false, false) => Err(Denied::Unknown),
        }
    }
}

/// The token in the file; none where there is no file.
fn read_file(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, TokensError> {
    let failed = |source| TokensError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    close_to_others(path, &file).map_err(failed)?;
    let mut content = Zeroizing::new(Vec::new());
    Read::by_ref(&mut file)
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut content)
        .map_err(failed)?;
    let token = content.trim_ascii();
    if token.len() < FILE_TOKEN_BYTES_MIN || !token.iter().all(u8::is_ascii_graphic) {
        return Err(TokensError::NoToken {
            path: path.to_owned(),
        });
    }
    Ok(Some(Zeroizing::new(token.to_vec())))
}

fn close_to_others(path: &Path, file: &fs::File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = %format_args!("{:o}", mode & 0o777),
            "the operator token could be read by others; this is closed now: remove the file and start again for a new one"
        );
        file.set_permissions(fs::Permissions::from_mode(FILE_MODE))?;
    }
    Ok(())
}

fn make_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, TokensError> {
    let random = Zeroizing::new(random_bytes::<32>().map_err(TokensError::Random)?);
    let token = Zeroizing::new(format!("tidegate_{}", hex::encode(random.as_slice())));
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(path)?;
        file.write_all(token.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(|source| TokensError::Write {
        path: path.to_owned(),
        source,
    })?;
    Ok(Zeroizing::new(token.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(scopes: &[Scope], token: &str) -> OperatorToken {
        OperatorToken {
            name: "a".into(),
            scopes: scopes.to_vec(),
            token: Zeroizing::new(token.as_bytes().to_vec()),
        }
    }

    #[track_caller]
    fn check(scopes: &[Scope], permission: Permission, expect: Result<&str, Denied>) {
        let tokens = Tokens::prepare(&[configured(scopes, "open")], None, false).unwrap();
        assert_eq!(tokens.check(b"open", permission), expect, "{scopes:?}");
        assert_eq!(tokens.check(b"opem", permission), Err(Denied::Unknown));
        assert_eq!(tokens.check(b"", permission), Err(Denied::Unknown));
    }

    #[test]
    fn scopes_give_what_they_say() {
        use Permission as P;
        check(&[Scope::Consume], P::Consume, Ok("a"));
        check(&[Scope::Consume], P::Read, Err(Denied::Scope));
        check(&[Scope::Read], P::Consume, Ok("a"));
        check(&[Scope::Read], P::Read, Ok("a"));
        check(&[Scope::Read], P::Admin, Err(Denied::Scope));
        check(&[Scope::Consume, Scope::Operate], P::Read, Ok("a"));
        check(&[Scope::Read], P::Operate, Err(Denied::Scope));
        check(&[Scope::Operate], P::Operate, Ok("a"));
        check(&[Scope::Operate], P::Admin, Err(Denied::Scope));
        check(&[Scope::Admin], P::Operate, Ok("a"));
        check(&[Scope::Admin], P::Admin, Ok("a"));
        check(&[], P::Read, Err(Denied::Scope));
    }

    #[test]
    fn a_listener_that_others_reach_needs_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = Some(dir.path().join("operator-token"));
        let refused = Tokens::prepare(&[], path, false).unwrap_err();
        assert!(refused.to_string().contains("[[operator.tokens]]"));
        let refused = Tokens::prepare(&[], None, true).unwrap_err();
        assert!(refused.to_string().contains("in memory"));
    }

    #[test]
    fn a_generated_token_is_kept_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator-token");
        Tokens::prepare(&[], Some(path.clone()), true).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), FILE_MODE);
        let written = fs::read_to_string(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let again = Tokens::prepare(&[], Some(path.clone()), true).unwrap();
        assert_eq!(mode(), FILE_MODE);
        assert_eq!(
            again.check(written.trim().as_bytes(), Permission::Admin),
            Ok("generated")
        );
        assert!(!format!("{again:?}").contains(written.trim()));
    }

    #[test]
    fn a_file_without_a_token_is_not_an_empty_password() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator-token");
        fs::write(&path, "\n").unwrap();
        let refused = Tokens::prepare(&[], Some(path), true).unwrap_err();
        assert!(refused.to_string().contains("holds no operator token"));
    }
}
