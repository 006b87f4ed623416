//! The PostgreSQL sink: the newest state of each entity as a row.
//!
//! A hand-over is one transaction: the rows, and beside them the sink's cursor in
//! `tidegate_cursors`. A row is replaced by a later change only, so handing over again, or
//! late, changes nothing: exactly once in effect, whatever was lost in between. What the
//! database refuses because of its content is found by trying each change alone, and fails
//! alone; everything else is the connection's fault and may work later.
//!
//! Numbers of changes are compared within one store. A row that another store wrote is
//! replaced unless both have versions and its own is higher.

mod connection;
mod fault;
mod rows;
mod session;
mod statements;
mod tables;

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::change::Change;
use tidegate_core::failure::{Failure, FailureClass};
use tidegate_core::ids::{ChangeSeq, SinkName};
use tidegate_core::ports::{Outlet, OutletCapacity};
use tidegate_core::signature::Secret;
use tidegate_egress::Egress;
use tokio::sync::Mutex;
use tokio_postgres::Config;

use crate::all;
use fault::Fault;
use session::Session;

/// Most changes of one transaction.
const BATCH_MAX: usize = 500;

/// What the configuration says about a PostgreSQL sink.
#[derive(Clone, Debug)]
pub struct PostgresSink {
    /// Its own name, for the cursor.
    pub name: SinkName,
    /// Where to, as libpq writes it.
    pub url: Secret,
    /// The schema of its tables.
    pub schema: String,
    /// One table for all, `tidegate_entities`, instead of one for each connector and kind.
    pub single_table: bool,
    /// A delete marks the row instead of removing it.
    pub mark_deletes: bool,
    /// Longest hand-over.
    pub timeout: Duration,
    /// What tells this store from every other.
    pub source: String,
}

/// A URL that no connection can be made with. Does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPostgresUrl {
    /// Not in the form of one.
    #[error("it is not a connection string as libpq reads it")]
    Form,
    /// Nowhere to connect to.
    #[error("it names no host")]
    NoHost,
    /// An address that would go past the check of addresses.
    #[error("hostaddr is not supported; write the address as host")]
    HostAddr,
}

/// A PostgreSQL sink.
pub struct PostgresOutlet {
    sink: PostgresSink,
    config: Config,
    egress: Arc<Egress>,
    /// None until something is to be said, and after anything went wrong.
    session: Mutex<Option<Session>>,
}

impl PostgresOutlet {
    /// A sink of that kind; it connects when something is to be delivered.
    pub fn new(sink: PostgresSink, egress: Arc<Egress>) -> Result<Self, InvalidPostgresUrl> {
        Ok(Self {
            config: parse(&sink.url)?,
            sink,
            egress,
            session: Mutex::new(None),
        })
    }

    /// Does something with the session, in bounded time. Where that fails the session is
    /// dropped, and with it a transaction that is open.
    async fn with_session<T>(
        &self,
        act: impl AsyncFnOnce(&mut Session) -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        let work = async {
            let mut kept = self.session.lock().await;
            let mut session = match kept.take() {
                Some(session) if session.is_open() => session,
                Some(_) | None => Session::open(&self.config, &self.egress, &self.sink).await?,
            };
            let done = act(&mut session).await?;
            *kept = Some(session);
            Ok(done)
        };
        let outcome = tokio::time::timeout(self.sink.timeout, work).await;
        outcome.map_or_else(
            |_| {
                let within = self.sink.timeout.as_millis();
                let message = format!("the database took more than {within} ms");
                Err(Failure::new(FailureClass::TRANSIENT, message))
            },
            |done| done.map_err(|fault: Fault| fault.failure()),
        )
    }
}

/// Reads a URL. TLS is always checked against names and authorities here, so what libpq
/// calls `verify-full` is what `require` does.
fn parse(url: &Secret) -> Result<Config, InvalidPostgresUrl> {
    let text = std::str::from_utf8(url.expose()).map_err(|_| InvalidPostgresUrl::Form)?;
    let text = text
        .replace("sslmode=verify-full", "sslmode=require")
        .replace("sslmode=verify-ca", "sslmode=require");
    let config = Config::from_str(&text).map_err(|_| InvalidPostgresUrl::Form)?;
    if !config.get_hostaddrs().is_empty() {
        return Err(InvalidPostgresUrl::HostAddr);
    }
    if config.get_hosts().is_empty() {
        return Err(InvalidPostgresUrl::NoHost);
    }
    Ok(config)
}

impl fmt::Debug for PostgresOutlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOutlet")
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}

impl Outlet for PostgresOutlet {
    fn capacity(&self) -> OutletCapacity {
        // Transactions of one sink would wait for each other at its cursor.
        OutletCapacity {
            batch: BATCH_MAX,
            concurrency: 1,
        }
    }

    async fn deliver(&self, changes: &[Change]) -> Vec<Result<(), Failure>> {
        let delivered = self.with_session(async |session| session.deliver(changes).await);
        match delivered.await {
            Ok(results) => results,
            Err(failure) => all(changes.len(), &Err(failure)),
        }
    }

    async fn cursor(&self) -> Result<Option<ChangeSeq>, Failure> {
        self.with_session(async |session| session.cursor().await)
            .await
    }
}

#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;
