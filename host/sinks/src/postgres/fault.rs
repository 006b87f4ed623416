//! What went wrong with the database, and whose fault it is.

use tidegate_core::errors::chain;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_egress::EgressError;
use tokio_postgres::error::SqlState;

/// Something that did not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// No connection.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// No connection to a socket of this machine.
    #[error("could not connect to the database's socket")]
    Socket(#[source] std::io::Error),
    /// The server said no, or the connection broke.
    #[error("could not {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What was said.
        source: tokio_postgres::Error,
    },
}

/// Adds what was being done.
pub(super) fn doing<T>(
    doing: &'static str,
    result: Result<T, tokio_postgres::Error>,
) -> Result<T, Fault> {
    result.map_err(|source| Fault::Database { doing, source })
}

impl Fault {
    /// Whether the database refuses the content itself: of a value, by a constraint, or
    /// by a size that it cannot hold.
    pub(super) fn is_of_the_data(&self) -> bool {
        self.state().is_some_and(|state| {
            let class = state.code().get(..2).unwrap_or_default();
            matches!(class, "22" | "23" | "54")
        })
    }

    pub(super) fn failure(&self) -> Failure {
        let class = match self {
            Self::Egress(error) => error.class(),
            Self::Database { .. } if self.is_of_the_data() => FailureClass::Permanent,
            Self::Database { .. } if self.is_a_refusal() => FailureClass::Unauthorized,
            Self::Socket(_) | Self::Database { .. } => FailureClass::TRANSIENT,
        };
        Failure::new(class, chain(self))
    }

    fn is_a_refusal(&self) -> bool {
        self.state().is_some_and(|state| {
            let class = state.code().get(..2).unwrap_or_default();
            class == "28" || *state == SqlState::INSUFFICIENT_PRIVILEGE
        })
    }

    fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Database { source, .. } => source.code(),
            Self::Egress(_) | Self::Socket(_) => None,
        }
    }
}
