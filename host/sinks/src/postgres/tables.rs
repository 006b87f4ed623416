//! The tables of a sink: what they are called, and what they are made of.

use sha2::{Digest as _, Sha256};
use tidegate_core::change::Change;

/// Longest name that PostgreSQL keeps whole.
const NAME_BYTES_MAX: usize = 63;

/// The cursors of sinks.
pub(super) const CURSORS: &str = "tidegate_cursors";

/// What keeps the place of a row that was removed.
pub(super) const TOMBSTONES: &str = "tidegate_tombstones";

/// The one table of a sink that has only one.
const SINGLE: &str = "tidegate_entities";

/// What the cursors' table is made of.
pub(super) const CURSOR_COLUMNS: &str =
    "sink text PRIMARY KEY, source text NOT NULL, seq bigint NOT NULL";

/// What the tombstones' table is made of.
pub(super) const TOMBSTONE_COLUMNS: &str = "connector text, account text, kind text, id text, \
     version bigint, seq bigint NOT NULL, source text NOT NULL, \
     PRIMARY KEY (connector, account, kind, id)";

/// What a table of entities is made of.
pub(super) const ENTITY_COLUMNS: &str = "connector text, account text, kind text, id text, \
     data jsonb, version bigint, revision text NOT NULL, occurred_at timestamptz, \
     committed_at timestamptz NOT NULL, deleted_at timestamptz, seq bigint NOT NULL, \
     source text NOT NULL, PRIMARY KEY (connector, account, kind, id)";

/// The name of the table that a change's entity is in.
pub(super) fn table_of(change: &Change, single: bool) -> String {
    if single {
        return SINGLE.to_owned();
    }
    // A connector's name has no underscore, so two pairs never make one name.
    let (connector, kind) = (&change.connection.connector, &change.change.entity.kind);
    bounded(format!("tidegate_{connector}_{kind}"))
}

/// A name that is too long ends with a digest of itself instead.
fn bounded(name: String) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let digest = hex::encode(Sha256::digest(&name));
    let digest = digest.get(..16).unwrap_or(&digest);
    let room = NAME_BYTES_MAX - digest.len() - 1;
    let head: String = name.chars().take(room).collect();
    format!("{head}_{digest}")
}

/// A name in the quotes of an identifier, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table in its schema.
pub(super) fn qualified(schema: &str, table: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::change;

    #[track_caller]
    fn check(connection: &str, kind: &str, expect: &str) {
        let mut change = change(1, "7", "{}");
        change.connection = connection.parse().unwrap();
        change.change.entity.kind = kind.into();
        assert_eq!(table_of(&change, false), expect);
        assert_eq!(table_of(&change, true), "tidegate_entities");
    }

    #[test]
    fn names_of_tables_are_plain_and_bounded() {
        check("github/acme", "issue", "tidegate_github_issue");
        check("a-b/x", "c.d_e", "tidegate_a-b_c.d_e");
        let (long, other) = ("k".repeat(64), format!("{}j", "k".repeat(63)));
        let expect = "tidegate_github_kkkkkkkkkkkkkkkkkkkkkkkkkkkkkk_";
        for kind in [&long, &other] {
            let mut one = change(1, "7", "{}");
            one.change.entity.kind.clone_from(kind);
            let name = table_of(&one, false);
            assert!(name.len() == 63 && name.starts_with(expect), "{name}");
        }
        assert_ne!(bounded(long.repeat(2)), bounded(other.repeat(2)));
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
