//! Signals, and the configuration file while the host runs.
//!
//! SIGHUP or a changed file loads it anew. A file with a mistake changes nothing and
//! says so; what a restart alone can change is named.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{Config, ConfigSource};
use crate::plugin_file::{Stamp, stamp};
use crate::plugins::PluginDesk;
use tidegate_core::errors::chain;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Resolves when the host is asked to end.
pub(crate) async fn ended_by_signal() {
    let mut interrupt = listener(SignalKind::interrupt());
    let mut terminate = listener(SignalKind::terminate());
    tokio::select! {
        () = next(&mut interrupt) => {}
        () = next(&mut terminate) => {}
    }
}

/// Watches the configuration until the host ends.
pub(crate) async fn watch(source: ConfigSource, first: Arc<Config>, desk: Arc<PluginDesk>) {
    let mut hangup = listener(SignalKind::hangup());
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut current = first;
    let mut handled = stamp_of(source.path());
    let mut seen = handled;
    loop {
        let asked = tokio::select! {
            () = next(&mut hangup) => true,
            _ = looks.tick() => false,
        };
        let now = stamp_of(source.path());
        // A file that is still being written differs from look to look.
        let changed = now == seen && now != handled;
        seen = now;
        if asked || changed {
            handled = now;
            current = reload(&source, current, &desk).await;
        }
    }
}

async fn reload(source: &ConfigSource, current: Arc<Config>, desk: &PluginDesk) -> Arc<Config> {
    match source.load() {
        Ok(config) => {
            let config = Arc::new(config);
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
            for key in current.fixed_until_restart(&config) {
                tracing::warn!(key, "changed, and takes effect after a restart");
            }
            desk.configure(config.clone()).await;
            tracing::info!(
                connections = config.connections.len(),
                "configuration reloaded"
            );
            config
        }
        Err(error) => {
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

fn listener(kind: SignalKind) -> Option<Signal> {
    signal(kind)
        .inspect_err(|error| tracing::warn!(?kind, %error, "this signal will not be heard"))
        .ok()
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
