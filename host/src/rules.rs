//! The routing table: who may knock at which path, what opens the door, and who maps
//! what came in.
//!
//! Built from the configuration and the plugins that serve, and swapped as a whole: a
//! request or a mapping in flight keeps the table it began with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tidegate_core::descriptor::Descriptor;
use tidegate_core::ids::{ConnectionId, ConnectorName, PluginDigest};
use tidegate_core::policy::Policy;
use tidegate_core::ports::{ConnectionRules, MapRoute, Routes};
use tidegate_core::signature::{Secret, Waiver};
use tidegate_flow::ingest::Address;
use tidegate_runtime::Plugin;
use tidegate_store::ReceivedSecret;

use crate::config::{Config, ConnectionConfig, Whose};
use crate::versions::Versions;

mod entrance;
mod matches;

pub(crate) use entrance::{Entrance, NoEntrance, SecretFacts};

/// The table of the moment, for everyone.
#[derive(Debug)]
pub(crate) struct CurrentRules {
    table: ArcSwap<Rules>,
    /// What partners handed over, for this table and the ones after it.
    received: Mutex<Received>,
}

/// Secrets that partners handed over, by connection, oldest first.
pub(crate) type Received = HashMap<ConnectionId, Vec<(ReceivedSecret, Secret)>>;

impl CurrentRules {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            table: ArcSwap::from_pointee(rules),
            received: Mutex::default(),
        }
    }

    /// The table as it is now.
    pub(crate) fn load(&self) -> Arc<Rules> {
        self.table.load_full()
    }

    /// Puts a new table in its place.
    pub(crate) fn replace(&self, rules: Rules) {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, secrets) in &*received {
            rules.verify_with(id, secrets);
        }
        self.table.store(Arc::new(rules));
    }

    /// What a connection's partner has handed over is this from now on.
    pub(crate) fn receive(&self, id: ConnectionId, secrets: Vec<(ReceivedSecret, Secret)>) {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        self.table.load().verify_with(&id, &secrets);
        received.insert(id, secrets);
    }

    /// What a connection's partner has handed over.
    pub(crate) fn received(&self, id: &ConnectionId) -> Vec<(ReceivedSecret, Secret)> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.get(id).cloned().unwrap_or_default()
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

    /// Why there is no scheme, where nothing configured is one.
    fn no_scheme(&self) -> String {
        match self {
            Self::Unavailable { reason } => reason.clone(),
            Self::Empty => "set preset or scheme, or a plugin that has one".into(),
            Self::Serving(_) => "its plugin's descriptor has none".into(),
        }
    }
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
    /// What lets its requests in without verification, in force or over.
    pub(crate) waiver: Option<Waiver>,
}

/// The routing table.
#[derive(Debug)]
pub(crate) struct Rules {
    policy: Policy,
    public_url: Option<String>,
    /// Versions that do not serve, where there are any.
    versions: Option<Arc<Versions>>,
    pub(crate) connectors: HashMap<ConnectorName, ConnectorRules>,
    pub(crate) connections: HashMap<ConnectionId, ConnectionEntry>,
}

impl Rules {
    /// The table of a configuration and the plugins that serve.
    pub(crate) fn build(config: &Config, seats: &HashMap<ConnectorName, Seat>) -> Self {
        let seat = |name: &ConnectorName| seats.get(name).cloned().unwrap_or(Seat::Empty);
        let connectors = config
            .connectors
            .keys()
            .map(|name| (name.clone(), connector_rules(config, name, seat(name))))
            .collect();
        let connections = config
            .connections
            .iter()
            .map(|(id, connection)| {
                (
                    id.clone(),
                    connection_entry(config, connection, &seat(&id.connector)),
                )
            })
            .collect();
        Self {
            policy: config.policy.clone(),
            public_url: config.ingress.public_url.clone(),
            versions: None,
            connectors,
            connections,
        }
    }

    /// The same table, with versions for replays that name one which does not serve.
    #[must_use]
    pub(crate) fn with_versions(self, versions: Arc<Versions>) -> Self {
        Self {
            versions: Some(versions),
            ..self
        }
    }

    /// Has a connection's requests verified with what its partner handed over, too.
    fn verify_with(&self, id: &ConnectionId, received: &[(ReceivedSecret, Secret)]) {
        let entrance = self.connections.get(id).map(|entry| &entry.entrance);
        if let Some(Ok(entrance)) = entrance {
            entrance.verify_with(received);
        }
    }

    fn version(&self, connector: &ConnectorName, digest: PluginDigest) -> Result<Plugin, String> {
        let versions = self.versions.as_ref();
        let versions = versions.ok_or("no copies of plugins are kept")?;
        versions.get(connector, digest)
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

fn connector_rules(config: &Config, name: &ConnectorName, seat: Seat) -> ConnectorRules {
    let configured = config
        .connectors
        .get(name)
        .and_then(|connector| connector.account.clone());
    let described = || {
        seat.descriptor()
            .and_then(|descriptor| descriptor.account().cloned())
    };
    let rule = configured.or_else(described);
    let address = Address::ByAccount {
        connector: name.clone(),
        rule,
    };
    let entrance = entrance::build(config, Whose::Connector(name), address, &seat);
    ConnectorRules { seat, entrance }
}

fn connection_entry(
    config: &Config,
    connection: &ConnectionConfig,
    seat: &Seat,
) -> ConnectionEntry {
    let whose = Whose::Connection(&connection.id);
    let address = Address::Connection(connection.id.clone());
    ConnectionEntry {
        entrance: entrance::build(config, whose, address, seat),
        rules: connection.rules.clone(),
        webhook_secrets: config
            .secrets_of(whose)
            .map_or(0, |secrets| secrets.webhook.len()),
        waiver: config.policy.waiver_of(&connection.id).cloned(),
    }
}

impl Routes for Rules {
    type Mapper = Plugin;

    fn route(&self, connection: &ConnectionId, with: Option<PluginDigest>) -> MapRoute<Plugin> {
        let Some(entry) = self.connections.get(connection) else {
            return MapRoute::NoConnection;
        };
        let seat = self
            .connectors
            .get(&connection.connector)
            .map(|connector| &connector.seat);
        match (seat, with) {
            (Some(Seat::Serving(serving)), with)
                if with.is_none_or(|digest| digest == serving.plugin.digest()) =>
            {
                MapRoute::Plugin(serving.plugin.clone(), entry.rules.clone())
            }
            (_, Some(digest)) => match self.version(&connection.connector, digest) {
                Ok(plugin) => MapRoute::Plugin(plugin, entry.rules.clone()),
                Err(reason) => MapRoute::VersionGone { reason },
            },
            (Some(Seat::Unavailable { reason }), None) => MapRoute::Unavailable {
                reason: reason.clone(),
            },
            // One that serves was taken above.
            (Some(Seat::Serving(_) | Seat::Empty) | None, None) => MapRoute::NoPlugin,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;
    use tidegate_runtime::{Runtime, RuntimeOptions};

    use super::*;
    use crate::config::ConfigSource;
    use crate::plugin_file::{Kept, digest};

    const CONFIG: &str = "[connections.\"tide/acme\"]\n[connectors.tide]\nplugin = \"tide.wasm\"\n";

    fn rules(dir: &TempDir) -> Rules {
        let file = dir.path().join("tidegate.toml");
        fs::write(&file, CONFIG).unwrap();
        let config = ConfigSource::new(Some(file)).load().unwrap();
        Rules::build(&config, &HashMap::new())
    }

    #[track_caller]
    fn check(rules: &Rules, connection: &str, with: Option<PluginDigest>, expect: &str) {
        let got = match rules.route(&connection.parse().unwrap(), with) {
            MapRoute::Plugin(..) => "a plugin".to_owned(),
            MapRoute::NoPlugin => "no plugin".to_owned(),
            MapRoute::NoConnection => "no connection".to_owned(),
            MapRoute::Unavailable { reason } => format!("unavailable: {reason}"),
            MapRoute::VersionGone { reason } => format!("gone: {reason}"),
        };
        assert!(got.starts_with(expect), "{got:?} is not {expect:?}");
    }

    #[test]
    fn a_version_that_is_named_is_had_from_its_copy_or_gone_with_a_reason() {
        let dir = TempDir::new().unwrap();
        let named = Some(digest(b"no component"));
        check(&rules(&dir), "tide/acme", None, "no plugin");
        check(&rules(&dir), "tide/other", named, "no connection");
        let nowhere = "gone: no copies of plugins are kept";
        check(&rules(&dir), "tide/acme", named, nowhere);

        let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
        let kept = Kept::new(&dir.path().join("plugins"));
        let versions = Arc::new(Versions::new(runtime, Some(kept.clone())));
        let rules = || rules(&dir).with_versions(versions.clone());
        let unknown = "gone: no copy of it is kept for connector tide";
        check(&rules(), "tide/acme", named, unknown);
        let name: ConnectorName = "tide".parse().unwrap();
        kept.put(&name, digest(b"no component"), b"no component")
            .unwrap();
        check(
            &rules(),
            "tide/acme",
            named,
            "gone: the file is not WebAssembly",
        );
        let path = kept.version(&name, digest(b"no component"));
        fs::write(path, "another").unwrap();
        check(&rules(), "tide/acme", named, "gone: its copy at ");
    }
}
