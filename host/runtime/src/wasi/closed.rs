//! Files and sockets: doors that are there and closed.
//!
//! The interfaces are large and a plugin has no use for any of it, but interpreters
//! import them whole. So their functions are defined from the component's own imports, at
//! load, and all say no: an error code where the function has one, nothing where it may
//! answer nothing. A function that can do neither ends the call and names itself.

use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, Linker, Resource, ResourceAny, ResourceType, Val};
use wasmtime::{AsContextMut, Result};

use super::Descriptor;
use crate::guest::Guest;

/// A network, a socket, a name look-up: nothing stands behind it.
struct Closed;

/// A function that has no way to say no.
#[derive(Debug, thiserror::Error)]
#[error("it called {interface} {function}, which a plugin does not have")]
struct NotOffered {
    interface: String,
    function: String,
}

/// Error codes that say "you may not", in the order of preference.
const REFUSALS: [&str; 3] = ["access-denied", "not-permitted", "access"];

/// Whether the interface is one of these doors.
pub(crate) fn covers(import: &str) -> bool {
    import.starts_with("wasi:sockets/") || import.starts_with("wasi:filesystem/types@")
}

/// Defines the closed doors that `component` imports.
pub(crate) fn define(linker: &mut Linker<Guest>, component: &Component) -> Result<()> {
    let engine = linker.engine().clone();
    let ty = component.component_type();
    for (interface, import) in ty.imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = &import.ty else {
            continue;
        };
        if !covers(interface) {
            continue;
        }
        let mut door = linker.instance(interface)?;
        for (name, item) in instance.exports(&engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let (interface, function) = (interface.to_owned(), name.to_owned());
                    door.func_new(name, move |mut store, ty, params, results| {
                        for param in params {
                            // What was lent is given back, or the call would not end well.
                            if let Val::Resource(lent) = param {
                                lent.resource_drop(&mut store)?;
                            }
                        }
                        if let Some(result) = results.first_mut() {
                            *result = refusal(&mut store, &ty)?.ok_or_else(|| NotOffered {
                                interface: interface.clone(),
                                function: function.clone(),
                            })?;
                        }
                        Ok(())
                    })?;
                }
                // Those that an interface only uses are defined where they come from.
                ComponentItem::Resource(_) if !shared(name) => {
                    let ty = if name == "descriptor" {
                        ResourceType::host::<Descriptor>()
                    } else {
                        ResourceType::host::<Closed>()
                    };
                    door.resource(name, ty, |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn shared(resource: &str) -> bool {
    ["error", "pollable", "input-stream", "output-stream"].contains(&resource)
}

/// The answer that says no, where the function's type has one.
fn refusal(store: impl AsContextMut, ty: &ComponentFunc) -> Result<Option<Val>> {
    let Some(result) = ty.results().next() else {
        return Ok(None);
    };
    Ok(match result {
        Type::Result(result) => result.err().map(|error| {
            let code = match &error {
                Type::Enum(codes) => REFUSALS
                    .into_iter()
                    .find(|refusal| codes.names().any(|name| name == *refusal))
                    .map(|code| Box::new(Val::Enum(code.to_owned()))),
                _ => None,
            };
            Val::Result(Err(code))
        }),
        Type::Option(_) => Some(Val::Option(None)),
        Type::Own(_) => {
            let closed = Resource::<Closed>::new_own(0);
            Some(Val::Resource(ResourceAny::try_from_resource(
                closed, store,
            )?))
        }
        _ => None,
    })
}
