//! The plugin: one connector's mapper, which maps honestly, skips, breaks, lies, fails for
//! a while, or brings the host down, as each webhook says.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::failure::{Failure, FailureClass, PluginFault};
use tidegate_core::ids::{ConnectionId, EventId, PluginDigest};
use tidegate_core::mapping::{MapCall, MapReport, Mapped};
use tidegate_core::ports::{ConnectionRules, MapRoute, Mapper, Routes};

use crate::checks::VERIFIED;
use crate::exec::lock;
use crate::webhook::{Conduct, Version};
use crate::world::{Ending, World};

/// Which version is loaded, and how the partner's side stands.
#[derive(Debug, Default)]
pub struct Shelf {
    corrected: bool,
    credentials_renewed: bool,
    calls: BTreeMap<EventId, u32>,
}

impl Shelf {
    /// The corrected version serves from now on.
    pub const fn correct(&mut self) {
        self.corrected = true;
    }

    /// The partner takes the credentials from now on.
    pub const fn renew_credentials(&mut self) {
        self.credentials_renewed = true;
    }

    /// The version that serves.
    pub const fn serves(&self) -> Version {
        if self.corrected {
            Version::Second
        } else {
            Version::First
        }
    }
}

/// The digest of a version.
pub const fn digest(version: Version) -> PluginDigest {
    match version {
        Version::First => PluginDigest::new([1; 32]),
        Version::Second => PluginDigest::new([2; 32]),
    }
}

/// The version of a digest.
pub fn version(of: PluginDigest) -> Version {
    if of == digest(Version::First) {
        Version::First
    } else {
        Version::Second
    }
}

/// The routes of the host: one plugin for every connection.
#[derive(Clone, Debug)]
pub struct Plugins(pub Arc<World>);

/// One version, ready to be called.
#[derive(Debug)]
pub struct Loaded {
    world: Arc<World>,
    version: Version,
}

impl Routes for Plugins {
    type Mapper = Loaded;

    fn route(&self, _: &ConnectionId, with: Option<PluginDigest>) -> MapRoute<Loaded> {
        let serves = lock(&self.0.shelf).serves();
        let loaded = Loaded {
            world: self.0.clone(),
            version: with.map_or(serves, version),
        };
        let rules = ConnectionRules::new(None, Bytes::from_static(b"{}"));
        MapRoute::Plugin(loaded, Arc::new(rules))
    }
}

impl Mapper for Loaded {
    fn map(&self, call: &MapCall<'_>) -> MapReport {
        MapReport {
            plugin: digest(self.version),
            answer: self.answer(call),
            stderr: String::new(),
        }
    }
}

impl Loaded {
    fn answer(&self, call: &MapCall<'_>) -> Result<Mapped, Failure> {
        let webhook = self.world.register().get(&call.event.body).cloned();
        let Some(webhook) = webhook.filter(|known| known.connection == call.event.connection)
        else {
            let said = format!("a plugin was given {:?}, which nobody signed", call.event);
            self.world.fail(VERIFIED, said);
            return Err(Failure::new(FailureClass::Permanent, "nobody signed it"));
        };
        self.world.checks().mapper_runs(call.id);
        let (times_called, renewed) = {
            let mut known = lock(&self.world.shelf);
            let times = known.calls.entry(call.id).or_default();
            *times += 1;
            (*times, known.credentials_renewed)
        };
        let first = self.version == Version::First;
        match webhook.conduct {
            Conduct::Skip => Ok(Mapped::Skip {
                reason: "nothing in it".into(),
            }),
            Conduct::Refuses if first => {
                Err(Failure::new(FailureClass::Permanent, "it cannot be read"))
            }
            Conduct::Breaks if first => Err(self.breaks()),
            Conduct::Flaky(times) if times_called <= times => {
                Err(Failure::new(FailureClass::TRANSIENT, "not now"))
            }
            Conduct::Patience(times) if times_called <= times => {
                let delay = Some(std::time::Duration::from_secs(90));
                let class = FailureClass::RateLimited { delay };
                Err(Failure::new(class, "patience"))
            }
            Conduct::Unauthorized if !renewed => {
                Err(Failure::new(FailureClass::Unauthorized, "401"))
            }
            Conduct::Stops if first => {
                self.world
                    .tell(format!("mapping {} ends the host's process", call.id));
                self.world.end_host(Ending::Killed);
                Err(Failure::new(FailureClass::TRANSIENT, "nobody hears this"))
            }
            Conduct::Honest
            | Conduct::Wrong
            | Conduct::Refuses
            | Conduct::Breaks
            | Conduct::Flaky(_)
            | Conduct::Patience(_)
            | Conduct::Unauthorized
            | Conduct::Stops => Ok(Mapped::Mapping(webhook.mapping(self.version))),
        }
    }

    /// A trap, a hang, a limit: what the runtime makes of them.
    fn breaks(&self) -> Failure {
        let fault = self.world.rng().pick(&PluginFault::ALL).copied();
        let fault = fault.unwrap_or(PluginFault::Trap);
        Failure::new(FailureClass::PluginFault(fault), "it broke")
    }
}
