//! The configuration file while the host runs.
//!
//! SIGHUP or a changed file loads it anew. A file with a mistake changes nothing and
//! says so in log and status; what a restart alone can change is named.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_core::errors::chain;
use tidegate_core::ports::Clock as _;
use tidegate_core::time::Timestamp;
use tokio::signal::unix::SignalKind;

use crate::alerting::AlertDesk;
use crate::config::{Config, ConfigSource, LoadError};
use crate::plugin_file::{Stamp, stamp};
use crate::plugins::PluginDesk;
use crate::signals::Listener;
use crate::sinks::SinkDesk;
use crate::system::SystemClock;
use crate::waivers::WaiverLog;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How the file stands against what runs, for status.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    refused: Mutex<Option<RefusedFile>>,
}

/// A configuration file that was not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedFile {
    /// When it was read.
    pub(crate) at: Timestamp,
    /// Its first mistake, and how many more there are.
    pub(crate) reason: String,
}

impl Reloads {
    /// The file that is there now, where it was refused.
    pub(crate) fn refused(&self) -> Option<RefusedFile> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What became of the file that was read last.
    pub(crate) fn note(&self, refused: Option<(Timestamp, &LoadError)>) {
        let refused = refused.map(|(at, error)| RefusedFile {
            at,
            reason: reason(error),
        });
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }
}

fn reason(error: &LoadError) -> String {
    let LoadError::Problems(problems) = error else {
        return chain(error);
    };
    let [first, more @ ..] = problems.as_slice() else {
        return chain(error);
    };
    match more.len() + problems.unlisted() {
        0 => first.to_string(),
        more => format!("{first} (and {more} more)"),
    }
}

/// Whoever takes a configuration over while the host runs.
#[derive(Clone, Debug)]
pub(crate) struct Desks {
    pub(crate) plugins: Arc<PluginDesk>,
    pub(crate) sinks: Arc<SinkDesk>,
    pub(crate) alerts: Arc<AlertDesk>,
    pub(crate) waivers: Arc<WaiverLog>,
}

impl Desks {
    /// Has all of them take it over.
    pub(crate) async fn configure(&self, config: &Arc<Config>) {
        self.plugins.configure(config.clone()).await;
        self.waivers.configure(config).await;
        self.alerts.configure(config);
        self.sinks.configure(config).await;
    }
}

/// The configuration file, and which state of it was read last.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    source: ConfigSource,
    read: Option<Stamp>,
    seen: Option<Stamp>,
}

impl WatchedFile {
    /// To be read for the first time. Whatever changes from here on is noticed, however long
    /// the host takes to start.
    pub(crate) fn new(source: ConfigSource) -> Self {
        let read = stamp_of(source.path());
        Self {
            source,
            read,
            seen: read,
        }
    }

    /// Reads and checks it.
    pub(crate) fn load(&self) -> Result<Config, LoadError> {
        self.source.load()
    }

    /// Whether there is another file than the one that was read, and whole: one that is still
    /// being written differs from look to look.
    fn has_changed(&mut self) -> bool {
        let now = stamp_of(self.source.path());
        let settled = std::mem::replace(&mut self.seen, now) == now;
        settled && now != self.read
    }

    /// What was seen last is read now.
    const fn note_read(&mut self) {
        self.read = self.seen;
    }
}

/// Watches the configuration until the host ends.
pub(crate) async fn watch(
    mut file: WatchedFile,
    first: Arc<Config>,
    desks: Desks,
    reloads: Arc<Reloads>,
) {
    let mut hangup = Listener::new(SignalKind::hangup());
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut current = first;
    loop {
        let asked = tokio::select! {
            _ = hangup.next() => true,
            _ = looks.tick() => false,
        };
        if file.has_changed() || asked {
            file.note_read();
            current = reload(&file, current, &desks, &reloads).await;
        }
    }
}

async fn reload(
    file: &WatchedFile,
    current: Arc<Config>,
    desks: &Desks,
    reloads: &Reloads,
) -> Arc<Config> {
    match file.load() {
        Ok(config) => {
            let config = Arc::new(config);
            reloads.note(None);
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
            for key in current.fixed_until_restart(&config) {
                tracing::warn!(key, "changed, and takes effect after a restart");
            }
            desks.configure(&config).await;
            tracing::info!(
                connections = config.connections.len(),
                "configuration reloaded"
            );
            config
        }
        Err(error) => {
            reloads.note(Some((SystemClock.now(), &error)));
            tracing::error!(
                error = chain(&error),
                "the new configuration is refused; the old one goes on"
            );
            current
        }
    }
}

fn stamp_of(path: Option<&Path>) -> Option<Stamp> {
    path.and_then(|path| stamp(path).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = ConfigSource::new(Some(file.clone())).load();
        let reloads = Reloads::default();
        reloads.note(loaded.as_ref().err().map(|error| (Timestamp::EPOCH, error)));
        let got = reloads.refused().map(|refused| refused.reason);
        let expected = expected.map(|expected| format!("{}:{expected}", file.display()));
        assert_eq!(got, expected);
    }

    #[test]
    fn a_file_that_changed_while_the_host_started_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, "").unwrap();
        let mut file = WatchedFile::new(ConfigSource::new(Some(path.clone())));
        file.load().unwrap();
        assert!(!file.has_changed());
        // The watch begins long after the file was read.
        std::fs::write(&path, "[log]\n").unwrap();
        assert!(!file.has_changed(), "it may still be being written");
        assert!(file.has_changed());
        file.note_read();
        assert!(!file.has_changed(), "once");
        std::fs::remove_file(&path).unwrap();
        assert_eq!([file.has_changed(), file.has_changed()], [false, true]);
    }

    #[test]
    fn a_refused_file_is_told_by_its_first_mistake() {
        check("", None);
        check(
            "[store]\nreserve = \"much\"",
            Some(
                r#"2:1: store.reserve: "much" is not written as a number and a unit: "512KiB", "10MiB" or "1GiB""#,
            ),
        );
        check(
            "[storm]\n[ingress]\nlisten = 7\n",
            Some("1:2: unknown key \"storm\" — did you mean \"store\"? (and 1 more)"),
        );
    }
}
