//! On whose behalf a call is made.

use serde::Deserialize;

use crate::Failure;

/// One account at a partner. Filled in by the host; it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Connector name, as in the configuration: `github`.
    pub connector: String,
    /// Account name, as in the configuration: `acme`.
    pub account: String,
    /// Base URL of the partner's API for this connection, without a trailing slash; the
    /// descriptor's unless the operator set another.
    pub base_url: Option<String>,
    /// The operator's `settings` table as a JSON object; `{}` where there is none.
    pub settings: Vec<u8>,
}

impl Connection {
    /// The operator's settings as `T`.
    ///
    /// # Errors
    /// Permanent, naming the setting that is missing or of another type.
    pub fn settings<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Failure> {
        serde_json::from_slice(&self.settings)
            .map_err(|error| Failure::Permanent(format!("settings of the connection: {error}")))
    }
}
