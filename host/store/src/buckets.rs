//! Records of one kind in buckets by time, so that age is dropped a keyspace at a time.
//!
//! A bucket takes what comes while it is the newest, and is closed by the next one.
//! Each knows the lowest number that it may hold, so a number leads to its bucket
//! without a look-up. There is always a newest bucket.

use std::time::Duration;

use tidegate_core::time::Timestamp;

use crate::codec::{Corrupt, Reading, Record, Writer};
use crate::engine::{Engine, EngineError};
use crate::rooms::{BucketRooms, RoomName};

/// Buckets that span a policy's length; one more is being filled.
const PER_SPAN: u32 = 8;

/// One bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket<R> {
    pub(crate) facts: BucketFacts,
    pub(crate) rooms: R,
}

/// What is written down of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BucketFacts {
    /// Its number, never given twice.
    pub(crate) number: u64,
    /// The lowest record that it may hold.
    pub(crate) first: u64,
    /// When it became the newest.
    pub(crate) opened: Timestamp,
    /// Tasks that need a record in it.
    pub(crate) open_tasks: u64,
}

/// How a bucket was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    /// When.
    pub(crate) at: Timestamp,
    /// The first record after it.
    pub(crate) end: u64,
}

/// The buckets of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Buckets<R> {
    /// Closed ones, oldest first.
    closed: Vec<(Bucket<R>, Closing)>,
    newest: Bucket<R>,
}

impl<R: BucketRooms> Buckets<R> {
    /// The first bucket.
    pub(crate) fn begin(engine: &dyn Engine, now: Timestamp) -> Result<Self, EngineError> {
        let facts = BucketFacts {
            number: 1,
            first: 1,
            opened: now,
            open_tasks: 0,
        };
        Ok(Self {
            closed: Vec::new(),
            newest: Bucket {
                facts,
                rooms: R::open(engine, 1)?,
            },
        })
    }

    /// Begins the next bucket where it is time: the newest holds something and has
    /// taken its share of what is kept. `next` is the coming record. Says whether.
    pub(crate) fn roll_if_due(
        &mut self,
        engine: &dyn Engine,
        next: u64,
        keep: Duration,
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        let BucketFacts { first, opened, .. } = self.newest.facts;
        let due = first < next && now.since(opened) >= keep / PER_SPAN;
        if due {
            self.roll(engine, next, now)?;
        }
        Ok(due)
    }

    fn roll(&mut self, engine: &dyn Engine, next: u64, now: Timestamp) -> Result<(), EngineError> {
        let number = self.newest.facts.number + 1;
        let facts = BucketFacts {
            number,
            first: next,
            opened: now,
            open_tasks: 0,
        };
        let rooms = R::open(engine, number)?;
        let closing = Closing { at: now, end: next };
        self.closed.push((self.newest, closing));
        self.newest = Bucket { facts, rooms };
        Ok(())
    }

    /// The bucket that takes what comes now.
    pub(crate) fn newest(&self) -> &Bucket<R> {
        &self.newest
    }

    /// The bucket of that record, where it is still there.
    pub(crate) fn of(&self, record: u64) -> Option<&Bucket<R>> {
        if self.newest.facts.first <= record {
            return Some(&self.newest);
        }
        let holds = |(bucket, closing): &&(Bucket<R>, Closing)| {
            bucket.facts.first <= record && record < closing.end
        };
        let found = self.closed.iter().rev().find(holds);
        found.map(|(bucket, _)| bucket)
    }

    /// Every bucket, newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &Bucket<R>> {
        std::iter::once(&self.newest).chain(self.closed.iter().rev().map(|(bucket, _)| bucket))
    }

    /// Every bucket, oldest first.
    pub(crate) fn oldest_first(&self) -> impl Iterator<Item = &Bucket<R>> {
        self.closed
            .iter()
            .map(|(bucket, _)| bucket)
            .chain(std::iter::once(&self.newest))
    }

    /// The lowest record that may still be there.
    pub(crate) fn first(&self) -> u64 {
        self.closed
            .first()
            .map_or(self.newest.facts.first, |(bucket, _)| bucket.facts.first)
    }

    /// Adds to, or takes from, the open tasks of the bucket of that record, where it is
    /// still there.
    pub(crate) fn count_open(&mut self, record: u64, tasks: i64) {
        let bucket = if self.newest.facts.first <= record {
            Some(&mut self.newest)
        } else {
            let mut closed = self.closed.iter_mut().rev();
            let found = closed
                .find(|(bucket, closing)| bucket.facts.first <= record && record < closing.end);
            found.map(|(bucket, _)| bucket)
        };
        if let Some(bucket) = bucket {
            bucket.facts.open_tasks = bucket.facts.open_tasks.saturating_add_signed(tasks);
        }
    }

    /// Takes out the buckets that were closed at least `keep` ago and hold nothing that
    /// an open task needs.
    pub(crate) fn take_expired(&mut self, keep: Duration, now: Timestamp) -> Vec<R> {
        let mut expired = Vec::new();
        self.closed.retain(|(bucket, closing)| {
            let goes = now.since(closing.at) >= keep && bucket.facts.open_tasks == 0;
            if goes {
                expired.push(bucket.rooms);
            }
            !goes
        });
        expired
    }

    /// The oldest bucket and how it was closed, where it is not the only one.
    pub(crate) fn oldest_closed(&self) -> Option<(BucketFacts, Closing)> {
        let (bucket, closing) = self.closed.first()?;
        Some((bucket.facts, *closing))
    }

    /// Takes out the oldest bucket, where it is not the only one.
    pub(crate) fn take_oldest(&mut self) -> Option<R> {
        if self.closed.is_empty() {
            return None;
        }
        Some(self.closed.remove(0).0.rooms)
    }

    /// Writes down all but the keyspaces, which their numbers lead to.
    pub(crate) fn write(&self, to: &mut Writer) {
        to.list(&self.closed, |to, (bucket, closing)| {
            bucket.facts.write(to);
            closing.write(to);
        });
        self.newest.facts.write(to);
    }
}

/// What is written down of the buckets of one kind.
#[derive(Debug)]
pub(crate) struct BucketList {
    closed: Vec<(BucketFacts, Closing)>,
    newest: BucketFacts,
}

impl BucketList {
    pub(crate) fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            closed: from.list(|from| Ok((Record::read(from)?, Record::read(from)?)))?,
            newest: Record::read(from)?,
        })
    }

    /// The names of their keyspaces.
    pub(crate) fn names<R: BucketRooms>(&self) -> impl Iterator<Item = RoomName> {
        let closed = self.closed.iter().map(|(facts, _)| facts);
        closed
            .chain(std::iter::once(&self.newest))
            .flat_map(|facts| RoomName::of_bucket::<R>(facts.number))
    }

    /// Opens the keyspaces of each.
    pub(crate) fn open<R: BucketRooms>(
        self,
        engine: &dyn Engine,
    ) -> Result<Buckets<R>, EngineError> {
        let open = |facts: BucketFacts| -> Result<Bucket<R>, EngineError> {
            Ok(Bucket {
                facts,
                rooms: R::open(engine, facts.number)?,
            })
        };
        let closed = self
            .closed
            .into_iter()
            .map(|(facts, closing)| Ok((open(facts)?, closing)))
            .collect::<Result<_, EngineError>>()?;
        Ok(Buckets {
            closed,
            newest: open(self.newest)?,
        })
    }
}

impl Record for BucketFacts {
    fn write(&self, to: &mut Writer) {
        to.number(self.number);
        to.number(self.first);
        self.opened.write(to);
        to.number(self.open_tasks);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            number: from.number()?,
            first: from.number()?,
            opened: Record::read(from)?,
            open_tasks: from.number()?,
        })
    }
}

impl Record for Closing {
    fn write(&self, to: &mut Writer) {
        self.at.write(to);
        to.number(self.end);
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        Ok(Self {
            at: Record::read(from)?,
            end: from.number()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::Memory;
    use crate::rooms::{EventRooms, KeyRoom};

    const HOUR: Duration = Duration::from_hours(1);

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_secs(hours * 3_600)
    }

    #[test]
    fn a_number_leads_to_its_bucket() {
        let engine = Memory::new();
        let mut buckets = Buckets::<EventRooms>::begin(&engine, at(0)).unwrap();
        buckets.roll(&engine, 10, at(1)).unwrap();
        buckets.roll(&engine, 20, at(2)).unwrap();
        for (record, number) in [(1, 1), (9, 1), (10, 2), (19, 2), (20, 3), (900, 3)] {
            assert_eq!(
                buckets.of(record).unwrap().facts.number,
                number,
                "record {record}"
            );
        }
    }

    #[test]
    fn a_record_whose_bucket_was_dropped_is_in_none() {
        let engine = Memory::new();
        let mut buckets = Buckets::<EventRooms>::begin(&engine, at(0)).unwrap();
        buckets.roll(&engine, 10, at(1)).unwrap();
        buckets.roll(&engine, 20, at(2)).unwrap();
        buckets.count_open(5, 1);
        assert_eq!(buckets.take_expired(HOUR, at(900)).len(), 1);
        assert!(buckets.of(9).is_some());
        assert!(buckets.of(10).is_none(), "a pinned one before it");
        buckets.count_open(10, -1);
        assert_eq!(buckets.of(9).unwrap().facts.open_tasks, 1);
    }

    #[test]
    fn an_empty_bucket_is_not_closed() {
        let engine = Memory::new();
        let mut buckets = Buckets::<KeyRoom>::begin(&engine, at(0)).unwrap();
        buckets.roll(&engine, 10, at(1)).unwrap();
        assert!(
            !buckets.roll_if_due(&engine, 10, 8 * HOUR, at(50)).unwrap(),
            "it is empty"
        );
        assert!(
            !buckets.roll_if_due(&engine, 11, 8 * HOUR, at(1)).unwrap(),
            "it is too early"
        );
        assert!(buckets.roll_if_due(&engine, 11, 8 * HOUR, at(50)).unwrap());
    }

    #[test]
    fn only_old_buckets_without_open_tasks_expire() {
        let engine = Memory::new();
        let mut buckets = Buckets::<EventRooms>::begin(&engine, at(0)).unwrap();
        buckets.roll(&engine, 10, at(1)).unwrap();
        buckets.roll(&engine, 20, at(2)).unwrap();
        buckets.count_open(5, 1);
        assert_eq!(
            buckets.take_expired(HOUR, at(2)).len(),
            0,
            "the first is pinned"
        );
        buckets.count_open(5, -1);
        assert_eq!(buckets.take_expired(HOUR, at(2)).len(), 1);
        assert_eq!(buckets.first(), 10);
        assert_eq!(buckets.take_expired(HOUR, at(900)).len(), 1);
        assert_eq!(buckets.first(), 20);
    }

    #[test]
    fn a_list_leads_back_to_the_same_keyspaces() {
        let engine = Memory::new();
        let mut buckets = Buckets::<EventRooms>::begin(&engine, at(0)).unwrap();
        buckets.roll(&engine, 10, at(1)).unwrap();
        buckets.count_open(3, 2);
        let mut to = Writer::with_capacity(16);
        buckets.write(&mut to);
        let mut from = Reading::new(to.finish().into()).unwrap();
        let again: Buckets<EventRooms> =
            BucketList::read(&mut from).unwrap().open(&engine).unwrap();
        assert_eq!(again.of(3).unwrap().facts, buckets.of(3).unwrap().facts);
        assert_eq!(
            again.of(3).unwrap().rooms.events,
            buckets.of(3).unwrap().rooms.events
        );
        assert_eq!(again.newest().facts, buckets.newest().facts);
    }
}
