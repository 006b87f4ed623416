//! The servers under test, each a process of its own with an empty store.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use tidegate_e2e::host::{self, Engine, Host, Options, Site};

use crate::postgres::Postgres;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Case {
    /// (a) axum that checks the HMAC and stores nothing.
    AxumHmac,
    /// (b) axum with one INSERT for each request.
    AxumPostgres,
    /// (c) Tidegate on fjall, mapping off.
    TidegateFjall,
    /// (d) Tidegate on fjall, mapping on.
    TidegateFjallMap,
    /// (e) Tidegate on sled, mapping off.
    TidegateSled,
}

impl Case {
    pub(crate) const ALL: [Self; 5] = [
        Self::AxumHmac,
        Self::AxumPostgres,
        Self::TidegateFjall,
        Self::TidegateFjallMap,
        Self::TidegateSled,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AxumHmac => "axum-hmac",
            Self::AxumPostgres => "axum-postgres",
            Self::TidegateFjall => "tidegate-fjall",
            Self::TidegateFjallMap => "tidegate-fjall-map",
            Self::TidegateSled => "tidegate-sled",
        }
    }
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The processes whose CPU time and memory, with their children's, it costs.
    pub(crate) processes: Vec<u32>,
    host: Option<Host>,
    _baseline: Option<Baseline>,
}

impl Server {
    /// Starts it in a folder that must be empty.
    pub(crate) fn start(
        case: Case,
        folder: &Path,
        postgres: Option<&Postgres>,
        pool: usize,
    ) -> anyhow::Result<Self> {
        match case {
            Case::AxumHmac => Self::baseline(&["serve-axum-hmac", "--secret", host::SECRET]),
            Case::AxumPostgres => {
                let postgres = postgres.context("PostgreSQL is not running")?;
                let (database, pool) = (postgres.database(), pool.to_string());
                let arguments = [
                    "serve-axum-postgres",
                    "--secret",
                    host::SECRET,
                    "--database",
                    &database,
                    "--pool",
                    &pool,
                ];
                let mut server = Self::baseline(&arguments)?;
                server.processes.push(postgres.pid());
                Ok(server)
            }
            Case::TidegateFjall => Self::tidegate(folder, Engine::Fjall, false),
            Case::TidegateFjallMap => Self::tidegate(folder, Engine::Fjall, true),
            Case::TidegateSled => Self::tidegate(folder, Engine::Sled, false),
        }
    }

    /// This program as another process, with a subcommand that serves a baseline.
    pub(crate) fn baseline(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take();
        let baseline = Baseline(child);
        let mut ready = String::new();
        BufReader::new(stdout.context("stdout is not piped")?).read_line(&mut ready)?;
        let address = ready
            .trim()
            .strip_prefix("ready ingress=http://")
            .with_context(|| format!("the baseline did not start: {ready:?}"))?
            .parse()?;
        Ok(Self {
            address,
            processes: vec![baseline.0.id()],
            host: None,
            _baseline: Some(baseline),
        })
    }

    fn tidegate(folder: &Path, engine: Engine, mapping: bool) -> anyhow::Result<Self> {
        let site = Site::new(folder, Options { engine, mapping })?;
        let host = site.start()?;
        Ok(Self {
            address: site.ingress(),
            processes: vec![host.pid()],
            host: Some(host),
            _baseline: None,
        })
    }

    /// Changes in the change log so far; none where the server has no such thing.
    pub(crate) fn changes(&self) -> anyhow::Result<Option<u64>> {
        let Some(host) = &self.host else {
            return Ok(None);
        };
        let status = host.operator().get("/v1/status")?;
        let newest = status.pointer("/changes/newest");
        Ok(newest
            .and_then(|newest| newest.as_str())
            .and_then(|newest| newest.parse().ok()))
    }
}

#[derive(Debug)]
struct Baseline(Child);

impl Drop for Baseline {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
