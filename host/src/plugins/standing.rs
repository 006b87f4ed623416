//! How a connector's plugin stands: which version serves, what waits beside it and why.
//!
//! Words and decisions alone; loading and storing is the desk's.

use std::path::PathBuf;

use bytes::Bytes;
use tidegate_core::ids::{ConnectorName, PluginDigest};
use tidegate_core::ports::{NotStored, ReadError};
use tidegate_core::time::Timestamp;

use crate::rules::{Seat, Serving};

/// How a connector's plugin stands, for people and programs.
#[derive(Clone, Debug, Default)]
pub(crate) struct PluginStanding {
    /// The configured file.
    pub(crate) path: Option<PathBuf>,
    /// The version that serves.
    pub(crate) serving: Option<(Serving, Timestamp)>,
    /// What the configured file holds instead, where it does not serve.
    pub(crate) pending: Option<Pending>,
}

/// A plugin file that does not serve.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Its digest, where it could be read.
    pub(crate) digest: Option<PluginDigest>,
    /// Why it does not serve.
    pub(crate) problem: String,
    /// What it asks for beyond the grant.
    pub(crate) differences: Vec<String>,
    /// What to do.
    pub(crate) fix: String,
    /// The version itself, where consent alone is missing.
    pub(super) candidate: Option<Candidate>,
}

/// A loaded version that is not yet accepted.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) serving: Serving,
    pub(super) wasm: Bytes,
}

/// Why consent could not be given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsentError {
    /// No such connector.
    #[error("there is no connector {name}")]
    Unknown {
        /// What was named.
        name: ConnectorName,
    },
    /// Nothing waits for consent.
    #[error("no plugin of connector {name} waits for consent")]
    NothingPending {
        /// Which connector.
        name: ConnectorName,
    },
    /// Another version waits than the one that was read.
    #[error(
        "another version of connector {name} waits by now: {waiting}; read what it asks for, and consent to that"
    )]
    Moved {
        /// Which connector.
        name: ConnectorName,
        /// What waits.
        waiting: PluginDigest,
    },
    /// The grant could not be stored.
    #[error("could not store the grant of connector {name}")]
    NotStored {
        /// Which connector.
        name: ConnectorName,
        /// Why not.
        #[source]
        source: NotStored,
    },
}

/// Why a candidate was not accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmitError {
    #[error("it asks for more, or other, than was granted")]
    Wider(Vec<String>),
    #[error("the stored grant could not be read")]
    Read(#[source] ReadError),
    #[error("the stored grant is damaged: {0}")]
    Damaged(String),
    #[error("the grant could not be stored")]
    NotStored(#[source] NotStored),
}

impl PluginStanding {
    /// The waiting version, for an operator who agrees to what `read` asks for. A file that
    /// was replaced in between is another version, which nobody has agreed to.
    pub(super) fn agreed(
        self,
        name: &ConnectorName,
        read: PluginDigest,
    ) -> Result<Candidate, ConsentError> {
        let candidate = self.pending.and_then(|pending| pending.candidate);
        let candidate =
            candidate.ok_or_else(|| ConsentError::NothingPending { name: name.clone() })?;
        let waiting = candidate.serving.plugin.digest();
        if waiting == read {
            Ok(candidate)
        } else {
            let name = name.clone();
            Err(ConsentError::Moved { name, waiting })
        }
    }

    /// Who maps the connector's events, as far as this goes.
    pub(super) fn seat(self) -> Seat {
        match (self.serving, self.path) {
            (Some((serving, _)), _) => Seat::Serving(serving),
            (None, None) => Seat::Empty,
            (None, Some(path)) => Seat::Unavailable {
                reason: self.pending.map_or_else(
                    || format!("{} is not loaded yet", path.display()),
                    |pending| pending.problem,
                ),
            },
        }
    }
}
