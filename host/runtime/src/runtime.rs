//! The runtime: one engine, its epochs, what plugins may import, and the way to load one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidegate_core::errors::chain;
use tidegate_core::ids::PluginDigest;
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use crate::cache::{Cache, CacheError};
use crate::compiler::{CompilerProcess, NotCompiled};
use crate::component::{self, LoadError};
use crate::engine::{self, KernelFacts, Ticker};
use crate::guest::Guest;
use crate::limits::CallLimits;
use crate::plugin::{Compiled, Plugin};
use crate::{wasi, wit};

/// How plugins are run.
#[derive(Clone, Debug)]
pub struct RuntimeOptions {
    /// Where compiled forms are kept; none are where this is not given. The folder
    /// becomes accessible to this user only: what lies in it is run as trusted code.
    pub cache_dir: Option<PathBuf>,
    /// What compiles for the cache; this process where it is not given.
    pub compiler: Option<CompilerProcess>,
    /// Calls that may run at once; one more is refused as a transient failure.
    pub instances_max: u32,
    /// What one call may use up.
    pub limits: CallLimits,
}

impl Default for RuntimeOptions {
    /// No cache, 64 calls at once (a host has a thread a core), limits as in
    /// [`tidegate_core::limits`].
    fn default() -> Self {
        Self {
            cache_dir: None,
            compiler: None,
            instances_max: 64,
            limits: CallLimits::default(),
        }
    }
}

/// Why the runtime could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine.
    #[error("could not set up the plugin engine for {instances_max} instances at once: {reason}")]
    Engine {
        /// How many were asked for.
        instances_max: u32,
        /// What wasmtime says.
        reason: String,
    },
    /// The thread that keeps time limits.
    #[error("could not start the thread that keeps the plugins' time")]
    Ticker(#[source] std::io::Error),
    /// The folder of compiled forms.
    #[error("could not use the folder of compiled plugins")]
    Cache(#[source] CacheError),
}

/// Runs plugins. One in a process is enough.
pub struct Runtime {
    engine: Engine,
    linker: Linker<Guest>,
    cache: Option<Cache>,
    compiler: Option<CompilerProcess>,
    limits: CallLimits,
    facts: KernelFacts,
    ticker: Arc<Ticker>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("cache", &self.cache)
            .field("limits", &self.limits)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Sets up the engine and starts its clock.
    pub fn new(options: RuntimeOptions) -> Result<Arc<Self>, RuntimeError> {
        let RuntimeOptions {
            cache_dir,
            compiler,
            instances_max,
            limits,
        } = options;
        let facts = KernelFacts::detect();
        let wrong = |error: wasmtime::Error| RuntimeError::Engine {
            instances_max,
            reason: format!("{error:#}"),
        };
        let engine = engine::engine(facts, instances_max, &limits).map_err(wrong)?;
        let linker = imports(&engine).map_err(wrong)?;
        let cache = cache_dir
            .map(|dir| Cache::open(dir, &engine))
            .transpose()
            .map_err(RuntimeError::Cache)?;
        let ticker = Arc::new(Ticker::start(&engine).map_err(RuntimeError::Ticker)?);
        Ok(Arc::new(Self {
            engine,
            linker,
            cache,
            compiler,
            limits,
            facts,
            ticker,
        }))
    }

    /// Admits a plugin file: reads what it is, compiles it (or takes the compiled form
    /// from the cache), checks its exports and asks it for its descriptor.
    ///
    /// Compiling takes from a tenth of a second to many; call it off the hot path.
    pub fn load(&self, wasm: &[u8]) -> Result<Plugin, LoadError> {
        component::admit(wasm)?;
        let digest = PluginDigest::new(Sha256::digest(wasm).into());
        let (component, from_cache) = self.component(digest, wasm)?;
        let mut linker = self.linker.clone();
        wasi::closed::define(&mut linker, &component).map_err(|error| LoadError::link(&error))?;
        let pre = linker
            .instantiate_pre(&component)
            .map_err(|error| LoadError::link(&error))?;
        Plugin::describe(Compiled {
            digest,
            pre,
            limits: self.limits,
            from_cache,
            _ticker: Arc::clone(&self.ticker),
        })
    }

    /// What the kernel offers.
    pub fn facts(&self) -> KernelFacts {
        self.facts
    }

    fn component(&self, digest: PluginDigest, wasm: &[u8]) -> Result<(Component, bool), LoadError> {
        let Some(cache) = &self.cache else {
            let component = Component::from_binary(&self.engine, wasm);
            return Ok((
                component.map_err(|error| LoadError::compile(&error))?,
                false,
            ));
        };
        if let Some(component) = cache.get(&self.engine, digest) {
            return Ok((component, true));
        }
        cache.put(digest, &self.compiled(wasm)?);
        // Mapped from the file it costs no memory that the kernel could not take back.
        if let Some(component) = cache.get(&self.engine, digest) {
            return Ok((component, false));
        }
        let component = Component::from_binary(&self.engine, wasm);
        Ok((
            component.map_err(|error| LoadError::compile(&error))?,
            false,
        ))
    }

    fn compiled(&self, wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
        if let Some(process) = &self.compiler {
            match process.compile(wasm) {
                Ok(compiled) => return Ok(compiled),
                Err(NotCompiled::Ended(signal)) => return Err(LoadError::CompilerEnded { signal }),
                // It says no more than that; this process's compiler has the words.
                Err(NotCompiled::Refused) => {
                    let compiled = self.compile(wasm)?;
                    tracing::warn!("the compiler's process gave up on what this one compiled");
                    return Ok(compiled);
                }
                Err(NotCompiled::Process(error)) => tracing::warn!(
                    error = chain(&error),
                    "the compiler's process failed: compiling in this one, which takes its memory"
                ),
            }
        }
        self.compile(wasm)
    }

    /// The compiled form of a component, for whoever runs an engine like this one.
    pub fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>, LoadError> {
        let compiled = self.engine.precompile_component(wasm);
        compiled.map_err(|error| LoadError::compile(&error))
    }
}

/// Everything that a plugin may import, besides files and sockets.
fn imports(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasi::define(&mut linker)?;
    wit::partner::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest: &mut Guest| guest)?;
    Ok(linker)
}
