//! Why a command could not answer, what led to it, and what to do about it.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use tidegate_core::signature::{InvalidHeaderName, KeySetError, Unsupported};

use super::problem::Problem;
use crate::config::{LoadError, NoSecret};

type Cause = Box<dyn Error + Send + Sync>;

/// Why a command could not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// The operator listener's URL.
    #[error("{url:?} is not the URL of an operator listener")]
    OperatorUrl {
        /// What was given.
        url: String,
    },
    /// The token cannot be sent.
    #[error("the operator token holds characters that a token cannot have")]
    Token,
    /// Nobody answers.
    #[error("could not reach the operator API at {url}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// An answer that broke off.
    #[error("the answer of {url} broke off")]
    BrokenOff {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// No answer in time.
    #[error("{url} did not answer within {seconds} s")]
    Slow {
        /// Where.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The host said no.
    #[error("the host refused: {problem}")]
    Refused {
        /// In its words.
        problem: Problem,
        /// Whether a token was sent.
        with_token: bool,
        /// Where a token was looked for.
        token_file: Option<PathBuf>,
    },
    /// Something else answers there.
    #[error("{url} did not answer as the operator API does: {what}")]
    Foreign {
        /// Where.
        url: String,
        /// In what.
        what: String,
    },
    /// This process could not be set up.
    #[error("could not start the async runtime")]
    Runtime(#[source] std::io::Error),
    /// A file cannot be read.
    #[error("could not read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is not {what}")]
    NotWhatItShouldBe {
        /// Which.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// The plugin's descriptor.
    #[error("could not ask plugin {path} for its descriptor")]
    Describe {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A secret.
    #[error("could not read the secret")]
    Secret(#[source] NoSecret),
    /// Secrets that do not fit their scheme.
    #[error("the secrets do not fit the scheme")]
    Keys(#[source] KeySetError),
    /// A scheme that this version cannot check.
    #[error("the scheme cannot be checked")]
    Unsupported(#[source] Unsupported),
    /// A header's name.
    #[error("{header:?} is no header")]
    Header {
        /// What was given for one.
        header: String,
        /// Why.
        #[source]
        source: InvalidHeaderName,
    },
    /// The configuration does not have what was asked for.
    #[error("{what}")]
    NotConfigured {
        /// What is missing, and how to add it.
        what: String,
    },
    /// More would be done than may be done unasked.
    #[error("this would replay {count} things at once, and nobody is there to be asked")]
    Unasked {
        /// How many, as it was counted.
        count: String,
    },
    /// The person cannot be asked.
    #[error("could not read what was answered")]
    Question(#[source] std::io::Error),
    /// The answer cannot be written.
    #[error("could not write the answer")]
    Output(#[source] std::io::Error),
}

impl CliError {
    /// What the user may do about it.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { source, .. } if is_refused(source.as_ref()) => {
                Some("is the host running? Start it with `tidegate serve`, or name it with --operator URL".into())
            }
            Self::OperatorUrl { .. } => {
                Some("write it like http://127.0.0.1:8081; for another machine use a tunnel to its loopback listener".into())
            }
            Self::Refused { problem, with_token, token_file } => {
                refusal_hint(problem, *with_token, token_file.as_ref())
            }
            Self::Unasked { .. } => Some("look with --dry-run, then say --yes".into()),
            Self::Foreign { .. } => Some("is that the operator listener, and of the same version?".into()),
            Self::Config(LoadError::Read { .. }) => {
                Some("`tidegate check --print-default` prints a file to start with".into())
            }
            _ => None,
        }
    }
}

fn refusal_hint(
    problem: &Problem,
    with_token: bool,
    token_file: Option<&PathBuf>,
) -> Option<String> {
    match (problem.status, token_file) {
        (401, _) if with_token => Some(
            "the token is not one of this host's: is it of another host, or of an earlier store?"
                .into(),
        ),
        (401, Some(file)) => Some(format!(
            "no token was given and there is none at {}: use --token, TIDEGATE_TOKEN, or --config with \
             the host's file",
            file.display()
        )),
        (401, None) => Some("no token was given: use --token or TIDEGATE_TOKEN".into()),
        (403, _) => Some(
            "the token lacks the scope for this; see operator.tokens in the configuration".into(),
        ),
        (410, _) => Some(
            "read the current state from the mirror, or begin at the oldest change that is kept"
                .into(),
        ),
        _ => None,
    }
}

fn is_refused(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The error with what led to it and what to do about it, for stderr.
pub(crate) fn report(error: &(dyn Error + 'static)) -> String {
    let mut text = format!("error: {error}");
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some libraries repeat their cause in their own words.
        if !said.contains(&words) {
            let _ = write!(text, "\n  because: {words}");
        }
        said = words;
        cause = error.source();
    }
    if let Some(hint) = error.downcast_ref::<CliError>().and_then(CliError::hint) {
        let _ = write!(text, "\nhint: {hint}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[track_caller]
    fn check(error: &CliError, expected: &str) {
        assert_eq!(report(error), expected);
    }

    #[test]
    fn a_host_that_does_not_run() {
        let source = Box::new(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            "connection refused",
        ));
        let error = CliError::Unreachable {
            url: "http://127.0.0.1:8081".into(),
            source,
        };
        check(
            &error,
            "error: could not reach the operator API at http://127.0.0.1:8081\n  \
             because: connection refused\n\
             hint: is the host running? Start it with `tidegate serve`, or name it with --operator URL",
        );
    }

    #[test]
    fn a_refusal_says_what_was_tried() {
        let problem = Problem {
            status: 401,
            title: "Unauthorized".into(),
            detail: None,
            oldest: None,
        };
        let refused = |with_token, token_file| CliError::Refused {
            problem: problem.clone(),
            with_token,
            token_file,
        };
        let text = report(&refused(false, Some("d/operator-token".into())));
        assert!(
            text.starts_with("error: the host refused: Unauthorized (401)\nhint: "),
            "{text}"
        );
        assert!(text.contains("none at d/operator-token"), "{text}");
        assert!(report(&refused(true, None)).contains("another host"));
    }

    #[test]
    fn causes_are_not_said_twice() {
        let inner = io::Error::other("the disk is gone");
        let error = CliError::Read {
            path: "x".into(),
            source: inner,
        };
        check(
            &error,
            "error: could not read x\n  because: the disk is gone",
        );
    }
}
