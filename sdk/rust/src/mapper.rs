//! What every connector does, and what a connector with webhooks does.

use std::borrow::Cow;

use crate::{Connection, Failure, Outcome, Webhook};

/// Says what the connector is. The host calls it once per loaded version.
pub trait Describer {
    /// The descriptor: one JSON object, at most 256 KiB. Mostly
    /// `include_str!("../descriptor.json").into()`.
    fn descriptor() -> Cow<'static, str>;
}

/// Turns one verified webhook into change records.
///
/// A pure function of its arguments: no network, the clock stands at the event's
/// receipt, randomness is seeded by the event. That is what makes a replay exact. It is
/// called in a fresh instance, so nothing needs to be kept or cleaned up.
pub trait Mapper: Describer {
    /// Maps one webhook.
    ///
    /// # Errors
    /// [`Failure::Permanent`] for a payload that can never be mapped: the event becomes a
    /// dead letter with this reason, is shown to an operator, and can be replayed once
    /// the plugin is corrected.
    fn map_webhook(connection: &Connection, webhook: &Webhook) -> Result<Outcome, Failure>;
}
