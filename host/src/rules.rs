//! The routing table: who may knock at which path, what opens the door, and who maps
//! what came in.
//!
//! Built from the configuration and the plugins that serve, and swapped as a whole: a
//! request or a mapping in flight keeps the table it began with.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tidegate_core::descriptor::{Acknowledge, Descriptor};
use tidegate_core::ids::{ConnectionId, ConnectorName};
use tidegate_core::policy::Policy;
use tidegate_core::ports::{ConnectionRules, MapRoute, Routes};
use tidegate_core::signature::{KeySet, Scheme};
use tidegate_flow::ingest::{Address, Door};
use tidegate_runtime::Plugin;

use crate::config::{Config, ConnectionConfig, ConnectorConfig, Secrets};

/// The table of the moment, for everyone.
#[derive(Debug)]
pub(crate) struct CurrentRules(ArcSwap<Rules>);

impl CurrentRules {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(ArcSwap::from_pointee(rules))
    }

    /// The table as it is now.
    pub(crate) fn load(&self) -> Arc<Rules> {
        self.0.load_full()
    }

    /// Puts a new table in its place.
    pub(crate) fn replace(&self, rules: Rules) {
        self.0.store(Arc::new(rules));
    }
}

/// A plugin version that serves, with what it says about its connector.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) plugin: Plugin,
    pub(crate) descriptor: Arc<Descriptor>,
}

/// Who maps a connector's events.
#[derive(Clone, Debug)]
pub(crate) enum Seat {
    /// This version.
    Serving(Serving),
    /// None is configured: events end as skipped.
    Empty,
    /// One is configured and none could be loaded: events wait.
    Unavailable {
        /// Why.
        reason: String,
    },
}

impl Seat {
    pub(crate) const fn descriptor(&self) -> Option<&Arc<Descriptor>> {
        match self {
            Self::Serving(serving) => Some(&serving.descriptor),
            Self::Empty | Self::Unavailable { .. } => None,
        }
    }
}

/// A way in: what to verify with, whose event it is, and how to answer.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) door: Door,
    pub(crate) address: Address,
    pub(crate) acknowledge: Option<Acknowledge>,
}

/// Why there is no way in at a configured path, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoEntrance {
    /// Nothing says how requests are signed.
    #[error("no scheme says how its requests are signed: {reason}")]
    NoScheme {
        /// Why not.
        reason: String,
    },
    /// There is nothing to verify with.
    #[error("it has no webhook secret: set secrets.webhook")]
    NoSecret,
    /// The scheme is not one that this version verifies.
    #[error("its requests cannot be verified: {reason}")]
    Unsupported {
        /// What is missing.
        reason: String,
    },
}

/// One connector.
#[derive(Debug)]
pub(crate) struct ConnectorRules {
    pub(crate) seat: Seat,
    /// The way in at `/in/{connector}`.
    pub(crate) entrance: Result<Entrance, NoEntrance>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct ConnectionEntry {
    /// The way in at `/in/{connector}/{account}`.
    pub(crate) entrance: Result<Entrance, NoEntrance>,
    /// What a plugin is told.
    pub(crate) rules: Arc<ConnectionRules>,
    /// How many webhook secrets it has.
    pub(crate) webhook_secrets: usize,
}

/// The routing table.
#[derive(Debug)]
pub(crate) struct Rules {
    policy: Policy,
    public_url: Option<String>,
    pub(crate) connectors: HashMap<ConnectorName, ConnectorRules>,
    pub(crate) connections: HashMap<ConnectionId, ConnectionEntry>,
}

impl Rules {
    /// The table of a configuration and the plugins that serve.
    pub(crate) fn build(config: &Config, seats: &HashMap<ConnectorName, Seat>) -> Self {
        let seat = |name: &ConnectorName| seats.get(name).cloned().unwrap_or(Seat::Empty);
        let connectors = config
            .connectors
            .iter()
            .map(|(name, connector)| (name.clone(), connector_rules(connector, seat(name))))
            .collect();
        let connections = config
            .connections
            .iter()
            .map(|(id, connection)| {
                let connector = config.connectors.get(&id.connector);
                (id.clone(), connection_entry(connection, connector, &seat(&id.connector)))
            })
            .collect();
        Self {
            policy: config.policy.clone(),
            public_url: config.ingress.public_url.clone(),
            connectors,
            connections,
        }
    }

    /// The convention that holds.
    pub(crate) const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The public base URL, for schemes that sign it.
    pub(crate) fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref()
    }
}

fn connector_rules(connector: &ConnectorConfig, seat: Seat) -> ConnectorRules {
    let rule = connector
        .account
        .clone()
        .or_else(|| seat.descriptor().and_then(|descriptor| descriptor.account().cloned()));
    let address = Address::ByAccount { connector: connector.name.clone(), rule };
    let scheme = effective_scheme(None, Some(connector), &seat);
    let entrance = entrance(scheme, &connector.secrets, address, &seat);
    ConnectorRules { seat, entrance }
}

fn connection_entry(
    connection: &ConnectionConfig,
    connector: Option<&ConnectorConfig>,
    seat: &Seat,
) -> ConnectionEntry {
    let address = Address::Connection(connection.id.clone());
    let scheme = effective_scheme(Some(connection), connector, seat);
    ConnectionEntry {
        entrance: entrance(scheme, &connection.secrets, address, seat),
        rules: connection.rules.clone(),
        webhook_secrets: connection.secrets.webhook.len(),
    }
}

/// Connection, then connector in the configuration, then descriptor.
fn effective_scheme(
    connection: Option<&ConnectionConfig>,
    connector: Option<&ConnectorConfig>,
    seat: &Seat,
) -> Result<Scheme, NoEntrance> {
    let configured = connection
        .and_then(|connection| connection.scheme.clone())
        .or_else(|| connector.and_then(|connector| connector.scheme.clone()));
    let described = || seat.descriptor().and_then(|descriptor| descriptor.scheme().cloned());
    let event_id = connection
        .and_then(|connection| connection.event_id.clone())
        .or_else(|| connector.and_then(|connector| connector.event_id.clone()));
    let scheme = configured.or_else(described).ok_or_else(|| NoEntrance::NoScheme {
        reason: match seat {
            Seat::Unavailable { reason } => reason.clone(),
            Seat::Empty => "set scheme, or a plugin that has one".into(),
            Seat::Serving(_) => "its plugin's descriptor has none".into(),
        },
    })?;
    Ok(match event_id {
        Some(rule) => scheme.with_event_id(rule),
        None => scheme,
    })
}

fn entrance(
    scheme: Result<Scheme, NoEntrance>,
    secrets: &Secrets,
    address: Address,
    seat: &Seat,
) -> Result<Entrance, NoEntrance> {
    let scheme = scheme?;
    if secrets.webhook.is_empty() {
        return Err(NoEntrance::NoSecret);
    }
    let secrets = secrets.webhook.iter().map(|configured| configured.secret.clone());
    let keys = KeySet::prepare(&scheme, secrets)
        .map_err(|error| NoEntrance::Unsupported { reason: error.to_string() })?;
    Ok(Entrance {
        door: Door::new(scheme, keys),
        address,
        acknowledge: seat.descriptor().and_then(|descriptor| descriptor.acknowledge().cloned()),
    })
}

impl Routes for Rules {
    type Mapper = Plugin;

    fn route(&self, connection: &ConnectionId) -> MapRoute<Plugin> {
        let Some(entry) = self.connections.get(connection) else {
            return MapRoute::NoConnection;
        };
        match self.connectors.get(&connection.connector).map(|connector| &connector.seat) {
            Some(Seat::Serving(serving)) => {
                MapRoute::Plugin(serving.plugin.clone(), entry.rules.clone())
            }
            Some(Seat::Unavailable { reason }) => {
                MapRoute::Unavailable { reason: reason.clone() }
            }
            Some(Seat::Empty) | None => MapRoute::NoPlugin,
        }
    }
}
