//! Reading the change log from a cursor.
//!
//! The log is gapless and never altered, and a view knows its newest change: a reader
//! sees every change up to there, whatever the engine. A cursor is the last change that
//! a reader has seen, or has been told to pass over because its filter does not take
//! it. A change that is lost or torn is passed over by nobody: a page ends before it.

use tidegate_core::change::{Change, Entity};
use tidegate_core::ids::{ChangeSeq, ConnectionId, ConnectorName, TaskId};
use tidegate_core::limits::{PAGE_BYTES_MAX, PAGE_ROWS_MAX, PAGE_SCAN_MAX};
use tidegate_core::ports::ReadError;
use tidegate_core::task::Delivery;

use super::{Reader, find_entity};
use crate::buckets::Bucket;
use crate::codec::{ChangeHead, Corrupt, Kept, Record};
use crate::engine::{Order, Span};
use crate::keys;
use crate::rooms::ChangeRoom;
use crate::view::{Fault, View};

/// Which changes; all where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeFilter {
    /// Of any connection of this connector.
    pub connector: Option<ConnectorName>,
    /// Of this connection.
    pub connection: Option<ConnectionId>,
    /// Of entities of this kind.
    pub kind: Option<String>,
    /// Of the entity with this id.
    pub id: Option<String>,
}

/// Whether a change is taken, by what it is of.
pub(crate) type Takes<'a> = &'a dyn Fn(&ChangeHead) -> bool;

/// Changes in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangePage {
    /// The changes.
    pub changes: Vec<Change>,
    /// The cursor to continue from; past what the filter did not take. Where it stands
    /// before the newest change there is more at once.
    pub next: ChangeSeq,
}

/// Why the change log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// Changes after that cursor have been dropped.
    #[error("changes after {cursor} are no longer kept; the oldest cursor is {oldest}")]
    CursorExpired {
        /// The cursor.
        cursor: ChangeSeq,
        /// The oldest cursor from which nothing is missing.
        oldest: ChangeSeq,
    },
    /// This store has not handed out that cursor.
    #[error("cursor {cursor} is ahead of the newest change {newest}: it is not of this store")]
    CursorAhead {
        /// The cursor.
        cursor: ChangeSeq,
        /// The newest change.
        newest: ChangeSeq,
    },
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl ChangeFilter {
    fn takes_all(&self) -> bool {
        *self == Self::default()
    }

    fn takes(&self, head: &ChangeHead) -> bool {
        let ChangeHead { connection, entity } = head;
        self.connector
            .as_ref()
            .is_none_or(|connector| *connector == connection.connector)
            && self
                .connection
                .as_ref()
                .is_none_or(|wanted| wanted == connection)
            && self.kind.as_ref().is_none_or(|kind| *kind == entity.kind)
            && self.id.as_ref().is_none_or(|id| *id == entity.id)
    }
}

impl Reader {
    /// The oldest cursor from which no change is missing.
    pub fn oldest_cursor(&self) -> ChangeSeq {
        oldest_cursor(&self.view())
    }

    /// The change that a delivery is of, as far as anything still has it.
    pub fn change_for(
        &self,
        task: TaskId,
        delivery: &Delivery,
    ) -> Result<Option<Change>, ReadError> {
        find_change(&self.view(), task, delivery)
            .map_err(|fault| fault.reading(format!("change {}", delivery.seq)))
    }

    /// The changes after a cursor.
    pub fn changes(
        &self,
        since: ChangeSeq,
        filter: &ChangeFilter,
        limit: usize,
    ) -> Result<ChangePage, ChangesError> {
        let takes = |head: &ChangeHead| filter.takes(head);
        let takes: Option<Takes<'_>> = (!filter.takes_all()).then_some(&takes);
        self.changes_that(since, takes, limit)
    }

    /// The changes after a cursor that are taken; all where nothing is said.
    pub(crate) fn changes_that(
        &self,
        since: ChangeSeq,
        takes: Option<Takes<'_>>,
        limit: usize,
    ) -> Result<ChangePage, ChangesError> {
        let view = self.view();
        let newest = ChangeSeq::new(view.ledger.tally.last_change);
        let oldest = oldest_cursor(&view);
        if since > newest {
            return Err(ChangesError::CursorAhead {
                cursor: since,
                newest,
            });
        }
        if since < oldest {
            return Err(ChangesError::CursorExpired {
                cursor: since,
                oldest,
            });
        }
        let mut page = Page {
            view: &view,
            takes,
            changes: Vec::new(),
            limit: limit.clamp(1, PAGE_ROWS_MAX),
            looked_at: 0,
            bytes: 0,
            passed: since.get(),
        };
        match page.fill() {
            // What stands before it goes out; the next page begins with it, and is an error.
            Err(Fault::Corrupt { .. }) if page.passed > since.get() => {}
            filled => filled.map_err(|fault| fault.reading("a page of the change log"))?,
        }
        Ok(ChangePage {
            next: ChangeSeq::new(page.passed),
            changes: page.changes,
        })
    }
}

/// The change that a delivery is of: as the log has it, as it was kept aside for that
/// task, or as the mirror has it where the entity still stands at it.
pub(crate) fn find_change(
    view: &View,
    task: TaskId,
    delivery: &Delivery,
) -> Result<Option<Change>, Fault> {
    let Delivery {
        seq,
        connection,
        entity,
        ..
    } = delivery;
    let published = seq.get() <= view.ledger.tally.last_change;
    let bucket = view.ledger.changes.of(seq.get());
    if let Some(bucket) = bucket.filter(|_| published)
        && let Some(change) = view.record(bucket.rooms.0, &keys::number(seq.get()))?
    {
        return Ok(Some(change));
    }
    let kept = view.record(view.rooms.replaying, &keys::number(task.get()))?;
    if let Some(Kept::Change(change)) = kept {
        return Ok(Some(change));
    }
    let key = keys::entity(connection, entity);
    let stands = find_entity(view, &key, connection, entity)?;
    let stands = stands.filter(|entity| entity.standing.change == *seq);
    Ok(stands.map(Entity::into_change))
}

fn oldest_cursor(view: &View) -> ChangeSeq {
    ChangeSeq::new(view.ledger.changes.first().saturating_sub(1))
}

struct Page<'a> {
    view: &'a View,
    takes: Option<Takes<'a>>,
    changes: Vec<Change>,
    limit: usize,
    looked_at: usize,
    bytes: usize,
    /// The last change that was taken or passed over.
    passed: u64,
}

impl Page<'_> {
    const fn has_room(&self) -> bool {
        self.changes.len() < self.limit
            && self.looked_at < PAGE_SCAN_MAX
            && self.bytes < PAGE_BYTES_MAX
    }

    fn fill(&mut self) -> Result<(), Fault> {
        let buckets = &self.view.ledger.changes;
        let begins = buckets.of(self.passed + 1);
        let begins = begins.map_or(0, |bucket| bucket.facts.first);
        for bucket in buckets
            .oldest_first()
            .skip_while(|bucket| bucket.facts.first < begins)
        {
            self.read(bucket)?;
        }
        // The log is gapless: what is missing was lost, and must not be passed over.
        if self.has_room() && self.passed < self.view.ledger.tally.last_change {
            return Err(self.missing(buckets.newest()));
        }
        Ok(())
    }

    fn missing(&self, bucket: &Bucket<ChangeRoom>) -> Fault {
        let key = keys::number(self.passed + 1);
        Fault::corrupt(bucket.rooms.0, &key, Corrupt::Missing)
    }

    fn read(&mut self, bucket: &Bucket<ChangeRoom>) -> Result<(), Fault> {
        let from = keys::number(self.passed + 1);
        let until = keys::number(self.view.ledger.tally.last_change + 1);
        let span = Span {
            from: &from,
            until: Some(&until),
        };
        let mut rows = self.view.rows(bucket.rooms.0, span, Order::Ascending)?;
        while self.has_room() {
            let Some(row) = rows.next() else {
                break;
            };
            let (key, record) = row?;
            if keys::to_number(&key) != Some(self.passed + 1) {
                return Err(self.missing(bucket));
            }
            self.looked_at += 1;
            let taken = match self.takes {
                None => true,
                Some(takes) => {
                    let head = ChangeHead::from_record(record.clone());
                    takes(&head.map_err(|source| rows.corrupt(&key, source))?)
                }
            };
            if taken {
                self.bytes += record.len();
                let change =
                    Change::from_record(record).map_err(|source| rows.corrupt(&key, source))?;
                self.changes.push(change);
            }
            self.passed += 1;
        }
        Ok(())
    }
}
