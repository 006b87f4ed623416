//! A way in: what a configured path's requests are verified with, whose they are, and how
//! they are answered.
//!
//! Built from the configuration and the descriptor; only its keys change afterwards, when a
//! partner hands over a secret. A path where nothing can be verified has no way in, unless a
//! waiver says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tidegate_core::descriptor::Acknowledge;
use tidegate_core::signature::{
    EventIdRule, Handshake, HandshakeState, KeySet, Preset, SECRETS_MAX, SchemeConfig, Secret,
    Waiver,
};
use tidegate_core::time::Timestamp;
use tidegate_flow::ingest::{Address, Door};
use tidegate_store::ReceivedSecret;

use super::Seat;
use super::matches::Matches;
use crate::config::{Config, Whose};

/// A way in.
#[derive(Debug)]
pub(crate) struct Entrance {
    open: ArcSwap<Open>,
    pub(crate) address: Address,
    pub(crate) acknowledge: Option<Acknowledge>,
    /// From how many refusals in a row on its partner is about to give up.
    pub(crate) alert_from: Option<u64>,
    /// Which secrets still match.
    pub(crate) matches: Matches,
    /// Tokens that partners ask an endpoint with, by name.
    tokens: BTreeMap<String, Secret>,
    /// The operator's secrets; those that the partner handed over are tried after them.
    configured: Vec<Secret>,
    config: SchemeConfig,
}

/// What opens it now.
#[derive(Debug)]
struct Open {
    door: Arc<Door>,
    /// The secrets of its keys by their position.
    secrets: Vec<SecretFacts>,
}

/// What may be shown of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretFacts {
    /// The handshake that it came by, and its place among those; none where an operator
    /// configured it.
    pub(crate) received: Option<(String, u32)>,
    /// Up to when it is believed.
    pub(crate) not_after: Option<Timestamp>,
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
        self.open.load().door.clone()
    }

    /// What may be shown of its secrets, by position.
    pub(crate) fn secrets(&self) -> Vec<SecretFacts> {
        self.open.load().secrets.clone()
    }

    /// The values of `{config:NAME}` in its scheme.
    pub(crate) const fn config(&self) -> &SchemeConfig {
        &self.config
    }

    /// Whether it has a handshake that hands a secret over.
    pub(crate) fn takes_secret(&self) -> bool {
        let door = self.door();
        door.handshakes().iter().any(Handshake::stores_secret)
    }

    /// What its handshakes are decided by. `awaiting` is asked only where one hands over a
    /// secret.
    pub(crate) fn handshake_state(
        &self,
        door: &Door,
        awaiting: impl FnOnce() -> bool,
    ) -> HandshakeState {
        if door.handshakes().is_empty() {
            return HandshakeState::default();
        }
        let takes_secret = door.handshakes().iter().any(Handshake::stores_secret);
        HandshakeState {
            awaiting: takes_secret && awaiting(),
            established: takes_secret && !self.open.load().secrets.is_empty(),
            tokens: self.tokens.clone(),
        }
    }

    /// Has its requests verified with what the partner handed over, too. The newest of those
    /// that fit are kept, and one that does not fit the scheme is passed over.
    pub(super) fn verify_with(&self, received: &[(ReceivedSecret, Secret)]) {
        let door = self.door();
        let Door::Signed {
            scheme, handshakes, ..
        } = &*door
        else {
            return;
        };
        let fits =
            |secret: &Secret| KeySet::prepare_with(scheme, [secret.clone()], &self.config).is_ok();
        let fitting: Vec<_> = received.iter().filter(|(_, secret)| fits(secret)).collect();
        let room = SECRETS_MAX.saturating_sub(self.configured.len());
        let newest = fitting.iter().skip(fitting.len().saturating_sub(room));
        let (mut secrets, mut facts) = (self.configured.clone(), facts(&self.configured));
        for (known, secret) in newest {
            secrets.push(secret.clone());
            facts.push(SecretFacts {
                received: Some((known.origin.clone(), known.position)),
                not_after: known.not_after,
            });
        }
        match KeySet::prepare_with(scheme, secrets, &self.config) {
            Ok(keys) => {
                let door = Door::Signed {
                    scheme: scheme.clone(),
                    keys,
                    handshakes: handshakes.clone(),
                };
                self.open.store(Arc::new(Open {
                    door: Arc::new(door),
                    secrets: facts,
                }));
            }
            Err(error) => {
                tracing::error!(%error, "what the partner handed over cannot be verified with");
            }
        }
    }
}

fn facts(configured: &[Secret]) -> Vec<SecretFacts> {
    let facts = |secret: &Secret| SecretFacts {
        received: None,
        not_after: secret.not_after(),
    };
    configured.iter().map(facts).collect()
}

/// The way in at a path of that configuration.
pub(super) fn build(
    config: &Config,
    whose: Whose<'_>,
    address: Address,
    seat: &Seat,
) -> Result<Entrance, NoEntrance> {
    let preset = config.preset_of(whose);
    let acknowledge = preset.and_then(|preset| preset.acknowledge()).or_else(|| {
        let descriptor = seat.descriptor();
        descriptor.and_then(|descriptor| descriptor.acknowledge())
    });
    let disables_after = preset.and_then(Preset::disables_after);
    let (door, configured) = match signed(config, whose, seat) {
        Ok(signed) => signed,
        // Secrets that do not fit are a mistake, and no reason to do without any.
        Err(problem @ NoEntrance::Unsupported { .. }) => return Err(problem),
        Err(problem) => (waived(config, whose).ok_or(problem)?, Vec::new()),
    };
    Ok(Entrance {
        open: ArcSwap::from_pointee(Open {
            door: Arc::new(door),
            secrets: facts(&configured),
        }),
        address,
        acknowledge: acknowledge.cloned(),
        // Half way there is time to do something about it.
        alert_from: disables_after.map(|count| u64::from(count.div_ceil(2))),
        matches: Matches::default(),
        tokens: config.tokens_of(whose),
        configured,
        config: config.scheme_config_of(whose),
    })
}

fn signed(
    config: &Config,
    whose: Whose<'_>,
    seat: &Seat,
) -> Result<(Door, Vec<Secret>), NoEntrance> {
    let unsupported = |reason| NoEntrance::Unsupported { reason };
    let descriptor = seat.descriptor();
    let described = descriptor.and_then(|descriptor| descriptor.scheme());
    let scheme = config
        .scheme_of(whose, described)
        .map_err(|problems| unsupported(problems.to_string()))?
        .ok_or_else(|| NoEntrance::NoScheme {
            reason: seat.no_scheme(),
        })?;
    let handshakes = config
        .preset_of(whose)
        .map(Preset::handshakes)
        .filter(|handshakes| !handshakes.is_empty())
        .or_else(|| descriptor.map(|descriptor| descriptor.handshakes()))
        .unwrap_or_default();
    let secrets = config.secrets_of(whose).map(|secrets| &secrets.webhook);
    let secrets = secrets.cloned().unwrap_or_default();
    // What a partner hands over belongs to one connection.
    let handed_over =
        matches!(whose, Whose::Connection(_)) && handshakes.iter().any(Handshake::stores_secret);
    if secrets.is_empty() && !handed_over && !scheme.fetches_keys() {
        return Err(NoEntrance::NoSecret);
    }
    let values = config.scheme_config_of(whose);
    let keys = KeySet::prepare_with(&scheme, secrets.iter().cloned(), &values)
        .map_err(|error| unsupported(error.to_string()))?;
    let door = Door::Signed {
        scheme,
        keys,
        handshakes: handshakes.to_vec(),
    };
    Ok((door, secrets))
}

/// A connection's waiver, with the event-id rule of the configuration.
fn waived(config: &Config, whose: Whose<'_>) -> Option<Door> {
    let Whose::Connection(id) = whose else {
        return None;
    };
    let waiver: Waiver = config.policy.waiver_of(id)?.clone();
    let event_id = config.event_id_of(whose).unwrap_or(EventIdRule::BodyHash);
    Some(Door::Waived { waiver, event_id })
}
