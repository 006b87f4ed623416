//! What retention takes: nothing before its time, and nothing that is still needed, by an
//! event that has not ended, a dead letter, an open delivery or a sink's cursor.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate_core::ids::{ChangeSeq, EventId, SinkName};
use tidegate_core::policy::RetentionPolicy;
use tidegate_core::ports::ChangeLog as _;
use tidegate_core::sink::{PauseCause, SinkAdvance, SinkStanding, SinkState};
use tidegate_core::task::TaskKind;
use tidegate_core::time::Timestamp;
use tidegate_store::{DeadLetter, OpenDelivery, Reader, Subject};

use super::end::letters;
use super::{Checked, Checks, NOTHING_LOST, READERS, SINKS, violation};

/// What is known of retention.
#[derive(Debug, Default)]
pub(super) struct Retention {
    policy: RetentionPolicy,
    /// Events that have ended, and not as dead letters.
    settled: BTreeSet<EventId>,
    /// Those of them that are gone.
    gone: BTreeSet<EventId>,
    /// The oldest cursor when something went last.
    oldest: ChangeSeq,
    /// Sinks that it does not wait for any longer.
    behind: BTreeSet<SinkName>,
    /// Deliveries of changes that were gone from the log when they failed: the mirror had
    /// them, for as long as nothing newer was known of their entity.
    of_mirror: BTreeSet<(SinkName, ChangeSeq)>,
}

impl Retention {
    pub(super) fn over(policy: RetentionPolicy) -> Self {
        Self {
            policy,
            ..Self::default()
        }
    }

    /// A sink has handed changes over.
    pub(super) fn advanced(&mut self, advance: &SinkAdvance) {
        let sink = &advance.standing.sink;
        let seqs = advance.failed.iter().map(|failed| failed.seq);
        let gone = seqs.filter(|seq| *seq <= self.oldest);
        self.of_mirror.extend(gone.map(|seq| (sink.clone(), seq)));
    }

    /// An event has ended, or is open again.
    pub(super) fn settled(&mut self, event: EventId, settled: bool) {
        if settled {
            self.settled.insert(event);
        } else {
            self.settled.remove(&event);
        }
    }

    /// Whether nothing needs that event any more.
    pub(super) fn may_be_gone(&self, event: EventId) -> bool {
        self.settled.contains(&event)
    }

    /// Whether everything is kept that a sink has not been given yet.
    fn still_reads_on(&self, standing: &SinkStanding, reader: &Reader) -> Checked {
        let (sink, oldest) = (&standing.sink, reader.oldest_cursor());
        let needs = standing.mirror.as_ref();
        let needs = needs.map_or(standing.cursor, |walk| walk.then);
        if needs < oldest {
            let said = format!("{sink} is at {needs}, and what comes up to {oldest} is gone");
            return Err(violation(SINKS, said));
        }
        for open in reader.deliveries(sink, usize::MAX).unwrap_or_default() {
            let change = reader.change_for(open.task, &open.delivery).ok().flatten();
            if change.is_none() && !self.gives_way(&open, reader) {
                let said = format!("{sink} is to be given {}, which is gone", open.delivery.seq);
                return Err(violation(SINKS, said));
            }
        }
        Ok(())
    }

    /// Whether a delivery is of a state that the mirror had, and has a newer one of now: the
    /// sink is still to be given that one.
    fn gives_way(&self, open: &OpenDelivery, reader: &Reader) -> bool {
        let delivery = &open.delivery;
        let newest = reader.newest_of(&delivery.connection, &delivery.entity);
        let of_mirror = (delivery.sink.clone(), delivery.seq);
        self.of_mirror.contains(&of_mirror)
            && newest.is_ok_and(|newest| newest > Some(delivery.seq))
    }
}

impl Checks {
    /// The store was told to let go of what is old.
    pub(super) fn retained(&mut self, reader: &Reader, now: Timestamp) -> Checked {
        self.events_may_go(reader, now)?;
        self.changes_may_go(reader, now)?;
        let sinks = reader.sinks().unwrap_or_default();
        let behind: BTreeSet<SinkName> = sinks
            .iter()
            .filter(|standing| begins_again(standing))
            .map(|standing| standing.sink.clone())
            .collect();
        for sink in &behind {
            self.tasks.sink_begins_again(sink);
        }
        self.retention.behind = behind;
        for standing in sinks.iter().filter(|standing| !begins_again(standing)) {
            self.retention.still_reads_on(standing, reader)?;
        }
        letters(reader).iter().try_for_each(has_its_subject)
    }

    /// Whether what was there at that time is older than that. Once the clock was set
    /// back nobody knows.
    fn is_older(&self, at: Timestamp, keep: Duration, now: Timestamp) -> bool {
        self.tasks.clock_went_back() || at.plus(keep) <= now
    }

    fn events_may_go(&mut self, reader: &Reader, now: Timestamp) -> Checked {
        let keep = self.retention.policy.events;
        let mut gone = Vec::new();
        for (id, stored) in &self.stored {
            if self.retention.gone.contains(id) || matches!(reader.event(*id), Ok(Some(_))) {
                continue;
            }
            if !self.retention.may_be_gone(*id) {
                let said = format!("{id} is gone and has not ended");
                return Err(violation(NOTHING_LOST, said));
            }
            if !self.is_older(stored.received, keep, now) {
                let said = format!("{id} of {} is gone at {now} already", stored.received);
                return Err(violation(NOTHING_LOST, said));
            }
            gone.push(*id);
        }
        self.retention.gone.extend(gone);
        Ok(())
    }

    fn changes_may_go(&mut self, reader: &Reader, now: Timestamp) -> Checked {
        let (first, oldest) = (self.retention.oldest, reader.oldest_cursor());
        let RetentionPolicy { changes, max, .. } = self.retention.policy;
        let went = (first.get() + 1..=oldest.get()).map(ChangeSeq::new);
        let went: Vec<Timestamp> = went
            .filter_map(|seq| self.log.get(seq).map(|change| change.committed))
            .collect();
        if let Some(young) = went.iter().find(|at| !self.is_older(**at, changes, now)) {
            let said = format!("a change of {young} is gone at {now} already");
            return Err(violation(READERS, said));
        }
        let waited = went.first().is_some_and(|at| self.is_older(*at, max, now));
        let left = reader.sinks().unwrap_or_default();
        let left = left.iter().find(|standing| {
            begins_again(standing) && !self.retention.behind.contains(&standing.sink)
        });
        if let Some(standing) = left.filter(|_| !waited) {
            let said = format!("the change log did not wait for {}", standing.sink);
            return Err(violation(SINKS, said));
        }
        self.retention.oldest = oldest;
        Ok(())
    }
}

/// Whether the change log did not wait for it: it is told by the mirror next.
pub(super) const fn begins_again(standing: &SinkStanding) -> bool {
    matches!(
        standing.state,
        SinkState::Paused {
            why: PauseCause::Behind,
            ..
        }
    )
}

/// A dead letter keeps what it is about: its bucket may be gone.
fn has_its_subject(letter: &DeadLetter) -> Checked {
    let there = match &letter.subject {
        Subject::Event { event, .. } => event.is_some(),
        Subject::Change(change) => change.is_some(),
        Subject::Notice => matches!(letter.task.kind, TaskKind::Alert { .. }),
    };
    if there {
        return Ok(());
    }
    let said = format!(
        "nothing is left of what dead letter {} is about",
        letter.task.id
    );
    Err(violation(NOTHING_LOST, said))
}
