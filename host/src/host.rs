//! What the running host shares between its listeners and its loops.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tidegate_core::ids::ChangeSeq;
use tidegate_core::time::Timestamp;
use tidegate_store::{Claims, Reader};
use tokio::sync::watch;

use crate::committer::JournalHandle;
use crate::fetcher::Fetcher;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::plugins::PluginDesk;
use crate::received::ReceivedDesk;
use crate::reload::Reloads;
use crate::replays::ReplayDesk;
use crate::rules::CurrentRules;
use crate::sinks::SinkDesk;
use crate::tokens::Tokens;

/// The running host, as the listeners see it.
#[derive(Debug)]
pub(crate) struct Host {
    /// The routing table of the moment.
    pub(crate) rules: Arc<CurrentRules>,
    /// Everything that is durable.
    pub(crate) reader: Reader,
    /// What each owner has open.
    pub(crate) claims: Claims,
    /// The way into the store.
    pub(crate) journal: JournalHandle,
    /// Whether the store takes anything.
    pub(crate) gate: Arc<Gate>,
    /// The newest change that readers may see; moves after each commit.
    pub(crate) published: watch::Receiver<ChangeSeq>,
    /// Plugins: which serve, which were refused, consent.
    pub(crate) plugins: Arc<PluginDesk>,
    /// Sinks: how they stand, pausing and resuming.
    pub(crate) sinks: Arc<SinkDesk>,
    /// Replays by filter.
    pub(crate) replays: Arc<ReplayDesk>,
    /// Whether the configuration file is what runs.
    pub(crate) reloads: Arc<Reloads>,
    /// What ingress fetches while a request waits.
    pub(crate) fetcher: Fetcher,
    /// Secrets that partners hand over.
    pub(crate) received: Arc<ReceivedDesk>,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Who may use the operator API.
    pub(crate) tokens: Tokens,
    /// What does not change while it runs.
    pub(crate) facts: Facts,
}

/// What does not change while the host runs.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) started: Timestamp,
    pub(crate) ingress: SocketAddr,
    pub(crate) operator: SocketAddr,
    /// `embedded`, `sled` or `memory`.
    pub(crate) engine: &'static str,
    pub(crate) store_dir: Option<PathBuf>,
    /// What the engine cannot promise, for a person.
    pub(crate) store_warning: Option<&'static str>,
    pub(crate) map_threads: usize,
    pub(crate) body_bytes_max: usize,
}
