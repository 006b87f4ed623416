//! A PostgreSQL server of a run's own: found on the machine, started in a folder of its
//! own on a socket of its own, ended with the run.
//!
//! It keeps its durability defaults (fsync and `synchronous_commit` on), since that is
//! what it is compared by.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio_postgres::SimpleQueryMessage;

/// What a server to be measured gets: memory and log space, so that no checkpoint falls
/// into a measurement.
const MEASURED: [&str; 4] = [
    "shared_buffers=1GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "default_toast_compression=lz4",
];

/// What every server gets: only its socket, and room for a pool.
const SETTINGS: [&str; 2] = ["listen_addresses=", "max_connections=100"];

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_mins(1);

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    server: Child,
    sockets: TempDir,
}

impl Postgres {
    /// Creates a cluster in that folder and starts it, to be measured.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::with_settings(folder, &MEASURED)
    }

    /// The same with what it takes by itself, which is little memory.
    pub fn small(folder: &Path) -> anyhow::Result<Self> {
        Self::with_settings(folder, &[])
    }

    fn with_settings(folder: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        let programs = programs()?;
        let user = User::who_may_run_it()?;
        let data = folder.join("postgres");
        fs::create_dir_all(&data)?;
        // A socket's path must be short, which a folder of the project may not be.
        let sockets = tempfile::Builder::new().prefix("tidegate-").tempdir()?;
        user.take_over(&data)?;
        user.take_over(sockets.path())?;
        let log = data.join("initdb.log");
        let made = user
            .command(&programs.join("initdb"), &data)
            .args([
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--username=tidegate",
            ])
            .arg("--pgdata=cluster")
            .stdout(fs::File::create(&log)?)
            .stderr(fs::File::options().append(true).open(&log)?)
            .status()
            .context("could not run initdb")?;
        ensure!(
            made.success(),
            "initdb failed: {}",
            fs::read_to_string(&log)?
        );
        let mut server = user.command(&programs.join("postgres"), &data);
        server.arg("-D").arg("cluster");
        for setting in SETTINGS.iter().chain(settings) {
            server.arg("-c").arg(setting);
        }
        server.arg("-c").arg(format!(
            "unix_socket_directories={}",
            sockets.path().display()
        ));
        let log = fs::File::create(data.join("server.log"))?;
        let server = server.stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut postgres = Self { server, sockets };
        postgres.wait_ready(&data)?;
        Ok(postgres)
    }

    fn wait_ready(&mut self, data: &Path) -> anyhow::Result<()> {
        let start = Instant::now();
        let status = data.join("cluster/postmaster.pid");
        // The socket is there before the server takes connections; this line says that it
        // does.
        let ready = |text: String| text.lines().any(|line| line.trim_end() == "ready");
        while !fs::read_to_string(&status).is_ok_and(ready) {
            let ended = self.server.try_wait()?;
            ensure!(
                ended.is_none() && start.elapsed() < READY_WITHIN,
                "PostgreSQL did not start: {}",
                fs::read_to_string(data.join("server.log"))?
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// What a client connects with.
    pub fn database(&self) -> String {
        let sockets = self.sockets.path().display();
        format!("host={sockets} user=tidegate dbname=postgres")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// What it answers to that: a row a line, a tab between two columns.
    pub fn ask(&self, sql: &str) -> anyhow::Result<String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let rows = runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(&self.database(), tokio_postgres::NoTls).await?;
            // Ends with its client.
            tokio::spawn(connection);
            client.simple_query(sql).await
        });
        let rows = rows.with_context(|| format!("could not ask PostgreSQL: {sql}"))?;
        let mut said = String::new();
        for row in rows {
            if let SimpleQueryMessage::Row(row) = row {
                let columns = (0..row.len()).map(|column| row.get(column).unwrap_or(""));
                said += &columns.collect::<Vec<_>>().join("\t");
                said.push('\n');
            }
        }
        Ok(said)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is its fast and clean end.
        let pid = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::INT).is_ok());
        let start = Instant::now();
        while asked && start.elapsed() < STOPPED_WITHIN {
            if matches!(self.server.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The folder with `initdb` and `postgres`: Debian keeps them out of PATH.
fn programs() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    folders.extend(debian.map(|version| version.path().join("bin")));
    folders
        .into_iter()
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .context("no PostgreSQL server here (Debian: apt-get install postgresql)")
}

/// PostgreSQL refuses to run as root, so root runs it as somebody else.
#[derive(Clone, Copy, Debug)]
struct User(Option<(u32, u32)>);

impl User {
    fn who_may_run_it() -> anyhow::Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self(None));
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let ids = |name: &str| {
            let line = users
                .lines()
                .find(|line| line.starts_with(&format!("{name}:")))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        let found = ids("postgres").or_else(|| ids("nobody"));
        Ok(Self(Some(
            found.context("neither user postgres nor nobody")?,
        )))
    }

    fn take_over(self, folder: &Path) -> anyhow::Result<()> {
        if let Some((uid, gid)) = self.0 {
            chown(folder, Some(uid), Some(gid))
                .with_context(|| format!("could not hand over {}", folder.display()))?;
        }
        Ok(())
    }

    fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).stdin(Stdio::null());
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }
}
