//! The store's side: log, mirror, tasks; and the clock.

use std::collections::BTreeSet;

use tidegate_core::event::{Accepted, Event};
use tidegate_core::ids::{SinkName, TaskId};
use tidegate_core::ports::{Completion, End, EntityKey, LogPage, MirrorPage, ReadError};
use tidegate_core::retry::Jitter;
use tidegate_core::sink::SinkAdvance;
use tidegate_core::task::{Delivery, Next, Task, TaskKind, TaskState};

use super::*;

impl Journal for World {
    async fn accept(&self, _: Vec<Event>) -> Result<Vec<Accepted>, NotStored> {
        Err(NotStored::ShuttingDown)
    }

    async fn complete(&self, completion: Completion) -> Result<(), NotStored> {
        pause().await;
        let mut state = self.state();
        let TaskKind::Deliver(delivery) = &completion.task.kind else {
            return Err(NotStored::Unreadable);
        };
        let seq = delivery.seq.get();
        let key = (state.entity(seq), seq);
        let failure = completion.attempt.failure.map(|failure| failure.message);
        let end = match completion.end {
            End::Delivered => "delivered".to_owned(),
            End::Superseded => "superseded".to_owned(),
            End::Again(again) => {
                let row = state.rows.get_mut(&key).unwrap();
                row.attempt = again.attempt;
                row.due = again.due.as_secs();
                row.limited_since = again.limited_since;
                row.claimed = false;
                let said = format!("{seq} again {}: {}", again.attempt, failure.unwrap());
                state.ends.push(said);
                return Ok(());
            }
            End::Park { cause, reason } => {
                state.parked.push(seq);
                format!("{}: {reason}", cause.code())
            }
            End::Mapped { .. } | End::Skipped { .. } | End::Pause { .. } => {
                return Err(NotStored::Unreadable);
            }
        };
        state.rows.remove(&key);
        state.ends.push(format!("{seq} {end}"));
        Ok(())
    }

    async fn advance(&self, advance: SinkAdvance) -> Result<(), NotStored> {
        pause().await;
        let mut state = self.state();
        for failed in advance.failed {
            let seq = failed.seq.get();
            let now = state.now;
            if state.parked.contains(&seq) {
                continue;
            }
            match failed.tried {
                Some((_, Next::Again(again))) => {
                    let due = again.due.as_secs();
                    state.open(seq, again.attempt, due, again.limited_since);
                }
                Some((_, Next::Park { .. })) => state.parked.push(seq),
                None => state.open(seq, 1, now, None),
                Some((_, Next::Pause { .. })) => return Err(NotStored::Unreadable),
            }
        }
        state.standing = advance.standing;
        Ok(())
    }
}

impl Claims for World {
    fn claim_of(
        &self,
        _: &Owner,
        _: Work,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, ReadError> {
        let mut state = self.state();
        let stops = state.stops;
        let mut claims = Vec::new();
        for key in state.queued() {
            let sink = state.standing.sink.clone();
            let row = state.rows.get_mut(&key).unwrap();
            if row.claimed || row.due > now.as_secs() || claims.len() >= max {
                continue;
            }
            row.claimed = true;
            claims.push(Claimed {
                stops,
                task: Task {
                    id: row.task,
                    kind: TaskKind::Deliver(Delivery {
                        sink,
                        seq: ChangeSeq::new(key.1),
                        connection: connection(),
                        entity: entity_of(key.0),
                        forced: row.forced,
                    }),
                    state: TaskState::Scheduled {
                        attempt: row.attempt,
                        due: Timestamp::from_secs(row.due),
                        since: Timestamp::EPOCH,
                        limited_since: row.limited_since,
                    },
                },
            });
        }
        Ok(claims)
    }

    fn next_due_of(&self, _: &Owner, _: Work) -> Option<Timestamp> {
        let state = self.state();
        let rows = state.queued().into_iter().map(|key| &state.rows[&key]);
        let free = rows.filter(|row| !row.claimed).map(|row| row.due);
        free.min().map(Timestamp::from_secs)
    }

    fn release(&self, task: TaskId) {
        let mut state = self.state();
        if let Some(row) = state.rows.values_mut().find(|row| row.task == task) {
            row.claimed = false;
        }
    }
}

impl ChangeLog for World {
    fn page(
        &self,
        after: ChangeSeq,
        filter: &SinkFilter,
        limit: usize,
    ) -> Result<LogPage, LogError> {
        let mut state = self.state();
        state.pages += 1;
        if after.get() < state.log_from {
            return Err(LogError::Expired { cursor: after });
        }
        let next = (state.log.len() as u64).min(after.get() + limit as u64);
        let changes = (after.get() + 1..=next).map(|seq| change(seq, state.entity(seq)));
        Ok(LogPage {
            changes: changes
                .filter(|change| filter.takes(&change.connection, &change.change.entity))
                .collect(),
            next: ChangeSeq::new(next),
        })
    }

    fn mirror(
        &self,
        after: Option<&EntityKey>,
        filter: &SinkFilter,
        _: usize,
    ) -> Result<MirrorPage, ReadError> {
        let mut state = self.state();
        state.pages += 1;
        let after = after.map_or(0, |(_, entity)| entity.id.parse().unwrap());
        let entities: BTreeSet<u64> = state.log.iter().copied().collect();
        // One a page.
        let next = entities.into_iter().find(|entity| *entity > after);
        Ok(MirrorPage {
            changes: next
                .map(|entity| change(state.newest_of(entity).unwrap(), entity))
                .into_iter()
                .filter(|change| filter.takes(&change.connection, &change.change.entity))
                .collect(),
            next: next.map(|entity| (connection(), entity_of(entity))),
        })
    }

    fn change(&self, _: TaskId, delivery: &Delivery) -> Result<Option<Change>, ReadError> {
        let state = self.state();
        let seq = delivery.seq.get();
        Ok(Some(change(seq, state.entity(seq))))
    }

    fn newest_of(
        &self,
        _: &ConnectionId,
        entity: &EntityRef,
    ) -> Result<Option<ChangeSeq>, ReadError> {
        let newest = self.state().newest_of(entity.id.parse().unwrap());
        Ok(newest.map(ChangeSeq::new))
    }

    fn newest(&self) -> ChangeSeq {
        ChangeSeq::new(self.state().log.len() as u64)
    }

    fn oldest(&self) -> ChangeSeq {
        ChangeSeq::new(self.state().log_from)
    }

    fn open_deliveries(&self, sink: &SinkName) -> Result<Vec<Delivery>, ReadError> {
        let state = self.state();
        let rows = state.rows.iter();
        Ok(rows
            .map(|((entity, seq), row)| Delivery {
                sink: sink.clone(),
                seq: ChangeSeq::new(*seq),
                connection: connection(),
                entity: entity_of(*entity),
                forced: row.forced,
            })
            .collect())
    }

    fn is_open(&self, delivery: &Delivery) -> Result<bool, ReadError> {
        let state = self.state();
        let seq = delivery.seq.get();
        Ok(state.rows.contains_key(&(state.entity(seq), seq)))
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.state().now)
    }
}

impl Chance for World {
    fn jitter(&self) -> Jitter {
        Jitter::new(0)
    }
}
