//! Reading how sinks stand, and what they are still to be given.
//!
//! A delivery is known by its key: its torn row holds up neither its sink nor a reader.

use std::collections::BTreeMap;

use tidegate_core::change::EntityRef;
use tidegate_core::ids::{ChangeSeq, ConnectionId, SinkName, TaskId};
use tidegate_core::ports::ReadError;
use tidegate_core::sink::{MirrorWalk, SinkStanding, SinkStart, SinkState};
use tidegate_core::task::{Attempt, Delivery};
use tidegate_core::time::Timestamp;

use super::{Reader, unless_torn};
use crate::codec::{Attempts, Corrupt, DeliveryRow, Record};
use crate::engine::{Order, Span};
use crate::keys::{self, DeliveryHalf};
use crate::view::{Fault, View};

/// A change that a sink did not take the first time, or that waits behind one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDelivery {
    /// The task that delivers it.
    pub task: TaskId,
    /// What to whom.
    pub delivery: Delivery,
    /// The coming attempt's number.
    pub attempt: u32,
    /// When it is due; none while it waits behind an earlier change of its entity.
    pub due: Option<Timestamp>,
    /// The last attempts at it, oldest first.
    pub attempts: Vec<Attempt>,
}

/// How many deliveries of each entity are open.
pub type OpenDeliveries = BTreeMap<(ConnectionId, EntityRef), usize>;

impl Reader {
    /// How each sink stands.
    pub fn sinks(&self) -> Result<Vec<SinkStanding>, ReadError> {
        let view = self.view();
        self.whole_room(&view, view.rooms.sinks)
            .map_err(|fault| fault.reading("sinks"))
    }

    /// How a sink stands.
    pub fn sink(&self, sink: &SinkName) -> Result<Option<SinkStanding>, ReadError> {
        let view = self.view();
        view.record(view.rooms.sinks, sink.as_str().as_bytes())
            .map_err(|fault| fault.reading(format!("sink {sink}")))
    }

    /// How a sink stands that begins now.
    pub fn new_sink(&self, sink: SinkName, start: SinkStart) -> SinkStanding {
        let newest = self.newest_change();
        let (cursor, mirror) = match start {
            SinkStart::Now => (newest, None),
            SinkStart::Start => (self.oldest_cursor(), None),
            SinkStart::Mirror => {
                let walk = MirrorWalk {
                    after: None,
                    then: newest,
                };
                (newest, Some(walk))
            }
        };
        SinkStanding {
            sink,
            cursor,
            mirror,
            state: SinkState::Running,
        }
    }

    /// The first open deliveries of a sink, by entity and change, but for those whose row
    /// is torn: they have no task until it is their turn.
    pub fn deliveries(
        &self,
        sink: &SinkName,
        limit: usize,
    ) -> Result<Vec<OpenDelivery>, ReadError> {
        let view = self.view();
        let mut found = Vec::new();
        let prefix = keys::sink_prefix(DeliveryHalf::Open, sink);
        let read = each_open(&view, &prefix, limit, |delivery, row| {
            let Some(row) = row else {
                return Ok(());
            };
            let key = keys::number(row.task.get());
            let attempts = view.record::<Attempts>(view.rooms.attempts, &key);
            let attempts = unless_torn(attempts)?.flatten();
            found.push(OpenDelivery {
                task: row.task,
                delivery,
                attempt: row.attempt,
                due: row.due,
                attempts: attempts.unwrap_or_default().0,
            });
            Ok(())
        });
        read.map_err(|fault| fault.reading(format!("deliveries of sink {sink}")))?;
        Ok(found)
    }

    /// Why the last of a sink's open deliveries that failed did so. Looks at the first few:
    /// a sink that fails fails with all of them.
    pub fn last_failure_of_sink(&self, sink: &SinkName) -> Result<Option<String>, ReadError> {
        const LOOKED_AT: usize = 8;
        let deliveries = self.deliveries(sink, LOOKED_AT)?.into_iter();
        let attempts = deliveries.flat_map(|delivery| delivery.attempts);
        Ok(last_failure(attempts))
    }

    /// Every open delivery of a sink, without its attempts. One whose row is torn is not
    /// forced.
    pub(crate) fn open_keys(&self, sink: &SinkName) -> Result<Vec<Delivery>, ReadError> {
        let view = self.view();
        let mut open = Vec::new();
        let prefix = keys::sink_prefix(DeliveryHalf::Open, sink);
        let read = each_open(&view, &prefix, usize::MAX, |delivery, _| {
            open.push(delivery);
            Ok(())
        });
        read.map_err(|fault| fault.reading(format!("deliveries of sink {sink}")))?;
        Ok(open)
    }

    /// Whether a delivery is open; also one whose row is torn.
    pub(crate) fn has_open(&self, delivery: &Delivery) -> Result<bool, ReadError> {
        let view = self.view();
        let key = keys::delivery(DeliveryHalf::Open, delivery);
        let row = view.bytes(view.rooms.deliveries, &key);
        row.map(|row| row.is_some())
            .map_err(|fault| fault.reading(format!("a delivery of sink {}", delivery.sink)))
    }

    /// How many deliveries of a sink are open, by entity.
    pub fn open_deliveries(&self, sink: &SinkName) -> Result<OpenDeliveries, ReadError> {
        let view = self.view();
        let mut open = OpenDeliveries::new();
        let prefix = keys::sink_prefix(DeliveryHalf::Open, sink);
        let read = each_open(&view, &prefix, usize::MAX, |delivery, _| {
            let entity = (delivery.connection, delivery.entity);
            *open.entry(entity).or_default() += 1;
            Ok(())
        });
        read.map_err(|fault| fault.reading(format!("deliveries of sink {sink}")))?;
        Ok(open)
    }
}

/// What the last of these attempts that failed says.
pub fn last_failure(attempts: impl IntoIterator<Item = Attempt>) -> Option<String> {
    let failed = attempts.into_iter().filter_map(|attempt| {
        let failure = attempt.failure?;
        Some((attempt.started, failure.message))
    });
    failed
        .max_by_key(|(started, _)| *started)
        .map(|(_, message)| message)
}

/// The open deliveries whose keys begin so; those whose row is torn without it.
pub(super) fn each_open(
    view: &View,
    prefix: &[u8],
    limit: usize,
    mut each: impl FnMut(Delivery, Option<DeliveryRow>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let room = view.rooms.deliveries;
    let until = keys::after_prefix(prefix);
    let span = Span {
        from: prefix,
        until: until.as_deref(),
    };
    for row in view.rows(room, span, Order::Ascending)?.take(limit) {
        let (key, record) = row?;
        let corrupt = |source| Fault::corrupt(room, &key, source);
        let named = keys::to_delivery(&key).ok_or_else(|| corrupt(Corrupt::Key));
        let Some((sink, entity, seq)) = unless_torn(named)? else {
            continue;
        };
        let row = unless_torn(DeliveryRow::from_record(record).map_err(corrupt))?;
        let forced = row.is_some_and(|row| row.forced);
        each(delivery(sink, entity, seq, forced), row)?;
    }
    Ok(())
}

fn delivery(
    sink: SinkName,
    (connection, entity): (ConnectionId, EntityRef),
    seq: ChangeSeq,
    forced: bool,
) -> Delivery {
    Delivery {
        sink,
        seq,
        connection,
        entity,
        forced,
    }
}
