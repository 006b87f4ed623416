//! What a plugin makes of an event, and the checks that its answer passes.

use bytes::Bytes;

use crate::change::{EntityRef, OutOfBounds, ProposedChange};
use crate::event::Event;
use crate::failure::Failure;
use crate::ids::{EventId, PluginDigest};
use crate::limits;

/// One call of a plugin's mapper.
#[derive(Clone, Debug)]
pub struct MapCall<'a> {
    /// The event's id.
    pub id: EventId,
    /// The event.
    pub event: &'a Event,
    /// Base URL of the partner's API for this connection.
    pub base_url: Option<&'a str>,
    /// The connection's settings as a JSON object.
    pub settings: &'a Bytes,
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct MapReport {
    /// The plugin version that ran.
    pub plugin: PluginDigest,
    /// What it answered, or how it failed.
    pub answer: Result<Mapped, Failure>,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// A checked answer of a mapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// Changes and wishes.
    Mapping(Mapping),
    /// Nothing in it.
    Skip {
        /// Why.
        reason: String,
    },
}

/// Changes and wishes of one event, within bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// What changed.
    pub changes: Vec<ProposedChange>,
    /// What to fetch.
    pub fetch: Vec<EntityRef>,
    /// Whether to poll the connection now.
    pub poll_now: bool,
}

/// A mapping outside the contract's bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMapping {
    /// It says nothing at all.
    #[error("the mapping is empty: return skip with a reason instead")]
    Empty,
    /// Too many changes.
    #[error("the mapping has {count} changes, over 1000")]
    TooManyChanges {
        /// How many.
        count: usize,
    },
    /// Too many fetches.
    #[error("the mapping names {count} entities to fetch, over 100")]
    TooManyFetches {
        /// How many.
        count: usize,
    },
    /// A skip without a reason, or with a novel.
    #[error("the reason of a skip is {bytes} bytes long, not 1 to 1024")]
    SkipReason {
        /// How long.
        bytes: usize,
    },
    /// One of its parts.
    #[error(transparent)]
    Part(#[from] OutOfBounds),
}

impl Mapped {
    /// Checks the contract's bounds.
    pub fn check(&self) -> Result<(), BadMapping> {
        match self {
            Self::Mapping(mapping) => mapping.check(),
            Self::Skip { reason } => {
                if (1..=limits::SKIP_REASON_BYTES_MAX).contains(&reason.len()) {
                    Ok(())
                } else {
                    Err(BadMapping::SkipReason {
                        bytes: reason.len(),
                    })
                }
            }
        }
    }
}

impl Mapping {
    fn check(&self) -> Result<(), BadMapping> {
        if self.changes.is_empty() && self.fetch.is_empty() && !self.poll_now {
            return Err(BadMapping::Empty);
        }
        if self.changes.len() > limits::MAPPING_CHANGES_MAX {
            return Err(BadMapping::TooManyChanges {
                count: self.changes.len(),
            });
        }
        if self.fetch.len() > limits::MAPPING_FETCHES_MAX {
            return Err(BadMapping::TooManyFetches {
                count: self.fetch.len(),
            });
        }
        self.changes.iter().try_for_each(ProposedChange::check)?;
        self.fetch.iter().try_for_each(EntityRef::check)?;
        Ok(())
    }
}
