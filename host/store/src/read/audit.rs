//! Reading the audit log, newest first.

use tidegate_core::audit::AuditEntry;
use tidegate_core::limits::PAGE_ROWS_MAX;
use tidegate_core::ports::ReadError;

use super::Reader;
use crate::codec::{Corrupt, Record};
use crate::engine::{Order, Span};
use crate::keys;
use crate::view::{Fault, View};

/// Entries of the audit log, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The entries, each with its number.
    pub entries: Vec<(u64, AuditEntry)>,
    /// What to hand in as `before` for more.
    pub next: Option<u64>,
}

impl Reader {
    /// A page of what people did, newest first.
    pub fn audit(&self, before: Option<u64>, limit: usize) -> Result<AuditPage, ReadError> {
        let view = self.view();
        let limit = limit.clamp(1, PAGE_ROWS_MAX);
        read(&view, before, limit).map_err(|fault| fault.reading("a page of the audit log"))
    }
}

fn read(view: &View, before: Option<u64>, limit: usize) -> Result<AuditPage, Fault> {
    let newest = view.ledger.tally.last_audit;
    let until = before.unwrap_or(u64::MAX).min(newest.saturating_add(1));
    let until = keys::number(until);
    let span = Span {
        from: &[],
        until: Some(&until),
    };
    let mut page = AuditPage {
        entries: Vec::new(),
        next: None,
    };
    let room = view.rooms.audit;
    for row in view.rows(room, span, Order::Descending)? {
        let (key, record) = row?;
        if page.entries.len() >= limit {
            page.next = page.entries.last().map(|(number, _)| *number);
            break;
        }
        let corrupt = |source| Fault::corrupt(room, &key, source);
        let number = keys::to_number(&key).ok_or_else(|| corrupt(Corrupt::Key))?;
        let entry = AuditEntry::from_record(record).map_err(corrupt)?;
        page.entries.push((number, entry));
    }
    Ok(page)
}
