//! The configuration after it was checked: what the rest of the host is given.
//!
//! Only [`super::ConfigSource::load`] makes one. Nothing in it has to be checked again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::descriptor::AccountRule;
use tidegate_core::ids::{ChannelName, ConnectionId, ConnectorName, SinkName};
use tidegate_core::limits;
use tidegate_core::policy::Policy;
use tidegate_core::ports::ConnectionRules;
use tidegate_core::signature::Secret;
use zeroize::Zeroizing;

use super::alerts::ChannelConfig;
use super::problem::Problem;
use super::secret::StoreSecretKey;
use super::signing::Signing;
use super::sinks::{EgressConfig, SinkConfig};

/// Everything that the file, and the defaults for what it leaves out, say.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The public listener.
    pub(crate) ingress: IngressConfig,
    /// The private listener.
    pub(crate) operator: OperatorConfig,
    /// The durable store.
    pub(crate) store: StoreConfig,
    /// The one convention of the portfolio.
    pub(crate) policy: Policy,
    /// Threads.
    pub(crate) workers: WorkersConfig,
    /// What the host says about itself.
    pub(crate) log: LogConfig,
    /// Partners.
    pub(crate) connectors: BTreeMap<ConnectorName, ConnectorConfig>,
    /// Accounts at them; each one's connector is configured.
    pub(crate) connections: BTreeMap<ConnectionId, ConnectionConfig>,
    /// What the host may reach.
    pub(crate) egress: EgressConfig,
    /// Where changes go.
    pub(crate) sinks: BTreeMap<SinkName, SinkConfig>,
    /// Who is told when something needs a person.
    pub(crate) alerts: BTreeMap<ChannelName, ChannelConfig>,
    /// What works and is probably not what was meant.
    pub(crate) warnings: Vec<Problem>,
}

/// `[ingress]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IngressConfig {
    /// Where webhooks arrive.
    pub(crate) listen: SocketAddr,
    /// How partners see it, without a slash at the end; for schemes that sign the URL.
    pub(crate) public_url: Option<String>,
    /// Largest body.
    pub(crate) body_bytes_max: usize,
}

impl Default for IngressConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            body_bytes_max: limits::BODY_BYTES_MAX,
        }
    }
}

/// `[operator]`
#[derive(Clone, Debug)]
pub(crate) struct OperatorConfig {
    /// Where operators and consumers call.
    pub(crate) listen: SocketAddr,
    /// Who may. Empty on a loopback listener only: the host then makes a token itself.
    pub(crate) tokens: Vec<OperatorToken>,
}

impl Default for OperatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            tokens: Vec::new(),
        }
    }
}

/// One of `[[operator.tokens]]`
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OperatorToken {
    /// Whose it is, for the audit log.
    pub(crate) name: String,
    /// What it opens; at least one.
    pub(crate) scopes: Vec<Scope>,
    /// The token; never empty.
    pub(crate) token: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorToken")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Look at everything.
    Read,
    /// Replay, discard, pause.
    Operate,
    /// Consent, connections, secrets.
    Admin,
    /// The change log and the mirror.
    Consume,
}

impl Scope {
    /// Every scope, as it is written.
    pub(crate) const ALL: [(&'static str, Self); 4] = [
        ("read", Self::Read),
        ("operate", Self::Operate),
        ("admin", Self::Admin),
        ("consume", Self::Consume),
    ];
}

/// `[store]` and `[policy.store]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreConfig {
    /// Which engine.
    pub(crate) engine: StoreEngine,
    /// Its folder; none in memory.
    pub(crate) dir: Option<PathBuf>,
    /// Free disk below which nothing is acknowledged.
    pub(crate) reserve_bytes: u64,
    /// How long the host goes on answering reads after the store has latched.
    pub(crate) linger: Duration,
    /// What received secrets are sealed with; none where the host makes a key itself.
    pub(crate) secret_key: Option<StoreSecretKey>,
}

impl StoreConfig {
    /// Where the host keeps the operator token that it made itself.
    pub(crate) fn token_file(&self) -> Option<PathBuf> {
        self.dir.as_deref().map(|dir| dir.join("operator-token"))
    }

    /// Where the host keeps the key that it made itself for received secrets.
    pub(crate) fn secret_key_file(&self) -> Option<PathBuf> {
        self.dir.as_deref().map(|dir| dir.join("secret.key"))
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            engine: StoreEngine::Embedded,
            dir: Some(PathBuf::from("./tidegate-data")),
            reserve_bytes: limits::DISK_RESERVE_BYTES,
            linger: Duration::from_secs(30),
            secret_key: None,
        }
    }
}

/// Where events and changes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreEngine {
    /// fjall, in a folder.
    Embedded,
    /// sled, in a folder: not safe through power loss.
    Sled,
    /// Memory: gone when the host ends.
    Memory,
}

/// `[workers]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkersConfig {
    /// Threads that call plugins; 0 accepts and stores only.
    pub(crate) map_threads: usize,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self {
            map_threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// For people or for machines.
    pub(crate) format: LogFormat,
    /// A level, or levels by target: `info,tidegate=debug`.
    pub(crate) level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One of `[connectors.NAME]`; it has a plugin, a preset or a scheme. What it says about requests
/// goes over its plugin's descriptor.
#[derive(Clone, Debug)]
pub(crate) struct ConnectorConfig {
    /// The plugin's file.
    pub(crate) plugin: Option<PathBuf>,
    /// How a request proves itself.
    pub(crate) signing: Signing,
    /// Where the account is named, on the URL that all connections share.
    pub(crate) account: Option<AccountRule>,
    /// For that URL.
    pub(crate) secrets: Secrets,
}

/// One of `[connections."connector/account"]`. What it says about requests goes over its
/// connector.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionConfig {
    /// Its name.
    pub(crate) id: ConnectionId,
    /// How a request proves itself.
    pub(crate) signing: Signing,
    /// Its secrets.
    pub(crate) secrets: Secrets,
    /// What its plugin is told.
    pub(crate) rules: Arc<ConnectionRules>,
}

/// Secrets by what they are for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets {
    /// What partners sign with, in the order of the file; several while rotating.
    pub(crate) webhook: Vec<Secret>,
    /// Others by name: `token`.
    pub(crate) other: BTreeMap<String, Vec<Secret>>,
}

impl Config {
    /// The keys in which `new` differs and that take effect only after a restart.
    pub(crate) fn fixed_until_restart(&self, new: &Self) -> Vec<&'static str> {
        let fixed = [
            ("ingress.listen", self.ingress.listen == new.ingress.listen),
            (
                "ingress.body_max",
                self.ingress.body_bytes_max == new.ingress.body_bytes_max,
            ),
            (
                "operator.listen",
                self.operator.listen == new.operator.listen,
            ),
            (
                "operator.tokens",
                self.operator.tokens == new.operator.tokens,
            ),
            ("store", self.store == new.store),
            ("policy.dedupe", self.policy.dedupe == new.policy.dedupe),
            (
                "policy.retention",
                self.policy.retention == new.policy.retention,
            ),
            ("workers", self.workers == new.workers),
            ("egress", self.egress == new.egress),
            ("log", self.log == new.log),
        ];
        fixed
            .into_iter()
            .filter(|(_, same)| !same)
            .map(|(key, _)| key)
            .collect()
    }
}
