//! `tidegate serve`: wires the parts together, and takes them apart again.
//!
//! Nothing is decided here. Order of starting: store, committer, runtime, plugins,
//! listeners, sinks, workers; so that nothing is answered before it can be kept. Order of
//! ending: no new events, what is in flight of requests, workers and sinks, one last
//! commit; `ending` says how long that may take. What is cut short is durable and goes on
//! at the next start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tidegate_core::ports::Clock;
use tidegate_runtime::RuntimeError;
use tidegate_store::OpenError;
use tidegate_store::engine::EngineError;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Config, StoreEngine};
use crate::ending::Ended;
use crate::host::Facts;
use crate::outlets::{EgressSetupError, Outlets};
use crate::reload::WatchedFile;
use crate::secret_key::SecretKeyError;
use crate::signals::EndSignals;
use crate::system::SystemClock;
use crate::tokens::{Tokens, TokensError};
use crate::{ending, http, logging, received};

mod foundation;

use foundation::Foundation;

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
    /// The key of received secrets.
    #[error("could not prepare the key of received secrets")]
    SecretKey(#[source] SecretKeyError),
    /// Received secrets.
    #[error("could not use the secrets that partners handed over")]
    Received(#[source] received::OpenError),
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
    /// The way out.
    #[error("could not prepare the way out")]
    Egress(#[source] EgressSetupError),
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
pub(crate) fn run(config: Config, file: WatchedFile) -> Result<Ended, ServeError> {
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
    let ended = runtime.block_on(serve(config, file));
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

async fn serve(config: Config, file: WatchedFile) -> Result<Ended, ServeError> {
    let config = Arc::new(config);
    let foundation = Foundation::lay(&config)?;
    foundation.plugins.configure(config.clone()).await;

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
    let outlets = Outlets::new(&config, &foundation.store_id, operator_at);
    let crew = foundation.crew(Arc::new(outlets.map_err(ServeError::Egress)?));
    let host = Arc::new(foundation.host(&crew, tokens, facts));

    let (stop, stopping) = watch::channel(false);
    let mut servers = JoinSet::new();
    servers.spawn(http::serve_ingress(host.clone(), ingress, stopping.clone()));
    servers.spawn(http::serve_operator(host.clone(), operator, stopping));
    crew.desks.waivers.configure(&config).await;
    crew.desks.alerts.configure(&config);
    crew.desks.sinks.configure(&config).await;
    let loops = foundation.start_loops(&crew, &config, file);
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
        tokio::join!(
            end_servers(servers),
            foundation.end_workers(workers),
            crew.desks.sinks.end()
        );
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
