//! What metrics read from elsewhere when they are asked for.

use tidegate_core::alert::AlertRecord;
use tidegate_core::ids::ChangeSeq;
use tidegate_core::ports::{Clock as _, ReadError};
use tidegate_core::task::Work;
use tidegate_core::time::Timestamp;
use tidegate_store::engine::Disk;
use tidegate_store::{Counts, DeadCount};

use crate::host::Host;
use crate::sinks::SinkView;
use crate::system::SystemClock;

/// Every kind of work, with its word.
pub(super) const WORKS: [(Work, &str); 4] = [
    (Work::Map, "map"),
    (Work::Partner, "partner"),
    (Work::Deliver, "deliver"),
    (Work::Alert, "alert"),
];

/// What is read from elsewhere when the numbers are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Events and tasks.
    pub(crate) counts: Counts,
    /// The newest change that readers may see.
    pub(crate) newest: ChangeSeq,
    /// The store's files.
    pub(crate) disk: Disk,
    /// The state of the gate, as its word.
    pub(crate) gate: &'static str,
    /// The store's engine.
    pub(crate) engine: &'static str,
    /// Dead letters.
    pub(crate) dead: Vec<DeadCount>,
    /// Sinks.
    pub(crate) sinks: Vec<SinkView>,
    /// The alerts that stand.
    pub(crate) alerts: Vec<AlertRecord>,
    /// When what the oldest open task of each kind of work is about came up.
    pub(crate) oldest: Vec<(&'static str, Option<Timestamp>)>,
    /// When it is.
    pub(crate) now: Timestamp,
}

impl Sample {
    /// Reads all of it. Waits for the disk.
    pub(crate) fn take(host: &Host) -> Result<Self, ReadError> {
        let oldest = |work| {
            let backlogs = host.claims.backlogs(work).into_iter();
            backlogs.map(|backlog| backlog.oldest).min()
        };
        Ok(Self {
            counts: host.reader.counts(),
            newest: *host.published.borrow(),
            disk: host.reader.disk()?,
            gate: host.gate.state().code(),
            engine: host.facts.engine,
            dead: host.reader.dead_counts(),
            sinks: host.sinks.standings()?,
            alerts: host.reader.alerts()?,
            oldest: WORKS.map(|(work, word)| (word, oldest(work))).to_vec(),
            now: SystemClock.now(),
        })
    }
}
