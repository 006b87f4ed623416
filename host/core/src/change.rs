//! Changes: canonical records of what became of an entity.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::ids::{ChangeSeq, ConnectionId, EventId};
use crate::limits;
use crate::time::Timestamp;

/// What a change does to its entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The entity exists, in this state.
    Upsert,
    /// The entity is gone.
    Delete,
}

impl Operation {
    /// The word used in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }
}

/// How Tidegate learned of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A webhook carried it.
    Webhook,
    /// A poll found it in the change list.
    Poll,
    /// A fetch of the entity.
    Fetch,
    /// A reconciliation found the difference.
    Reconcile,
}

impl Origin {
    /// The word used in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Poll => "poll",
            Self::Fetch => "fetch",
            Self::Reconcile => "reconcile",
        }
    }
}

/// An entity within a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityRef {
    /// Kind, as the descriptor names it.
    pub kind: String,
    /// The partner's id.
    pub id: String,
}

/// A change as a plugin proposes it: bounded, not yet decided by the version rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedChange {
    /// What changed.
    pub entity: EntityRef,
    /// How.
    pub operation: Operation,
    /// What orders the entity's states, where the partner gives something.
    pub version: Option<i64>,
    /// What tells its states apart: the plugin's, or the digest of the data.
    pub revision: String,
    /// When it happened at the partner, where known.
    pub occurred: Option<Timestamp>,
    /// The state as a JSON object.
    pub data: Option<Bytes>,
}

impl ProposedChange {
    /// The revision of data for which the plugin gave none.
    pub fn content_revision(data: Option<&[u8]>) -> String {
        match data {
            Some(data) => {
                let digest = Sha256::digest(data);
                // Half of SHA-256 tells the states of one entity apart with room to spare.
                format!(
                    "sha256:{}",
                    hex::encode(digest.get(..16).unwrap_or(&digest))
                )
            }
            None => String::new(),
        }
    }

    /// The bytes it holds, for bounds on batches.
    pub fn weight(&self) -> usize {
        96 + self.entity.kind.len()
            + self.entity.id.len()
            + self.revision.len()
            + self.data.as_ref().map_or(0, Bytes::len)
    }
}

/// A change that went out: one place in the change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its place.
    pub seq: ChangeSeq,
    /// Of which connection.
    pub connection: ConnectionId,
    /// What became of which entity.
    pub change: ProposedChange,
    /// How Tidegate learned of it.
    pub origin: Origin,
    /// The event that it came from, where it came from one.
    pub event: Option<EventId>,
    /// When it became durable.
    pub committed: Timestamp,
}

/// What the version rule made of a proposed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeResult {
    /// Which entity.
    pub entity: EntityRef,
    /// What it would have done.
    pub operation: Operation,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a proposed change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It went out, at that place of the change log.
    Applied(ChangeSeq),
    /// A newer state stood already.
    Superseded,
    /// The same state stood already.
    Unchanged,
}

/// Our copy of one entity, with the change that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Of which connection.
    pub connection: ConnectionId,
    /// Its newest state; a tombstone where the operation is delete.
    pub change: ProposedChange,
    /// How it stands for the version rule.
    pub standing: crate::version::Standing,
    /// How Tidegate learned of that change.
    pub origin: Origin,
    /// The event that it came from, where it came from one.
    pub event: Option<EventId>,
    /// When it became durable.
    pub committed: Timestamp,
}

impl Entity {
    /// The change that brought it, as it went out.
    pub fn into_change(self) -> Change {
        Change {
            seq: self.standing.change,
            connection: self.connection,
            change: self.change,
            origin: self.origin,
            event: self.event,
            committed: self.committed,
        }
    }
}

/// A proposed change, or an entity to fetch, outside the contract's bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// Kind of entity.
    #[error("entity kind {kind:?} is not 1 to 64 lower-case letters, digits, '_', '-' and '.'")]
    Kind {
        /// What was given, shortened.
        kind: String,
    },
    /// Id of an entity.
    #[error("an id of entity kind {kind} is {bytes} bytes long, not 1 to 512")]
    Id {
        /// Of which kind.
        kind: String,
        /// How long.
        bytes: usize,
    },
    /// Revision.
    #[error("the revision of {kind} {id} is {bytes} bytes long, over 256")]
    Revision {
        /// Of which kind.
        kind: String,
        /// Of which entity.
        id: String,
        /// How long.
        bytes: usize,
    },
    /// Data too large.
    #[error("the data of {kind} {id} is {bytes} bytes long, over 1 MiB")]
    Data {
        /// Of which kind.
        kind: String,
        /// Of which entity.
        id: String,
        /// How long.
        bytes: usize,
    },
    /// Data not JSON.
    #[error("the data of {kind} {id} is not a JSON object: {reason}")]
    NotJson {
        /// Of which kind.
        kind: String,
        /// Of which entity.
        id: String,
        /// Where it breaks.
        reason: String,
    },
    /// An upsert says what an entity is.
    #[error("the upsert of {kind} {id} has no data")]
    NoData {
        /// Of which kind.
        kind: String,
        /// Of which entity.
        id: String,
    },
}

impl EntityRef {
    /// Checks the bounds of the contract.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        let kind_good = (1..=limits::ENTITY_KIND_BYTES_MAX).contains(&self.kind.len())
            && self.kind.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.')
            });
        if !kind_good {
            return Err(OutOfBounds::Kind {
                kind: self.kind.chars().take(80).collect(),
            });
        }
        if !(1..=limits::ENTITY_ID_BYTES_MAX).contains(&self.id.len()) {
            return Err(OutOfBounds::Id {
                kind: self.kind.clone(),
                bytes: self.id.len(),
            });
        }
        Ok(())
    }
}

impl ProposedChange {
    /// Checks the bounds of the contract.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        self.entity.check()?;
        let (kind, id) = (self.entity.kind.clone(), self.entity.id.clone());
        if self.revision.len() > limits::REVISION_BYTES_MAX {
            return Err(OutOfBounds::Revision {
                kind,
                id,
                bytes: self.revision.len(),
            });
        }
        match &self.data {
            None if self.operation == Operation::Upsert => Err(OutOfBounds::NoData { kind, id }),
            None => Ok(()),
            Some(data) if data.len() > limits::ENTITY_DATA_BYTES_MAX => Err(OutOfBounds::Data {
                kind,
                id,
                bytes: data.len(),
            }),
            Some(data) => {
                json_object(data).map_err(|reason| OutOfBounds::NotJson { kind, id, reason })
            }
        }
    }
}

fn json_object(data: &[u8]) -> Result<(), String> {
    // serde_json does not look into strings that it skips.
    let text = std::str::from_utf8(data).map_err(|error| error.to_string())?;
    serde_json::from_str::<JsonObject>(text).map_err(|error| error.to_string())?;
    Ok(())
}

/// Accepts any JSON object and keeps nothing of it: readers embed the bytes as they are,
/// so they must be whole, but nobody here needs the tree.
struct JsonObject;

impl<'de> serde::Deserialize<'de> for JsonObject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl<'de> serde::de::Visitor<'de> for Whole {
            type Value = JsonObject;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<JsonObject, A::Error> {
                use serde::de::IgnoredAny;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(JsonObject)
            }
        }
        deserializer.deserialize_map(Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, operation: Operation, data: Option<&str>, expect: &str) {
        let change = ProposedChange {
            entity: EntityRef {
                kind: kind.into(),
                id: "7".into(),
            },
            operation,
            version: None,
            revision: String::new(),
            occurred: None,
            data: data.map(|text| Bytes::from(text.to_owned())),
        };
        let got = change
            .check()
            .map_or_else(|error| error.to_string(), |()| "good".into());
        assert!(got.contains(expect), "{got:?} does not say {expect:?}");
    }

    #[test]
    fn bounds_name_what_is_wrong() {
        check(
            "issue",
            Operation::Upsert,
            Some(r#"{"a":[1,{"b":"ü"}]}"#),
            "good",
        );
        check("issue", Operation::Delete, None, "good");
        check("issue", Operation::Upsert, None, "no data");
        check("Issue", Operation::Delete, None, "entity kind \"Issue\"");
        check("issue", Operation::Upsert, Some("[1]"), "not a JSON object");
        check(
            "issue",
            Operation::Upsert,
            Some(r#"{"a":"#),
            "not a JSON object",
        );
        check(
            "issue",
            Operation::Upsert,
            Some("{} x"),
            "not a JSON object",
        );
    }
}
