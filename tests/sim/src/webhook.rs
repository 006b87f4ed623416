//! What partners tell: webhooks, what is in them, and what an honest plugin makes of them.
//!
//! The register knows every body that a partner has ever signed. Whoever meets a body
//! that is not in it has met something that was never verified.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_core::change::{EntityRef, Operation, ProposedChange};
use tidegate_core::ids::ConnectionId;
use tidegate_core::mapping::Mapping;

use crate::faults::{Fault, Faults};
use crate::rng::Rng;

/// How a mapper behaves when it is given a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// It maps it.
    Honest,
    /// There is nothing in it.
    Skip,
    /// The first version maps it wrongly, the second does not.
    Wrong,
    /// The first version refuses it for good.
    Refuses,
    /// The first version breaks.
    Breaks,
    /// It fails that often, then maps it.
    Flaky(u32),
    /// The partner asks for patience that often; then it is mapped.
    Patience(u32),
    /// The credentials are refused until a person has seen to it.
    Unauthorized,
    /// The first version ends the host's process.
    Stops,
}

/// One state of an entity, as a partner tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which entity.
    pub entity: EntityRef,
    /// Whether it exists.
    pub operation: Operation,
    /// What orders it.
    pub version: Option<i64>,
    /// What it is.
    pub value: u64,
}

/// A webhook as a partner wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Whose.
    pub connection: ConnectionId,
    /// The partner's id of the event.
    pub key: String,
    /// What was signed.
    pub body: Bytes,
    /// What is in it.
    pub entries: Vec<Entry>,
    /// How mappers take it.
    pub conduct: Conduct,
}

/// Every webhook that was ever signed, by its body.
pub type Register = BTreeMap<Bytes, Arc<Webhook>>;

/// The plugin's versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// With its mistakes.
    First,
    /// Corrected.
    Second,
}

impl Webhook {
    fn new(connection: ConnectionId, key: String, entries: Vec<Entry>, conduct: Conduct) -> Self {
        let said: Vec<String> = entries.iter().map(Entry::said).collect();
        let body = format!(
            r#"{{"connection":"{connection}","id":"{key}","conduct":"{conduct:?}","entries":[{}]}}"#,
            said.join(",")
        );
        Self {
            connection,
            key,
            body: Bytes::from(body),
            entries,
            conduct,
        }
    }

    /// Another body under the same event id.
    #[must_use]
    pub fn altered(&self) -> Self {
        let mut entries = self.entries.clone();
        for entry in &mut entries {
            entry.value += 1_000_000;
        }
        Self::new(
            self.connection.clone(),
            self.key.clone(),
            entries,
            self.conduct,
        )
    }

    /// What that version makes of it, where it maps it.
    pub fn mapping(&self, version: Version) -> Mapping {
        let wrong = self.conduct == Conduct::Wrong && version == Version::First;
        Mapping {
            changes: self
                .entries
                .iter()
                .map(|entry| entry.change(wrong))
                .collect(),
            ..Mapping::default()
        }
    }
}

impl Entry {
    fn said(&self) -> String {
        format!(
            r#"{{"{}":"{}/{}","version":{},"value":{}}}"#,
            self.operation.code(),
            self.entity.kind,
            self.entity.id,
            self.version
                .map_or_else(|| "null".to_owned(), |version| version.to_string()),
            self.value
        )
    }

    fn change(&self, wrong: bool) -> ProposedChange {
        let data = (self.operation == Operation::Upsert)
            .then(|| Bytes::from(format!(r#"{{"value":{},"wrong":{wrong}}}"#, self.value)));
        ProposedChange {
            entity: self.entity.clone(),
            operation: self.operation,
            version: self.version,
            revision: ProposedChange::content_revision(data.as_deref()),
            occurred: None,
            data,
        }
    }
}

/// What a connection's partner has to tell, in the order in which it happened: so many
/// events, of so many entities.
pub fn history(
    connection: &ConnectionId,
    (events, entities): (usize, u64),
    faults: Faults,
    rng: &mut Rng,
) -> Vec<Webhook> {
    let mut partner = History {
        versions: BTreeMap::new(),
        values: 0,
        entities,
        faults,
    };
    (0..events)
        .map(|number| {
            let many = if rng.per_mille(300) { 2 } else { 1 };
            let entries = (0..many).map(|_| partner.entry(rng)).collect();
            let conduct = partner.conduct(rng);
            Webhook::new(connection.clone(), format!("d-{number}"), entries, conduct)
        })
        .collect()
}

struct History {
    versions: BTreeMap<u64, i64>,
    values: u64,
    entities: u64,
    faults: Faults,
}

impl History {
    /// Of entities with an even number the partner gives versions.
    fn entry(&mut self, rng: &mut Rng) -> Entry {
        let number = rng.below(self.entities);
        let versioned = number.is_multiple_of(2);
        let ties = self.faults.has(Fault::Ties);
        let version = versioned.then(|| {
            let version = self.versions.entry(number).or_insert(10);
            let stays = ties && rng.per_mille(650);
            *version += i64::from(!stays);
            *version
        });
        self.values += 1;
        Entry {
            entity: EntityRef {
                kind: if number < 3 { "issue" } else { "user" }.into(),
                id: number.to_string(),
            },
            operation: if rng.per_mille(if ties { 350 } else { 200 }) {
                Operation::Delete
            } else {
                Operation::Upsert
            },
            version,
            value: self.values,
        }
    }

    fn conduct(&self, rng: &mut Rng) -> Conduct {
        let kinds = [
            (Fault::Plugin, 250),
            (Fault::PluginAway, 200),
            (Fault::HostStops, 60),
            (Fault::NewPlugin, 250),
        ];
        let times = u32::try_from(rng.between(1, 9)).unwrap_or(1);
        let draw = rng.draw();
        let met = kinds.map(|(fault, often)| rng.per_mille(often) && self.faults.has(fault));
        match met {
            [true, ..] => match draw % 3 {
                0 => Conduct::Skip,
                1 => Conduct::Refuses,
                _ => Conduct::Breaks,
            },
            [_, true, ..] => match draw % 4 {
                0 => Conduct::Patience(times),
                1 => Conduct::Unauthorized,
                _ => Conduct::Flaky(times),
            },
            [_, _, true, _] => Conduct::Stops,
            [_, _, _, true] => Conduct::Wrong,
            _ => Conduct::Honest,
        }
    }
}
