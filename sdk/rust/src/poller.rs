//! What a connector does whose partner keeps a list of changes.

use crate::{Change, Connection, Describer, Failure, Partner, Timestamp};

/// Reads the partner's list of changes, page by page.
pub trait Poller: Describer {
    /// Reads one page.
    ///
    /// # Errors
    /// What [`Partner::send`] gave is passed on with `?`; an answer that makes no sense
    /// is [`Failure::Permanent`].
    fn poll_changes(
        partner: &dyn Partner,
        connection: &Connection,
        position: &Position,
    ) -> Result<Page, Failure>;
}

/// A position in the partner's change list. The host stores it, in the same write as the
/// page's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// Everything that changed before this instant has been stored. The bound is
    /// inclusive and the host subtracts an overlap; it never moves back.
    Time(Timestamp),
    /// As `Time`, for partners with a sequence number.
    Number(i64),
    /// The partner's own opaque text, at most 4 KiB, taken as given.
    Token(String),
}

/// Where to read. Filled in by the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Where the last finished tick ended. None on the first poll of a connection.
    pub checkpoint: Option<Checkpoint>,
    /// The plugin's own position inside this tick, from the page before. None on the
    /// first page.
    pub page: Option<String>,
    /// The largest number of records the host wants in one page.
    pub limit: u32,
}

/// One page of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most `limit` changes, oldest first where the partner orders them.
    pub changes: Vec<Change>,
    /// The checkpoint that holds once this page is stored. None keeps the old one.
    pub checkpoint: Option<Checkpoint>,
    /// The position of the next page inside this tick, at most 4 KiB. None ends the tick.
    pub next: Option<String>,
}
