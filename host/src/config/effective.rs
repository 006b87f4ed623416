//! What holds for a connection, or for the path that all connections of a connector share:
//! connection, then connector, then the plugin's descriptor.

use std::collections::BTreeMap;

use tidegate_core::document::Problems;
use tidegate_core::ids::{ConnectionId, ConnectorName};
use tidegate_core::signature::{EventIdRule, Preset, Scheme, SchemeConfig, Secret};

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
        let configured = self.preset_of(whose).map(Preset::scheme);
        let Some(scheme) = configured.or(described) else {
            return Ok(None);
        };
        let event_id = self
            .event_id_of(whose)
            .or_else(|| described.map(|described| described.event_id().clone()));
        match event_id {
            Some(rule) => scheme.clone().replace_event_id(rule).map(Some),
            None => Ok(Some(scheme.clone())),
        }
    }

    /// The scheme that is configured, with what goes with it.
    pub(crate) fn preset_of(&self, whose: Whose<'_>) -> Option<&Preset> {
        let (connection, connector) = self.find(whose);
        let own = connection.and_then(|connection| connection.signing.preset.as_deref());
        own.or_else(|| connector.and_then(|connector| connector.signing.preset.as_deref()))
    }

    /// The values of `{config:NAME}` in it.
    pub(crate) fn scheme_config_of(&self, whose: Whose<'_>) -> SchemeConfig {
        let (connection, connector) = self.find(whose);
        let shared = connector.map(|connector| &connector.signing);
        match connection {
            Some(connection) => connection.signing.config_over(shared),
            None => shared.map_or(SchemeConfig::EMPTY, |shared| shared.config.clone().into()),
        }
    }

    /// Secrets of other uses by their name, the first of each.
    pub(crate) fn tokens_of(&self, whose: Whose<'_>) -> BTreeMap<String, Secret> {
        let (connection, connector) = self.find(whose);
        let shared = connector.map(|connector| &connector.secrets.other);
        let own = connection.map(|connection| &connection.secrets.other);
        let named = shared.into_iter().chain(own).flatten();
        let first =
            named.filter_map(|(name, secrets)| Some((name.clone(), secrets.first()?.clone())));
        first.collect()
    }

    /// By what an event is known, where the configuration says so.
    pub(crate) fn event_id_of(&self, whose: Whose<'_>) -> Option<EventIdRule> {
        let (connection, connector) = self.find(whose);
        connection
            .and_then(|connection| connection.signing.event_id.as_ref())
            .or_else(|| connector.and_then(|connector| connector.signing.event_id.as_ref()))
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
