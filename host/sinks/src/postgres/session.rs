//! One connection, and what is known about the database behind it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tidegate_core::change::{Change, Operation};
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::ChangeSeq;
use tidegate_egress::Egress;
use tokio_postgres::{Client, Config, Statement, Transaction};

use super::PostgresSink;
use super::connection::connect;
use super::fault::{Fault, doing};
use super::rows::{Rows, last_of_each};
use super::statements::{Texts, move_cursor, read_cursor};
use super::tables::{
    CURSOR_COLUMNS, CURSORS, ENTITY_COLUMNS, TOMBSTONE_COLUMNS, TOMBSTONES, qualified, quoted,
    table_of,
};

/// A connection that has been logged in, with the sink's own tables in place.
pub(super) struct Session {
    client: Client,
    sink: Terms,
    move_cursor: Statement,
    tables: HashMap<String, Prepared>,
}

/// What of the sink's configuration counts here.
struct Terms {
    name: String,
    schema: String,
    source: String,
    single_table: bool,
    mark_deletes: bool,
}

/// The statements of one table, as the server has them.
struct Prepared {
    put: Statement,
    bury: Statement,
    remove: Statement,
}

impl Session {
    pub(super) async fn open(
        config: &Config,
        egress: &Arc<Egress>,
        sink: &PostgresSink,
    ) -> Result<Self, Fault> {
        let client = connect(config, egress).await?;
        let schema = &sink.schema;
        create_schema(&client, schema).await?;
        create_table(&client, schema, CURSORS, CURSOR_COLUMNS).await?;
        create_table(&client, schema, TOMBSTONES, TOMBSTONE_COLUMNS).await?;
        let prepared = client.prepare(&move_cursor(schema)).await;
        Ok(Self {
            move_cursor: doing("prepare the cursor's statement", prepared)?,
            client,
            sink: Terms {
                name: sink.name.to_string(),
                schema: schema.clone(),
                source: sink.source.clone(),
                single_table: sink.single_table,
                mark_deletes: sink.mark_deletes,
            },
            tables: HashMap::new(),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    pub(super) async fn cursor(&mut self) -> Result<Option<ChangeSeq>, Fault> {
        let text = read_cursor(&self.sink.schema);
        let (name, source) = (&self.sink.name, &self.sink.source);
        let row = self.client.query_opt(&text, &[name, source]).await;
        let row = doing("read the cursor", row)?;
        let seq = row.map(|row| row.try_get::<_, i64>(0)).transpose();
        let seq = doing("read the cursor", seq)?;
        Ok(seq
            .and_then(|seq| u64::try_from(seq).ok())
            .map(ChangeSeq::new))
    }

    pub(super) async fn deliver(
        &mut self,
        changes: &[Change],
    ) -> Result<Vec<Result<(), Failure>>, Fault> {
        for change in changes {
            self.prepare(table_of(change, self.sink.single_table))
                .await?;
        }
        match self.together(changes).await {
            Ok(()) => Ok(vec![Ok(()); changes.len()]),
            Err(fault) if fault.is_of_the_data() && changes.len() == 1 => {
                Ok(vec![Err(fault.failure())])
            }
            Err(fault) if fault.is_of_the_data() => self.one_by_one(changes).await,
            Err(fault) => Err(fault),
        }
    }

    /// All of them in one transaction, or nothing.
    async fn together(&mut self, changes: &[Change]) -> Result<(), Fault> {
        let begun = self.client.transaction().await;
        let transaction = doing("begin a transaction", begun)?;
        let newest = changes.iter().map(|change| change.seq).max();
        self.sink
            .move_cursor(&transaction, &self.move_cursor, newest)
            .await?;
        let left = last_of_each(changes);
        self.sink.apply(&transaction, &self.tables, &left).await?;
        doing("commit", transaction.commit().await)
    }

    /// Each behind a savepoint of its own, so that only what the database refuses fails.
    /// The cursor stays before the first of those: the store has not heard of it yet.
    async fn one_by_one(&mut self, changes: &[Change]) -> Result<Vec<Result<(), Failure>>, Fault> {
        let begun = self.client.transaction().await;
        let mut transaction = doing("begin a transaction", begun)?;
        let mut results: Vec<Result<(), Failure>> = Vec::with_capacity(changes.len());
        for change in changes {
            if behind_a_failure(change, changes, &results) {
                let message = "an earlier change of the entity did not go through";
                results.push(Err(Failure::new(FailureClass::TRANSIENT, message)));
                continue;
            }
            let point = doing("set a savepoint", transaction.transaction().await)?;
            match self.sink.apply(&point, &self.tables, &[change]).await {
                Ok(()) => {
                    doing("release a savepoint", point.commit().await)?;
                    results.push(Ok(()));
                }
                Err(fault) if fault.is_of_the_data() => {
                    doing("go back to a savepoint", point.rollback().await)?;
                    results.push(Err(fault.failure()));
                }
                Err(fault) => return Err(fault),
            }
        }
        let delivered = changes.iter().zip(&results);
        let newest = delivered
            .take_while(|(_, result)| result.is_ok())
            .map(|(change, _)| change.seq)
            .max();
        self.sink
            .move_cursor(&transaction, &self.move_cursor, newest)
            .await?;
        doing("commit", transaction.commit().await)?;
        Ok(results)
    }

    /// Has a table there, and its statements.
    async fn prepare(&mut self, table: String) -> Result<(), Fault> {
        if self.tables.contains_key(&table) {
            return Ok(());
        }
        let schema = &self.sink.schema;
        create_table(&self.client, schema, &table, ENTITY_COLUMNS).await?;
        let texts = Texts::new(schema, &table);
        let what = "prepare the statements of a table";
        let prepared = Prepared {
            put: doing(what, self.client.prepare(&texts.put).await)?,
            bury: doing(what, self.client.prepare(&texts.bury).await)?,
            remove: doing(what, self.client.prepare(&texts.remove).await)?,
        };
        self.tables.insert(table, prepared);
        Ok(())
    }
}

/// Whether an earlier change of the same entity among these has failed.
fn behind_a_failure(change: &Change, changes: &[Change], results: &[Result<(), Failure>]) -> bool {
    changes.iter().zip(results).any(|(earlier, result)| {
        result.is_err()
            && earlier.connection == change.connection
            && earlier.change.entity == change.change.entity
    })
}

impl Terms {
    async fn move_cursor(
        &self,
        transaction: &Transaction<'_>,
        statement: &Statement,
        to: Option<ChangeSeq>,
    ) -> Result<(), Fault> {
        let Some(to) = to else { return Ok(()) };
        let seq = i64::try_from(to.get()).unwrap_or(i64::MAX);
        let moved = transaction
            .execute(statement, &[&self.name, &self.source, &seq])
            .await;
        doing("move the cursor", moved).map(drop)
    }

    /// Applies changes, no two of one entity, table by table.
    async fn apply(
        &self,
        transaction: &Transaction<'_>,
        tables: &HashMap<String, Prepared>,
        changes: &[&Change],
    ) -> Result<(), Fault> {
        let mut by_table: BTreeMap<String, Vec<&Change>> = BTreeMap::new();
        for change in changes {
            let table = table_of(change, self.single_table);
            by_table.entry(table).or_default().push(change);
        }
        for (table, changes) in by_table {
            if let Some(prepared) = tables.get(&table) {
                self.apply_to(transaction, prepared, changes).await?;
            }
        }
        Ok(())
    }

    async fn apply_to(
        &self,
        transaction: &Transaction<'_>,
        table: &Prepared,
        changes: Vec<&Change>,
    ) -> Result<(), Fault> {
        let (deletes, upserts): (Vec<&Change>, Vec<&Change>) = changes
            .into_iter()
            .partition(|change| change.change.operation == Operation::Delete);
        let (upserts, deletes) = (Rows::of(upserts), Rows::of(deletes));
        if self.mark_deletes {
            self.run(transaction, &table.put, &upserts).await?;
            return self.run(transaction, &table.put, &deletes).await;
        }
        self.run(transaction, &table.bury, &deletes).await?;
        self.run(transaction, &table.remove, &deletes).await?;
        self.run(transaction, &table.put, &upserts).await
    }

    async fn run(
        &self,
        transaction: &Transaction<'_>,
        statement: &Statement,
        rows: &Rows<'_>,
    ) -> Result<(), Fault> {
        if rows.is_empty() {
            return Ok(());
        }
        let source = self.source.as_str();
        let parameters = rows.parameters(&source);
        let ran = transaction.execute(statement, &parameters).await;
        doing("write rows", ran).map(drop)
    }
}

async fn create_schema(client: &Client, schema: &str) -> Result<(), Fault> {
    let what = "create the schema";
    let known = client
        .query_one("SELECT to_regnamespace($1) IS NULL", &[&quoted(schema)])
        .await;
    let missing: bool = doing(what, doing(what, known)?.try_get(0))?;
    if missing {
        let text = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
        doing(what, client.batch_execute(&text).await)?;
    }
    Ok(())
}

/// Creates a table unless it is there: looking first needs no right to create any.
async fn create_table(
    client: &Client,
    schema: &str,
    table: &str,
    columns: &str,
) -> Result<(), Fault> {
    let what = "create a table";
    let name = qualified(schema, table);
    let known = client
        .query_one("SELECT to_regclass($1) IS NULL", &[&name])
        .await;
    let missing: bool = doing(what, doing(what, known)?.try_get(0))?;
    if missing {
        let text = format!("CREATE TABLE IF NOT EXISTS {name} ({columns})");
        doing(what, client.batch_execute(&text).await)?;
    }
    Ok(())
}
