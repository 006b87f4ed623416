//! How sinks stand, for people and metrics.

use std::collections::BTreeMap;

use tidegate_core::ids::SinkName;
use tidegate_core::ports::{ChangeLog as _, LogError, ReadError};
use tidegate_core::sink::{SinkFilter, SinkStanding, SinkStart};
use tidegate_core::task::{Owner, Work};
use tidegate_core::time::Timestamp;
use tidegate_store::Reader;

use super::{Known, SinkParts};

/// How a sink stands.
#[derive(Clone, Debug)]
pub(crate) struct SinkView {
    /// Which.
    pub(crate) name: SinkName,
    /// `webhook`, `file` or `postgres`.
    pub(crate) kind: &'static str,
    /// Its durable standing; how it would begin where it has none yet.
    pub(crate) standing: SinkStanding,
    /// Where it begins when it is new.
    pub(crate) start: SinkStart,
    /// Which changes it takes.
    pub(crate) filter: SinkFilter,
    /// How many changes are after its cursor, those that it does not take included.
    pub(crate) backlog: u64,
    /// When the oldest that it is still to be given was committed or is due.
    pub(crate) oldest: Option<Timestamp>,
    /// Changes that became tasks, waiting ones included.
    pub(crate) open_deliveries: u64,
    /// Its dead letters.
    pub(crate) dead: u64,
    /// Why it cannot deliver anything as it is configured.
    pub(crate) problem: Option<String>,
}

pub(super) fn views(
    parts: &SinkParts,
    known: BTreeMap<SinkName, Known>,
) -> Result<Vec<SinkView>, ReadError> {
    let dead = parts.reader.dead_counts();
    let queued = parts.claims.oldest_due_by_owner(Work::Deliver);
    let views = known.into_iter().map(|(name, known)| {
        let stored = parts.reader.sink(&name)?;
        let standing =
            stored.unwrap_or_else(|| parts.reader.new_sink(name.clone(), known.config.start));
        let open = parts.reader.open_deliveries(&name)?;
        let owner = Owner::Sink(name.clone());
        let due = queued.iter().find(|backlog| backlog.owner == owner);
        let due = due.map(|backlog| backlog.oldest_due);
        let of_sink = dead.iter().filter(|letters| letters.owner == owner);
        Ok(SinkView {
            kind: known.config.kind.code(),
            start: known.config.start,
            filter: known.config.filter.clone(),
            backlog: parts
                .reader
                .newest_change()
                .get()
                .saturating_sub(standing.cursor.get()),
            oldest: [oldest_after(&parts.reader, &standing)?, due]
                .into_iter()
                .flatten()
                .min(),
            open_deliveries: open.values().sum::<usize>() as u64,
            dead: of_sink.map(|letters| letters.count).sum(),
            problem: known.problem,
            standing,
            name,
        })
    });
    views.collect()
}

/// When the first change after the cursor was committed. Looks at all changes: what the
/// sink does not take is soon behind its cursor.
pub(crate) fn oldest_after(
    reader: &Reader,
    standing: &SinkStanding,
) -> Result<Option<Timestamp>, ReadError> {
    if reader.newest_change() <= standing.cursor {
        return Ok(None);
    }
    match reader.page(standing.cursor, &SinkFilter::default(), 1) {
        Ok(page) => Ok(page.changes.first().map(|change| change.committed)),
        // Its loop says so in its standing.
        Err(LogError::Expired { .. } | LogError::Ahead { .. }) => Ok(None),
        Err(LogError::Read(error)) => Err(error),
    }
}
