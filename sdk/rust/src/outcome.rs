//! What a webhook means.

use crate::{Change, EntityRef};

/// What a webhook means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What changed, and what else to do. Never an empty mapping: use `Skip`.
    Mapped(Mapping),
    /// Nothing in it for the change log; the reason is kept with the event, at most
    /// 1 KiB, and says what was skipped: `event type "fork" is not mapped`.
    Skip(String),
}

/// Changes and wishes of one webhook. All of it becomes durable in one write.
///
/// ```
/// use tidegate_sdk::{Change, EntityRef, Mapping, Outcome};
///
/// let mapping = Mapping::default()
///     .change(Change::delete("draft", 4))
///     .fetch(EntityRef::new("invoice", 5));
/// let outcome = Outcome::from(mapping);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// At most 1,000 changes. Where one entity stands twice, the higher version
    /// counts; the last, where versions tie or one is missing.
    pub changes: Vec<Change>,
    /// Entities that the webhook names but does not carry: the host fetches them. At
    /// most 100.
    pub fetch: Vec<EntityRef>,
    /// The webhook only says that something changed: poll this connection now.
    pub poll_now: bool,
}

impl Outcome {
    /// Nothing in it for the change log, and why.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::Skip(reason.into())
    }
}

impl From<Mapping> for Outcome {
    fn from(mapping: Mapping) -> Self {
        Self::Mapped(mapping)
    }
}

impl From<Change> for Outcome {
    fn from(change: Change) -> Self {
        Self::Mapped(Mapping {
            changes: vec![change],
            ..Mapping::default()
        })
    }
}

impl Mapping {
    /// Adds a change.
    #[must_use]
    pub fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Asks the host to fetch an entity.
    #[must_use]
    pub fn fetch(mut self, entity: EntityRef) -> Self {
        self.fetch.push(entity);
        self
    }

    /// Asks the host to poll this connection now.
    #[must_use]
    pub fn poll_now(mut self) -> Self {
        self.poll_now = true;
        self
    }
}
