//! Parts that many payloads share.
//!
//! A struct names just the fields that a document or a decision needs; everything else in
//! a payload is skipped unparsed. Most structs are read and written: what GitHub sends is
//! taken apart and put together again as the lean document, under GitHub's own names but
//! for `author`, `url` and where a whole object becomes the one name in it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate_sdk::{Operation, Text};

/// The repository that an event is about.
#[derive(Deserialize)]
pub(crate) struct Repository<'a> {
    pub(crate) id: u64,
    #[serde(borrow)]
    pub(crate) full_name: Text<'a>,
}

/// The organization that an event is about.
#[derive(Deserialize)]
pub(crate) struct Organization<'a> {
    pub(crate) id: u64,
    #[serde(borrow)]
    pub(crate) login: Text<'a>,
}

/// A person, an app or an organization. Written as its login.
#[derive(Deserialize)]
pub(crate) struct User<'a> {
    pub(crate) id: u64,
    #[serde(borrow)]
    pub(crate) login: Text<'a>,
}

impl Serialize for User<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.login.serialize(serializer)
    }
}

/// A label. Written as its name.
#[derive(Deserialize)]
pub(crate) struct Label<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

impl Serialize for Label<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.name.serialize(serializer)
    }
}

/// A milestone. Written as its title.
#[derive(Deserialize)]
pub(crate) struct Milestone<'a> {
    #[serde(borrow)]
    title: Text<'a>,
}

impl Serialize for Milestone<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.title.serialize(serializer)
    }
}

/// A list whose items, and which itself, may be null: GitHub's schema allows both.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let items = Option::<Vec<Option<T>>>::deserialize(deserializer)?;
    Ok(items.into_iter().flatten().flatten().collect())
}

/// What an action does to the entity that its event is about: every action but `deleted`
/// carries the entity's present state, also those that GitHub will invent.
pub(crate) fn operation(action: &str) -> Operation {
    match action {
        "deleted" => Operation::Delete,
        _ => Operation::Upsert,
    }
}

/// When an operation happened, given the entity's own update time. A delete does not move
/// that time, and GitHub sends no other.
pub(crate) fn occurred<T>(operation: Operation, updated_at: T) -> Option<T> {
    match operation {
        Operation::Upsert => Some(updated_at),
        Operation::Delete => None,
    }
}

/// The id of what has no id of its own: who or what it belongs to, and what it is there.
pub(crate) fn joined(owner: u64, part: impl std::fmt::Display) -> String {
    format!("{owner}:{part}")
}
