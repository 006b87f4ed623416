//! What a connector does whose partner can be compared with the mirror.

use crate::{Change, Connection, Describer, EntityRef, Failure, Partner, Timestamp};

/// Lists and fetches entities, for reconciliation and thin events.
pub trait Lister: Describer {
    /// Lists one page of one entity kind.
    ///
    /// # Errors
    /// What [`Partner::send`] gave is passed on with `?`.
    fn list_entities(
        partner: &dyn Partner,
        connection: &Connection,
        kind: &str,
        scope: Scope,
        page: Option<&str>,
    ) -> Result<Listing, Failure>;

    /// Fetches one entity's present state.
    ///
    /// # Errors
    /// [`Failure::NotFound`] says that the entity is gone, and only a partner's own
    /// answer may say so.
    fn fetch(
        partner: &dyn Partner,
        connection: &Connection,
        entity: &EntityRef,
    ) -> Result<Change, Failure>;
}

/// What a listing covers. Filled in by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every entity of the kind: absence means something.
    All,
    /// Those changed since the instant: absence means nothing.
    Since(Timestamp),
}

/// One entity as the listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The partner's id, as in [`EntityRef`].
    pub id: String,
    /// As in [`Change`].
    pub version: Option<i64>,
    /// As in [`Change`].
    pub revision: Option<String>,
    /// The state, where the listing carries it anyway; saves a fetch.
    pub data: Option<Vec<u8>>,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// At most 1,000 entities.
    pub entities: Vec<Listed>,
    /// The position of the next page, at most 4 KiB. None ends the listing.
    pub next: Option<String>,
}
