//! The ordered key-value engine under the store.
//!
//! What every engine must keep: a batch over several keyspaces is applied whole or not
//! at all, also through a crash; a synced batch survives whatever [`Guarantees`] says;
//! keys are ordered bytewise. What differs between engines is said by [`Guarantees`]
//! and nowhere else. Deliberately absent: what the keys and values mean.
//!
//! After a failed write or sync the engine's state is unknown until it was reopened:
//! the caller must not write again.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use byteview::ByteView;

pub mod fjall;
mod folder;
pub mod memory;
#[cfg(feature = "sled")]
pub mod sled;

/// An ordered key-value engine.
pub trait Engine: Send + Sync + fmt::Debug {
    /// Its name, as the configuration has it.
    fn name(&self) -> &'static str;

    /// What it can promise.
    fn guarantees(&self) -> Guarantees;

    /// The names of all keyspaces.
    fn keyspaces(&self) -> Result<Vec<String>, EngineError>;

    /// Opens a keyspace, or creates it with that profile.
    fn open_keyspace(&self, name: &str, profile: Profile) -> Result<Keyspace, EngineError>;

    /// Drops a keyspace with all that is in it. Not part of any batch, so only for
    /// keyspaces that nothing refers to any more.
    fn drop_keyspace(&self, keyspace: Keyspace) -> Result<(), EngineError>;

    /// Applies a batch, whole or not at all.
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError>;

    /// A view of everything written so far.
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError>;

    /// What it takes on disk.
    fn disk(&self) -> Result<Disk, EngineError>;

    /// Does what the engine needs done now and then, whether or not there is traffic.
    fn tend(&self) -> Result<(), EngineError>;
}

/// A view of an engine's content; what is written later does not show, where the
/// engine has snapshot isolation.
pub trait Snapshot: Send + Sync + fmt::Debug {
    /// The value of a key.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// The rows of a span, in that order.
    fn range(
        &self,
        keyspace: Keyspace,
        span: Span<'_>,
        order: Order,
    ) -> Result<Rows<'_>, EngineError>;
}

/// Rows of a range, read as they are asked for.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), EngineError>> + 'a>;

/// A keyspace, for as long as its engine is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keyspace(u32);

impl Keyspace {
    fn at(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a keyspace is used, so that the engine can suit itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Written in the order of its keys, hardly overwritten, values of some size.
    Sequence,
    /// Small values under random keys; most look-ups find nothing.
    Lookup,
    /// Values of some size under random keys, overwritten in place.
    State,
    /// Rows that come and go at once.
    Churn,
}

/// What an engine can promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarantees {
    /// A synced batch survives a loss of power, not only the end of the process.
    pub survives_power_loss: bool,
    /// A snapshot does not show what was written after it.
    pub snapshot_isolation: bool,
    /// The space of a dropped keyspace goes back to the file system.
    pub drop_returns_space: bool,
}

/// What an engine takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Everything.
    pub bytes: u64,
    /// Of that, journals that are kept until their content is in place.
    pub journal_bytes: u64,
}

/// Whether a write waits for stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It returns once the batch, and all before it, is on stable storage.
    Synced,
    /// It may be lost in a crash, with all after it.
    Buffered,
}

/// The direction of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the lowest key.
    Ascending,
    /// From the highest key.
    Descending,
}

/// Part of a keyspace: from a key, inclusive, until another, exclusive.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// The lowest key.
    pub from: &'a [u8],
    /// The key before which it ends; none for the end of the keyspace.
    pub until: Option<&'a [u8]>,
}

impl Span<'static> {
    /// A whole keyspace.
    pub const ALL: Self = Self {
        from: &[],
        until: None,
    };
}

/// Writes that belong together. A key stands in it at most once.
///
/// Keys and values are views of bytes, in which short ones take no memory of their own
/// and which the default engine keeps as they are.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    writes: Vec<Write>,
}

/// One write of a batch.
#[derive(Clone, Debug)]
pub struct Write {
    /// Where.
    pub keyspace: Keyspace,
    /// Which key.
    pub key: ByteView,
    /// Its value; none removes it.
    pub value: Option<ByteView>,
}

impl Batch {
    /// Sets a key.
    pub fn put(
        &mut self,
        keyspace: Keyspace,
        key: impl Into<ByteView>,
        value: impl Into<ByteView>,
    ) {
        self.writes.push(Write {
            keyspace,
            key: key.into(),
            value: Some(value.into()),
        });
    }

    /// Removes a key.
    pub fn remove(&mut self, keyspace: Keyspace, key: impl Into<ByteView>) {
        self.writes.push(Write {
            keyspace,
            key: key.into(),
            value: None,
        });
    }

    /// How many writes it has.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The writes in their order.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Gives them away.
    pub fn into_writes(self) -> Vec<Write> {
        self.writes
    }
}

/// Why an engine could not do something.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another process has it.
    #[error("{} is in use by another process", dir.display())]
    Locked {
        /// Its folder.
        dir: PathBuf,
    },
    /// The folder belongs to another engine.
    #[error("{} holds a store of the {found} engine, not of {wanted}", dir.display())]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// Whose it is.
        found: &'static str,
        /// Which engine was asked to open it.
        wanted: &'static str,
    },
    /// A keyspace was used after it was dropped.
    #[error("keyspace number {index} is not open")]
    NoKeyspace {
        /// Its number in this opening.
        index: usize,
    },
    /// A batch names a key twice.
    #[error("a batch writes one key twice")]
    KeyTwice,
    /// Whatever the engine itself says.
    #[error("the {engine} engine could not {doing}")]
    Failed {
        /// Which engine.
        engine: &'static str,
        /// What it was asked to do.
        doing: &'static str,
        /// Its reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The file or folder by which each engine's folder is known.
const FOLDER_MARKS: [(&str, &str); 2] = [("fjall", "keyspaces"), ("sled", "conf")];

/// Refuses a folder that another engine has written.
fn refuse_foreign(dir: &Path, wanted: &'static str) -> Result<(), EngineError> {
    for (found, mark) in FOLDER_MARKS {
        if found != wanted && dir.join(mark).exists() {
            return Err(EngineError::Foreign {
                dir: dir.to_owned(),
                found,
                wanted,
            });
        }
    }
    Ok(())
}
