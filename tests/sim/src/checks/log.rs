//! What a reader of the change log may see: a gapless sequence that grows and never
//! changes (10), in which each event counts once (4) and no older state follows a newer
//! one (5).

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::change::{Change, Operation};
use tidegate_core::ids::{ChangeSeq, EventId};
use tidegate_core::ports::EntityKey;
use tidegate_store::{ChangeFilter, Reader};

use super::{Checked, ONCE, READERS, VERSIONS, violation};

/// The change log as it was seen, from its beginning.
#[derive(Debug, Default)]
pub(super) struct Log {
    changes: Vec<Change>,
    newest: BTreeMap<EntityKey, usize>,
    once: BTreeSet<(EventId, EntityKey, &'static str, String)>,
}

impl Log {
    pub(super) const fn len(&self) -> u64 {
        self.changes.len() as u64
    }

    pub(super) fn get(&self, seq: ChangeSeq) -> Option<&Change> {
        let index = usize::try_from(seq.get().checked_sub(1)?).ok()?;
        self.changes.get(index)
    }

    pub(super) fn all(&self) -> &[Change] {
        &self.changes
    }

    /// Reads on from where it stands.
    pub(super) fn look(&mut self, reader: &Reader) -> Checked {
        loop {
            let cursor = ChangeSeq::new(self.len());
            let page = reader.changes(cursor, &ChangeFilter::default(), 100);
            let page = page.map_err(|error| violation(READERS, format!("{error}")))?;
            if page.changes.is_empty() {
                let short = self.len() < reader.newest_change().get();
                let missed = || violation(READERS, "the page ends before the newest change");
                return if short { Err(missed()) } else { Ok(()) };
            }
            for change in page.changes {
                self.take(change, reader)?;
            }
        }
    }

    fn take(&mut self, change: Change, reader: &Reader) -> Checked {
        if change.seq.get() != self.len() + 1 {
            let said = format!("after {} comes {}", self.len(), change.seq);
            return Err(violation(READERS, said));
        }
        let key = (change.connection.clone(), change.change.entity.clone());
        if let Some(before) = self.newest.get(&key).and_then(|at| self.changes.get(*at)) {
            follows(before, &change)?;
        }
        if let Some(event) = change.event {
            let (operation, revision) = (
                change.change.operation.code(),
                change.change.revision.clone(),
            );
            if !self.once.insert((event, key.clone(), operation, revision)) {
                let said = format!(
                    "the changes of {event} went out twice, again at {}",
                    change.seq
                );
                return Err(violation(ONCE, said));
            }
        }
        let stands = reader.entity(&key.0, &key.1).ok().flatten();
        if stands.is_none_or(|stands| stands.standing.change < change.seq) {
            let said = format!("{} is in the log and not in the mirror", change.seq);
            return Err(violation(READERS, said));
        }
        self.newest.insert(key, self.changes.len());
        self.changes.push(change);
        Ok(())
    }

    /// After a restart everything that was seen is there, as it was.
    pub(super) fn opened(&mut self, reader: &Reader) -> Checked {
        if reader.newest_change().get() < self.len() {
            let said = format!(
                "{} changes were seen and {} are there after a restart",
                self.len(),
                reader.newest_change()
            );
            return Err(violation(READERS, said));
        }
        let mut cursor = reader.oldest_cursor();
        let kept = usize::try_from(cursor.get()).ok();
        let mut seen = kept
            .and_then(|kept| self.changes.get(kept..))
            .unwrap_or_default();
        while let Some(first) = seen.first() {
            let page = reader.changes(cursor, &ChangeFilter::default(), 500);
            let page = page.map_err(|error| violation(READERS, format!("{error}")))?;
            cursor = page.next;
            let both = page.changes.len().min(seen.len());
            let (now, rest) = seen.split_at(both);
            if both == 0 || page.changes.get(..both) != Some(now) {
                let said = format!("the log has changed, {} or after it", first.seq);
                return Err(violation(READERS, said));
            }
            seen = rest;
        }
        self.look(reader)
    }
}

/// Whether one state of an entity may follow another.
fn follows(before: &Change, after: &Change) -> Checked {
    let (old, new) = (&before.change, &after.change);
    let wrong = || {
        let said = format!(
            "{} {:?} of {:?} replaces {} {:?} of {:?}",
            after.seq, new.version, after.event, before.seq, old.version, before.event
        );
        Err(violation(VERSIONS, said))
    };
    let later = after.event >= before.event;
    match (old.version, new.version) {
        (Some(old_version), Some(new_version)) if new_version < old_version => wrong(),
        (Some(old_version), Some(new_version)) if new_version == old_version => {
            match (old.operation, new.operation) {
                (Operation::Upsert, Operation::Delete) => Ok(()),
                (Operation::Delete, Operation::Upsert) => wrong(),
                _ if later => Ok(()),
                _ => wrong(),
            }
        }
        (Some(_), Some(_)) => Ok(()),
        _ if later => Ok(()),
        _ => wrong(),
    }
}
