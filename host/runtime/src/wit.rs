//! The contract's bindings, generated from `wit/`.
//!
//! Bindings of a released version stay; when a second range is served it gets a module
//! of its own beside this one, and converts into the newest.

pub(crate) use generated::exports::tidegate::connector::{describer, lister, mapper, poller};
pub(crate) use generated::tidegate::connector::{partner, types};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "connector",
        imports: { default: trappable },
        // What the host hands over is lowered from where it lies.
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}
