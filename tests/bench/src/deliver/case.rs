//! The servers that deliver, each with an empty store and a destination of its own.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tidegate_e2e::host::{self, Host, PLAIN, Site, write_private};

use crate::baseline;
use crate::destination::receipts::Receipts;
use crate::destination::{self, Destination};
use crate::postgres::Postgres;
use crate::server::Server;

/// Workers of the baseline: the best of 1, 2 and 4 on two cores.
pub(super) const WORKERS: usize = 2;

/// What sinks sign with.
const SINK_SECRET: &str = "whsec_aXQgaXMgbm90IHNlY3JldCB0aGF0IHRoaXMgaXMgYSB0ZXN0";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Case {
    /// axum with an outbox in PostgreSQL and a worker that POSTs.
    AxumOutbox,
    /// Tidegate to a webhook sink, one POST per change.
    Webhook,
    /// Tidegate to a webhook sink, batches of up to 100 changes.
    WebhookBatch,
    /// Tidegate to a PostgreSQL sink, one table per kind.
    Postgres,
    /// Tidegate to a file sink.
    File,
}

impl Case {
    pub(crate) const ALL: [Self; 5] = [
        Self::AxumOutbox,
        Self::Webhook,
        Self::WebhookBatch,
        Self::Postgres,
        Self::File,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AxumOutbox => "axum-outbox",
            Self::Webhook => "tidegate-webhook",
            Self::WebhookBatch => "tidegate-batch",
            Self::Postgres => "tidegate-postgres",
            Self::File => "tidegate-file",
        }
    }

    pub(crate) const fn needs_postgres(self) -> bool {
        matches!(self, Self::AxumOutbox | Self::Postgres)
    }
}

/// A running server with its destination. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) address: SocketAddr,
    /// The processes, the database's apart, whose CPU time and memory it costs.
    pub(crate) processes: Vec<u32>,
    /// The database's, where it takes part.
    pub(crate) database: Vec<u32>,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) destination: Destination,
    server: Running,
}

#[derive(Debug)]
enum Running {
    Tidegate(Box<Site>, Host),
    Baseline(Server),
}

impl Setting {
    /// Starts it in a folder that must be empty, for so many events.
    pub(crate) fn start(
        case: Case,
        folder: &Path,
        postgres: Option<&Postgres>,
        workers: usize,
        events: usize,
    ) -> anyhow::Result<Self> {
        let receipts = Arc::new(Receipts::new(events));
        let postgres = if case.needs_postgres() {
            Some(postgres.context("PostgreSQL is not running")?)
        } else {
            None
        };
        let file = folder.join("changes.ndjson");
        let destination = match (case, postgres) {
            (Case::Postgres, Some(postgres)) => {
                destination::forget(&postgres.database())?;
                Destination::rows(&postgres.database(), receipts.clone())
            }
            (Case::File, _) => Destination::file(&file, receipts.clone()),
            _ => Destination::receiver(receipts.clone())?,
        };
        let server = if let (Case::AxumOutbox, Some(postgres)) = (case, postgres) {
            Running::Baseline(outbox(&destination, postgres, workers)?)
        } else {
            let sink = sink(case, folder, &destination, postgres)?;
            let (site, host) = tidegate(folder, &sink)?;
            Running::Tidegate(Box::new(site), host)
        };
        let (address, processes) = match &server {
            Running::Tidegate(site, host) => (site.ingress(), vec![host.pid()]),
            Running::Baseline(server) => (server.address, server.processes.clone()),
        };
        Ok(Self {
            address,
            processes,
            database: postgres.map(Postgres::pid).into_iter().collect(),
            receipts,
            destination,
            server,
        })
    }

    /// The same with its host killed.
    pub(crate) fn kill_9(self) -> anyhow::Result<Killed> {
        let Running::Tidegate(site, host) = self.server else {
            anyhow::bail!("only Tidegate is killed here");
        };
        host.kill_9()?;
        Ok(Killed {
            site,
            receipts: self.receipts,
            destination: self.destination,
        })
    }
}

/// A site whose host was killed; its destination is still there.
#[derive(Debug)]
pub(crate) struct Killed {
    pub(crate) site: Box<Site>,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) destination: Destination,
}

/// A host with more in its configuration.
pub(crate) fn tidegate(folder: &Path, more: &str) -> anyhow::Result<(Site, Host)> {
    let site = Site::new(folder, PLAIN)?;
    write_private(&folder.join("sink-secret"), SINK_SECRET)?;
    let mut config = File::options().append(true).open(site.config())?;
    config.write_all(more.as_bytes())?;
    let host = site.start()?;
    Ok((site, host))
}

/// The section of a webhook sink to a receiver here.
pub(crate) fn webhook(name: &str, url: &str, more: &str) -> String {
    format!(
        "\n[sinks.{name}]\nkind = \"webhook\"\nurl = \"{url}\"\nsecret = \"file:sink-secret\"\n{more}\n"
    )
}

/// What lets a host reach receivers here.
pub(crate) const EGRESS: &str = "\n[egress]\nallow = [\"127.0.0.1\"]\n";

fn sink(
    case: Case,
    folder: &Path,
    destination: &Destination,
    postgres: Option<&Postgres>,
) -> anyhow::Result<String> {
    let section = match (destination, postgres) {
        (Destination::Receiver(receiver), _) => {
            let batch = if case == Case::WebhookBatch { 100 } else { 1 };
            webhook("bench", &receiver.url(), &format!("batch = {batch}"))
        }
        (Destination::Rows(_), Some(postgres)) => {
            write_private(&folder.join("database-url"), &postgres.database())?;
            "\n[sinks.bench]\nkind = \"postgres\"\nurl = \"file:database-url\"\n".to_owned()
        }
        (Destination::Rows(_) | Destination::File(_), _) => {
            "\n[sinks.bench]\nkind = \"file\"\npath = \"changes.ndjson\"\nrotate_size = \"64GiB\"\n"
                .to_owned()
        }
    };
    Ok(format!("{EGRESS}{section}"))
}

fn outbox(
    destination: &Destination,
    postgres: &Postgres,
    workers: usize,
) -> anyhow::Result<Server> {
    let Destination::Receiver(receiver) = destination else {
        anyhow::bail!("the baseline delivers to a receiver");
    };
    let pool = baseline::POOL_SIZE.to_string();
    let (database, url, workers) = (postgres.database(), receiver.url(), workers.to_string());
    let arguments = [
        "serve-axum-outbox",
        "--secret",
        host::SECRET,
        "--database",
        &database,
        "--pool",
        &pool,
        "--workers",
        &workers,
        "--receiver",
        &url,
    ];
    Server::baseline(&arguments)
}
