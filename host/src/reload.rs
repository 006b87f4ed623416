//! The configuration file while the host runs.
//!
//! SIGHUP or a changed file loads it anew. A file with a mistake changes nothing and
//! says so; what a restart alone can change is named.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::errors::chain;
use tokio::signal::unix::SignalKind;

use crate::config::{Config, ConfigSource};
use crate::plugin_file::{Stamp, stamp};
use crate::plugins::PluginDesk;
use crate::signals::Listener;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches the configuration until the host ends.
pub(crate) async fn watch(source: ConfigSource, first: Arc<Config>, desk: Arc<PluginDesk>) {
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
