//! Runs plugins: WebAssembly components, each call in a fresh instance within limits.
//!
//! The only crate that knows wasmtime. A file of bytes comes in ([`Runtime::load`]) and
//! is admitted by its imports and exports before anything is compiled; a [`Plugin`] comes
//! out, which maps events on the caller's thread. Whatever a plugin does, the call ends
//! as a [`tidegate_core::failure::Failure`] that names the limit it met, and the next
//! call finds nothing of it.
//!
//! A plugin sees the event it is given and nothing else. Its WASI (`wasi`) is written
//! here and has no way to a file, a socket, the environment, the time or chance of this
//! machine, so mapping is a function of the event, the plugin and the settings.
//!
//! Deliberately absent: what a descriptor means (core), when a plugin is replaced and
//! whether it may be (the host), retries (core), threads (the host owns those that call).

mod cache;
mod compiler;
mod component;
mod engine;
mod fault;
mod guest;
mod limits;
mod mapper;
mod partner;
mod plugin;
mod runtime;
mod wasi;
mod wit;

pub use compiler::CompilerProcess;
pub use component::LoadError;
pub use engine::KernelFacts;
pub use limits::CallLimits;
pub use plugin::{Capabilities, Plugin};
pub use runtime::{Runtime, RuntimeError, RuntimeOptions};
