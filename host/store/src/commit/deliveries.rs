//! Open deliveries of a sink: in order for each entity, one in the queue at a time.
//!
//! Of the deliveries of one entity to one sink, one stands in the queue and the others
//! wait. When it ends, the one with the lowest change that waits takes its place. A row
//! that cannot be read is known by its key, and begins again as a new task.

use bytes::Bytes;
use tidegate_core::change::EntityRef;
use tidegate_core::ids::{ChangeSeq, ConnectionId, SinkName, TaskId};
use tidegate_core::task::{Delivery, TaskKind};
use tidegate_core::time::Timestamp;

use super::draft::Draft;
use super::schedule::When;
use crate::codec::{DeliveryRow, QueueEntry, Record};
use crate::keys::{self, DeliveryHalf};
use crate::view::Fault;

/// How a delivery stands.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) task: TaskId,
    pub(super) attempt: u32,
    /// When its change was committed, or a person wanted it to go out again.
    pub(super) since: Timestamp,
    pub(super) limited_since: Option<Timestamp>,
    /// When it is due; none where it waits.
    pub(super) due: Option<Timestamp>,
}

/// A delivery that waits for its turn, or has it.
pub(super) struct Waiting {
    delivery: Delivery,
    row: Option<DeliveryRow>,
}

impl Draft<'_> {
    /// Whether a delivery of that change is open, or parked.
    pub(super) fn knows_delivery(&self, delivery: &Delivery) -> Result<bool, Fault> {
        let room = self.view.rooms.deliveries;
        for half in [DeliveryHalf::Open, DeliveryHalf::Dead] {
            if self.row(room, &keys::delivery(half, delivery))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether any delivery of an entity to a sink is open.
    pub(super) fn has_open(
        &self,
        sink: &SinkName,
        connection: &ConnectionId,
        entity: &EntityRef,
    ) -> Result<bool, Fault> {
        let prefix = keys::delivery_prefix(DeliveryHalf::Open, sink, connection, entity);
        let first = self.rows(self.view.rooms.deliveries, &prefix, 1)?;
        Ok(!first.is_empty())
    }

    /// The first open delivery of an entity beside this one.
    pub(super) fn next_behind(&self, delivery: &Delivery) -> Result<Option<Waiting>, Fault> {
        let Delivery {
            sink,
            connection,
            entity,
            ..
        } = delivery;
        let prefix = keys::delivery_prefix(DeliveryHalf::Open, sink, connection, entity);
        let own = keys::delivery(DeliveryHalf::Open, delivery);
        let rows = self.rows(self.view.rooms.deliveries, &prefix, 2)?;
        let next = rows.into_iter().find(|(key, _)| *key != own);
        Ok(next.and_then(|(key, record)| read(&key, record)))
    }

    /// Opens a delivery.
    pub(super) fn open_delivery(&mut self, delivery: Delivery, entry: Entry) {
        self.ledger.changes.count_open(delivery.seq.get(), 1);
        if entry.due.is_none() {
            self.ledger.tally.waiting += 1;
        }
        self.set_delivery(delivery, entry);
    }

    /// Lets an open delivery stand so.
    pub(super) fn set_delivery(&mut self, delivery: Delivery, entry: Entry) {
        let Entry {
            task,
            attempt,
            since,
            limited_since,
            due,
        } = entry;
        let key = keys::delivery(DeliveryHalf::Open, &delivery);
        let forced = delivery.forced;
        let due = due.map(|due| {
            let entry = QueueEntry {
                kind: TaskKind::Deliver(delivery),
                attempt,
                limited_since,
            };
            self.schedule(task, When { due, since }, entry)
        });
        let row = DeliveryRow {
            task,
            forced,
            attempt,
            since,
            limited_since,
            due,
        };
        let room = self.view.rooms.deliveries;
        self.put(room, key, &row);
    }

    /// An open delivery is over, but for its place in the queue.
    pub(super) fn close_delivery(&mut self, delivery: &Delivery, task: TaskId) {
        let room = self.view.rooms.deliveries;
        self.remove(room, keys::delivery(DeliveryHalf::Open, delivery));
        self.ledger.changes.count_open(delivery.seq.get(), -1);
        self.forget_attempts(task);
        self.let_go(task);
    }

    /// The next one's turn, where it has waited for it.
    pub(super) fn release(&mut self, next: Option<Waiting>) {
        let Some(Waiting { delivery, row }) = next else {
            return;
        };
        let row = row.unwrap_or_else(|| DeliveryRow {
            task: self.ledger.tally.next_task(),
            forced: delivery.forced,
            attempt: 1,
            since: self.now,
            limited_since: None,
            due: None,
        });
        if row.due.is_none() {
            self.count_waiting(-1);
            let entry = Entry {
                task: row.task,
                attempt: row.attempt,
                since: row.since,
                limited_since: row.limited_since,
                due: Some(self.now),
            };
            self.set_delivery(delivery, entry);
        }
    }

    /// Puts the delivery whose row in the queue is gone back there, due now: its entity's
    /// later ones would wait for it for ever. Looks at every open one, which a torn row is
    /// rare enough for.
    pub(super) fn requeue_delivery(&mut self, task: TaskId) -> Result<(), Fault> {
        let open = [DeliveryHalf::Open as u8];
        let rows = self.rows(self.view.rooms.deliveries, &open, usize::MAX)?;
        let of_task = rows.into_iter().find_map(|(key, record)| {
            let Waiting { delivery, row } = read(&key, record)?;
            Some((delivery, row?)).filter(|(_, row)| row.task == task)
        });
        if let Some((delivery, row)) = of_task {
            let entry = Entry {
                task,
                attempt: row.attempt,
                since: row.since,
                limited_since: row.limited_since,
                due: Some(self.now),
            };
            self.set_delivery(delivery, entry);
        }
        Ok(())
    }

    /// The open deliveries of a sink, by their keys.
    pub(super) fn open_rows(&self, sink: &SinkName) -> Result<Vec<(Bytes, Bytes)>, Fault> {
        let prefix = keys::sink_prefix(DeliveryHalf::Open, sink);
        self.rows(self.view.rooms.deliveries, &prefix, usize::MAX)
    }

    /// Lets what waits for its next attempt be due now.
    pub(super) fn deliver_now(&mut self, sink: &SinkName) -> Result<(), Fault> {
        for (key, record) in self.open_rows(sink)? {
            let Some((delivery, row)) =
                read(&key, record).and_then(|waiting| Some((waiting.delivery, waiting.row?)))
            else {
                continue;
            };
            let Some(due) = row.due.filter(|due| *due > self.now) else {
                continue;
            };
            let when = When {
                due,
                since: row.since,
            };
            self.unschedule(row.task, &TaskKind::Deliver(delivery.clone()), when);
            let entry = Entry {
                task: row.task,
                attempt: row.attempt,
                since: row.since,
                limited_since: row.limited_since,
                due: Some(self.now),
            };
            self.set_delivery(delivery, entry);
        }
        Ok(())
    }

    /// Drops open deliveries of a sink; what is parked stays.
    pub(super) fn drop_deliveries(&mut self, rows: Vec<(Bytes, Bytes)>) {
        for (key, record) in rows {
            match read(&key, record) {
                Some(Waiting {
                    delivery,
                    row: Some(row),
                }) => {
                    match row.due {
                        Some(due) => {
                            let kind = TaskKind::Deliver(delivery.clone());
                            let when = When {
                                due,
                                since: row.since,
                            };
                            self.unschedule(row.task, &kind, when);
                        }
                        None => self.count_waiting(-1),
                    }
                    self.close_delivery(&delivery, row.task);
                }
                // Its task, if it is in the queue, ends when it is next tried.
                Some(Waiting { delivery, .. }) => {
                    self.ledger.changes.count_open(delivery.seq.get(), -1);
                    let room = self.view.rooms.deliveries;
                    self.remove(room, key);
                }
                None => {
                    let room = self.view.rooms.deliveries;
                    self.remove(room, key);
                }
            }
        }
    }

    /// Notes that a delivery is parked, or no longer.
    pub(super) fn mark_parked(&mut self, delivery: &Delivery, task: Option<TaskId>) {
        let key = keys::delivery(DeliveryHalf::Dead, delivery);
        let room = self.view.rooms.deliveries;
        match task {
            Some(task) => self.put(room, key, &task),
            None => self.remove(room, key),
        }
    }

    /// Counts tasks that begin to wait, or no longer do.
    pub(super) fn count_waiting(&mut self, tasks: i64) {
        let waiting = &mut self.ledger.tally.waiting;
        *waiting = waiting.saturating_add_signed(tasks);
    }
}

/// The lowest change that an open delivery of these rows needs.
pub(super) fn lowest_seq(rows: &[(Bytes, Bytes)]) -> Option<ChangeSeq> {
    let seqs = rows.iter().filter_map(|(key, _)| keys::to_delivery(key));
    seqs.map(|(_, _, seq)| seq).min()
}

fn read(key: &[u8], record: Bytes) -> Option<Waiting> {
    let (sink, (connection, entity), seq) = keys::to_delivery(key)?;
    let row = DeliveryRow::from_record(record)
        .inspect_err(|error| tracing::warn!(%sink, %seq, %error, "a delivery begins again"))
        .ok();
    let delivery = Delivery {
        sink,
        seq,
        connection,
        entity,
        forced: row.is_some_and(|row| row.forced),
    };
    Some(Waiting { delivery, row })
}
