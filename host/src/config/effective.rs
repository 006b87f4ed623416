//! What holds for a connection, or for the path that all connections of a connector share:
//! connection, then connector, then the plugin's descriptor.

use tidegate_core::document::Problems;
use tidegate_core::ids::{ConnectionId, ConnectorName};
use tidegate_core::signature::{EventIdRule, Scheme};

use super::model::{Config, ConnectionConfig, ConnectorConfig, Secrets};

/// Whose requests are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose<'a> {
    /// Those to `/in/{connector}/{account}`.
    Connection(&'a ConnectionId),
    /// Those to `/in/{connector}`.
    Connector(&'a ConnectorName),
}

impl Config {
    /// How their requests prove themselves, and by what an event is known; none where
    /// nothing says so. `described` is what the plugin's descriptor says.
    pub(crate) fn scheme_of(
        &self,
        whose: Whose<'_>,
        described: Option<&Scheme>,
    ) -> Result<Option<Scheme>, Problems> {
        let (connection, connector) = self.find(whose);
        let configured = connection
            .and_then(|connection| connection.scheme.as_ref())
            .or_else(|| connector.and_then(|connector| connector.scheme.as_ref()));
        let Some(scheme) = configured.or(described) else {
            return Ok(None);
        };
        let event_id = connection
            .and_then(|connection| connection.event_id.as_ref())
            .or_else(|| connector.and_then(|connector| connector.event_id.as_ref()))
            .or_else(|| described.map(Scheme::event_id));
        with_event_id(scheme.clone(), event_id).map(Some)
    }

    /// By what an event is known, where the configuration says so.
    pub(crate) fn event_id_of(&self, whose: Whose<'_>) -> Option<EventIdRule> {
        let (connection, connector) = self.find(whose);
        connection
            .and_then(|connection| connection.event_id.as_ref())
            .or_else(|| connector.and_then(|connector| connector.event_id.as_ref()))
            .cloned()
    }

    /// What they are signed with: a connection without secrets of its own shares its
    /// connector's, as an app's customers do.
    pub(crate) fn secrets_of(&self, whose: Whose<'_>) -> Option<&Secrets> {
        let (connection, connector) = self.find(whose);
        let own = connection.map(|connection| &connection.secrets);
        own.filter(|secrets| !secrets.webhook.is_empty())
            .or_else(|| connector.map(|connector| &connector.secrets))
    }

    fn find(&self, whose: Whose<'_>) -> (Option<&ConnectionConfig>, Option<&ConnectorConfig>) {
        match whose {
            Whose::Connection(id) => (self.connections.get(id), self.connectors.get(&id.connector)),
            Whose::Connector(name) => (None, self.connectors.get(name)),
        }
    }
}

fn with_event_id(scheme: Scheme, event_id: Option<&EventIdRule>) -> Result<Scheme, Problems> {
    match event_id {
        Some(rule) => scheme.replace_event_id(rule.clone()),
        None => Ok(scheme),
    }
}
