//! The contract's bounds on a mapping, so that a result which the host would refuse is
//! found by `cargo test`.
//!
//! The numbers are those of `wit/`; the host enforces them, this page only tells.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Change, EntityRef, Failure, Mapping, Outcome};

const CHANGES_MAX: usize = 1_000;
const FETCH_MAX: usize = 100;
const KIND_LEN_MAX: usize = 64;
const ID_LEN_MAX: usize = 512;
const REVISION_LEN_MAX: usize = 256;
const DATA_LEN_MAX: usize = 1024 * 1024;
const SKIP_LEN_MAX: usize = 1024;
const FAILURE_LEN_MAX: usize = 4 * 1024;

/// What of the descriptor the bounds need.
#[derive(Deserialize)]
struct Descriptor {
    #[serde(default)]
    entities: Vec<Entity>,
}

#[derive(Deserialize)]
struct Entity {
    kind: String,
}

/// Kinds of entity that a descriptor declares.
pub(super) fn declared_kinds(descriptor: &str) -> Result<BTreeSet<String>, serde_json::Error> {
    let Descriptor { entities } = serde_json::from_str(descriptor)?;
    Ok(entities.into_iter().map(|entity| entity.kind).collect())
}

/// Every bound that a result breaks, each in a sentence.
pub(super) fn broken(result: &Result<Outcome, Failure>, kinds: &BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    match result {
        Ok(Outcome::Mapped(mapping)) => check_mapping(mapping, kinds, &mut problems),
        Ok(Outcome::Skip(reason)) => at_most(reason.len(), SKIP_LEN_MAX, "skip", &mut problems),
        Err(failure) => {
            at_most(
                failure.to_string().len(),
                FAILURE_LEN_MAX,
                "failure",
                &mut problems,
            );
        }
    }
    problems
}

fn check_mapping(mapping: &Mapping, kinds: &BTreeSet<String>, problems: &mut Vec<String>) {
    let Mapping {
        changes,
        fetch,
        poll_now,
    } = mapping;
    if changes.is_empty() && fetch.is_empty() && !poll_now {
        problems.push("an empty mapping: skip with a reason instead".to_owned());
    }
    if changes.len() > CHANGES_MAX {
        problems.push(format!(
            "{} changes, at most {CHANGES_MAX} are taken",
            changes.len()
        ));
    }
    if fetch.len() > FETCH_MAX {
        problems.push(format!(
            "{} entities to fetch, at most {FETCH_MAX}",
            fetch.len()
        ));
    }
    for entity in changes.iter().map(|change| &change.entity).chain(fetch) {
        check_entity(entity, kinds, problems);
    }
    for change in changes {
        check_change(change, problems);
    }
}

fn check_entity(entity: &EntityRef, kinds: &BTreeSet<String>, problems: &mut Vec<String>) {
    let EntityRef { kind, id } = entity;
    let well_formed = (1..=KIND_LEN_MAX).contains(&kind.len())
        && kind
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.'));
    if !well_formed {
        problems.push(format!("kind {kind:?} is not 1 to 64 of a-z 0-9 _ - ."));
    }
    if !kinds.contains(kind) {
        problems.push(format!(
            "kind {kind:?} is not among the descriptor's entities"
        ));
    }
    if !(1..=ID_LEN_MAX).contains(&id.len()) {
        problems.push(format!(
            "id {id:?} of {kind} is not 1 to {ID_LEN_MAX} bytes long"
        ));
    }
}

fn check_change(change: &Change, problems: &mut Vec<String>) {
    let name = format!("{} {}", change.entity.kind, change.entity.id);
    if let Some(revision) = &change.revision {
        at_most(
            revision.len(),
            REVISION_LEN_MAX,
            &format!("revision of {name}"),
            problems,
        );
    }
    if let Some(data) = &change.data {
        at_most(
            data.len(),
            DATA_LEN_MAX,
            &format!("document of {name}"),
            problems,
        );
        if serde_json::from_slice::<Map<String, Value>>(data).is_err() {
            problems.push(format!("document of {name} is not a JSON object"));
        }
    }
}

fn at_most(len: usize, max: usize, what: &str, problems: &mut Vec<String>) {
    if len > max {
        problems.push(format!(
            "{what} is {len} bytes long, at most {max} are taken"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::{broken, declared_kinds};
    use crate::{Change, EntityRef, Failure, Mapping, Outcome};

    #[track_caller]
    fn check(result: impl Into<Outcome>, problem: Option<&str>) {
        check_result(&Ok(result.into()), problem);
    }

    #[track_caller]
    fn check_result(result: &Result<Outcome, Failure>, problem: Option<&str>) {
        let kinds = declared_kinds(r#"{"entities":[{"kind":"tide"}]}"#).unwrap();
        let found = broken(result, &kinds);
        assert_eq!(found.first().map(String::as_str), problem, "{found:?}");
    }

    #[test]
    fn a_result_inside_the_bounds() {
        check(
            Change::upsert("tide", 1)
                .data(&serde_json::json!({}))
                .unwrap(),
            None,
        );
        check(Mapping::default().poll_now(), None);
        check(Outcome::skip("ebb"), None);
        check_result(&Err(Failure::permanent("ebb")), None);
    }

    #[test]
    fn what_the_host_would_refuse() {
        check(
            Mapping::default(),
            Some("an empty mapping: skip with a reason instead"),
        );
        check(
            Change::delete("wave", 1),
            Some("kind \"wave\" is not among the descriptor's entities"),
        );
        check(
            Change::delete("Tide", 1),
            Some("kind \"Tide\" is not 1 to 64 of a-z 0-9 _ - ."),
        );
        check(
            Change::delete("tide", ""),
            Some("id \"\" of tide is not 1 to 512 bytes long"),
        );
        check(
            Change::upsert("tide", 1).data("text").unwrap(),
            Some("document of tide 1 is not a JSON object"),
        );
        check(
            Change::delete("tide", 1).revision("r".repeat(257)),
            Some("revision of tide 1 is 257 bytes long, at most 256 are taken"),
        );
        check(
            Outcome::skip("r".repeat(1_025)),
            Some("skip is 1025 bytes long, at most 1024 are taken"),
        );
        check_result(
            &Err(Failure::permanent("r".repeat(5_000))),
            Some("failure is 5000 bytes long, at most 4096 are taken"),
        );
    }

    #[test]
    fn too_many_at_once() {
        let fetch = vec![EntityRef::new("tide", 1); 101];
        check(
            Mapping {
                fetch,
                ..Mapping::default()
            },
            Some("101 entities to fetch, at most 100"),
        );
        let changes = vec![Change::delete("tide", 1); 1_001];
        check(
            Mapping {
                changes,
                ..Mapping::default()
            },
            Some("1001 changes, at most 1000 are taken"),
        );
    }
}
