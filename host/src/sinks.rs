//! The sink desk: a loop for each configured sink. How people pause and resume them stands
//! in `switches`.
//!
//! How a sink stands is the store's; the desk sees to it that a loop runs exactly where
//! the configuration has the sink and its standing is not paused. A sink that cannot be
//! built stands there with its reason and concerns no other. A sink whose section has gone
//! is dropped with its open deliveries. A failure half-way is found again by the next
//! configuration or start: what is stored counts.

mod counted;
mod run;
mod switches;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::join_all;
use tidegate_core::audit::AuditEntry;
use tidegate_core::errors::chain;
use tidegate_core::ids::SinkName;
use tidegate_core::ports::{NotStored, ReadError};
use tidegate_core::retry::RetryPolicy;
use tidegate_core::sink::{SinkStanding, SinkState};
use tidegate_store::{Answer, Claims, Reader, Submission};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::committer::JournalHandle;
use crate::config::{Config, SinkConfig};
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::outlets::Outlets;
use crate::system::SystemChance;
use crate::workers::Bell;

use counted::Counted;
use run::Run;
pub(crate) use view::{SinkView, oldest_after};

/// What every sink's loop works with.
#[derive(Clone, Debug)]
pub(crate) struct SinkParts {
    pub(crate) reader: Reader,
    pub(crate) claims: Claims,
    pub(crate) journal: JournalHandle,
    pub(crate) gate: Arc<Gate>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) chance: Arc<SystemChance>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) outlets: Arc<Outlets>,
}

/// Why a sink was not paused or resumed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// No such sink.
    #[error("there is no sink {name}")]
    Unknown {
        /// What was named.
        name: SinkName,
    },
    /// Its standing could not be read.
    #[error("could not read how sink {name} stands")]
    Read {
        /// Which sink.
        name: SinkName,
        /// Why not.
        #[source]
        source: ReadError,
    },
    /// Its standing was not stored.
    #[error("could not store how sink {name} stands")]
    NotStored {
        /// Which sink.
        name: SinkName,
        /// Why not.
        #[source]
        source: NotStored,
    },
}

/// The sink desk.
#[derive(Debug)]
pub(crate) struct SinkDesk {
    parts: SinkParts,
    /// Everything that starts and stops loops goes one after another.
    loops: Mutex<HashMap<SinkName, Running>>,
    /// What is configured, for readers that must not wait for a loop to stop.
    known: RwLock<BTreeMap<SinkName, Known>>,
}

/// A configured sink.
#[derive(Clone, Debug)]
struct Known {
    config: Arc<SinkConfig>,
    retry: RetryPolicy,
    /// Why no loop could be started.
    problem: Option<String>,
}

#[derive(Debug)]
struct Running {
    config: Arc<SinkConfig>,
    retry: RetryPolicy,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    fn is_of(&self, known: &Known) -> bool {
        *self.config == *known.config && self.retry == known.retry
    }

    /// Waits until it has ended, which it does within its own bound.
    async fn end(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(error = chain(&error), "the loop of a sink had panicked");
        }
    }
}

impl SinkDesk {
    /// A desk without sinks; [`Self::configure`] starts them.
    pub(crate) fn new(parts: SinkParts) -> Self {
        Self {
            parts,
            loops: Mutex::default(),
            known: RwLock::default(),
        }
    }

    /// Takes a configuration over: what has not changed runs on.
    pub(crate) async fn configure(&self, config: &Config) {
        let mut loops = self.loops.lock().await;
        let wanted = known(config);
        let kept = |name: &SinkName, running: &Running| {
            wanted.get(name).is_some_and(|known| running.is_of(known))
        };
        let gone = loops.extract_if(|name, running| !kept(name, running));
        join_all(gone.map(|(_, running)| running.end())).await;
        self.set_known(wanted.clone());
        self.drop_unknown(&wanted).await;
        for (name, known) in wanted {
            self.start(&mut loops, &name, &known).await;
        }
    }

    /// How each configured sink stands. Reads the store.
    pub(crate) fn standings(&self) -> Result<Vec<SinkView>, ReadError> {
        let known = self.known().clone();
        view::views(&self.parts, known)
    }

    /// Stops the loops that retention has left behind the change log.
    pub(crate) async fn after_retention(&self) {
        let mut loops = self.loops.lock().await;
        let Ok(standings) = self.read(Reader::sinks).await else {
            // It is asked again after the next retention; its loop finds it by itself.
            return;
        };
        for standing in standings {
            if matches!(standing.state, SinkState::Paused { .. })
                && let Some(running) = loops.remove(&standing.sink)
            {
                running.end().await;
            }
        }
    }

    /// Stops every loop; what is on its way has a while to come back.
    pub(crate) async fn end(&self) {
        let mut loops = self.loops.lock().await;
        let all = loops.drain();
        join_all(all.map(|(_, running)| running.end())).await;
    }

    /// Starts a sink's loop where it has none and may have one.
    async fn start(&self, loops: &mut HashMap<SinkName, Running>, name: &SinkName, known: &Known) {
        if loops
            .get(name)
            .is_some_and(|running| !running.task.is_finished())
        {
            return;
        }
        let problem = match self.begin(name, known).await {
            Ok(running) => {
                loops.extend(running.map(|running| (name.clone(), running)));
                None
            }
            Err(problem) => {
                tracing::error!(sink = %name, %problem, "a sink delivers nothing");
                Some(problem)
            }
        };
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(name) {
            known.problem = problem;
        }
    }

    async fn begin(&self, name: &SinkName, known: &Known) -> Result<Option<Running>, String> {
        // Stored first, so that a sink begins when it was configured and not when it works.
        let standing = self.standing(name, known).await;
        let standing = standing.map_err(|error| chain(&error))?;
        let kind = &known.config.kind;
        let outlet = self.parts.outlets.sink(name, kind);
        let outlet = outlet.map_err(|error| chain(&error))?;
        if matches!(standing.state, SinkState::Paused { .. }) {
            return Ok(None);
        }
        let run = Run {
            sink: name.clone(),
            filter: known.config.filter.clone(),
            retry: known.retry.clone(),
            outlet: Counted::new(outlet, name.clone(), self.parts.metrics.clone()),
            parts: self.parts.clone(),
        };
        let (stop, stopping) = watch::channel(false);
        // On the runtime that serves everything else: a loop's reads are of one page at a
        // time and mostly from memory, and a runtime of its own would take a second set of
        // threads on machines that have two.
        let task = tokio::spawn(run.until_stopped(stopping));
        Ok(Some(Running {
            config: known.config.clone(),
            retry: known.retry.clone(),
            stop,
            task,
        }))
    }

    /// How a sink stands; one that is new begins now.
    async fn standing(&self, name: &SinkName, known: &Known) -> Result<SinkStanding, SinkError> {
        let (sink, start) = (name.clone(), known.config.start);
        let read = self.read(move |reader| {
            let stored = reader.sink(&sink)?;
            let is_new = stored.is_none();
            let standing = stored.unwrap_or_else(|| reader.new_sink(sink, start));
            Ok((standing, is_new))
        });
        let (standing, is_new) = read.await.map_err(|source| SinkError::Read {
            name: name.clone(),
            source,
        })?;
        if is_new {
            tracing::info!(sink = %name, cursor = %standing.cursor, "a new sink begins");
            return self.put(standing, None).await;
        }
        Ok(standing)
    }

    async fn put(
        &self,
        standing: SinkStanding,
        audit: Option<AuditEntry>,
    ) -> Result<SinkStanding, SinkError> {
        let submission = Submission::PutSink {
            standing: Box::new(standing.clone()),
            audit,
        };
        match self.parts.journal.submit(submission).await {
            Ok(_) => Ok(standing),
            Err(source) => Err(SinkError::NotStored {
                name: standing.sink,
                source,
            }),
        }
    }

    /// Drops the sinks whose section has gone.
    async fn drop_unknown(&self, wanted: &BTreeMap<SinkName, Known>) {
        let stored = match self.read(Reader::sinks).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::warn!(error = chain(&error), "sinks without a section are kept");
                return;
            }
        };
        for SinkStanding { sink, cursor, .. } in stored {
            if wanted.contains_key(&sink) {
                continue;
            }
            let name = sink.clone();
            let open = self.read(move |reader| reader.open_deliveries(&name)).await;
            let open: usize = open.map_or(0, |open| open.values().sum());
            match self
                .parts
                .journal
                .submit(Submission::DropSink(sink.clone()))
                .await
            {
                Ok(Answer::Refused(error)) => {
                    tracing::error!(%sink, error = chain(&error), "a sink without a section could not be dropped");
                }
                Ok(_) => {
                    tracing::warn!(%sink, %cursor, deliveries = open, "a sink has no section any more: it and its open deliveries are dropped; its dead letters stay");
                }
                Err(error) => {
                    tracing::warn!(%sink, error = chain(&error), "a sink without a section is kept for now");
                }
            }
        }
    }

    fn of(&self, name: &SinkName) -> Result<Known, SinkError> {
        let known = self.known().get(name).cloned();
        known.ok_or_else(|| SinkError::Unknown { name: name.clone() })
    }

    fn known(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<SinkName, Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_known(&self, known: BTreeMap<SinkName, Known>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Reads the store on a thread that may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let reader = self.parts.reader.clone();
        let reading = tokio::task::spawn_blocking(move || read(&reader)).await;
        reading.unwrap_or_else(|error| {
            Err(ReadError {
                what: "how sinks stand".into(),
                source: Box::new(error),
            })
        })
    }
}

fn known(config: &Config) -> BTreeMap<SinkName, Known> {
    let known = |sink: &SinkConfig| Known {
        config: Arc::new(sink.clone()),
        retry: config.policy.retry.clone(),
        problem: None,
    };
    let sinks = config.sinks.iter();
    sinks
        .map(|(name, sink)| (name.clone(), known(sink)))
        .collect()
}
