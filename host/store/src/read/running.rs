//! Finding an open delivery or notice by its number, for whoever holds the id of the dead
//! letter that it was. Nothing is kept by number of those, so this looks at each that is
//! open: for requests of people only.

use tidegate_core::ids::TaskId;
use tidegate_core::ports::ReadError;
use tidegate_core::task::{TaskKind, Work};

use super::sinks::each_open;
use super::{Reader, unless_torn};
use crate::codec::{QueueEntry, Record};
use crate::engine::{Order, Span};
use crate::keys::{self, DeliveryHalf, QueueKey};
use crate::view::{Fault, View};

impl Reader {
    /// What the open task of that number delivers, or says to a channel; none where there is
    /// none, and where it is an event's.
    pub fn running(&self, task: TaskId) -> Result<Option<TaskKind>, ReadError> {
        let view = self.view();
        let found = delivery(&view, task).and_then(|found| match found {
            None => notice(&view, task),
            found => Ok(found),
        });
        found.map_err(|fault| fault.reading(format!("what {task} is")))
    }
}

/// The delivery of that number, also where it waits for its turn.
fn delivery(view: &View, task: TaskId) -> Result<Option<TaskKind>, Fault> {
    let mut found = None;
    each_open(
        view,
        &[DeliveryHalf::Open as u8],
        usize::MAX,
        |delivery, row| {
            if row.is_some_and(|row| row.task == task) {
                found = Some(TaskKind::Deliver(delivery));
            }
            Ok(())
        },
    )?;
    Ok(found)
}

/// The notice of that number.
fn notice(view: &View, task: TaskId) -> Result<Option<TaskKind>, Fault> {
    let room = view.rooms.queue;
    let prefix = keys::work_prefix(Work::Alert);
    let until = keys::after_prefix(&prefix);
    let span = Span {
        from: &prefix,
        until: until.as_deref(),
    };
    for row in view.rows(room, span, Order::Ascending)? {
        let (key, record) = row?;
        if QueueKey::from_bytes(&key).is_some_and(|key| key.task == task) {
            let entry = QueueEntry::from_record(record);
            let entry = entry.map_err(|source| Fault::corrupt(room, &key, source));
            return Ok(unless_torn(entry)?.map(|entry| entry.kind));
        }
    }
    Ok(None)
}
