//! A loaded plugin, and its first call: `describe`.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::failure::Failure;
use tidegate_core::ids::PluginDigest;
use tidegate_core::limits::DESCRIPTOR_BYTES_MAX;
use tidegate_core::time::Timestamp;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use crate::component::LoadError;
use crate::engine::{Ticker, epochs};
use crate::fault;
use crate::guest::Guest;
use crate::limits::CallLimits;
use crate::mapper::MapWebhook;
use crate::wit::{describer, lister, poller};

/// What a plugin can do, by the interfaces that it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Turns webhooks into changes.
    pub mapper: bool,
    /// Reads the partner's list of changes.
    pub poller: bool,
    /// Lists and fetches entities.
    pub lister: bool,
}

/// A component that is ready to be instantiated.
pub(crate) struct Compiled {
    pub(crate) digest: PluginDigest,
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) limits: CallLimits,
    pub(crate) from_cache: bool,
    /// Kept, so that time limits hold while a plugin outlives its runtime.
    pub(crate) _ticker: Arc<Ticker>,
}

impl Compiled {
    /// A fresh instance for one call: limits are set, and whatever start code the guest
    /// has ran within them. It holds a place in the engine's pool until its store is
    /// dropped, and leaves nothing behind.
    pub(crate) fn store(&self, now: Timestamp, seed: u64) -> Store<Guest> {
        let guest = Guest::new(&self.limits, now, seed);
        let mut store = Store::new(self.pre.engine(), guest);
        store.limiter(|guest| &mut guest.meter);
        store.set_epoch_deadline(epochs(self.limits.time));
        store.set_hostcall_fuel(self.limits.host_call_bytes);
        // Streams and pollables; nobody needs hundreds.
        store.set_max_component_handles(1_024);
        store
    }

    /// Says what an error in a call of `function` means.
    pub(crate) fn failure(&self, function: &str, error: &wasmtime::Error, stderr: &str) -> Failure {
        fault::failure(function, error, stderr, &self.limits)
    }
}

/// What the component exports, each compared with the contract's type at load, so that no
/// later call can fail for it.
pub(crate) struct Exports {
    pub(crate) map_webhook: Option<MapWebhook>,
    capabilities: Capabilities,
}

impl Exports {
    fn find(
        pre: &InstancePre<Guest>,
        store: &mut Store<Guest>,
        instance: &Instance,
    ) -> Result<Self, LoadError> {
        let exported = |interface: &str| {
            let name = format!("tidegate:connector/{interface}@0.1.0");
            pre.component().get_export_index(None, &name).is_some()
        };
        let capabilities = Capabilities {
            mapper: exported("mapper"),
            poller: exported("poller"),
            lister: exported("lister"),
        };
        let map_webhook = capabilities
            .mapper
            .then(|| MapWebhook::find(pre, &mut *store, instance))
            .transpose()
            .map_err(|error| LoadError::export("mapper", &error))?;
        if capabilities.poller {
            poller::GuestIndices::new(pre)
                .and_then(|indices| indices.load(&mut *store, instance))
                .map_err(|error| LoadError::export("poller", &error))?;
        }
        if capabilities.lister {
            lister::GuestIndices::new(pre)
                .and_then(|indices| indices.load(&mut *store, instance))
                .map_err(|error| LoadError::export("lister", &error))?;
        }
        Ok(Self {
            map_webhook,
            capabilities,
        })
    }
}

/// One version of a plugin, ready to be called. Clones share it; the code goes when the
/// last one does, so a call in flight ends on the version that it began with.
#[derive(Clone)]
pub struct Plugin {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) compiled: Compiled,
    pub(crate) exports: Exports,
    descriptor: Bytes,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("digest", &self.digest())
            .field("capabilities", &self.capabilities())
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Asks the component for its descriptor, within the limits of a call.
    pub(crate) fn describe(compiled: Compiled) -> Result<Self, LoadError> {
        // No event, so no time and no chance to speak of: the same descriptor each time.
        let mut store = compiled.store(Timestamp::EPOCH, 0);
        let described = (|| {
            let pre = &compiled.pre;
            let instance = pre.instantiate(&mut store).map_err(Described::Call)?;
            let exports = Exports::find(pre, &mut store, &instance).map_err(Described::Load)?;
            let descriptor = describer::GuestIndices::new(pre)
                .and_then(|indices| indices.load(&mut store, &instance))
                .map_err(|error| Described::Load(LoadError::export("describer", &error)))?
                .call_describe(&mut store)
                .map_err(Described::Call)?;
            Ok((exports, descriptor))
        })();
        let (exports, descriptor) = described.map_err(|error| match error {
            Described::Load(error) => error,
            Described::Call(error) => {
                let stderr = store.data().stderr.text();
                LoadError::Describe {
                    failure: compiled.failure("describe", &error, &stderr),
                    stderr,
                }
            }
        })?;
        if descriptor.len() > DESCRIPTOR_BYTES_MAX {
            return Err(LoadError::DescriptorTooLarge {
                bytes: descriptor.len(),
            });
        }
        drop(store);
        Ok(Self {
            inner: Arc::new(Inner {
                compiled,
                exports,
                descriptor: descriptor.into(),
            }),
        })
    }

    /// The digest of its file, which names the version.
    pub fn digest(&self) -> PluginDigest {
        self.inner.compiled.digest
    }

    /// Its descriptor as it gave it: within the size bound, not looked into.
    pub fn descriptor_json(&self) -> &Bytes {
        &self.inner.descriptor
    }

    /// What it can do.
    pub fn capabilities(&self) -> Capabilities {
        self.inner.exports.capabilities
    }

    /// Whether it was found compiled.
    pub fn from_cache(&self) -> bool {
        self.inner.compiled.from_cache
    }
}

/// How asking for the descriptor went wrong.
enum Described {
    Load(LoadError),
    Call(wasmtime::Error),
}
