//! Listing dead letters, newest first, and counting them.
//!
//! A filter looks at their heads alone. A letter holds its event or change, so a page of
//! large ones is short. One that cannot be read is named, and hides no other.

use tidegate_core::ids::TaskId;
use tidegate_core::limits::{PAGE_BYTES_MAX, PAGE_ROWS_MAX, PAGE_SCAN_MAX};
use tidegate_core::ports::ReadError;
use tidegate_core::task::TaskState;

use super::{Reader, json_bytes, unless_torn};
use crate::codec::{Corrupt, Record};
use crate::dead::{DeadHead, DeadLetter, DeadLetterFilter};
use crate::dead_counts::DeadCount;
use crate::engine::{Order, Span};
use crate::keys;
use crate::view::{Fault, View};

/// Dead letters, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Those whose record is torn, so that nothing can be shown of them; also where it
    /// cannot be told whether the filter takes them.
    pub torn: Vec<TaskId>,
    /// What to hand in as `before` for more. A page may be shorter than was asked for, even
    /// empty, and yet have a next one: its bytes and what it may look at are bounded.
    pub next: Option<TaskId>,
}

impl Reader {
    /// A page of dead letters, newest first: at most `limit` of them, and of as many bytes
    /// as one page may have, unless one letter alone is larger.
    pub fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        before: Option<TaskId>,
        limit: usize,
    ) -> Result<DeadLetterPage, ReadError> {
        let view = self.view();
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        read(&view, filter, before, limit).map_err(|fault| fault.reading("a page of dead letters"))
    }

    /// A dead letter.
    pub fn dead_letter(&self, task: TaskId) -> Result<Option<DeadLetter>, ReadError> {
        let view = self.view();
        view.record(view.rooms.dead, &keys::number(task.get()))
            .map_err(|fault| fault.reading(format!("dead letter {task}")))
    }

    /// How many dead letters there are of whom and why. Reads no disk.
    pub fn dead_counts(&self) -> Vec<DeadCount> {
        self.published.dead_counts()
    }
}

fn read(
    view: &View,
    filter: &DeadLetterFilter,
    before: Option<TaskId>,
    limit: usize,
) -> Result<DeadLetterPage, Fault> {
    let until = keys::number(first_after(view, before.map(TaskId::get)));
    let span = Span {
        from: &[],
        until: Some(&until),
    };
    let mut page = DeadLetterPage {
        letters: Vec::new(),
        torn: Vec::new(),
        next: None,
    };
    let (mut looked_at, mut bytes, mut last) = (0, 0, None);
    for row in view.rows(view.rooms.dead_heads, span, Order::Descending)? {
        let (key, record) = row?;
        let rows = page.letters.len() + page.torn.len();
        if rows >= limit || bytes >= PAGE_BYTES_MAX || looked_at >= PAGE_SCAN_MAX {
            page.next = last;
            break;
        }
        looked_at += 1;
        let task = keys::to_number(&key).map(TaskId::new);
        last = task.or(last);
        match unless_torn(row_of(view, filter, &key, record))? {
            Some(Row::Passed) => {}
            Some(Row::Taken(letter, size)) => {
                bytes += size;
                page.letters.push(*letter);
            }
            None => page.torn.extend(task),
        }
    }
    Ok(page)
}

/// What a page has of one row.
enum Row {
    /// Nothing: the filter does not take it, or it has just left.
    Passed,
    /// A letter, and how many bytes it takes.
    Taken(Box<DeadLetter>, usize),
}

fn row_of(
    view: &View,
    filter: &DeadLetterFilter,
    key: &[u8],
    record: bytes::Bytes,
) -> Result<Row, Fault> {
    if !filter.takes(&head(view, key, record)?) {
        return Ok(Row::Passed);
    }
    let Some(record) = view.bytes(view.rooms.dead, key)? else {
        return Ok(Row::Passed);
    };
    let mut bytes = record.len();
    let letter = DeadLetter::from_record(record)
        .map_err(|source| Fault::corrupt(view.rooms.dead, key, source))?;
    if let TaskState::Dead { reason, .. } = &letter.task.state {
        bytes += json_bytes(reason);
    }
    Ok(Row::Taken(Box::new(letter), bytes))
}

/// The number after all that a view knows and that are before `before`.
pub(super) fn first_after(view: &View, before: Option<u64>) -> u64 {
    let newest = view.ledger.tally.last_number;
    before.unwrap_or(u64::MAX).min(newest.saturating_add(1))
}

/// A letter's head; from the letter where the head itself is torn.
pub(super) fn head(view: &View, key: &[u8], record: bytes::Bytes) -> Result<DeadHead, Fault> {
    DeadHead::from_record(record).or_else(|source| {
        let torn = |source| Fault::corrupt(view.rooms.dead_heads, key, source);
        let letter = view.record::<DeadLetter>(view.rooms.dead, key)?;
        let letter = letter.ok_or_else(|| torn(Corrupt::Missing))?;
        DeadHead::of(&letter, tidegate_core::time::Timestamp::EPOCH).ok_or_else(|| torn(source))
    })
}
