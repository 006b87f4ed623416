//! A way in: what a configured path's requests are verified with, whose they are, and how
//! they are answered.
//!
//! Built from the configuration and the descriptor; only its keys change afterwards, when a
//! partner hands over a secret. A path where nothing can be verified has no way in, unless a
//! waiver says so.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tidegate_core::descriptor::Acknowledge;
use tidegate_core::signature::{EventIdRule, KeySet, Scheme, Secret, Waiver};
use tidegate_flow::ingest::{Address, Door};

use super::Seat;
use crate::config::{Config, Whose};

/// A way in.
#[derive(Debug)]
pub(crate) struct Entrance {
    door: ArcSwap<Door>,
    pub(crate) address: Address,
    pub(crate) acknowledge: Option<Acknowledge>,
    /// The operator's secrets; those that the partner handed over are tried beside them.
    configured: Vec<Secret>,
}

/// Why there is no way in at a configured path, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoEntrance {
    /// Nothing says how requests are signed.
    #[error("no scheme says how its requests are signed: {reason}")]
    NoScheme {
        /// Why not.
        reason: String,
    },
    /// There is nothing to verify with.
    #[error("it has no webhook secret: set secrets.webhook")]
    NoSecret,
    /// The scheme is not one that this version verifies.
    #[error("its requests cannot be verified: {reason}")]
    Unsupported {
        /// What is missing.
        reason: String,
    },
}

impl Entrance {
    /// What opens it now.
    pub(crate) fn door(&self) -> Arc<Door> {
        self.door.load_full()
    }

    /// Has its requests verified with what the partner handed over, too. The newest of those
    /// that fit are kept, and one that does not fit the scheme is passed over.
    pub(super) fn verify_with<'s>(&self, received: impl Iterator<Item = &'s Secret>) {
        let door = self.door();
        let Door::Signed { scheme, .. } = &*door else {
            return;
        };
        let fits = |secret: &&Secret| KeySet::prepare(scheme, [(*secret).clone()]).is_ok();
        let mut secrets: Vec<Secret> = received.filter(fits).cloned().collect();
        secrets.extend(self.configured.iter().cloned());
        match KeySet::prepare(scheme, secrets) {
            Ok(keys) => {
                let scheme = scheme.clone();
                self.door.store(Arc::new(Door::Signed { scheme, keys }));
            }
            Err(error) => {
                tracing::error!(%error, "what the partner handed over cannot be verified with");
            }
        }
    }
}

/// The way in at a path of that configuration.
pub(super) fn build(
    config: &Config,
    whose: Whose<'_>,
    address: Address,
    seat: &Seat,
) -> Result<Entrance, NoEntrance> {
    let acknowledge = seat
        .descriptor()
        .and_then(|descriptor| descriptor.acknowledge().cloned());
    match verified(config, whose, seat) {
        Ok((scheme, configured, keys)) => Ok(Entrance {
            door: ArcSwap::from_pointee(Door::Signed { scheme, keys }),
            address,
            acknowledge,
            configured,
        }),
        // Secrets that do not fit are a mistake, and no reason to do without any.
        Err(problem @ NoEntrance::Unsupported { .. }) => Err(problem),
        Err(problem) => {
            let (waiver, event_id) = waived(config, whose).ok_or(problem)?;
            Ok(Entrance {
                door: ArcSwap::from_pointee(Door::Waived { waiver, event_id }),
                address,
                acknowledge,
                configured: Vec::new(),
            })
        }
    }
}

fn verified(
    config: &Config,
    whose: Whose<'_>,
    seat: &Seat,
) -> Result<(Scheme, Vec<Secret>, KeySet), NoEntrance> {
    let unsupported = |reason| NoEntrance::Unsupported { reason };
    let described = seat.descriptor().and_then(|descriptor| descriptor.scheme());
    let scheme = config
        .scheme_of(whose, described)
        .map_err(|problems| unsupported(problems.to_string()))?
        .ok_or_else(|| NoEntrance::NoScheme {
            reason: seat.no_scheme(),
        })?;
    let secrets = config.secrets_of(whose).map(|secrets| &secrets.webhook);
    let secrets = secrets
        .filter(|secrets| !secrets.is_empty())
        .ok_or(NoEntrance::NoSecret)?;
    let keys = KeySet::prepare(&scheme, secrets.iter().cloned())
        .map_err(|error| unsupported(error.to_string()))?;
    Ok((scheme, secrets.clone(), keys))
}

/// A connection's waiver, with the event-id rule of the configuration.
fn waived(config: &Config, whose: Whose<'_>) -> Option<(Waiver, EventIdRule)> {
    let Whose::Connection(id) = whose else {
        return None;
    };
    let waiver = config.policy.waiver_of(id)?.clone();
    let event_id = config.event_id_of(whose).unwrap_or(EventIdRule::BodyHash);
    Some((waiver, event_id))
}
