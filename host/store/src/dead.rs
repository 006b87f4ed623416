//! Dead letters: parked tasks, each with its event, so that retention may drop the
//! bucket that the event came in.

use tidegate_core::event::{Event, EventProgress};
use tidegate_core::task::Task;

/// A parked task and all that a person needs to decide about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The task: its kind says on whose behalf, its state why and since when.
    pub task: Task,
    /// Its event; none where its record could not be read.
    pub event: Option<Event>,
    /// Its event's attempts and results.
    pub progress: EventProgress,
}
