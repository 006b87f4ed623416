//! What stands before anything listens, and the loops and threads on top of it.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tidegate_core::ports::Clock;
use tidegate_egress::Egress;
use tidegate_runtime::{Runtime, RuntimeOptions};
use tidegate_store::engine::{self, Engine};
use tidegate_store::{Claims, Marks, Opened, Options, Submission};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ServeError;
use crate::alerting::{AlertDesk, AlertParts, Outage};
use crate::committer::{self, Listeners};
use crate::config::{Config, StoreEngine};
use crate::fetcher::Fetcher;
use crate::gate::{Gate, LatchOnPanic};
use crate::host::{Facts, Host};
use crate::metrics::Metrics;
use crate::outlets::Outlets;
use crate::plugins::PluginDesk;
use crate::received::ReceivedDesk;
use crate::reload::{Desks, Reloads, WatchedFile};
use crate::replays::ReplayDesk;
use crate::rules::{CurrentRules, Rules};
use crate::sinks::{SinkDesk, SinkParts};
use crate::system::{SystemChance, SystemClock, random_bytes};
use crate::tokens::Tokens;
use crate::waivers::WaiverLog;
use crate::workers::{self, Bell, Workshop};
use crate::{compile, housekeeping, reload, secret_key};

/// Calls of `describe` that may run beside the mapping threads.
const INSTANCES_FOR_LOADING: u32 = 8;

/// What stands before anything listens.
pub(super) struct Foundation {
    pub(super) gate: Arc<Gate>,
    bell: Arc<Bell>,
    metrics: Arc<Metrics>,
    rules: Arc<CurrentRules>,
    pub(super) plugins: Arc<PluginDesk>,
    received: Arc<ReceivedDesk>,
    reloads: Arc<Reloads>,
    journal: committer::JournalHandle,
    pub(super) reader: tidegate_store::Reader,
    claims: Claims,
    published: watch::Receiver<tidegate_core::ids::ChangeSeq>,
    chance: Arc<SystemChance>,
    marks: Marks,
    outage: Arc<Outage>,
    /// What tells this store from every other.
    pub(super) store_id: String,
}

/// Who does the rest of the work: everything that reaches outwards.
pub(super) struct Crew {
    pub(super) desks: Desks,
    replays: Arc<ReplayDesk>,
    egress: Arc<Egress>,
}

impl Foundation {
    pub(super) fn lay(config: &Arc<Config>) -> Result<Self, ServeError> {
        let engine = open_engine(config)?;
        let seed = random_bytes().map_err(ServeError::Random)?;
        let marks = marks(config);
        let options = Options {
            policy: config.policy.clone(),
            seed,
            marks: marks.clone(),
        };
        let Opened {
            committer,
            reader,
            claims,
        } = tidegate_store::open(engine, options, SystemClock.now()).map_err(ServeError::Open)?;
        let store_id = committer.store_id();
        let (gate, bell) = (Arc::new(Gate::new()), Arc::new(Bell::default()));
        let metrics = Arc::new(Metrics::new());
        let (publish, published) = watch::channel(reader.newest_change());
        let listeners = Listeners {
            published: publish,
            bell: bell.clone(),
            metrics: metrics.clone(),
            claims: claims.clone(),
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
        let key = secret_key::prepare(&config.store).map_err(ServeError::SecretKey)?;
        let received = ReceivedDesk::open(key, &reader, journal.clone(), rules.clone())
            .map_err(ServeError::Received)?;
        let plugins = Arc::new(PluginDesk::new(
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
            plugins,
            received: Arc::new(received),
            reloads: Arc::default(),
            journal,
            reader,
            claims,
            published,
            chance,
            marks,
            outage: Arc::new(Outage::beside(config.store.dir.as_deref())),
            store_id,
        })
    }

    /// Everyone who reaches outwards, by those ways.
    pub(super) fn crew(&self, outlets: Arc<Outlets>) -> Crew {
        let egress = outlets.egress();
        let sinks = SinkDesk::new(SinkParts {
            reader: self.reader.clone(),
            claims: self.claims.clone(),
            journal: self.journal.clone(),
            gate: self.gate.clone(),
            bell: self.bell.clone(),
            chance: self.chance.clone(),
            metrics: self.metrics.clone(),
            outlets: outlets.clone(),
        });
        let alerts = AlertDesk::new(AlertParts {
            reader: self.reader.clone(),
            claims: self.claims.clone(),
            journal: self.journal.clone(),
            gate: self.gate.clone(),
            chance: self.chance.clone(),
            metrics: self.metrics.clone(),
            outlets,
            outage: self.outage.clone(),
        });
        let (reader, journal) = (self.reader.clone(), self.journal.clone());
        Crew {
            desks: Desks {
                plugins: self.plugins.clone(),
                sinks: Arc::new(sinks),
                alerts: Arc::new(alerts),
                waivers: Arc::new(WaiverLog::new(self.journal.clone())),
            },
            replays: Arc::new(ReplayDesk::new(reader, journal, self.gate.clone())),
            egress,
        }
    }

    pub(super) fn host(&self, crew: &Crew, tokens: Tokens, facts: Facts) -> Host {
        Host {
            rules: self.rules.clone(),
            reader: self.reader.clone(),
            claims: self.claims.clone(),
            journal: self.journal.clone(),
            gate: self.gate.clone(),
            published: self.published.clone(),
            plugins: self.plugins.clone(),
            sinks: crew.desks.sinks.clone(),
            replays: crew.replays.clone(),
            reloads: self.reloads.clone(),
            fetcher: Fetcher::new(crew.egress.clone()),
            received: self.received.clone(),
            metrics: self.metrics.clone(),
            tokens,
            facts,
        }
    }

    /// Loops that end when the set is dropped: each of their steps may be cut.
    pub(super) fn start_loops(
        &self,
        crew: &Crew,
        config: &Arc<Config>,
        file: WatchedFile,
    ) -> JoinSet<()> {
        let mut loops = Loops::new(&self.gate);
        let Crew { desks, replays, .. } = crew;
        loops.start("the plugin loop panicked", self.plugins.clone().watch());
        loops.start("the replay loop panicked", replays.clone().run());
        loops.start("the alert loop panicked", desks.alerts.clone().run());
        let upkeep = housekeeping::keep_store(self.journal.clone(), desks.sinks.clone());
        loops.start("the store's upkeep panicked", upkeep);
        let (desks, reloads) = (desks.clone(), self.reloads.clone());
        let reload = reload::watch(file, config.clone(), desks, reloads);
        loops.start("the reload loop panicked", reload);
        if let Some(dir) = config.store.dir.clone() {
            let reserve = config.store.reserve_bytes;
            let (gate, bell) = (self.gate.clone(), self.bell.clone());
            let watch = housekeeping::watch_disk(dir, reserve, gate, bell);
            loops.start("the disk watch panicked", watch);
        }
        loops.set
    }

    pub(super) fn start_workers(&self, count: usize) -> Result<Vec<JoinHandle<()>>, ServeError> {
        let workshop = Workshop {
            claims: self.claims.clone(),
            reader: self.reader.clone(),
            journal: self.journal.clone(),
            rules: self.rules.clone(),
            chance: self.chance.clone(),
            bell: self.bell.clone(),
            gate: self.gate.clone(),
            marks: self.marks.clone(),
        };
        workers::start(count, &workshop, &tokio::runtime::Handle::current()).map_err(|source| {
            ServeError::Thread {
                what: "a worker",
                source,
            }
        })
    }

    pub(super) async fn end_workers(&self, workers: Vec<JoinHandle<()>>) {
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
    pub(super) async fn settle(&self) {
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

/// The loops, without any of which the host would stay up and not do all of its work: one
/// that panics latches the gate, and a restart has them all again.
struct Loops<'g> {
    gate: &'g Arc<Gate>,
    set: JoinSet<()>,
}

impl<'g> Loops<'g> {
    fn new(gate: &'g Arc<Gate>) -> Self {
        Self {
            gate,
            set: JoinSet::new(),
        }
    }

    fn start(&mut self, reason: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let latch = LatchOnPanic::new(self.gate, reason);
        self.set.spawn(async move {
            let _latch = latch;
            work.await;
        });
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

/// Where workers mark what they are at. Without marks the host works all the same.
fn marks(config: &Config) -> Marks {
    let Some(dir) = &config.store.dir else {
        return Marks::default();
    };
    let path = dir.join("running");
    Marks::open(&path, config.workers.map_threads).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "tasks that bring the host down will not be known by it");
        Marks::default()
    })
}

fn start_runtime(config: &Config) -> Result<Arc<Runtime>, ServeError> {
    let options = RuntimeOptions {
        cache_dir: config
            .store
            .dir
            .as_deref()
            .map(|dir: &Path| dir.join("compiled")),
        compiler: compile::process(),
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

#[cfg(test)]
mod tests {
    use tidegate_core::ports::NotStored;

    use super::*;

    #[tokio::test]
    async fn a_loop_that_panics_latches_the_gate_and_one_that_is_ended_does_not() {
        let gate = Arc::new(Gate::new());
        let mut loops = Loops::new(&gate);
        loops.start("it panicked", std::future::pending());
        tokio::task::yield_now().await;
        loops.set.shutdown().await;
        assert_eq!(gate.admits(), Ok(()));
        loops.start("it panicked", async { panic!("as a test") });
        assert!(
            loops
                .set
                .join_next()
                .await
                .is_some_and(|ended| ended.is_err())
        );
        assert_eq!(gate.admits(), Err(NotStored::Latched));
    }
}
