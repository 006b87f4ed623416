//! Pausing a connection's outgoing work, and resuming it.

use tidegate_core::ids::ConnectionId;
use tidegate_core::limits::RESUMED_AT_ONCE_MAX;
use tidegate_core::task::{Task, TaskState, WaitReason};

use super::draft::Draft;
use crate::codec::Record;
use crate::keys;
use crate::paused::PausedConnection;
use crate::view::Fault;

/// What a resumed connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resumed {
    pub(super) queued: u64,
    pub(super) more: bool,
}

/// Stages a pause. One that stands goes on, with the newer reason.
pub(super) fn pause(
    draft: &mut Draft<'_>,
    connection: ConnectionId,
    reason: String,
    secrets: Option<[u8; 32]>,
) {
    let stands = draft.pause_of(&connection).ok().flatten();
    let key = keys::connection_prefix(&connection);
    let paused = PausedConnection {
        connection,
        reason,
        refused: secrets.is_some(),
        secrets,
        since: stands.map_or(draft.now, |stands| stands.since),
        resuming: false,
    };
    let room = draft.view.rooms.pauses;
    draft.put(room, key, &paused);
}

/// Stages the return of its waiting tasks: as many as fit in one commit, the others when
/// it is resumed again or the store is tended to.
pub(super) fn resume(draft: &mut Draft<'_>, connection: &ConnectionId) -> Result<Resumed, Fault> {
    let rooms = draft.view.rooms;
    let prefix = keys::paused_prefix(connection);
    let rows = draft.rows(rooms.waiting, &prefix, RESUMED_AT_ONCE_MAX)?;
    let more = rows.len() == RESUMED_AT_ONCE_MAX;
    let mut queued = 0;
    for (key, record) in rows {
        match Task::from_record(record) {
            Ok(task) => {
                let now = draft.now;
                draft.schedule_first(task.id, task.kind, now);
                queued += 1;
            }
            Err(source) => {
                let fault = Fault::corrupt(rooms.waiting, &key, source);
                tracing::error!(error = %fault, "a waiting task is lost");
            }
        }
        draft.remove(rooms.waiting, key);
        draft.count_waiting(-1);
    }
    let key = keys::connection_prefix(connection);
    match draft.find::<PausedConnection>(rooms.pauses, &key) {
        Ok(Some(paused)) if more => {
            let resuming = true;
            draft.put(rooms.pauses, key, &PausedConnection { resuming, ..paused });
        }
        Ok(None) => {}
        Ok(Some(_)) | Err(_) => draft.remove(rooms.pauses, key),
    }
    Ok(Resumed { queued, more })
}

/// Goes on with the connections that are being resumed.
pub(super) fn go_on(draft: &mut Draft<'_>) -> Result<(), Fault> {
    for (_, record) in draft.rows(draft.view.rooms.pauses, &[], usize::MAX)? {
        if let Ok(paused) = PausedConnection::from_record(record)
            && paused.resuming
        {
            resume(draft, &paused.connection)?;
        }
    }
    Ok(())
}

impl Draft<'_> {
    /// The pause of a connection, where one stands.
    pub(super) fn pause_of(
        &self,
        connection: &ConnectionId,
    ) -> Result<Option<PausedConnection>, Fault> {
        let key = keys::connection_prefix(connection);
        let found = self.find::<PausedConnection>(self.view.rooms.pauses, &key)?;
        Ok(found.filter(|paused| !paused.resuming))
    }

    /// Lets a task wait until its connection is resumed.
    pub(super) fn wait_for_connection(&mut self, task: &Task, connection: &ConnectionId) {
        let state = TaskState::Waiting {
            reason: WaitReason::ConnectionPaused,
        };
        let task = Task {
            state,
            ..task.clone()
        };
        self.wait(keys::paused_task(connection, task.id), &task);
    }

    /// Pauses a connection whose credentials the partner refused.
    pub(super) fn pause_refused(&mut self, connection: &ConnectionId, reason: String) {
        let paused = PausedConnection {
            connection: connection.clone(),
            reason,
            refused: true,
            secrets: None,
            since: self.now,
            resuming: false,
        };
        let room = self.view.rooms.pauses;
        self.put(room, keys::connection_prefix(connection), &paused);
    }
}
