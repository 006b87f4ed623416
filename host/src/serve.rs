//! `tidegate serve`: wires the parts together, and takes them apart again.
//!
//! Nothing is decided here. Order of starting: store, committer, runtime, plugins,
//! listeners, workers; so that nothing is answered before it can be kept. Order of
//! ending: no new events, requests and workers in flight, one last commit; `ending` says
//! how long that may take. What is cut short is durable and goes on at the next start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tidegate_core::ports::Clock;
use tidegate_runtime::{Runtime, RuntimeError, RuntimeOptions};
use tidegate_store::engine::{self, Engine, EngineError};
use tidegate_store::{Claims, OpenError, Opened, Options, Submission};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::committer::{self, Listeners};
use crate::config::{Config, ConfigSource, StoreEngine};
use crate::ending::Ended;
use crate::gate::Gate;
use crate::host::{Facts, Host};
use crate::metrics::Metrics;
use crate::plugins::PluginDesk;
use crate::reload::Reloads;
use crate::rules::{CurrentRules, Rules};
use crate::signals::EndSignals;
use crate::system::{SystemChance, SystemClock, random_bytes};
use crate::tokens::{Tokens, TokensError};
use crate::workers::{self, Bell, Workshop};
use crate::{ending, housekeeping, http, logging, reload};

/// Calls of `describe` that may run beside the mapping threads.
const INSTANCES_FOR_LOADING: u32 = 8;

/// Why the host did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The store's engine.
    #[error("could not open the store in {}", dir.display())]
    Engine {
        dir: PathBuf,
        #[source]
        source: EngineError,
    },
    /// The engine is not part of this build.
    #[cfg(not(feature = "sled"))]
    #[error("this build has no sled engine: build it with --features sled, or use embedded:")]
    NoSled,
    /// The store itself.
    #[error("could not recover the store")]
    Open(#[source] OpenError),
    /// A listener.
    #[error("could not listen on {address} for {what}")]
    Listen {
        what: &'static str,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    /// The plugin runtime.
    #[error("could not start the plugin runtime")]
    Runtime(#[source] RuntimeError),
    /// Operator tokens.
    #[error("could not prepare the operator's tokens")]
    Tokens(#[source] TokensError),
    /// A thread.
    #[error("could not start {what}")]
    Thread {
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// Randomness.
    #[error("the system gave no random bytes")]
    Random(#[source] getrandom::Error),
}

/// Runs the host until it is asked to end, or its store fails.
pub(crate) fn run(config: Config, source: ConfigSource) -> Result<Ended, ServeError> {
    logging::start(&config.log);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("tidegate")
        .build()
        .map_err(|source| ServeError::Thread {
            what: "the async runtime",
            source,
        })?;
    let ended = runtime.block_on(serve(config, source));
    // What still runs had its time; nothing of it was promised to anyone.
    runtime.shutdown_background();
    ended
}

/// As many open files as the system lets this process have: the usual limit of 1,024 is
/// an eighth of what ingress takes in connections.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, ?current, "the limit on open files stays as it is");
    }
}

async fn serve(config: Config, source: ConfigSource) -> Result<Ended, ServeError> {
    let config = Arc::new(config);
    let foundation = Foundation::lay(&config)?;
    foundation.desk.configure(config.clone()).await;

    let ingress = listen("webhooks", config.ingress.listen).await?;
    let operator = listen("the operator API", config.operator.listen).await?;
    let facts = facts(&config, &foundation, &ingress, &operator)?;
    let (ingress_at, operator_at) = (facts.ingress, facts.operator);
    let tokens = Tokens::prepare(
        &config.operator.tokens,
        config.store.token_file(),
        operator_at.ip().is_loopback(),
    )
    .map_err(ServeError::Tokens)?;
    let host = Arc::new(foundation.host(tokens, facts));

    let (stop, stopping) = watch::channel(false);
    let mut servers = JoinSet::new();
    servers.spawn(http::serve_ingress(host.clone(), ingress, stopping.clone()));
    servers.spawn(http::serve_operator(host.clone(), operator, stopping));
    let loops = foundation.start_loops(&config, source);
    let workers = foundation.start_workers(config.workers.map_threads)?;
    if let Some(warning) = host.facts.store_warning {
        tracing::warn!("{warning}");
    }
    let mut signals = EndSignals::listen();
    announce(ingress_at, operator_at, &config);

    ending::wait(&foundation.gate, config.store.linger, signals.next()).await;
    tracing::info!("ending: finishing what is in flight; a second signal ends at once");
    foundation.gate.shut_down();
    stop.send_replace(true);
    drop(loops);
    let in_flight = async {
        tokio::join!(end_servers(servers), foundation.end_workers(workers));
    };
    tokio::select! {
        ended = ending::finish(&foundation.gate, in_flight, foundation.settle()) => Ok(ended),
        signal = signals.next() => ending::at_once(signal),
    }
}

/// Waits for what the listeners have in flight; what is dropped with it is cut.
async fn end_servers(mut servers: JoinSet<()>) {
    while servers.join_next().await.is_some() {}
}

/// What stands before anything listens.
struct Foundation {
    gate: Arc<Gate>,
    bell: Arc<Bell>,
    metrics: Arc<Metrics>,
    rules: Arc<CurrentRules>,
    desk: Arc<PluginDesk>,
    reloads: Arc<Reloads>,
    journal: committer::JournalHandle,
    reader: tidegate_store::Reader,
    claims: Claims,
    published: watch::Receiver<tidegate_core::ids::ChangeSeq>,
    chance: Arc<SystemChance>,
}

impl Foundation {
    fn lay(config: &Arc<Config>) -> Result<Self, ServeError> {
        let engine = open_engine(config)?;
        let seed = random_bytes().map_err(ServeError::Random)?;
        let options = Options {
            policy: config.policy.clone(),
            seed,
        };
        let Opened {
            committer,
            reader,
            claims,
        } = tidegate_store::open(engine, options, SystemClock.now()).map_err(ServeError::Open)?;
        let (gate, bell) = (Arc::new(Gate::new()), Arc::new(Bell::default()));
        let metrics = Arc::new(Metrics::new());
        let (publish, published) = watch::channel(reader.newest_change());
        let listeners = Listeners {
            published: publish,
            bell: bell.clone(),
            metrics: metrics.clone(),
        };
        let (journal, _thread) =
            committer::start(committer, reader.clone(), gate.clone(), listeners).map_err(
                |source| ServeError::Thread {
                    what: "the committer",
                    source,
                },
            )?;
        let rules = Arc::new(CurrentRules::new(Rules::build(
            config,
            &std::collections::HashMap::new(),
        )));
        let desk = Arc::new(PluginDesk::new(
            start_runtime(config)?,
            reader.clone(),
            journal.clone(),
            rules.clone(),
            config.store.dir.as_deref(),
            config.clone(),
        ));
        let draw = u64::from_le_bytes(random_bytes().map_err(ServeError::Random)?);
        let chance = Arc::new(SystemChance::new(draw));
        Ok(Self {
            gate,
            bell,
            metrics,
            rules,
            desk,
            reloads: Arc::default(),
            journal,
            reader,
            claims,
            published,
            chance,
        })
    }

    fn host(&self, tokens: Tokens, facts: Facts) -> Host {
        Host {
            rules: self.rules.clone(),
            reader: self.reader.clone(),
            journal: self.journal.clone(),
            gate: self.gate.clone(),
            published: self.published.clone(),
            plugins: self.desk.clone(),
            reloads: self.reloads.clone(),
            metrics: self.metrics.clone(),
            tokens,
            facts,
        }
    }

    /// Loops that end when the set is dropped: each of their steps may be cut.
    fn start_loops(&self, config: &Arc<Config>, source: ConfigSource) -> JoinSet<()> {
        let mut loops = JoinSet::new();
        loops.spawn(self.desk.clone().watch());
        loops.spawn(housekeeping::keep_store(self.journal.clone()));
        let (desk, reloads) = (self.desk.clone(), self.reloads.clone());
        loops.spawn(reload::watch(source, config.clone(), desk, reloads));
        if let Some(dir) = config.store.dir.clone() {
            let reserve = config.store.reserve_bytes;
            let (gate, bell) = (self.gate.clone(), self.bell.clone());
            loops.spawn(housekeeping::watch_disk(dir, reserve, gate, bell));
        }
        loops
    }

    fn start_workers(&self, count: usize) -> Result<Vec<JoinHandle<()>>, ServeError> {
        let workshop = Workshop {
            claims: self.claims.clone(),
            reader: self.reader.clone(),
            journal: self.journal.clone(),
            rules: self.rules.clone(),
            chance: self.chance.clone(),
            bell: self.bell.clone(),
            gate: self.gate.clone(),
        };
        workers::start(count, &workshop, &tokio::runtime::Handle::current()).map_err(|source| {
            ServeError::Thread {
                what: "a worker",
                source,
            }
        })
    }

    async fn end_workers(&self, workers: Vec<JoinHandle<()>>) {
        self.bell.stop();
        let joined = tokio::task::spawn_blocking(move || {
            for worker in workers {
                if worker.join().is_err() {
                    tracing::error!("a worker had panicked");
                }
            }
        });
        // The threads are joined, or the host ends without them.
        let _ = joined.await;
    }

    /// Waits until everything handed in is durable: an answered submission means that
    /// all before it are.
    async fn settle(&self) {
        if let Err(error) = self.journal.submit(Submission::Touch).await {
            tracing::warn!(%error, "the last commit was not confirmed");
        }
        let counts = self.reader.counts();
        tracing::info!(
            pending = counts.scheduled,
            dead = counts.dead,
            "ended; what is pending goes on at the next start"
        );
    }
}

fn open_engine(config: &Config) -> Result<Arc<dyn Engine>, ServeError> {
    let dir = config.store.dir.clone().unwrap_or_default();
    let failed = |source| ServeError::Engine {
        dir: dir.clone(),
        source,
    };
    match config.store.engine {
        StoreEngine::Embedded => {
            let engine = engine::fjall::open(&dir.join("store")).map_err(failed)?;
            Ok(Arc::new(engine))
        }
        StoreEngine::Memory => Ok(Arc::new(engine::memory::Memory::new())),
        #[cfg(feature = "sled")]
        StoreEngine::Sled => {
            let engine = engine::sled::open(&dir.join("store")).map_err(failed)?;
            Ok(Arc::new(engine))
        }
        #[cfg(not(feature = "sled"))]
        StoreEngine::Sled => Err(ServeError::NoSled),
    }
}

fn start_runtime(config: &Config) -> Result<Arc<Runtime>, ServeError> {
    let options = RuntimeOptions {
        cache_dir: config
            .store
            .dir
            .as_deref()
            .map(|dir: &Path| dir.join("compiled")),
        // One a thread that maps, and some for plugins that are being loaded.
        instances_max: u32::try_from(config.workers.map_threads)
            .unwrap_or(u32::MAX)
            .saturating_add(INSTANCES_FOR_LOADING),
        ..RuntimeOptions::default()
    };
    let runtime = Runtime::new(options).map_err(ServeError::Runtime)?;
    let kernel = runtime.facts();
    tracing::info!(pagemap_scan = kernel.pagemap_scan, "plugin runtime");
    Ok(runtime)
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen {
            what,
            address,
            source,
        })
}

fn facts(
    config: &Config,
    foundation: &Foundation,
    ingress: &TcpListener,
    operator: &TcpListener,
) -> Result<Facts, ServeError> {
    let bound = |what, listener: &TcpListener, address| {
        listener.local_addr().map_err(|source| ServeError::Listen {
            what,
            address,
            source,
        })
    };
    let guarantees = foundation.reader.guarantees();
    Ok(Facts {
        started: SystemClock.now(),
        ingress: bound("webhooks", ingress, config.ingress.listen)?,
        operator: bound("the operator API", operator, config.operator.listen)?,
        engine: foundation.reader.engine_name(),
        store_dir: config.store.dir.clone(),
        store_warning: warning(config.store.engine, guarantees.survives_power_loss),
        map_threads: config.workers.map_threads,
        body_bytes_max: config.ingress.body_bytes_max,
    })
}

const fn warning(engine: StoreEngine, survives_power_loss: bool) -> Option<&'static str> {
    match (engine, survives_power_loss) {
        (_, true) => None,
        (StoreEngine::Memory, false) => {
            Some("the store is in memory: everything acknowledged is lost when the host ends")
        }
        (StoreEngine::Sled | StoreEngine::Embedded, false) => Some(
            "the store's engine does not sync to the disk: events acknowledged shortly before a power loss are lost (a crash of the host alone loses nothing); embedded: keeps them",
        ),
    }
}

fn announce(ingress: SocketAddr, operator: SocketAddr, config: &Config) {
    tracing::info!(%ingress, %operator, connections = config.connections.len(), "tidegate serves");
    // Programs that started the host wait for this line.
    #[expect(
        clippy::print_stdout,
        reason = "stdout is data: the one line of a ready host"
    )]
    {
        println!("ready ingress=http://{ingress} operator=http://{operator}");
    }
}
