//! The rows of a PostgreSQL sink. While it runs only its cursor is read, which costs the
//! database next to nothing; which event came with which step of it is read at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use tidegate_e2e::requests::number_of_entity;
use tokio_postgres::{Client, NoTls};

use super::receipts::Receipts;

/// How often the cursor is read.
const LOOK_EVERY: Duration = Duration::from_millis(5);

const CURSOR: &str = "SELECT seq FROM tidegate_cursors";
const ROWS: &str = "SELECT id, seq FROM tidegate_github_pull_request ORDER BY seq";
const DROP: &str =
    "DROP TABLE IF EXISTS tidegate_cursors, tidegate_tombstones, tidegate_github_pull_request";

/// Follows the one sink of a database.
#[derive(Debug)]
pub(crate) struct Rows {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// Drops what an earlier sink has left.
pub(crate) fn forget(database: &str) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let client = connect(database).await?;
        client.batch_execute(DROP).await?;
        Ok(())
    })
}

impl Rows {
    pub(super) fn start(database: &str, receipts: Arc<Receipts>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (database, stopped) = (database.to_owned(), stop.clone());
        let thread = std::thread::spawn(move || {
            runtime()?.block_on(async {
                let client = connect(&database).await?;
                let steps = follow(&client, &receipts, &stopped).await?;
                date(&client, &receipts, &steps).await
            })
        });
        Self { stop, thread }
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let followed = self.thread.join();
        followed.map_err(|_| anyhow!("the reader of the database panicked"))?
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

async fn connect(database: &str) -> anyhow::Result<Client> {
    let connected = tokio_postgres::connect(database, NoTls).await;
    let (client, connection) = connected.context("could not connect to PostgreSQL")?;
    tokio::spawn(connection);
    Ok(client)
}

/// Reads the cursor until told to stop; returns when it was first seen where.
async fn follow(
    client: &Client,
    receipts: &Receipts,
    stop: &AtomicBool,
) -> anyhow::Result<Vec<(i64, Instant)>> {
    let mut steps: Vec<(i64, Instant)> = Vec::new();
    loop {
        // Before the last look.
        let stopped = stop.load(Ordering::Relaxed);
        // Until the sink has made its tables there is no cursor.
        let cursor = match client.query_opt(CURSOR, &[]).await {
            Ok(row) => row.map_or(0, |row| row.get(0)),
            Err(_) => 0,
        };
        if steps.last().is_none_or(|(last, _)| cursor > *last) {
            steps.push((cursor, Instant::now()));
            // The change log begins at 1 and has no gaps, and each event is one change.
            let count = u64::try_from(cursor)?;
            receipts.delivered().store(count, Ordering::Relaxed);
        }
        if stopped {
            return Ok(steps);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Finds out when each event's row was there.
async fn date(
    client: &Client,
    receipts: &Receipts,
    steps: &[(i64, Instant)],
) -> anyhow::Result<()> {
    let rows = client.query(ROWS, &[]).await?;
    let mut steps = steps.iter().peekable();
    for row in &rows {
        let (id, seq): (&str, i64) = (row.get(0), row.get(1));
        while steps.next_if(|(cursor, _)| *cursor < seq).is_some() {}
        let (_, at) = steps.peek().context("a row is ahead of the cursor")?;
        receipts.date(number_of_entity(id), *at);
    }
    let (rows, counted) = (u64::try_from(rows.len())?, receipts.count());
    ensure!(
        rows == counted,
        "the cursor is at {counted}, and there are {rows} rows"
    );
    Ok(())
}
