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
}

impl Desks {
    /// Has all of them take it over.
    pub(crate) async fn configure(&self, config: &Arc<Config>) {
        self.plugins.configure(config.clone()).await;
        self.alerts.configure(config);
        self.sinks.configure(config).await;
    }
}

/// Watches the configuration until the host ends.
pub(crate) async fn watch(
    source: ConfigSource,
    first: Arc<Config>,
    desks: Desks,
    reloads: Arc<Reloads>,
) {
    let mut hangup = Listener::new(SignalKind::hangup());
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut current = first;
    let mut handled = stamp_of(source.path());
    let mut seen = handled;
    loop {
        let asked = tokio::select! {
            _ = hangup.next() => true,
            _ = looks.tick() => false,
        };
        let now = stamp_of(source.path());
        // A file that is still being written differs from look to look.
        let changed = now == seen && now != handled;
        seen = now;
        if asked || changed {
            handled = now;
            current = reload(&source, current, &desks, &reloads).await;
        }
    }
}

async fn reload(
    source: &ConfigSource,
    current: Arc<Config>,
    desks: &Desks,
    reloads: &Reloads,
) -> Arc<Config> {
    match source.load() {
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
