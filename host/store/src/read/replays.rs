//! What a replay by filter takes, and how far the replays have come.
//!
//! Tasks and events count with one sequence, so both are walked from new to old by one
//! number. Dead letters are looked at by their heads; events by their progress, and only
//! those that the filter may still take by their bytes. An event that is parked is taken
//! as its letter.

use tidegate_core::event::{EventProgress, EventState};
use tidegate_core::ids::{EventId, ReplayId};
use tidegate_core::limits::{PAGE_ROWS_MAX, PAGE_SCAN_MAX};
use tidegate_core::ports::ReadError;
use tidegate_core::replay::{ReplayFilter, ReplayItem, ReplayRun};

use super::Reader;
use super::alerts::whole_room;
use super::dead::{first_after, head};
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

impl Reader {
    /// The replays by filter, newest first.
    pub fn replays(&self) -> Result<Vec<ReplayRun>, ReadError> {
        let view = self.view();
        let mut runs: Vec<ReplayRun> =
            whole_room(&view, view.rooms.replays).map_err(|fault| fault.reading("replays"))?;
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

    /// How many dead letters and ended events a filter takes. Looks at all of them.
    pub fn count_matching(&self, filter: &ReplayFilter) -> Result<u64, ReadError> {
        let view = self.view();
        let count = || {
            let mut walk = Walk::new(&view, filter, first_after(&view, None))?;
            let mut count = 0;
            while let Some((_, item)) = walk.next()? {
                count += u64::from(item.is_some());
            }
            Ok(count)
        };
        count().map_err(|fault: Fault| fault.reading("what a replay takes"))
    }

    /// What a replay takes next, at most `limit`.
    pub fn replay_page(&self, run: &ReplayRun, limit: usize) -> Result<ReplayPage, ReadError> {
        let view = self.view();
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        page(&view, run, limit).map_err(|fault| fault.reading("what a replay takes"))
    }
}

fn page(view: &View, run: &ReplayRun, limit: usize) -> Result<ReplayPage, Fault> {
    let before = run.before.min(run.newest.saturating_add(1));
    let mut page = ReplayPage {
        items: Vec::new(),
        before: first_after(view, Some(before)),
    };
    let mut walk = Walk::new(view, &run.filter, page.before)?;
    let mut looked_at = 0;
    while page.items.len() < limit && looked_at < PAGE_SCAN_MAX {
        let Some((number, item)) = walk.next()? else {
            page.before = 0;
            break;
        };
        looked_at += 1;
        page.before = number;
        page.items.extend(item);
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
        self.letter = match self.letters.as_mut().and_then(Iterator::next) {
            Some(row) => Some(numbered(row?, self.view)?),
            None => None,
        };
        Ok(())
    }

    fn read_event(&mut self) -> Result<(), Fault> {
        self.event = None;
        while let Some(rows) = self.events.last_mut() {
            if let Some(row) = rows.next() {
                self.event = Some(numbered(row?, self.view)?);
                break;
            }
            self.events.pop();
        }
        Ok(())
    }

    /// The next number, and the item that it is where the filter takes it.
    fn next(&mut self) -> Result<Option<(u64, Option<ReplayItem>)>, Fault> {
        let letter = self.letter.as_ref().map(|(number, _)| *number);
        let event = self.event.as_ref().map(|(number, _)| *number);
        if letter.is_none() && event.is_none() {
            return Ok(None);
        }
        if letter >= event {
            let row = self.letter.take();
            self.read_letter()?;
            // The event of a parked map task has the same number.
            if letter == event {
                self.read_event()?;
            }
            return row.map(|row| self.letter_item(row)).transpose();
        }
        let row = self.event.take();
        self.read_event()?;
        row.map(|row| self.event_item(row)).transpose()
    }

    fn letter_item(&self, (number, record): Row) -> Result<(u64, Option<ReplayItem>), Fault> {
        let head = head(self.view, &keys::number(number), record)?;
        let taken = takes_letter(self.filter, &head);
        Ok((number, taken.then_some(ReplayItem::Letter(head.task))))
    }

    fn event_item(&self, (number, record): Row) -> Result<(u64, Option<ReplayItem>), Fault> {
        let filter = self.filter;
        let key = keys::number(number);
        let Some(bucket) = self.view.ledger.events.of(number) else {
            return Ok((number, None));
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
            return Ok((number, None));
        }
        let Some(record) = self.view.bytes(bucket.rooms.events, &key)? else {
            return Ok((number, None));
        };
        let head = EventHead::from_record(record)
            .map_err(|source| Fault::corrupt(bucket.rooms.events, &key, source))?;
        let taken = takes_event(filter, &head);
        let item = ReplayItem::Event(EventId::new(number));
        Ok((number, taken.then_some(item)))
    }
}

fn numbered(row: (bytes::Bytes, bytes::Bytes), view: &View) -> Result<Row, Fault> {
    let (key, record) = row;
    let number = keys::to_number(&key)
        .ok_or_else(|| Fault::corrupt(view.rooms.dead_heads, &key, Corrupt::Key))?;
    Ok((number, record))
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
