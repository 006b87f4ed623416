//! How sinks stand, for people and metrics.

use std::collections::BTreeMap;

use tidegate_core::errors::chain;
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
    /// When the oldest that it is still to be given was committed.
    pub(crate) oldest: Option<Timestamp>,
    /// Why one of those that it is still to be given did not go through, where one did not.
    pub(crate) last_failure: Option<String>,
    /// Changes that became tasks, waiting ones included.
    pub(crate) open_deliveries: u64,
    /// Its dead letters.
    pub(crate) dead: u64,
    /// Why it cannot deliver anything: as it is configured, or because of what the store
    /// cannot read.
    pub(crate) problem: Option<String>,
    /// Whether something of it could not be read; what is unknown then is not shown.
    pub(crate) unreadable: bool,
}

impl SinkView {
    /// What a person does about its problem.
    pub(crate) fn fix(&self) -> String {
        let name = &self.name;
        if self.unreadable {
            format!(
                "look at the disk; what is lost is not passed over: remove [sinks.{name}] and add it under another name with from = \"mirror\""
            )
        } else {
            format!("correct [sinks.{name}] in the configuration file")
        }
    }
}

pub(super) fn views(
    parts: &SinkParts,
    known: BTreeMap<SinkName, Known>,
) -> Result<Vec<SinkView>, ReadError> {
    let dead = parts.reader.dead_counts();
    let queued = parts.claims.backlogs(Work::Deliver);
    let views = known.into_iter().map(|(name, known)| {
        let mut look = Look {
            reader: &parts.reader,
            trouble: None,
        };
        let standing = look.standing(&name, known.config.start);
        let open = parts.reader.open_deliveries(&name)?;
        let after = look.oldest_after(&standing);
        let owner = Owner::Sink(name.clone());
        let due = queued.iter().find(|backlog| backlog.owner == owner);
        let due = due.map(|backlog| backlog.oldest);
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
            oldest: [after, due].into_iter().flatten().min(),
            last_failure: look.last_failure(&name, !open.is_empty()),
            open_deliveries: open.values().sum::<usize>() as u64,
            dead: of_sink.map(|letters| letters.count).sum(),
            unreadable: look.trouble.is_some(),
            problem: look.trouble.or(known.problem),
            standing,
            name,
        })
    });
    views.collect()
}

/// A look at one sink: a torn record that it needs is its trouble, and concerns no other.
struct Look<'a> {
    reader: &'a Reader,
    trouble: Option<String>,
}

impl Look<'_> {
    fn read<T>(&mut self, read: Result<T, ReadError>) -> Option<T> {
        read.inspect_err(|error| self.trouble = Some(chain(error)))
            .ok()
    }

    fn standing(&mut self, name: &SinkName, start: SinkStart) -> SinkStanding {
        let stored = self.read(self.reader.sink(name)).flatten();
        stored.unwrap_or_else(|| self.reader.new_sink(name.clone(), start))
    }

    fn last_failure(&mut self, name: &SinkName, has_open: bool) -> Option<String> {
        has_open.then_some(())?;
        self.read(self.reader.last_failure_of_sink(name)).flatten()
    }

    fn oldest_after(&mut self, standing: &SinkStanding) -> Option<Timestamp> {
        self.read(oldest_after(self.reader, standing)).flatten()
    }
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

#[cfg(test)]
mod tests {
    use crate::bed::{Bed, until};

    const TWO: &str = "[sinks.log]\nkind = \"file\"\npath = \"log.ndjson\"\n\
        [sinks.other]\nkind = \"file\"\npath = \"other.ndjson\"\n";

    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_that_cannot_be_read_is_a_problem_of_its_sink_alone() {
        let bed = Bed::new();
        let desk = bed.sinks();
        desk.configure(&bed.config(TWO)).await;
        let log = "log".parse().unwrap();
        desk.pause(&log, None, "ann").await.unwrap();
        bed.change("1").await;
        let lines = || bed.text("other.ndjson").lines().count();
        until("the other sink has it", || lines() == 1).await;
        let other = "other".parse().unwrap();
        let cursor = || bed.reader.sink(&other).unwrap().unwrap().cursor.get();
        until("its cursor follows", || cursor() == 1).await;
        bed.tear_change(1);
        let views = desk.standings().unwrap();
        let [view, beside] = views.as_slice() else {
            panic!("{views:?}")
        };
        let problem = view.problem.as_deref().unwrap_or_default();
        assert!(problem.contains("is corrupt"), "{problem}");
        assert!(view.unreadable && view.fix().contains("from = \"mirror\""));
        assert_eq!((view.backlog, view.oldest), (1, None));
        assert_eq!((beside.backlog, beside.problem.as_deref()), (0, None));
        desk.end().await;
    }
}
