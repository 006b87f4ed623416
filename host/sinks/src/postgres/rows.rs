//! Changes as the arrays that one statement takes: a column each.

use std::collections::HashMap;

use tidegate_core::change::{Change, Operation};
use tidegate_core::time::Timestamp;
use tokio_postgres::types::ToSql;

/// Columns of some changes, all of one table.
#[derive(Debug, Default)]
pub(super) struct Rows<'c> {
    connectors: Vec<&'c str>,
    accounts: Vec<&'c str>,
    kinds: Vec<&'c str>,
    ids: Vec<&'c str>,
    data: Vec<Option<&'c str>>,
    versions: Vec<Option<i64>>,
    revisions: Vec<&'c str>,
    occurred: Vec<Option<i64>>,
    committed: Vec<i64>,
    deleted: Vec<Option<i64>>,
    seqs: Vec<i64>,
}

/// The changes of which something stays once all of them are applied: the last one of
/// each entity, since one statement may touch a row only once.
pub(super) fn last_of_each(changes: &[Change]) -> Vec<&Change> {
    let mut last: HashMap<_, &Change> = HashMap::with_capacity(changes.len());
    for change in changes {
        let entity = (&change.connection, &change.change.entity);
        let kept = last.entry(entity).or_insert(change);
        if kept.seq < change.seq {
            *kept = change;
        }
    }
    let mut left: Vec<&Change> = last.into_values().collect();
    // In one order always, so that two writers never wait for each other in a circle.
    left.sort_by(|a, b| {
        let key = |change: &Change| (change.connection.clone(), change.change.entity.clone());
        key(a).cmp(&key(b))
    });
    left
}

impl<'c> Rows<'c> {
    pub(super) fn of(changes: impl IntoIterator<Item = &'c Change>) -> Self {
        let mut rows = Self::default();
        for change in changes {
            rows.push(change);
        }
        rows
    }

    fn push(&mut self, change: &'c Change) {
        let proposed = &change.change;
        let at = proposed.occurred.unwrap_or(change.committed).as_micros();
        self.connectors.push(change.connection.connector.as_str());
        self.accounts.push(change.connection.account.as_str());
        self.kinds.push(&proposed.entity.kind);
        self.ids.push(&proposed.entity.id);
        // Checked to be text when it was mapped; what is not would be null, and fails.
        let data = proposed.data.as_deref();
        self.data
            .push(data.and_then(|data| std::str::from_utf8(data).ok()));
        self.versions.push(proposed.version);
        self.revisions.push(&proposed.revision);
        self.occurred
            .push(proposed.occurred.map(Timestamp::as_micros));
        self.committed.push(change.committed.as_micros());
        self.deleted
            .push((proposed.operation == Operation::Delete).then_some(at));
        self.seqs
            .push(i64::try_from(change.seq.get()).unwrap_or(i64::MAX));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    /// What a statement is given, in the order of `statements::INCOMING`.
    pub(super) fn parameters<'r>(&'r self, source: &'r &str) -> [&'r (dyn ToSql + Sync); 12] {
        [
            &self.connectors,
            &self.accounts,
            &self.kinds,
            &self.ids,
            &self.data,
            &self.versions,
            &self.revisions,
            &self.occurred,
            &self.committed,
            &self.deleted,
            &self.seqs,
            source,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::change;

    #[test]
    fn the_last_change_of_an_entity_is_the_one_with_the_highest_number() {
        let changes = [
            change(5, "b", "{}"),
            change(9, "a", "{}"),
            change(7, "b", "{}"),
            change(3, "a", "{}"),
        ];
        let left: Vec<u64> = last_of_each(&changes)
            .iter()
            .map(|one| one.seq.get())
            .collect();
        assert_eq!(left, [9, 7]);
    }
}
