//! Plugin versions that do not serve and that a replay asks for by name.
//!
//! Loaded from the kept copies by the first worker that needs one, which waits for the
//! compilation as the others do that need it too; the compiled form is in the runtime's
//! cache, so that takes long only once. A few stay loaded.

use std::sync::{Arc, Mutex, PoisonError};

use tidegate_core::errors::chain;
use tidegate_core::ids::{ConnectorName, PluginDigest};
use tidegate_runtime::{Plugin, Runtime};

use crate::plugin_file::{self, Kept};

/// Versions that stay loaded beside those that serve.
const LOADED_MAX: usize = 4;

/// Versions beside those that serve.
#[derive(Debug)]
pub(crate) struct Versions {
    runtime: Arc<Runtime>,
    kept: Option<Kept>,
    /// The one that was used last stands last.
    loaded: Mutex<Vec<Plugin>>,
}

impl Versions {
    /// Versions out of those copies.
    pub(crate) fn new(runtime: Arc<Runtime>, kept: Option<Kept>) -> Self {
        Self {
            runtime,
            kept,
            loaded: Mutex::default(),
        }
    }

    /// A connector's version with that digest, or why it cannot be had.
    pub(crate) fn get(
        &self,
        connector: &ConnectorName,
        digest: PluginDigest,
    ) -> Result<Plugin, String> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let found = loaded.iter().position(|plugin| plugin.digest() == digest);
        let plugin = match found {
            Some(place) => loaded.remove(place),
            None => self.load(connector, digest)?,
        };
        if loaded.len() >= LOADED_MAX {
            loaded.remove(0);
        }
        loaded.push(plugin.clone());
        Ok(plugin)
    }

    fn load(&self, connector: &ConnectorName, digest: PluginDigest) -> Result<Plugin, String> {
        let kept = self.kept.as_ref();
        let kept = kept.ok_or("a store in memory keeps no copies of plugins")?;
        let path = kept.version(connector, digest);
        if !path.exists() {
            return Err(format!("no copy of it is kept for connector {connector}"));
        }
        let wasm = plugin_file::read(&path).map_err(|error| chain(&error))?;
        if plugin_file::digest(&wasm) != digest {
            return Err(format!("its copy at {} is damaged", path.display()));
        }
        self.runtime.load(&wasm).map_err(|error| chain(&error))
    }
}
