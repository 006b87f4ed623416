//! What a replay by filter takes, and how far the replays have come.
//!
//! Tasks and events count with one sequence, so both are walked from new to old by one
//! number. Dead letters are looked at by their heads; events by their progress, and only
//! those that the filter may still take by their bytes. An event that is parked is taken
//! as its letter. What is torn is passed over: a run must not rest at it for ever.

use tidegate_core::event::{EventProgress, EventState};
use tidegate_core::ids::{EventId, ReplayId};
use tidegate_core::limits::{PAGE_BYTES_MAX, PAGE_ROWS_MAX, PAGE_SCAN_MAX};
use tidegate_core::ports::ReadError;
use tidegate_core::replay::{ReplayFilter, ReplayItem, ReplayRun};

use super::dead::{first_after, head};
use super::{Reader, unless_torn};
use crate::codec::{Corrupt, EventHead, Record};
use crate::dead::DeadHead;
use crate::engine::{Order, Span};
use crate::keys;
use crate::view::{Fault, RowsIn, View};

/// What a replay takes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayPage {
    /// From new to old; may be empty though there is more.
    pub items: Vec<ReplayItem>,
    /// Everything from this number on has been looked at: the run's next `before`. At 0
    /// it has seen everything.
    pub before: u64,
}

/// How many things a filter takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matching {
    /// So many.
    pub count: u64,
    /// Not everything was looked at: there may be more.
    pub at_least: bool,
}

impl Reader {
    /// The replays by filter, newest first.
    pub fn replays(&self) -> Result<Vec<ReplayRun>, ReadError> {
        let view = self.view();
        let mut runs: Vec<ReplayRun> = self
            .whole_room(&view, view.rooms.replays)
            .map_err(|fault| fault.reading("replays"))?;
        runs.reverse();
        Ok(runs)
    }

    /// A replay by filter.
    pub fn replay(&self, id: ReplayId) -> Result<Option<ReplayRun>, ReadError> {
        let view = self.view();
        view.record(view.rooms.replays, &keys::number(id.get()))
            .map_err(|fault| fault.reading(format!("replay {id}")))
    }

    /// The last number given to an event or task: what a replay that begins now calls
    /// its newest.
    pub fn newest_number(&self) -> u64 {
        self.view().ledger.tally.last_number
    }

    /// How many dead letters and ended events a filter takes, as far as so many looks show
    /// it: one for each of them, and one for each KiB that had to be read.
    pub fn count_matching(&self, filter: &ReplayFilter, looks: u64) -> Result<Matching, ReadError> {
        let view = self.view();
        count(&view, filter, looks).map_err(|fault| fault.reading("what a replay takes"))
    }

    /// What a replay takes next: at most `limit`, and letters of as many bytes as one page
    /// may have, unless one alone is larger.
    pub fn replay_page(&self, run: &ReplayRun, limit: usize) -> Result<ReplayPage, ReadError> {
        let view = self.view();
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        page(&view, run, limit).map_err(|fault| fault.reading("what a replay takes"))
    }
}

fn count(view: &View, filter: &ReplayFilter, looks: u64) -> Result<Matching, Fault> {
    let mut walk = Walk::new(view, filter, first_after(view, None))?;
    let mut matching = Matching::default();
    let mut looked = 0;
    while !walk.is_over() {
        if looked + walk.bytes_read / 1_024 >= looks {
            matching.at_least = true;
            break;
        }
        looked += 1;
        let seen = walk.next()?;
        matching.count += u64::from(seen.is_some_and(|seen| seen.item.is_some()));
    }
    Ok(matching)
}

fn page(view: &View, run: &ReplayRun, limit: usize) -> Result<ReplayPage, Fault> {
    let before = run.before.min(run.newest.saturating_add(1));
    let mut page = ReplayPage {
        items: Vec::new(),
        before: first_after(view, Some(before)),
    };
    let mut walk = Walk::new(view, &run.filter, page.before)?;
    let (mut looked_at, mut weight) = (0, 0);
    while page.items.len() < limit && looked_at < PAGE_SCAN_MAX && weight < PAGE_BYTES_MAX as u64 {
        let Some(seen) = walk.next()? else {
            page.before = 0;
            break;
        };
        looked_at += 1;
        page.before = seen.number;
        if let Some(item) = seen.item {
            weight = weight.saturating_add(seen.weight);
            page.items.push(item);
        }
    }
    Ok(page)
}

/// Dead letters and ended events together, from new to old.
struct Walk<'a> {
    view: &'a View,
    filter: &'a ReplayFilter,
    letters: Option<RowsIn<'a>>,
    letter: Option<Row>,
    /// The progress of each bucket, newest first.
    events: Vec<RowsIn<'a>>,
    event: Option<Row>,
    /// Of events, to see whether the filter takes them.
    bytes_read: u64,
}

/// A number that was looked at.
struct Seen {
    number: u64,
    /// What it is, where the filter takes it.
    item: Option<ReplayItem>,
    /// What that may take along when it runs again.
    weight: u64,
}

impl Seen {
    const fn passed(number: u64) -> Self {
        Self {
            number,
            item: None,
            weight: 0,
        }
    }
}

type Row = (u64, bytes::Bytes);

impl<'a> Walk<'a> {
    fn new(view: &'a View, filter: &'a ReplayFilter, before: u64) -> Result<Self, Fault> {
        let until = keys::number(before);
        let span = Span {
            from: &[],
            until: Some(&until),
        };
        let state = filter.state.as_deref();
        let mut walk = Self {
            view,
            filter,
            letters: None,
            letter: None,
            events: Vec::new(),
            event: None,
            bytes_read: 0,
        };
        if state.is_none_or(|state| state == "dead") {
            walk.letters = Some(view.rows(view.rooms.dead_heads, span, Order::Descending)?);
        }
        if filter.cause.is_none() && state != Some("dead") {
            // The next bucket to read stands last.
            for bucket in view.ledger.events.oldest_first() {
                if bucket.facts.first < before {
                    let rows = view.rows(bucket.rooms.progress, span, Order::Descending)?;
                    walk.events.push(rows);
                }
            }
        }
        walk.read_letter()?;
        walk.read_event()?;
        Ok(walk)
    }

    fn read_letter(&mut self) -> Result<(), Fault> {
        self.letter = match &mut self.letters {
            Some(rows) => next_numbered(rows)?,
            None => None,
        };
        Ok(())
    }

    fn read_event(&mut self) -> Result<(), Fault> {
        self.event = None;
        while let Some(rows) = self.events.last_mut() {
            self.event = next_numbered(rows)?;
            if self.event.is_some() {
                break;
            }
            self.events.pop();
        }
        Ok(())
    }

    const fn is_over(&self) -> bool {
        self.letter.is_none() && self.event.is_none()
    }

    /// The next number, with the item that it is where the filter takes it.
    fn next(&mut self) -> Result<Option<Seen>, Fault> {
        if self.is_over() {
            return Ok(None);
        }
        let letter = self.letter.as_ref().map(|(number, _)| *number);
        let event = self.event.as_ref().map(|(number, _)| *number);
        if letter >= event {
            let row = self.letter.take();
            self.read_letter()?;
            // The event of a parked map task has the same number.
            if letter == event {
                self.read_event()?;
            }
            return row.map(|row| self.see_letter(row)).transpose();
        }
        let row = self.event.take();
        self.read_event()?;
        row.map(|row| self.see_event(row)).transpose()
    }

    fn see_letter(&self, (number, record): Row) -> Result<Seen, Fault> {
        let head = head(self.view, &keys::number(number), record);
        let taken = unless_torn(head)?.filter(|head| takes_letter(self.filter, head));
        Ok(taken.map_or(Seen::passed(number), |head| Seen {
            number,
            item: Some(ReplayItem::Letter(head.task)),
            weight: head.weight,
        }))
    }

    fn see_event(&mut self, (number, record): Row) -> Result<Seen, Fault> {
        let taken = unless_torn(self.takes_event(number, record))?;
        let item = ReplayItem::Event(EventId::new(number));
        Ok(Seen {
            item: (taken == Some(true)).then_some(item),
            ..Seen::passed(number)
        })
    }

    fn takes_event(&mut self, number: u64, record: bytes::Bytes) -> Result<bool, Fault> {
        let filter = self.filter;
        let key = keys::number(number);
        let Some(bucket) = self.view.ledger.events.of(number) else {
            return Ok(false);
        };
        let progress = EventProgress::from_record(record)
            .map_err(|source| Fault::corrupt(bucket.rooms.progress, &key, source))?;
        let ended = matches!(
            progress.state,
            EventState::Mapped | EventState::Skipped { .. }
        );
        let state = filter.state.as_deref();
        let plugin = filter.plugin;
        if !ended
            || state.is_some_and(|state| state != progress.state.code())
            || plugin.is_some_and(|plugin| progress.plugin != Some(plugin))
        {
            return Ok(false);
        }
        let Some(record) = self.view.bytes(bucket.rooms.events, &key)? else {
            return Ok(false);
        };
        self.bytes_read = self.bytes_read.saturating_add(record.len() as u64);
        let head = EventHead::from_record(record)
            .map_err(|source| Fault::corrupt(bucket.rooms.events, &key, source))?;
        Ok(takes_event(filter, &head))
    }
}

/// The next row that stands under a number.
fn next_numbered(rows: &mut RowsIn<'_>) -> Result<Option<Row>, Fault> {
    while let Some(row) = rows.next() {
        let (key, record) = row?;
        let number = keys::to_number(&key);
        let number = number.ok_or_else(|| rows.corrupt(&key, Corrupt::Key));
        if let Some(number) = unless_torn(number)? {
            return Ok(Some((number, record)));
        }
    }
    Ok(None)
}

fn takes_letter(filter: &ReplayFilter, head: &DeadHead) -> bool {
    let of = head.connection.as_ref();
    filter
        .connector
        .as_ref()
        .is_none_or(|name| of.is_some_and(|of| of.connector == *name))
        && filter
            .connection
            .as_ref()
            .is_none_or(|name| of == Some(name))
        && filter.cause.is_none_or(|cause| cause == head.cause)
        && filter.from.is_none_or(|from| head.since >= from)
        && filter.until.is_none_or(|until| head.since < until)
        && filter
            .plugin
            .is_none_or(|plugin| head.plugin == Some(plugin))
}

fn takes_event(filter: &ReplayFilter, head: &EventHead) -> bool {
    let of = &head.connection;
    filter
        .connector
        .as_ref()
        .is_none_or(|name| of.connector == *name)
        && filter.connection.as_ref().is_none_or(|name| of == name)
        && filter.from.is_none_or(|from| head.received >= from)
        && filter.until.is_none_or(|until| head.received < until)
}
