//! Running marks: which tasks were at work when the host stopped.
//!
//! A task that brings the host down would do so again after every restart. So each
//! worker has a slot in a small file beside the store, where the task at hand stands
//! while it runs. When the store is opened, what stands there has stopped the host once
//! more; how often in a row, the ledger keeps ([`Stops`]), and a claim tells.
//!
//! A mark is one write of eight bytes that nobody waits for: it survives the end of the
//! process, and not a loss of power, which is no task's fault. After one, the file may
//! hold older marks; at the worst a task is charged with one stop that was not its own.
//! So is one whose opening of the store broke off between the ledger and the file. A
//! mark that cannot be written is logged, and its task runs all the same.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidegate_core::ids::TaskId;
use tidegate_core::limits::MARKS_MAX;

use crate::codec::{Corrupt, Reading, Record, Writer};

/// Bytes of a slot: a task's number, 0 for none.
const SLOT_BYTES: usize = 8;

/// The tasks at hand, one a worker; clones share them.
#[derive(Clone, Debug)]
pub struct Marks {
    slots: usize,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    File {
        file: Arc<File>,
        failed: Arc<AtomicBool>,
    },
    Memory(Arc<[AtomicU64]>),
}

impl Marks {
    /// Marks in that file, for so many workers. What stands in it stays until a store
    /// has been opened with them.
    pub fn open(path: &Path, slots: usize) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Self {
            slots: slots.min(MARKS_MAX),
            place: Place::File {
                file: Arc::new(file),
                failed: Arc::default(),
            },
        })
    }

    /// Marks in memory: for simulation, where a host stops and these live on.
    pub fn in_memory(slots: usize) -> Self {
        let slots = slots.min(MARKS_MAX);
        Self {
            slots,
            place: Place::Memory((0..slots).map(|_| AtomicU64::new(0)).collect()),
        }
    }

    /// Notes that the worker of that slot runs the task; in place of the one before.
    pub fn begin(&self, slot: usize, task: TaskId) {
        self.set(slot, task.get());
    }

    /// Notes that the worker of that slot runs nothing.
    pub fn end(&self, slot: usize) {
        self.set(slot, 0);
    }

    fn set(&self, slot: usize, number: u64) {
        if slot >= self.slots {
            return;
        }
        match &self.place {
            Place::Memory(slots) => {
                if let Some(slot) = slots.get(slot) {
                    slot.store(number, Ordering::Release);
                }
            }
            Place::File { file, failed } => {
                let offset = (slot * SLOT_BYTES) as u64;
                if let Err(error) = file.write_all_at(&number.to_be_bytes(), offset)
                    && !failed.swap(true, Ordering::Relaxed)
                {
                    tracing::warn!(%error, "the task at hand could not be marked");
                }
            }
        }
    }

    /// The tasks that stand marked.
    pub(crate) fn standing(&self) -> io::Result<Vec<TaskId>> {
        let mut numbers = match &self.place {
            Place::Memory(slots) => slots
                .iter()
                .map(|slot| slot.load(Ordering::Acquire))
                .collect(),
            Place::File { file, .. } => read_slots(file)?,
        };
        numbers.retain(|number| *number != 0);
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers.into_iter().map(TaskId::new).collect())
    }

    /// Clears every slot, those of earlier workers too.
    pub(crate) fn clear(&self) -> io::Result<()> {
        match &self.place {
            Place::Memory(slots) => {
                for slot in slots.iter() {
                    slot.store(0, Ordering::Release);
                }
                Ok(())
            }
            Place::File { file, .. } => {
                let bytes = self.slots * SLOT_BYTES;
                file.set_len(bytes as u64)?;
                // Written out, so that a full disk refuses it here and not a mark later.
                file.write_all_at(&vec![0; bytes], 0)
            }
        }
    }
}

/// No marks at all.
impl Default for Marks {
    fn default() -> Self {
        Self::in_memory(0)
    }
}

fn read_slots(file: &File) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; MARKS_MAX * SLOT_BYTES];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    let (slots, _) = bytes.as_chunks::<SLOT_BYTES>();
    Ok(slots.iter().copied().map(u64::from_be_bytes).collect())
}

/// How often the host has stopped while it ran a task, in a row. Only tasks that it did
/// not get through stand here: at most one a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stops(Vec<(TaskId, u32)>);

impl Stops {
    /// How often for that task.
    pub(crate) fn of(&self, task: TaskId) -> u32 {
        let found = self.0.iter().find(|(id, _)| *id == task);
        found.map_or(0, |(_, stops)| *stops)
    }

    /// What holds after a stop while these were running; all others begin anew.
    #[must_use]
    pub(crate) fn after(&self, running: impl IntoIterator<Item = TaskId>) -> Self {
        let more = |task| (task, self.of(task).saturating_add(1));
        Self(running.into_iter().map(more).collect())
    }

    /// The host got through an attempt at it.
    pub(crate) fn forget(&mut self, task: TaskId) {
        self.0.retain(|(id, _)| *id != task);
    }
}

impl Record for Stops {
    fn write(&self, to: &mut Writer) {
        to.list(&self.0, |to, (task, stops)| {
            to.number(task.get());
            to.number((*stops).into());
        });
    }

    fn read(from: &mut Reading) -> Result<Self, Corrupt> {
        let read = |from: &mut Reading| Ok((TaskId::new(from.number()?), from.small()?));
        from.list(read).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<const N: usize>(numbers: [u64; N]) -> Vec<TaskId> {
        numbers.map(TaskId::new).to_vec()
    }

    #[track_caller]
    fn check(reopen: impl Fn(usize) -> Marks) {
        let marks = reopen(3);
        assert_eq!(marks.standing().unwrap(), []);
        marks.begin(0, TaskId::new(7));
        marks.begin(1, TaskId::new(8));
        marks.begin(2, TaskId::new(9));
        marks.begin(0, TaskId::new(10));
        marks.end(1);
        marks.begin(3, TaskId::new(11));
        drop(marks);
        let marks = reopen(1);
        assert_eq!(
            marks.standing().unwrap(),
            ids([9, 10]),
            "also of workers that are fewer now"
        );
        marks.clear().unwrap();
        assert_eq!(reopen(3).standing().unwrap(), []);
    }

    #[test]
    fn marks_stand_until_they_are_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("running");
        check(|slots| Marks::open(&path, slots).unwrap());
        let memory = Marks::in_memory(3);
        check(|_| memory.clone());
    }

    #[test]
    fn a_file_of_anything_is_no_trouble() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("running");
        std::fs::write(&path, vec![0xff; MARKS_MAX * SLOT_BYTES + 5]).unwrap();
        let marks = Marks::open(&path, 2).unwrap();
        assert_eq!(marks.standing().unwrap(), ids([u64::MAX]));
        marks.clear().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 16);
        std::fs::write(&path, [1, 2, 3]).unwrap();
        assert_eq!(marks.standing().unwrap(), ids([0x0102_0300_0000_0000]));
    }

    #[test]
    fn stops_count_in_a_row() {
        let stops = Stops::default().after(ids([1, 2])).after(ids([2, 3]));
        let of = |stops: &Stops| [1, 2, 3].map(|task| stops.of(TaskId::new(task)));
        assert_eq!(of(&stops), [0, 2, 1]);
        let mut stops = Stops::from_record(stops.to_record().into()).unwrap();
        stops.forget(TaskId::new(2));
        assert_eq!(of(&stops), [0, 0, 1]);
    }
}
