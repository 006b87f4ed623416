//! The statements. All take the same arrays, and all ask the same question before they
//! replace anything: is what stands there older?

use super::tables::{CURSORS, TOMBSTONES, qualified};

/// The rows that come in, as a table named `new`.
const INCOMING: &str = "(SELECT connector, account, kind, id, data::jsonb AS data, version, \
     revision, timestamptz 'epoch' + occurred * interval '1 microsecond' AS occurred_at, \
     timestamptz 'epoch' + committed * interval '1 microsecond' AS committed_at, \
     timestamptz 'epoch' + deleted * interval '1 microsecond' AS deleted_at, seq, \
     $12::text AS source \
     FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int8[], \
     $7::text[], $8::int8[], $9::int8[], $10::int8[], $11::int8[]) \
     AS came(connector, account, kind, id, data, version, revision, occurred, committed, \
     deleted, seq)) AS new";

const KEY: &str = "connector, account, kind, id";

const COLUMNS: &str = "connector, account, kind, id, data, version, revision, occurred_at, \
     committed_at, deleted_at, seq, source";

/// The statements of one table.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    /// Puts rows into the table. Where deletes are marked it takes those as well.
    pub(super) put: String,
    /// Notes the deletes, so that they keep their place.
    pub(super) bury: String,
    /// Removes rows that are older than the deletes.
    pub(super) remove: String,
}

/// Whether the row `old` gives way to the row `new`.
fn gives_way(old: &str, new: &str) -> String {
    format!(
        "(CASE WHEN {old}.source = {new}.source THEN {old}.seq < {new}.seq \
         ELSE coalesce({old}.version <= {new}.version, true) END)"
    )
}

fn same_key(a: &str, b: &str) -> String {
    format!(
        "({a}.connector, {a}.account, {a}.kind, {a}.id) = \
         ({b}.connector, {b}.account, {b}.kind, {b}.id)"
    )
}

impl Texts {
    pub(super) fn new(schema: &str, table: &str) -> Self {
        let table = qualified(schema, table);
        let tombstones = qualified(schema, TOMBSTONES);
        let older = gives_way("old", "excluded");
        let put = format!(
            "INSERT INTO {table} AS old ({COLUMNS}) SELECT {COLUMNS} FROM {INCOMING} \
             WHERE NOT EXISTS (SELECT 1 FROM {tombstones} AS gone WHERE {} AND NOT {}) \
             ON CONFLICT ({KEY}) DO UPDATE SET \
             data = CASE WHEN excluded.deleted_at IS NULL THEN excluded.data ELSE old.data END, \
             version = excluded.version, revision = excluded.revision, \
             occurred_at = excluded.occurred_at, committed_at = excluded.committed_at, \
             deleted_at = excluded.deleted_at, seq = excluded.seq, source = excluded.source \
             WHERE {older}",
            same_key("gone", "new"),
            gives_way("gone", "new"),
        );
        let bury = format!(
            "INSERT INTO {tombstones} AS old ({KEY}, version, seq, source) \
             SELECT {KEY}, version, seq, source FROM {INCOMING} \
             ON CONFLICT ({KEY}) DO UPDATE SET version = excluded.version, \
             seq = excluded.seq, source = excluded.source WHERE {older}"
        );
        let remove = format!(
            "DELETE FROM {table} AS old USING {INCOMING} WHERE {} AND {}",
            same_key("old", "new"),
            gives_way("old", "new"),
        );
        Self { put, bury, remove }
    }
}

/// Moves a sink's cursor forward; one of another store begins anew. First in a usual
/// transaction: it makes the writers of one sink wait for each other.
pub(super) fn move_cursor(schema: &str) -> String {
    format!(
        "INSERT INTO {} AS old (sink, source, seq) VALUES ($1, $2, $3) \
         ON CONFLICT (sink) DO UPDATE SET source = excluded.source, \
         seq = CASE WHEN old.source = excluded.source \
         THEN greatest(old.seq, excluded.seq) ELSE excluded.seq END",
        qualified(schema, CURSORS)
    )
}

/// Reads a sink's cursor.
pub(super) fn read_cursor(schema: &str) -> String {
    format!(
        "SELECT seq FROM {} WHERE sink = $1 AND source = $2",
        qualified(schema, CURSORS)
    )
}
