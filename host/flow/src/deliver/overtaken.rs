//! Whether a later change of an entity went out to the sink already.
//!
//! Asked once of a delivery that comes back after it was parked, or after a restart. In
//! the common case one look at the entity's newest change answers.

use tidegate_core::limits::PAGE_ROWS_MAX;
use tidegate_core::ports::{Chance, ChangeLog, Claims, Clock, Journal, LogError, Outlet};
use tidegate_core::sink::SinkFilter;
use tidegate_core::task::Delivery;

use super::{DeliverError, SinkLoop};

/// Pages of the log that are searched for one delivery. Beyond it the delivery gives way:
/// the entity's newest change is still to come, and that one counts.
const PAGES_MAX: usize = 16;

impl<L, T, O, J, C, H> SinkLoop<'_, L, T, O, J, C, H>
where
    L: ChangeLog,
    T: Claims,
    O: Outlet,
    J: Journal,
    C: Clock,
    H: Chance,
{
    /// Whether a change of the entity after this one was given to the sink.
    pub(super) fn is_overtaken(&self, delivery: &Delivery) -> Result<bool, DeliverError> {
        let Delivery {
            connection,
            entity,
            seq,
            ..
        } = delivery;
        let newest = self.ports.log.newest_of(connection, entity);
        let newest = newest.map_err(|source| self.unread(source))?;
        let Some(newest) = newest.filter(|newest| newest > seq) else {
            return Ok(false);
        };
        if !self.window.is_outstanding(connection, entity, newest) {
            return Ok(true);
        }
        self.is_overtaken_between(delivery)
    }

    /// The newest one is still to be given: one between may have been.
    fn is_overtaken_between(&self, delivery: &Delivery) -> Result<bool, DeliverError> {
        let filter = SinkFilter {
            connectors: Vec::new(),
            connections: vec![delivery.connection.clone()],
            kinds: vec![delivery.entity.kind.clone()],
        };
        let mut after = delivery.seq;
        for _ in 0..PAGES_MAX {
            let page = match self.ports.log.page(after, &filter, PAGE_ROWS_MAX) {
                Ok(page) => page,
                Err(LogError::Expired { .. }) => return Ok(true),
                Err(source) => {
                    return Err(DeliverError::Log {
                        sink: self.sink(),
                        source,
                    });
                }
            };
            let (connection, entity) = (&delivery.connection, &delivery.entity);
            let mut of_entity = page.changes.iter().filter(|change| {
                change.change.entity == *entity && change.connection == *connection
            });
            if of_entity.any(|change| !self.window.is_outstanding(connection, entity, change.seq)) {
                return Ok(true);
            }
            if page.next >= self.window.read_to() || page.next <= after {
                return Ok(false);
            }
            after = page.next;
        }
        Ok(true)
    }
}
