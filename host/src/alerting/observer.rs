//! How things stand, as far as alerts are about them.
//!
//! All of it is in memory or in records that are few, except why the oldest letter of each
//! count was parked: that is read once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_core::alerting::{
    Backlog, DeadLetters, Observed, PausedConnection, SinkTrouble, UnreadableSink,
};
use tidegate_core::errors::chain;
use tidegate_core::ids::{EventId, TaskId};
use tidegate_core::limits::{ALERT_EXCERPT_BYTES_MAX, cut_text};
use tidegate_core::ports::{Observer, ReadError};
use tidegate_core::sink::{SinkStanding, SinkState};
use tidegate_core::task::{Owner, TaskState, Work};
use tidegate_store::{Claims, Reader, last_failure};

use super::AlertParts;
use crate::gate::{Gate, GateState};
use crate::metrics::Metrics;
use crate::sinks::oldest_after;

/// Most letters that one look reads; a letter holds its event. What is left has no excerpt
/// until the next look.
const LETTERS_READ_MAX: usize = 64;

/// Most backlogs of which one look reads the last failure.
const BACKLOGS_READ_MAX: usize = 64;

/// Looks at the host.
#[derive(Debug)]
pub(super) struct HostObserver {
    reader: Reader,
    claims: Claims,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    /// Why the oldest letters were parked, as far as they have been read.
    excerpts: Mutex<HashMap<TaskId, String>>,
}

impl HostObserver {
    pub(super) fn new(parts: &AlertParts) -> Self {
        Self {
            reader: parts.reader.clone(),
            claims: parts.claims.clone(),
            gate: parts.gate.clone(),
            metrics: parts.metrics.clone(),
            excerpts: Mutex::default(),
        }
    }

    fn dead(&self) -> Vec<DeadLetters> {
        let counts = self.reader.dead_counts();
        let mut excerpts = self.excerpts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashMap::with_capacity(counts.len());
        let mut read = 0;
        let dead = counts.into_iter().map(|count| {
            let mut excerpt = excerpts.remove(&count.first);
            if excerpt.is_none() && read < LETTERS_READ_MAX {
                read += 1;
                excerpt = Some(self.why_parked(count.first));
            }
            if let Some(excerpt) = &excerpt {
                seen.insert(count.first, excerpt.clone());
            }
            DeadLetters {
                owner: count.owner,
                cause: count.cause,
                count: count.count,
                oldest: count.oldest,
                excerpt: excerpt.unwrap_or_default(),
            }
        });
        let dead = dead.collect();
        *excerpts = seen;
        dead
    }

    /// Empty where the letter cannot be read, or has just left.
    fn why_parked(&self, letter: TaskId) -> String {
        match self.reader.dead_letter(letter) {
            Ok(Some(letter)) => match letter.task.state {
                TaskState::Dead { reason, .. } => cut_text(reason, ALERT_EXCERPT_BYTES_MAX),
                TaskState::Scheduled { .. } | TaskState::Waiting { .. } => String::new(),
            },
            Ok(None) | Err(_) => String::new(),
        }
    }

    /// As [`Self::last_failure`], of the few oldest backlogs: they are those that are told.
    fn last_failure_among_oldest(&self, place: usize, backlog: &tidegate_store::Backlog) -> String {
        if place < BACKLOGS_READ_MAX {
            self.last_failure(backlog)
        } else {
            String::new()
        }
    }

    /// The last failure of what is next of a backlog; empty where it has not been tried, or
    /// cannot be read.
    fn last_failure(&self, backlog: &tidegate_store::Backlog) -> String {
        let failure = match &backlog.owner {
            Owner::Connection(_) => {
                let event = EventId::new(backlog.next.get());
                let progress = self.reader.progress(event).ok().flatten();
                progress.and_then(|progress| last_failure(progress.attempts))
            }
            Owner::Sink(sink) => self.reader.last_failure_of_sink(sink).ok().flatten(),
            // Its letters say so once it has given up; until then the channel is slow.
            Owner::Channel(_) => None,
        };
        failure.unwrap_or_default()
    }

    /// What is open, and the sinks of which that cannot be read: they are worth an alert, and
    /// must not keep the others from theirs.
    fn backlog(&self, sinks: &[SinkStanding]) -> (Vec<Backlog>, Vec<UnreadableSink>) {
        let works = [Work::Map, Work::Partner, Work::Deliver, Work::Alert];
        let mut queued = works
            .into_iter()
            .flat_map(|work| self.claims.backlogs(work))
            .collect::<Vec<_>>();
        queued.sort_unstable_by_key(|backlog| backlog.oldest);
        let mut all: Vec<Backlog> = queued
            .into_iter()
            .enumerate()
            .map(|(place, backlog)| Backlog {
                excerpt: self.last_failure_among_oldest(place, &backlog),
                owner: backlog.owner,
                oldest: backlog.oldest,
                open: backlog.open,
            })
            .collect();
        let mut unreadable = Vec::new();
        for standing in sinks {
            let owner = Owner::Sink(standing.sink.clone());
            if is_paused(standing) {
                // That it is paused says enough.
                all.retain(|backlog| backlog.owner != owner);
                continue;
            }
            let oldest = oldest_after(&self.reader, standing).unwrap_or_else(|error| {
                unreadable.push(UnreadableSink {
                    sink: standing.sink.clone(),
                    reason: chain(&error),
                });
                None
            });
            if let Some(oldest) = oldest {
                let after = self.reader.newest_change().get() - standing.cursor.get();
                match all.iter_mut().find(|backlog| backlog.owner == owner) {
                    Some(backlog) => {
                        backlog.oldest = backlog.oldest.min(oldest);
                        backlog.open = backlog.open.saturating_add(after);
                    }
                    None => all.push(Backlog {
                        owner,
                        oldest,
                        open: after,
                        excerpt: String::new(),
                    }),
                }
            }
        }
        (all, unreadable)
    }
}

impl Observer for HostObserver {
    fn observe(&self) -> Result<Observed, ReadError> {
        let sinks = self.reader.sinks()?;
        let paused = self.reader.paused()?.into_iter();
        let gate = self.gate.state();
        let (backlog, unreadable) = self.backlog(&sinks);
        Ok(Observed {
            dead: self.dead(),
            backlog,
            unreadable,
            refusals: self.metrics.refusals().in_a_row(),
            differing: self.metrics.differing().all(),
            paused: paused
                .map(|paused| PausedConnection {
                    connection: paused.connection,
                    since: paused.since,
                    reason: paused.reason,
                })
                .collect(),
            sinks: sinks
                .into_iter()
                .map(|SinkStanding { sink, state, .. }| SinkTrouble { sink, state })
                .collect(),
            disk_low: matches!(gate, GateState::DiskLow { .. }),
            latched: match gate {
                GateState::Latched { reason } => Some(reason),
                GateState::Open | GateState::DiskLow { .. } | GateState::ShuttingDown => None,
            },
        })
    }
}

const fn is_paused(standing: &SinkStanding) -> bool {
    matches!(standing.state, SinkState::Paused { .. })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_core::change::Change;
    use tidegate_core::failure::{Failure, FailureClass};
    use tidegate_core::ids::SinkName;
    use tidegate_core::policy::AlertPolicy;
    use tidegate_core::ports::{ChangeLog as _, Clock as _, Journal as _};
    use tidegate_core::sink::{FailedDelivery, SinkAdvance, SinkFilter, SinkStart};
    use tidegate_core::task::{Again, Attempt, Next};
    use tidegate_store::Submission;

    use super::*;
    use crate::bed::Bed;
    use crate::system::SystemClock;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sink_whose_next_change_is_lost_is_an_alert_and_silences_no_other() {
        let bed = Bed::new();
        for sink in ["app", "log"] {
            let standing = bed.reader.new_sink(sink.parse().unwrap(), SinkStart::Now);
            let put = Submission::PutSink {
                standing: Box::new(standing),
                audit: None,
            };
            bed.journal.submit(put).await.unwrap();
            bed.change(sink).await;
        }
        bed.letter("no such field").await;
        bed.tear_change(1);
        let desk = bed.alerts();
        let observed = desk.observer.observe().unwrap();
        let [lost] = observed.unreadable.as_slice() else {
            panic!("{observed:?}")
        };
        assert_eq!(lost.sink.as_str(), "app");
        assert!(lost.reason.contains("is corrupt"), "{}", lost.reason);
        let owners: Vec<_> = observed.backlog.iter().map(|one| &one.owner).collect();
        assert_eq!(owners, [&Owner::Sink("log".parse().unwrap())]);
        let findings = observed.findings(&AlertPolicy::default(), SystemClock.now());
        let subjects: Vec<_> = findings.iter().map(|one| &*one.key.subject).collect();
        assert_eq!(subjects, ["tide/acme partner-data", "sink app"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_that_waits_for_its_next_attempt_is_as_old_as_it_is() {
        let bed = Bed::new();
        let sink: SinkName = "app".parse().unwrap();
        let standing = bed.reader.new_sink(sink.clone(), SinkStart::Now);
        let put = Submission::PutSink {
            standing: Box::new(standing.clone()),
            audit: None,
        };
        bed.journal.submit(put).await.unwrap();
        bed.change("1").await;
        let page = bed
            .reader
            .page(standing.cursor, &SinkFilter::default(), 1)
            .unwrap();
        let [change] = page.changes.as_slice() else {
            panic!("{page:?}")
        };
        let advance = given_up_for_an_hour(
            change,
            SinkStanding {
                cursor: change.seq,
                ..standing
            },
        );
        bed.journal.advance(advance).await.unwrap();
        let desk = bed.alerts();
        let observed = desk.observer.observe().unwrap();
        let [backlog] = observed.backlog.as_slice() else {
            panic!("{observed:?}")
        };
        assert_eq!(backlog.oldest, change.committed);
        let policy = AlertPolicy::default();
        let late = change.committed.plus(policy.backlog_age);
        let findings = observed.findings(&policy, late);
        let [finding] = findings.as_slice() else {
            panic!("{findings:?}")
        };
        assert_eq!(finding.key.rule.code(), "backlog-age");
        assert_eq!(finding.excerpt, "connection refused");
    }

    fn given_up_for_an_hour(change: &Change, standing: SinkStanding) -> SinkAdvance {
        let failure = Failure::new(FailureClass::TRANSIENT, "connection refused");
        let attempt = Attempt {
            number: 1,
            started: change.committed,
            took: Duration::ZERO,
            plugin: None,
            settings: None,
            failure: Some(failure),
            stderr: String::new(),
        };
        let again = Again {
            attempt: 2,
            due: change.committed.plus(Duration::from_hours(1)),
            since: change.committed,
            limited_since: None,
            cut: None,
        };
        let failed = FailedDelivery {
            seq: change.seq,
            connection: change.connection.clone(),
            entity: change.change.entity.clone(),
            since: change.committed,
            tried: Some((attempt, Next::Again(again))),
        };
        SinkAdvance {
            standing,
            failed: vec![failed],
        }
    }
}
