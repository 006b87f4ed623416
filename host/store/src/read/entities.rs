//! Listing the mirror, in the order of its keys.

use tidegate_core::change::{Entity, EntityRef};
use tidegate_core::ids::{ChangeSeq, ConnectionId, ConnectorName};
use tidegate_core::limits::{PAGE_BYTES_MAX, PAGE_ROWS_MAX, PAGE_SCAN_MAX};
use tidegate_core::ports::ReadError;
use tidegate_core::version::Standing;

use super::{Reader, to_entity};
use crate::codec::{Corrupt, Record, State};
use crate::engine::{Order, Span};
use crate::keys;
use crate::view::{Fault, View};

/// Which entities; all where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityFilter {
    /// Of any connection of this connector.
    pub connector: Option<ConnectorName>,
    /// Of this connection.
    pub connection: Option<ConnectionId>,
    /// Of this kind.
    pub kind: Option<String>,
}

/// An entity among all of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityKey {
    /// Of which connection.
    pub connection: ConnectionId,
    /// Which of its entities.
    pub entity: EntityRef,
}

/// Entities in the order of connection, kind and id, tombstones among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityPage {
    /// The entities.
    pub entities: Vec<Entity>,
    /// What to hand in as `after` for more.
    pub next: Option<EntityKey>,
    /// Where the change log stood: who lists the whole mirror and then reads changes
    /// from the first page's position misses none.
    pub position: ChangeSeq,
}

impl EntityFilter {
    /// What the keys of all that it takes begin with.
    fn prefix(&self) -> Vec<u8> {
        match (&self.connection, &self.connector, &self.kind) {
            (Some(connection), _, Some(kind)) => keys::kind_prefix(connection, kind),
            (Some(connection), _, None) => keys::connection_prefix(connection),
            (None, Some(connector), _) => keys::connector_prefix(connector),
            (None, None, _) => Vec::new(),
        }
    }

    fn takes(&self, key: &EntityKey) -> bool {
        let EntityKey { connection, entity } = key;
        self.connector
            .as_ref()
            .is_none_or(|connector| *connector == connection.connector)
            && self
                .connection
                .as_ref()
                .is_none_or(|wanted| wanted == connection)
            && self.kind.as_ref().is_none_or(|kind| *kind == entity.kind)
    }
}

impl Reader {
    /// A page of the mirror.
    pub fn entities(
        &self,
        filter: &EntityFilter,
        after: Option<&EntityKey>,
        limit: usize,
    ) -> Result<EntityPage, ReadError> {
        self.entities_that(filter.prefix(), &|key| filter.takes(key), after, limit)
    }

    /// A page of those entities whose keys begin so and that are taken.
    pub(crate) fn entities_that(
        &self,
        prefix: Vec<u8>,
        takes: &dyn Fn(&EntityKey) -> bool,
        after: Option<&EntityKey>,
        limit: usize,
    ) -> Result<EntityPage, ReadError> {
        let view = self.view();
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        read(&view, prefix, takes, after, limit)
            .map_err(|fault| fault.reading("a page of the mirror"))
    }
}

fn read(
    view: &View,
    prefix: Vec<u8>,
    takes: &dyn Fn(&EntityKey) -> bool,
    after: Option<&EntityKey>,
    limit: usize,
) -> Result<EntityPage, Fault> {
    let until = keys::after_prefix(&prefix);
    let from = match after {
        Some(after) => {
            let mut from = keys::entity(&after.connection, &after.entity);
            from.push(0);
            from.max(prefix)
        }
        None => prefix,
    };
    let span = Span {
        from: &from,
        until: until.as_deref(),
    };
    let position = ChangeSeq::new(view.ledger.tally.last_change);
    let mut page = EntityPage {
        entities: Vec::new(),
        next: None,
        position,
    };
    let (mut looked_at, mut bytes) = (0, 0);
    let mut last = None;
    let mut rows = view.rows(view.rooms.standing, span, Order::Ascending)?;
    while let Some(row) = rows.next() {
        let (key, record) = row?;
        if page.entities.len() >= limit || looked_at >= PAGE_SCAN_MAX || bytes >= PAGE_BYTES_MAX {
            page.next = last;
            break;
        }
        looked_at += 1;
        let (connection, entity) =
            keys::to_entity(&key).ok_or_else(|| rows.corrupt(&key, Corrupt::Key))?;
        let named = EntityKey { connection, entity };
        if takes(&named) {
            let standing =
                Standing::from_record(record).map_err(|source| rows.corrupt(&key, source))?;
            if let Some(state) = view.record::<State>(view.rooms.mirror, &key)? {
                bytes += state.data.as_ref().map_or(0, bytes::Bytes::len);
                let EntityKey { connection, entity } = named.clone();
                page.entities
                    .push(to_entity(connection, entity, standing, state));
            }
        }
        last = Some(named);
    }
    Ok(page)
}
