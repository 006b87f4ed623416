//! Sinks come, are paused and resumed, and go.

use tidegate_core::ids::{ChangeSeq, SinkName};
use tidegate_core::sink::{MirrorWalk, PauseCause, SinkStanding, SinkState};

use super::advance::begins_again;
use super::draft::Draft;
use crate::view::Fault;

/// Stages a sink's standing. One that held back more of the change log than the policy
/// keeps begins again with the mirror once it is resumed, whatever its standing says.
pub(super) fn put(draft: &mut Draft<'_>, mut standing: SinkStanding) {
    let (room, key) = (draft.view.rooms.sinks, standing.sink.as_str().to_owned());
    // A standing that cannot be read is replaced by one that can.
    let stored = draft
        .find::<SinkStanding>(room, key.as_bytes())
        .ok()
        .flatten();
    let paused = matches!(standing.state, SinkState::Paused { .. });
    if !paused && stored.as_ref().is_some_and(begins_again) {
        let newest = ChangeSeq::new(draft.ledger.tally.last_change);
        standing.cursor = newest;
        standing.mirror = Some(MirrorWalk {
            after: None,
            then: newest,
        });
    }
    draft.put(room, key, &standing);
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
