//! The audit log: bounded, the oldest entries give way to new ones.

use tidegate_core::audit::AuditEntry;
use tidegate_core::limits::AUDIT_ENTRIES_MAX;

use super::draft::Draft;
use crate::keys;

impl Draft<'_> {
    /// Writes down what a person did.
    pub(super) fn audit(&mut self, entry: &AuditEntry) {
        let room = self.view.rooms.audit;
        let tally = &mut self.ledger.tally;
        tally.last_audit += 1;
        tally.first_audit = tally.first_audit.max(1);
        let (number, oldest) = (tally.last_audit, tally.first_audit);
        let over = number - oldest >= AUDIT_ENTRIES_MAX;
        if over {
            tally.first_audit += 1;
        }
        self.put(room, keys::number(number), entry);
        if over {
            self.remove(room, keys::number(oldest));
        }
    }
}
