//! Sinks come, are paused and resumed, and go.

use tidegate_core::ids::{ChangeSeq, SinkName};
use tidegate_core::sink::{MirrorWalk, PauseCause, SinkStanding, SinkState};

use super::advance::begins_again;
use super::draft::Draft;
use crate::view::Fault;

/// Stages a sink's standing as it is given where the sink is new. Else its state alone
/// changes: how far it has come is known here better than to whoever read it a while ago.
/// One that held back more of the change log than the policy keeps stays paused for that,
/// and begins again with the mirror once it is resumed. One that is to run is given at once
/// what waits for its next attempt: a person has seen to its receiver.
pub(super) fn put(draft: &mut Draft<'_>, given: SinkStanding) -> Result<(), Fault> {
    if matches!(given.state, SinkState::Running) {
        draft.deliver_now(&given.sink)?;
    }
    let (room, key) = (draft.view.rooms.sinks, given.sink.as_str().to_owned());
    // A standing that cannot be read is replaced by one that can.
    let stored = draft
        .find::<SinkStanding>(room, key.as_bytes())
        .ok()
        .flatten();
    let newest = ChangeSeq::new(draft.ledger.tally.last_change);
    let standing = match stored {
        None => given,
        Some(stored) => changed(stored, given.state, newest),
    };
    draft.put(room, key, &standing);
    Ok(())
}

fn changed(stored: SinkStanding, state: SinkState, newest: ChangeSeq) -> SinkStanding {
    if !begins_again(&stored) {
        return SinkStanding { state, ..stored };
    }
    if matches!(state, SinkState::Paused { .. }) {
        return stored;
    }
    SinkStanding {
        sink: stored.sink,
        cursor: newest,
        mirror: Some(MirrorWalk {
            after: None,
            then: newest,
        }),
        state,
    }
}

/// A sink goes, with its open deliveries. Its dead letters stay until a person decides.
pub(super) fn drop(draft: &mut Draft<'_>, sink: &SinkName) -> Result<(), Fault> {
    let rows = draft.open_rows(sink)?;
    draft.drop_deliveries(rows);
    let room = draft.view.rooms.sinks;
    draft.remove(room, sink.as_str());
    Ok(())
}

/// Pauses a sink that holds back more of the change log than the policy keeps. What is
/// open of it goes: the mirror that it begins again with says the same and more.
pub(super) fn leave_behind(draft: &mut Draft<'_>, standing: SinkStanding) -> Result<(), Fault> {
    let rows = draft.open_rows(&standing.sink)?;
    draft.drop_deliveries(rows);
    let (room, key) = (draft.view.rooms.sinks, standing.sink.as_str().to_owned());
    let standing = SinkStanding {
        state: SinkState::Paused {
            why: PauseCause::Behind,
            reason: "it held back more of the change log than policy.retention.max keeps; \
                     resumed, it begins again with the mirror"
                .into(),
            since: draft.now,
        },
        ..standing
    };
    draft.put(room, key, &standing);
    Ok(())
}
