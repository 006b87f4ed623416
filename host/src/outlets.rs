//! The ways out that the configuration names: sinks' outlets and alert channels.
//!
//! All of them share one egress, so that its checks of addresses and its kept connections
//! are one thing. Whatever cannot be built says why and concerns nobody else. Nothing here
//! connects to anything yet.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::ids::SinkName;
use tidegate_core::ports::Clock;
use tidegate_core::signature::Secret;
use tidegate_egress::header::HeaderValue;
use tidegate_egress::{Egress, EgressPolicy, InvalidRoots, InvalidUrl, Url};
use tidegate_sinks::channel::{
    CommandChannel, PagerDutyChannel, SlackChannel, WebhookChannel, pagerduty_url,
};
use tidegate_sinks::file::{FileOutlet, FileSink};
use tidegate_sinks::postgres::{InvalidPostgresUrl, PostgresOutlet, PostgresSink};
use tidegate_sinks::webhook::{WebhookOutlet, WebhookSink};
use tidegate_sinks::{AnyMessenger, AnyOutlet, InvalidSigningSecret};

use crate::config::{
    ChannelKind, Config, EgressConfig, FileConfig, PostgresConfig, SinkKind, WebhookConfig,
    read_bounded,
};
use crate::system::SystemClock;

/// Longest transaction of a PostgreSQL sink, connecting included.
const POSTGRES_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest file of certificates.
const ROOTS_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why there is no way out at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EgressSetupError {
    /// The file of certificates.
    #[error("could not read the certificates of egress.ca_file, {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// What is in it.
    #[error("could not use the certificates of egress.ca_file")]
    Roots(#[source] InvalidRoots),
}

/// Why one sink or channel has no way out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutletError {
    /// Where it goes.
    #[error("its URL cannot be used")]
    Url(#[source] InvalidUrl),
    /// The URL is a secret, and no text.
    #[error("its URL is not UTF-8 text")]
    NotText,
    /// What it signs with.
    #[error("its secret cannot sign")]
    Secret(#[source] InvalidSigningSecret),
    /// Where its database is.
    #[error("its database's URL cannot be used")]
    Database(#[source] InvalidPostgresUrl),
    /// What it runs.
    #[error("its command names no program")]
    NoProgram,
}

/// Builds ways out.
#[derive(Debug)]
pub(crate) struct Outlets {
    egress: Arc<Egress>,
    /// What tells this store from every other, wherever changes of several meet.
    source: String,
    /// What links of notices begin with; empty where nobody elsewhere could follow them.
    operator_url: String,
    /// By which name receivers are asked whether they want events.
    origin: HeaderValue,
}

impl Outlets {
    /// Ways out of the store with that id, whose operators are at that address.
    pub(crate) fn new(
        config: &Config,
        store_id: &str,
        operator: SocketAddr,
    ) -> Result<Self, EgressSetupError> {
        let public = config.ingress.public_url.as_deref().unwrap_or_default();
        let host = public.parse::<Url>().ok();
        let host = host.map(|url| url.origin().host().to_owned());
        let origin = host.and_then(|host| HeaderValue::try_from(host).ok());
        Ok(Self {
            egress: Arc::new(egress(&config.egress)?),
            source: format!("tidegate://{store_id}"),
            operator_url: if operator.ip().is_unspecified() {
                String::new()
            } else {
                format!("http://{operator}")
            },
            origin: origin.unwrap_or(HeaderValue::from_static("tidegate")),
        })
    }

    /// The way out itself, for what ingress fetches.
    pub(crate) fn egress(&self) -> Arc<Egress> {
        self.egress.clone()
    }

    /// The way out of a sink.
    pub(crate) fn sink(&self, name: &SinkName, kind: &SinkKind) -> Result<AnyOutlet, OutletError> {
        match kind {
            SinkKind::Webhook(config) => Ok(AnyOutlet::Webhook(Box::new(self.webhook(config)?))),
            SinkKind::File(config) => Ok(AnyOutlet::File(file(config))),
            SinkKind::Postgres(config) => {
                let outlet = self.postgres(name, config)?;
                Ok(AnyOutlet::Postgres(Box::new(outlet)))
            }
        }
    }

    fn webhook(&self, config: &WebhookConfig) -> Result<WebhookOutlet, OutletError> {
        let sink = WebhookSink {
            url: config.url.parse().map_err(OutletError::Url)?,
            secrets: config.secrets.clone(),
            binary: config.binary,
            batch: config.batch,
            concurrency: config.concurrency,
            timeout: config.timeout,
            handshake: config.handshake.then(|| self.origin.clone()),
            source: self.source.clone(),
        };
        WebhookOutlet::new(sink, self.egress.clone(), clock()).map_err(OutletError::Secret)
    }

    fn postgres(
        &self,
        name: &SinkName,
        config: &PostgresConfig,
    ) -> Result<PostgresOutlet, OutletError> {
        let sink = PostgresSink {
            name: name.clone(),
            url: config.url.clone(),
            schema: config.schema.clone(),
            single_table: config.single_table,
            mark_deletes: config.mark_deletes,
            timeout: POSTGRES_TIMEOUT,
            source: self.source.clone(),
        };
        PostgresOutlet::new(sink, self.egress.clone()).map_err(OutletError::Database)
    }

    /// The way out of an alert channel.
    pub(crate) fn messenger(&self, kind: &ChannelKind) -> Result<AnyMessenger, OutletError> {
        let (operator_url, egress) = (self.operator_url.clone(), self.egress.clone());
        match kind {
            ChannelKind::Webhook { url, secrets } => {
                let url = url.parse().map_err(OutletError::Url)?;
                WebhookChannel::new(url, secrets.clone(), operator_url, egress, clock())
                    .map(AnyMessenger::Webhook)
                    .map_err(OutletError::Secret)
            }
            ChannelKind::Slack { url } => {
                let channel = SlackChannel::new(secret_url(url)?, operator_url, egress, clock());
                Ok(AnyMessenger::Slack(channel))
            }
            ChannelKind::PagerDuty { routing_key, url } => {
                let url = match url {
                    Some(url) => url.parse(),
                    None => pagerduty_url(),
                };
                let url = url.map_err(OutletError::Url)?;
                let key = routing_key.clone();
                let channel = PagerDutyChannel::new(url, key, operator_url, egress, clock());
                Ok(AnyMessenger::PagerDuty(channel))
            }
            ChannelKind::Command { command } => {
                let (program, arguments) = command.split_first().ok_or(OutletError::NoProgram)?;
                let channel =
                    CommandChannel::new(program.clone(), arguments.to_vec(), operator_url);
                Ok(AnyMessenger::Command(channel))
            }
        }
    }
}

fn egress(config: &EgressConfig) -> Result<Egress, EgressSetupError> {
    let read = |path: &PathBuf| {
        read_bounded(path, ROOTS_BYTES_MAX).map_err(|source| EgressSetupError::Read {
            path: path.clone(),
            source,
        })
    };
    let policy = EgressPolicy {
        allow: config.allow.clone(),
        roots: config.ca_file.as_ref().map(read).transpose()?,
    };
    Egress::new(policy).map_err(EgressSetupError::Roots)
}

fn file(config: &FileConfig) -> FileOutlet {
    let sink = FileSink {
        path: config.path.clone(),
        rotate_bytes: config.rotate_bytes,
        rotate_every: config.rotate_every,
        keep: config.keep,
    };
    FileOutlet::new(sink, clock())
}

fn secret_url(url: &Secret) -> Result<Url, OutletError> {
    let text = std::str::from_utf8(url.expose()).map_err(|_| OutletError::NotText)?;
    text.trim().parse().map_err(OutletError::Url)
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
