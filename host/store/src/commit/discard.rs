//! Giving dead letters up: a person said so, and why.

use tidegate_core::audit::AuditEntry;
use tidegate_core::event::{EventProgress, EventState};
use tidegate_core::ids::TaskId;
use tidegate_core::task::TaskKind;

use super::draft::Draft;
use crate::dead::{DeadLetter, Subject};
use crate::view::Fault;

/// Stages the end of each letter; says how many there were. One that cannot be read
/// stays: nobody could have known what they give up.
pub(super) fn stage(draft: &mut Draft<'_>, letters: Vec<TaskId>, mut audit: AuditEntry) -> u64 {
    let mut discarded = 0;
    for id in letters {
        match one(draft, id, audit.reason.as_deref()) {
            Ok(true) => discarded += 1,
            Ok(false) => {}
            Err(fault) => tracing::warn!(task = %id, error = %fault, "it is not discarded"),
        }
    }
    audit.count = discarded;
    draft.audit(&audit);
    discarded
}

fn one(draft: &mut Draft<'_>, id: TaskId, reason: Option<&str>) -> Result<bool, Fault> {
    let Some((head, letter)) = draft.letter(id)? else {
        return Ok(false);
    };
    let DeadLetter { task, subject, .. } = letter;
    if let (TaskKind::Map { event, .. }, Subject::Event { progress, .. }) = (&task.kind, subject) {
        if draft.has_progressed(*event) {
            return Ok(false);
        }
        let reason = format!("discarded: {}", reason.unwrap_or("no reason given"));
        let state = EventState::Skipped { reason };
        draft.put_progress(*event, &EventProgress { state, ..progress });
    }
    if let TaskKind::Deliver(delivery) = &task.kind {
        draft.mark_parked(delivery, None);
    }
    draft.unpark(head);
    Ok(true)
}
