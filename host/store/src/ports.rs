//! The store as the flows see it: core's ports, over readers and claims.

use tidegate_core::change::{Change, EntityRef};
use tidegate_core::ids::{ChangeSeq, ConnectionId, SinkName, TaskId};
use tidegate_core::ports::{self, ChangeLog, Claimed, LogError, LogPage, MirrorPage, ReadError};
use tidegate_core::sink::SinkFilter;
use tidegate_core::task::{Delivery, Owner, Work};
use tidegate_core::time::Timestamp;

use crate::queue::Claims;
use crate::read::{ChangesError, EntityKey, Reader};

impl ChangeLog for Reader {
    fn page(
        &self,
        after: ChangeSeq,
        filter: &SinkFilter,
        limit: usize,
    ) -> Result<LogPage, LogError> {
        let takes = |head: &crate::codec::ChangeHead| filter.takes(&head.connection, &head.entity);
        let all = *filter == SinkFilter::default();
        let page = if all {
            self.changes_that(after, None, limit)
        } else {
            self.changes_that(after, Some(&takes), limit)
        };
        let page = page.map_err(|error| match error {
            ChangesError::CursorExpired { cursor, .. } => LogError::Expired { cursor },
            ChangesError::CursorAhead { cursor, .. } => LogError::Ahead { cursor },
            ChangesError::Read(error) => LogError::Read(error),
        })?;
        Ok(LogPage {
            changes: page.changes,
            next: page.next,
        })
    }

    fn mirror(
        &self,
        after: Option<&ports::EntityKey>,
        filter: &SinkFilter,
        limit: usize,
    ) -> Result<MirrorPage, ReadError> {
        let after = after
            .cloned()
            .map(|(connection, entity)| EntityKey { connection, entity });
        let takes = |key: &EntityKey| filter.takes(&key.connection, &key.entity);
        let page = self.entities_that(Vec::new(), &takes, after.as_ref(), limit)?;
        Ok(MirrorPage {
            changes: page
                .entities
                .into_iter()
                .map(tidegate_core::change::Entity::into_change)
                .collect(),
            next: page.next.map(|key| (key.connection, key.entity)),
        })
    }

    fn change(&self, task: TaskId, delivery: &Delivery) -> Result<Option<Change>, ReadError> {
        self.change_for(task, delivery)
    }

    fn newest_of(
        &self,
        connection: &ConnectionId,
        entity: &EntityRef,
    ) -> Result<Option<ChangeSeq>, ReadError> {
        let entity = self.entity(connection, entity)?;
        Ok(entity.map(|entity| entity.standing.change))
    }

    fn newest(&self) -> ChangeSeq {
        self.newest_change()
    }

    fn oldest(&self) -> ChangeSeq {
        self.oldest_cursor()
    }

    fn open_deliveries(&self, sink: &SinkName) -> Result<Vec<Delivery>, ReadError> {
        self.open_keys(sink)
    }

    fn is_open(&self, delivery: &Delivery) -> Result<bool, ReadError> {
        self.has_open(delivery)
    }
}

impl ports::Claims for Claims {
    fn claim_of(
        &self,
        owner: &Owner,
        work: Work,
        max: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, ReadError> {
        Self::claim_of(self, owner, work, max, now)
    }

    fn next_due_of(&self, owner: &Owner, work: Work) -> Option<Timestamp> {
        Self::next_due_of(self, owner, work)
    }

    fn release(&self, task: TaskId) {
        Self::release(self, task);
    }
}
