//! The mirror as it must be: computed at once from every event that was mapped, by the
//! version rule as the concepts state it, whatever the order of arrival (5).

use std::collections::BTreeMap;

use tidegate_core::change::{Operation, ProposedChange};
use tidegate_core::ids::{ConnectionId, EventId};
use tidegate_core::ports::EntityKey;

/// What an event said.
pub(crate) struct Told {
    pub(crate) event: EventId,
    pub(crate) connection: ConnectionId,
    pub(crate) changes: Vec<ProposedChange>,
}

/// The newest state of each entity.
pub(crate) fn mirror(all: Vec<Told>) -> BTreeMap<EntityKey, ProposedChange> {
    let mut states: BTreeMap<EntityKey, Vec<(EventId, ProposedChange)>> = BTreeMap::new();
    for told in all {
        let mut of_event: BTreeMap<EntityKey, ProposedChange> = BTreeMap::new();
        for change in told.changes {
            let key = (told.connection.clone(), change.entity.clone());
            // Within one event the highest version counts, or the last where there is none.
            let newer = of_event
                .get(&key)
                .is_none_or(|before| change.version >= before.version);
            if newer {
                of_event.insert(key, change);
            }
        }
        for (key, change) in of_event {
            states.entry(key).or_default().push((told.event, change));
        }
    }
    let newest = |mut of_entity: Vec<(EventId, ProposedChange)>| {
        of_entity.sort_by_key(|(event, change)| {
            let gone = change.version.is_some() && change.operation == Operation::Delete;
            (change.version, gone, *event)
        });
        of_entity.pop().map(|(_, change)| change)
    };
    let states = states.into_iter();
    states
        .filter_map(|(key, of_entity)| Some((key, newest(of_entity)?)))
        .collect()
}
