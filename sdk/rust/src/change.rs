//! What became of one entity.

use serde::Serialize;

use crate::{Failure, Timestamp};

/// Bytes that a lean document usually needs, so that it is written without growing.
const DATA_CAPACITY: usize = 1_024;

/// One entity as the plugin names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityRef {
    /// Kind of entity, one of the descriptor's `entities`: 1 to 64 bytes of lower-case
    /// letters, digits, `_`, `-` and `.`.
    pub kind: String,
    /// The partner's id of the entity: 1 to 512 bytes, stable for its life.
    pub id: String,
}

impl EntityRef {
    /// The entity `id` of a kind. Numbers become text as they are.
    ///
    /// ```
    /// use tidegate_sdk::EntityRef;
    /// assert_eq!(EntityRef::new("issue", 42).id, "42");
    /// ```
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an id is mostly a number or a literal"
    )]
    pub fn new(kind: impl Into<String>, id: impl ToString) -> Self {
        Self {
            kind: kind.into(),
            id: id.to_string(),
        }
    }
}

/// What a change does to its entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The entity exists and `data` is its state.
    Upsert,
    /// The entity is gone.
    Delete,
}

/// One canonical record: what became of one entity.
///
/// ```
/// use serde::Serialize;
/// use tidegate_sdk::{Change, Timestamp};
///
/// #[derive(Serialize)]
/// struct Document<'a> {
///     title: &'a str,
/// }
///
/// let updated: Timestamp = "2024-05-01T12:00:00Z".parse().unwrap();
/// let change = Change::upsert("pull_request", 42)
///     .version_at(updated)
///     .occurred_at(updated)
///     .data(&Document { title: "Tide tables" })?;
/// assert_eq!(change.data.as_deref(), Some(&br#"{"title":"Tide tables"}"#[..]));
/// # Ok::<(), tidegate_sdk::Failure>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The entity that changed.
    pub entity: EntityRef,
    /// What happened to it.
    pub operation: Operation,
    /// A number that orders the states of this entity, higher is newer. None where the
    /// partner gives the entity nothing that orders: receipt orders then. Never the time
    /// of the delivery or of another entity.
    pub version: Option<i64>,
    /// A text that only says equal or different (an `ETag`, a content digest), at most
    /// 256 bytes. Where none is given the host hashes `data`.
    pub revision: Option<String>,
    /// When it happened at the partner, where the payload says so.
    pub occurred_at: Option<Timestamp>,
    /// The entity's state as a lean JSON object, at most 1 MiB.
    pub data: Option<Vec<u8>>,
}

impl Change {
    /// A change that does `operation` to the entity `id` of a kind.
    pub fn new(operation: Operation, kind: impl Into<String>, id: impl ToString) -> Self {
        Self {
            entity: EntityRef::new(kind, id),
            operation,
            version: None,
            revision: None,
            occurred_at: None,
            data: None,
        }
    }

    /// The entity exists; give its state with [`Change::data`].
    pub fn upsert(kind: impl Into<String>, id: impl ToString) -> Self {
        Self::new(Operation::Upsert, kind, id)
    }

    /// The entity is gone.
    pub fn delete(kind: impl Into<String>, id: impl ToString) -> Self {
        Self::new(Operation::Delete, kind, id)
    }

    /// Orders by a number of the partner's own: a sequence, a revision count.
    #[must_use]
    pub fn version(mut self, version: impl Into<Option<i64>>) -> Self {
        self.version = version.into();
        self
    }

    /// Orders by the entity's own update time.
    #[must_use]
    pub fn version_at(self, time: impl Into<Option<Timestamp>>) -> Self {
        self.version(time.into().map(Timestamp::as_micros))
    }

    /// Says when two states are equal: an `ETag`, a digest.
    #[must_use]
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = Some(revision.into());
        self
    }

    /// When it happened at the partner. None where the payload does not say.
    #[must_use]
    pub fn occurred_at(mut self, time: impl Into<Option<Timestamp>>) -> Self {
        self.occurred_at = time.into();
        self
    }

    /// The state, or for a delete the last state that the payload carries.
    ///
    /// # Errors
    /// Permanent, where the document cannot be written as JSON: a time outside the years
    /// 0 to 9999, a map whose keys are not text.
    pub fn data<T: Serialize + ?Sized>(mut self, document: &T) -> Result<Self, Failure> {
        let mut data = Vec::with_capacity(DATA_CAPACITY);
        serde_json::to_writer(&mut data, document).map_err(|error| {
            let EntityRef { kind, id } = &self.entity;
            Failure::Permanent(format!(
                "document of {kind} {id} cannot be written: {error}"
            ))
        })?;
        self.data = Some(data);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Change;
    use crate::{Failure, Timestamp};

    #[test]
    fn a_document_that_cannot_be_written_names_its_entity() {
        let far = Timestamp::from_micros(i64::MAX);
        let failure = Change::upsert("tide", 7).data(&[far]).unwrap_err();
        assert_eq!(
            failure,
            Failure::permanent(
                "document of tide 7 cannot be written: a time outside the years 0 to 9999"
            )
        );
    }

    #[test]
    fn no_time_means_no_version() {
        let change = Change::delete("star", "1:2")
            .version_at(None)
            .occurred_at(None);
        assert_eq!(
            (change.version, change.occurred_at, change.data),
            (None, None, None)
        );
    }
}
