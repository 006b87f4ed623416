//! Whether a later change of an entity went out to the sink already.
//!
//! Asked once of a delivery that comes back after it was parked, or after a restart. In
//! the common case one look at the entity's newest change answers. Else the log is
//! searched, a page at a time while everything else goes on: the task has begun meanwhile,
//! so that no other change of its entity goes out. A search that is dropped leaves nothing.

use tidegate_core::ids::ChangeSeq;
use tidegate_core::limits::PAGE_ROWS_MAX;
use tidegate_core::ports::{
    Chance, ChangeLog, Claimed, Claims, Clock, End, Journal, LogError, Outlet,
};
use tidegate_core::sink::{SinkFilter, SinkState};
use tidegate_core::task::Delivery;
use tidegate_core::time::Timestamp;
use tidegate_core::window::TaskRun;

use super::{DeliverError, SinkLoop};

/// Pages of the log that are searched for one delivery. Beyond it the delivery gives way:
/// the entity's newest change is still to come, and that one counts.
const PAGES_MAX: usize = 16;

/// A begun task, for which the log is searched before it is sent.
pub(super) struct Search {
    run: TaskRun,
    claimed: Claimed,
    started: Timestamp,
    /// The log has been searched up to here.
    after: ChangeSeq,
    pages: usize,
}

/// What a look at the store says.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// A later change was given to the sink.
    Overtaken,
    /// None was.
    First,
    /// It has to look further, from there.
    On(ChangeSeq),
}

impl<L, T, O, J, C, H> SinkLoop<'_, L, T, O, J, C, H>
where
    L: ChangeLog,
    T: Claims,
    O: Outlet,
    J: Journal,
    C: Clock,
    H: Chance,
{
    /// Sends a begun task unless a later change of its entity went out, now or once the
    /// log has been searched.
    pub(super) fn look_up(
        &mut self,
        run: TaskRun,
        claimed: Claimed,
        started: Timestamp,
    ) -> Result<(), DeliverError> {
        let look = self.look_at_newest(run.delivery())?;
        let after = run.delivery().seq;
        let search = Search {
            run,
            claimed,
            started,
            after,
            pages: 0,
        };
        self.follow(search, look)
    }

    /// Searches one page further; whether there is a search.
    pub(super) fn search_on(&mut self) -> Result<bool, DeliverError> {
        if matches!(self.window.standing().state, SinkState::Paused { .. }) {
            self.give_search_up();
        }
        let Some(mut search) = self.search.take() else {
            return Ok(false);
        };
        let look = if search.pages < PAGES_MAX {
            self.look_at_page(search.run.delivery(), search.after)?
        } else {
            Look::Overtaken
        };
        search.pages += 1;
        self.follow(search, look)?;
        Ok(true)
    }

    fn follow(&mut self, search: Search, look: Look) -> Result<(), DeliverError> {
        match look {
            Look::Overtaken => {
                let end = End::Superseded;
                self.end_unsent(search.run, search.claimed, search.started, end, None);
                Ok(())
            }
            Look::First => self.send(search.run, search.claimed, search.started),
            Look::On(after) => {
                self.search = Some(Search { after, ..search });
                Ok(())
            }
        }
    }

    fn look_at_newest(&self, delivery: &Delivery) -> Result<Look, DeliverError> {
        let Delivery {
            connection,
            entity,
            seq,
            ..
        } = delivery;
        let newest = self.ports.log.newest_of(connection, entity);
        let newest = newest.map_err(|source| self.unread(source))?;
        let Some(newest) = newest.filter(|newest| newest > seq) else {
            return Ok(Look::First);
        };
        if !self.window.is_outstanding(connection, entity, newest) {
            return Ok(Look::Overtaken);
        }
        // It is still to be given: one between may have been.
        Ok(Look::On(*seq))
    }

    fn look_at_page(&self, delivery: &Delivery, after: ChangeSeq) -> Result<Look, DeliverError> {
        let (connection, entity) = (&delivery.connection, &delivery.entity);
        let filter = SinkFilter {
            connectors: Vec::new(),
            connections: vec![connection.clone()],
            kinds: vec![entity.kind.clone()],
        };
        let page = match self.ports.log.page(after, &filter, PAGE_ROWS_MAX) {
            Ok(page) => page,
            Err(LogError::Expired { .. }) => return Ok(Look::Overtaken),
            Err(source) => {
                return Err(DeliverError::Log {
                    sink: self.sink(),
                    source,
                });
            }
        };
        let mut of_entity = page
            .changes
            .iter()
            .filter(|change| change.change.entity == *entity && change.connection == *connection);
        if of_entity.any(|change| !self.window.is_outstanding(connection, entity, change.seq)) {
            return Ok(Look::Overtaken);
        }
        if page.next >= self.window.read_to() || page.next <= after {
            return Ok(Look::First);
        }
        Ok(Look::On(page.next))
    }
}

impl<L, T: Claims, O, J, C, H> SinkLoop<'_, L, T, O, J, C, H> {
    /// Gives the task back unsent, for the loop that comes after this one.
    pub(super) fn give_search_up(&mut self) {
        if let Some(Search { claimed, .. }) = self.search.take() {
            self.window.task_unsent();
            self.claimed.remove(&claimed.id());
            self.ports.claims.release(claimed.id());
        }
    }
}
