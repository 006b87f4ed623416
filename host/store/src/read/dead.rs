//! Listing dead letters, newest first. A letter holds its event, so a page of large ones is
//! short.

use tidegate_core::ids::TaskId;
use tidegate_core::limits::{PAGE_BYTES_MAX, PAGE_ROWS_MAX};
use tidegate_core::ports::ReadError;
use tidegate_core::task::TaskState;

use super::{Reader, json_bytes};
use crate::codec::Record;
use crate::dead::DeadLetter;
use crate::engine::{Order, Span};
use crate::keys;
use crate::view::{Fault, View};

/// Dead letters, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// What to hand in as `before` for more. A page may be shorter than was asked for, and
    /// yet have a next one: its bytes are bounded.
    pub next: Option<TaskId>,
}

impl Reader {
    /// A page of dead letters, newest first.
    pub fn dead_letters(
        &self,
        before: Option<TaskId>,
        limit: usize,
    ) -> Result<DeadLetterPage, ReadError> {
        let view = self.view();
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        read(&view, before, limit).map_err(|fault| fault.reading("a page of dead letters"))
    }
}

fn read(view: &View, before: Option<TaskId>, limit: usize) -> Result<DeadLetterPage, Fault> {
    let newest = view.ledger.tally.last_number;
    let before = before
        .map_or(u64::MAX, TaskId::get)
        .min(newest.saturating_add(1));
    let until = keys::number(before);
    let span = Span {
        from: &[],
        until: Some(&until),
    };
    let mut page = DeadLetterPage {
        letters: Vec::new(),
        next: None,
    };
    let mut bytes = 0;
    let mut rows = view.rows(view.rooms.dead, span, Order::Descending)?;
    while let Some(row) = rows.next() {
        let (key, record) = row?;
        if page.letters.len() >= limit || bytes >= PAGE_BYTES_MAX {
            page.next = page.letters.last().map(|letter| letter.task.id);
            break;
        }
        bytes += record.len();
        let letter =
            DeadLetter::from_record(record).map_err(|source| rows.corrupt(&key, source))?;
        if let TaskState::Dead { reason, .. } = &letter.task.state {
            bytes += json_bytes(reason);
        }
        page.letters.push(letter);
    }
    Ok(page)
}
