//! A plugin that does what the webhook's body tells it to, and most of that is bad.
//!
//! The body is a behaviour's name, with an argument after a space where it takes one. One
//! guest for all behaviours keeps the build short. What it says of itself is chosen by
//! the bytes of `describe::CHOICE`, which the tests overwrite in the built file.
//!
//! Nothing here is an example to follow; those are in the SDK.

#![cfg(target_family = "wasm")]
#![expect(
    unsafe_code,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::same_length_and_capacity,
    reason = "exports of a component are raw functions, and this one does what it should not"
)]

mod answers;
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "connector" });
}
mod describe;
mod faults;
mod memory;
mod senses;

#[cfg(feature = "sdk")]
use tidegate_sdk as _;

use bindings::exports::tidegate::connector::lister::{Guest as Lister, Listing, Scope};
use bindings::exports::tidegate::connector::mapper::{Guest as Mapper, Outcome, Webhook};
use bindings::exports::tidegate::connector::poller::{Guest as Poller, Page, Position};
use bindings::tidegate::connector::types::{Change, Connection, EntityRef, Failure};

struct Misbehave;

bindings::export!(Misbehave with_types_in bindings);

impl Mapper for Misbehave {
    fn map_webhook(connection: Connection, webhook: Webhook) -> Result<Outcome, Failure> {
        let order = String::from_utf8_lossy(&webhook.body).into_owned();
        let (name, argument) = order.split_once(' ').unwrap_or((&order, ""));
        faults::perform(name)
            .or_else(|| memory::perform(name))
            .or_else(|| senses::perform(name, argument, &connection, &webhook))
            .or_else(|| answers::perform(name, argument))
            .unwrap_or_else(|| {
                Err(Failure::Permanent(format!(
                    "there is no behaviour {name:?}"
                )))
            })
    }
}

impl Poller for Misbehave {
    fn poll_changes(_: Connection, _: Position) -> Result<Page, Failure> {
        Err(Failure::Permanent("this plugin does not poll".into()))
    }
}

impl Lister for Misbehave {
    fn list_entities(
        _: Connection,
        _: String,
        _: Scope,
        _: Option<String>,
    ) -> Result<Listing, Failure> {
        Err(Failure::Permanent("this plugin does not list".into()))
    }

    fn fetch(_: Connection, entity: EntityRef) -> Result<Change, Failure> {
        Err(Failure::NotFound(entity.id))
    }
}
