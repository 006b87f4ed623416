//! What a sink is given: of an entity nothing goes back behind what was taken, nothing
//! comes before the receiver has asked for it (8), nothing goes out while the sink rests;
//! and the cursor passes nothing that was not taken, is no task and no dead letter.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::change::Change;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::{ChangeSeq, SinkName};
use tidegate_core::ports::EntityKey;
use tidegate_core::sink::{SinkAdvance, SinkFilter, SinkStanding, SinkState};
use tidegate_core::task::TaskKind;
use tidegate_core::time::Timestamp;
use tidegate_store::{DeadLetterFilter, Reader};

use super::log::Log;
use super::retention::begins_again;
use super::tasks::DAY;
use super::{Checked, Checks, READERS, RESPECT, SINKS, violation};

/// What is known of every sink.
#[derive(Debug, Default)]
pub(super) struct Sinks {
    sinks: BTreeMap<SinkName, Sink>,
    given_up: BTreeSet<(SinkName, ChangeSeq)>,
}

#[derive(Debug)]
struct Sink {
    filter: SinkFilter,
    /// Where it began.
    start: ChangeSeq,
    /// Up to here the cursor was checked.
    checked: ChangeSeq,
    walks: bool,
    opening: u64,
    opened_at: ChangeSeq,
    opened_with: BTreeSet<ChangeSeq>,
    /// What was taken, of each entity.
    taken: BTreeMap<EntityKey, BTreeSet<ChangeSeq>>,
    /// What was taken last in this opening.
    last: BTreeMap<EntityKey, ChangeSeq>,
    flying: BTreeSet<EntityKey>,
    /// Not before this anything more.
    hold: Timestamp,
    rests: bool,
    /// It keeps a cursor of its own, and is given again what is behind ours.
    repeats: bool,
}

fn key(change: &Change) -> EntityKey {
    (change.connection.clone(), change.change.entity.clone())
}

impl Sinks {
    pub(super) fn advanced(
        &mut self,
        advance: &SinkAdvance,
        log: &Log,
        reader: &Reader,
    ) -> Checked {
        let standing = &advance.standing;
        let Some(sink) = self.sinks.get_mut(&standing.sink) else {
            return Ok(());
        };
        let stored = reader.sink(&standing.sink).ok().flatten();
        if stored.as_ref().is_some_and(begins_again) {
            // Its loop has not heard that it was left behind: nothing of this counts.
            return Ok(());
        }
        if standing.mirror.is_some() || sink.walks {
            sink.walks = standing.mirror.is_some();
            sink.checked = sink.checked.max(standing.cursor);
            return Ok(());
        }
        let failed: BTreeSet<ChangeSeq> = advance.failed.iter().map(|one| one.seq).collect();
        while sink.checked < standing.cursor {
            sink.checked = ChangeSeq::new(sink.checked.get() + 1);
            let Some(change) = log.get(sink.checked) else {
                let said = format!("{} is at {}, beyond the log", standing.sink, sink.checked);
                return Err(violation(SINKS, said));
            };
            let key = key(change);
            let taken = sink.taken.get(&key);
            let taken = taken.is_some_and(|taken| taken.range(change.seq..).next().is_some());
            let fine = !sink.filter.takes(&key.0, &key.1)
                || taken
                || failed.contains(&change.seq)
                || self.given_up.contains(&(standing.sink.clone(), change.seq));
            if !fine && !stands_somewhere(reader, &standing.sink, change.seq) {
                let said = format!(
                    "the cursor of {} passes {}, which it never took",
                    standing.sink, change.seq
                );
                return Err(violation(SINKS, said));
            }
        }
        Ok(())
    }

    /// Whom the time has come for before the clock was set back, it has come for: what is
    /// given now may have been taken up before.
    pub(super) fn clock_went_back(&mut self, before: Timestamp) {
        for sink in self.sinks.values_mut() {
            if sink.hold <= before {
                sink.hold = Timestamp::EPOCH;
            }
        }
    }

    /// Where a sink began, and whether a person gave that change up.
    pub(super) fn start(&self, sink: &SinkName) -> ChangeSeq {
        self.sinks
            .get(sink)
            .map_or(ChangeSeq::new(0), |sink| sink.start)
    }

    pub(super) fn was_given_up(&self, sink: &SinkName, seq: ChangeSeq) -> bool {
        self.given_up.contains(&(sink.clone(), seq))
    }
}

/// Whether it is an open delivery or a dead letter.
pub(super) fn stands_somewhere(reader: &Reader, sink: &SinkName, seq: ChangeSeq) -> bool {
    let open = reader.deliveries(sink, usize::MAX).unwrap_or_default();
    open.iter().any(|open| open.delivery.seq == seq) || is_letter(reader, sink, seq)
}

/// Whether it is a dead letter.
pub(super) fn is_letter(reader: &Reader, sink: &SinkName, seq: ChangeSeq) -> bool {
    let letters = reader.dead_letters(&DeadLetterFilter::default(), None, 1_000);
    let letters = letters.map_or_else(|_| Vec::new(), |page| page.letters);
    letters.iter().any(|letter| match &letter.task.kind {
        TaskKind::Deliver(delivery) => delivery.sink == *sink && delivery.seq == seq,
        _ => false,
    })
}

impl Checks {
    /// A loop is opened over that standing.
    pub fn sink_opens(
        &mut self,
        standing: &SinkStanding,
        filter: &SinkFilter,
        repeats: bool,
        opening: u64,
        reader: &Reader,
    ) {
        let open = reader.deliveries(&standing.sink, usize::MAX);
        let open = open.unwrap_or_default();
        let name = standing.sink.clone();
        let sink = self.sinks.sinks.entry(name).or_insert_with(|| Sink {
            filter: filter.clone(),
            start: if standing.mirror.is_some() {
                ChangeSeq::new(0)
            } else {
                standing.cursor
            },
            checked: standing.cursor,
            walks: standing.mirror.is_some(),
            opening,
            opened_at: standing.cursor,
            opened_with: BTreeSet::new(),
            taken: BTreeMap::new(),
            last: BTreeMap::new(),
            flying: BTreeSet::new(),
            hold: Timestamp::EPOCH,
            rests: false,
            repeats,
        });
        if standing.mirror.is_some() {
            sink.walks = true;
        }
        sink.opening = opening;
        sink.opened_at = standing.cursor;
        sink.opened_with = open.into_iter().map(|open| open.delivery.seq).collect();
        sink.last.clear();
        sink.flying.clear();
        sink.hold = match &standing.state {
            SinkState::Failing { next, .. } => *next,
            SinkState::Running | SinkState::Paused { .. } => Timestamp::EPOCH,
        };
        sink.rests = matches!(standing.state, SinkState::Paused { .. });
    }

    /// A receiver is given changes.
    pub fn given(&mut self, sink: &SinkName, opening: u64, changes: &[Change], now: Timestamp) {
        let checked = self.check_given(sink, opening, changes, now);
        self.note(checked);
    }

    fn check_given(
        &mut self,
        name: &SinkName,
        opening: u64,
        changes: &[Change],
        now: Timestamp,
    ) -> Checked {
        let Some(sink) = self.sinks.sinks.get_mut(name) else {
            return Err(violation(
                SINKS,
                format!("{name} is given something unopened"),
            ));
        };
        if opening != sink.opening {
            return Err(violation(SINKS, format!("{name} has two loops")));
        }
        if sink.rests {
            return Err(violation(
                SINKS,
                format!("{name} is paused and given changes"),
            ));
        }
        if now < sink.hold {
            let said = format!("{name} is given changes at {now}, not before {}", sink.hold);
            return Err(violation(RESPECT, said));
        }
        // It was kept; a clock that is set back does not bring it back.
        sink.hold = Timestamp::EPOCH;
        for change in changes {
            let key = key(change);
            if self.log.get(change.seq) != Some(change) {
                let said = format!("{name} is given {} as it is not in the log", change.seq);
                return Err(violation(READERS, said));
            }
            if sink.flying.contains(&key) {
                let said = format!("{name} is given two changes of {key:?} at once");
                return Err(violation(SINKS, said));
            }
            // A receiver that keeps a cursor of its own is given again what is behind ours.
            let taken = sink.taken.get(&key);
            if sink.repeats && taken.is_some_and(|taken| taken.contains(&change.seq)) {
                continue;
            }
            let last = sink.last.get(&key).copied();
            if last >= Some(change.seq) {
                let said = format!("{name} is given {} of {key:?} after {last:?}", change.seq);
                return Err(violation(SINKS, said));
            }
            let later = sink
                .taken
                .get(&key)
                .into_iter()
                .flat_map(|taken| taken.range(ChangeSeq::new(change.seq.get() + 1)..));
            // What stood behind the durable cursor and was no task is not repeated.
            let back = later
                .filter(|seq| **seq <= sink.opened_at && !sink.opened_with.contains(seq))
                .max();
            if let Some(back) = back {
                let said = format!("{name} is given {} after it took {back}", change.seq);
                return Err(violation(SINKS, said));
            }
        }
        sink.flying.extend(changes.iter().map(key));
        Ok(())
    }

    /// What a receiver answered.
    pub fn answered(
        &mut self,
        name: &SinkName,
        opening: u64,
        changes: &[Change],
        results: &[Result<(), Failure>],
        now: Timestamp,
    ) {
        let Some(sink) = self.sinks.sinks.get_mut(name) else {
            return;
        };
        if opening != sink.opening {
            return;
        }
        for (change, result) in changes.iter().zip(results) {
            let key = key(change);
            sink.flying.remove(&key);
            match result {
                Ok(()) => {
                    sink.taken
                        .entry(key.clone())
                        .or_default()
                        .insert(change.seq);
                    sink.last.insert(key, change.seq);
                }
                Err(failure) => {
                    // It does not want changes any more; a person may resume it.
                    sink.rests |= failure.class == FailureClass::NotFound;
                    if let Some(hold) = asked_for(&failure.class, now) {
                        sink.hold = sink.hold.max(hold);
                    }
                }
            }
        }
    }

    /// A person gives a dead letter up.
    pub fn gives_up(&mut self, kind: &TaskKind) {
        if let TaskKind::Deliver(delivery) = kind {
            let one = (delivery.sink.clone(), delivery.seq);
            self.sinks.given_up.insert(one);
        }
    }
}

/// Until when the receiver wants to be left alone. More than a day is not granted.
fn asked_for(class: &FailureClass, now: Timestamp) -> Option<Timestamp> {
    match class {
        FailureClass::RateLimited { delay: Some(delay) }
        | FailureClass::Transient { delay: Some(delay) } => Some(now.plus((*delay).min(DAY))),
        _ => None,
    }
}
