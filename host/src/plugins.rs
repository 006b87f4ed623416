//! The plugin desk: which plugin version serves each connector, and why a newer one
//! does not.
//!
//! A configured file is looked at twice a second. One that changed and has stopped
//! changing is loaded off the hot path, compared with the connector's grant and, if it
//! asks for nothing new, swapped in; calls in flight end on the version they began
//! with. Whatever is wrong with a new file leaves the old version serving, and is told
//! in log, status and API together with what to do.
//!
//! The accepted file is kept in the store's folder, so that a restart beside a bad
//! file still serves the last good version.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tidegate_core::audit::AuditEntry;
use tidegate_core::descriptor::Descriptor;
use tidegate_core::errors::chain;
use tidegate_core::grant::Grant;
use tidegate_core::ids::{ConnectorName, PluginDigest};
use tidegate_core::ports::{Clock, NotStored};
use tidegate_runtime::Runtime;
use tidegate_store::{Reader, Submission};
use tokio::sync::Mutex;

use crate::committer::JournalHandle;
use crate::config::Config;
use crate::plugin_file::{self, Kept, Stamp};
use crate::rules::{CurrentRules, Rules, Serving};
use crate::system::SystemClock;
use crate::versions::Versions;

mod standing;

use standing::{AdmitError, Candidate};
pub(crate) use standing::{ConsentError, Pending, PluginStanding};

/// How often a plugin file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The plugin desk.
#[derive(Debug)]
pub(crate) struct PluginDesk {
    runtime: Arc<Runtime>,
    reader: Reader,
    journal: JournalHandle,
    rules: Arc<CurrentRules>,
    kept: Option<Kept>,
    /// For replays that name a version which does not serve.
    versions: Arc<Versions>,
    /// Everything that changes plugins or configuration goes one after another.
    desk: Mutex<Desk>,
    /// The same standings, for readers that must not wait for a compilation.
    standings: RwLock<HashMap<ConnectorName, PluginStanding>>,
}

#[derive(Debug)]
struct Desk {
    config: Arc<Config>,
    files: HashMap<ConnectorName, WatchedFile>,
}

#[derive(Debug)]
struct WatchedFile {
    path: PathBuf,
    /// What was loaded, or failed to.
    handled: Option<Stamp>,
    /// What was seen at the last look.
    seen: Option<Stamp>,
}

impl PluginDesk {
    /// A desk for that configuration; [`Self::configure`] loads its plugins.
    pub(crate) fn new(
        runtime: Arc<Runtime>,
        reader: Reader,
        journal: JournalHandle,
        rules: Arc<CurrentRules>,
        store_dir: Option<&Path>,
        config: Arc<Config>,
    ) -> Self {
        let kept = store_dir.map(|dir| Kept::new(&dir.join("plugins")));
        Self {
            versions: Arc::new(Versions::new(runtime.clone(), kept.clone())),
            runtime,
            reader,
            journal,
            rules,
            kept,
            desk: Mutex::new(Desk {
                config,
                files: HashMap::new(),
            }),
            standings: RwLock::default(),
        }
    }

    /// How each connector's plugin stands.
    pub(crate) fn standings(&self) -> HashMap<ConnectorName, PluginStanding> {
        self.standings
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes a configuration over: loads what is new, forgets what is gone.
    pub(crate) async fn configure(&self, config: Arc<Config>) {
        let mut desk = self.desk.lock().await;
        desk.config = config.clone();
        desk.files.retain(|name, file| {
            config
                .connectors
                .get(name)
                .and_then(|connector| connector.plugin.as_ref())
                == Some(&file.path)
        });
        self.change(|standings| standings.retain(|name, _| config.connectors.contains_key(name)));
        for (name, connector) in &config.connectors {
            let Some(path) = &connector.plugin else {
                self.change(|standings| standings.insert(name.clone(), PluginStanding::default()));
                continue;
            };
            if let Entry::Vacant(vacant) = desk.files.entry(name.clone()) {
                let stamp = plugin_file::stamp(path).ok();
                vacant.insert(WatchedFile {
                    path: path.clone(),
                    handled: stamp,
                    seen: stamp,
                });
                self.with(name, |standing| standing.path = Some(path.clone()));
                self.load(name, path).await;
                self.fall_back(name).await;
            }
        }
        self.publish(&desk.config);
    }

    /// Looks at the files until the host ends.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look().await;
        }
    }

    async fn look(&self) {
        let mut desk = self.desk.lock().await;
        let mut changed = Vec::new();
        for (name, file) in &mut desk.files {
            let stamp = plugin_file::stamp(&file.path).ok();
            let still = stamp == file.seen;
            file.seen = stamp;
            // A file that is still being written differs from look to look.
            if still && stamp != file.handled {
                file.handled = stamp;
                changed.push((name.clone(), file.path.clone()));
            }
        }
        for (name, path) in &changed {
            self.load(name, path).await;
        }
        if !changed.is_empty() {
            self.publish(&desk.config);
        }
    }

    /// Loads a connector's file and lets it serve if it may.
    async fn load(&self, name: &ConnectorName, path: &Path) {
        match self.candidate(path).await {
            Ok(candidate) => self.offer(name, candidate).await,
            Err((digest, problem)) => {
                let fix = format!(
                    "put a good plugin at {}; it is picked up by itself",
                    path.display()
                );
                self.set_aside(
                    name,
                    Pending {
                        digest,
                        problem,
                        differences: Vec::new(),
                        fix,
                        candidate: None,
                    },
                );
            }
        }
    }

    async fn candidate(&self, path: &Path) -> Result<Candidate, (Option<PluginDigest>, String)> {
        let (runtime, path) = (self.runtime.clone(), path.to_owned());
        let loading = tokio::task::spawn_blocking(move || {
            let wasm = plugin_file::read(&path).map_err(|error| (None, chain(&error)))?;
            let digest = plugin_file::digest(&wasm);
            let plugin = runtime
                .load(&wasm)
                .map_err(|error| (Some(digest), chain(&error)))?;
            let descriptor = Descriptor::parse(plugin.descriptor_json()).map_err(|error| {
                (
                    Some(digest),
                    format!("its descriptor is refused: {}", chain(&error)),
                )
            })?;
            Ok(Candidate {
                serving: Serving {
                    plugin,
                    descriptor: Arc::new(descriptor),
                },
                wasm,
            })
        });
        loading
            .await
            .unwrap_or_else(|error| Err((None, chain(&error))))
    }

    /// Lets a candidate serve, or says why it may not.
    async fn offer(&self, name: &ConnectorName, candidate: Candidate) {
        let digest = candidate.serving.plugin.digest();
        match self.admit(name, &candidate.serving.descriptor).await {
            Ok(()) => self.seat(name, candidate).await,
            Err(AdmitError::Wider(differences)) => self.set_aside(
                name,
                Pending {
                    digest: Some(digest),
                    problem: AdmitError::Wider(Vec::new()).to_string(),
                    differences,
                    fix: format!("if that is wanted: tidegate connectors consent {name} {digest}"),
                    candidate: Some(candidate),
                },
            ),
            Err(error) => self.set_aside(
                name,
                Pending {
                    digest: Some(digest),
                    problem: chain(&error),
                    differences: Vec::new(),
                    fix: "see the store's state in `tidegate status`; when it is well again, touch the file and it is looked at anew".into(),
                    // What was not compared with the grant cannot be consented to.
                    candidate: None,
                },
            ),
        }
    }

    /// Holds a descriptor against the grant. The first one accepted becomes the grant.
    async fn admit(&self, name: &ConnectorName, descriptor: &Descriptor) -> Result<(), AdmitError> {
        match self.reader.grant(name).map_err(AdmitError::Read)? {
            Some(stored) => {
                let grant = serde_json::from_slice(&stored)
                    .map_err(|error| AdmitError::Damaged(error.to_string()))?;
                let grant = Grant::from_json(&grant)
                    .map_err(|problems| AdmitError::Damaged(problems.to_string()))?;
                grant.compare(descriptor).map_err(|differences| {
                    AdmitError::Wider(differences.iter().map(ToString::to_string).collect())
                })
            }
            None => self
                .grant(name, descriptor, None)
                .await
                .map_err(AdmitError::NotStored),
        }
    }

    async fn grant(
        &self,
        name: &ConnectorName,
        descriptor: &Descriptor,
        audit: Option<AuditEntry>,
    ) -> Result<(), NotStored> {
        let grant = Bytes::from(Grant::from_descriptor(descriptor).to_json().to_string());
        let submission = Submission::PutGrant {
            connector: name.clone(),
            grant,
            audit,
        };
        self.journal.submit(submission).await.map(|_| ())
    }

    /// An operator agrees to what the waiting version asks for, having read what the
    /// version with that digest does. Who it was is stored with it.
    pub(crate) async fn consent(
        &self,
        name: &ConnectorName,
        read: PluginDigest,
        audit: AuditEntry,
    ) -> Result<(), ConsentError> {
        let desk = self.desk.lock().await;
        let standing = self.standings().remove(name);
        let standing = standing.ok_or_else(|| ConsentError::Unknown { name: name.clone() })?;
        let candidate = standing.agreed(name, read)?;
        self.grant(name, &candidate.serving.descriptor, Some(audit))
            .await
            .map_err(|source| ConsentError::NotStored {
                name: name.clone(),
                source,
            })?;
        tracing::info!(connector = %name, digest = %read, "a wider grant was consented to");
        self.seat(name, candidate).await;
        self.publish(&desk.config);
        Ok(())
    }

    /// Serves the kept copy of the last accepted version, where nothing else does.
    async fn fall_back(&self, name: &ConnectorName) {
        let Some(kept) = &self.kept else { return };
        let idle = self
            .standings()
            .get(name)
            .is_some_and(|standing| standing.serving.is_none());
        if !idle {
            return;
        }
        let Ok(candidate) = self.candidate(&kept.path(name)).await else {
            return;
        };
        if self
            .admit(name, &candidate.serving.descriptor)
            .await
            .is_ok()
        {
            let digest = candidate.serving.plugin.digest();
            tracing::warn!(connector = %name, %digest, "the last accepted version serves from its kept copy");
            let now = SystemClock.now();
            self.with(name, |standing| {
                standing.serving = Some((candidate.serving, now));
            });
        }
    }

    async fn seat(&self, name: &ConnectorName, candidate: Candidate) {
        let digest = candidate.serving.plugin.digest();
        if let Err(error) = self.keep(name.clone(), digest, candidate.wasm).await {
            tracing::warn!(connector = %name, error = chain(&error), "no copy of the plugin could be kept: a restart beside a bad file would find no version to serve");
        }
        let now = SystemClock.now();
        self.with(name, |standing| {
            standing.serving = Some((candidate.serving, now));
            standing.pending = None;
        });
        tracing::info!(connector = %name, %digest, "plugin serves");
    }

    /// Keeps a copy, on a thread that may wait for the disk.
    async fn keep(&self, name: ConnectorName, digest: PluginDigest, wasm: Bytes) -> io::Result<()> {
        let Some(kept) = self.kept.clone() else {
            return Ok(());
        };
        let keeping = tokio::task::spawn_blocking(move || kept.put(&name, digest, &wasm));
        keeping
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn set_aside(&self, name: &ConnectorName, pending: Pending) {
        tracing::error!(
            connector = %name,
            problem = %pending.problem,
            differences = pending.differences.join("; "),
            fix = %pending.fix,
            "a plugin file is not taken; the version that serves goes on"
        );
        self.with(name, |standing| standing.pending = Some(pending));
    }

    fn with(&self, name: &ConnectorName, change: impl FnOnce(&mut PluginStanding)) {
        self.change(|standings| change(standings.entry(name.clone()).or_default()));
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut HashMap<ConnectorName, PluginStanding>) -> T,
    ) -> T {
        change(
            &mut self
                .standings
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Rebuilds the routing table from what stands now.
    fn publish(&self, config: &Config) {
        let seats = self
            .standings()
            .into_iter()
            .map(|(name, standing)| (name, standing.seat()));
        let rules = Rules::build(config, &seats.collect());
        self.rules
            .replace(rules.with_versions(self.versions.clone()));
    }
}
