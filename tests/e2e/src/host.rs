//! A host: the release binary as a process of its own, with a folder, a configuration
//! and a store of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

pub use crate::operator::Operator;

/// The webhook secret of every host here.
pub const SECRET: &str = "it is not secret that this is a test";

/// The path of the one connection that every host here has.
pub const PATH: &str = "/in/github/acme";

/// Longest time from start to being ready, recovery included.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Longest time from SIGTERM to the end.
const STOPPED_WITHIN: Duration = Duration::from_secs(40);

/// Which engine the store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The default.
    Fjall,
    /// `sled:…`
    Sled,
}

impl Engine {
    /// The scheme of `store.url`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fjall => "embedded",
            Self::Sled => "sled",
        }
    }
}

/// What differs between hosts.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which engine.
    pub engine: Engine,
    /// Whether workers map what is accepted.
    pub mapping: bool,
}

/// Maps on the default engine.
pub const PLAIN: Options = Options {
    engine: Engine::Fjall,
    mapping: true,
};

/// Where the store is and how it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Storage {
    /// Its folder, in the site's.
    pub folder: &'static str,
    /// `store.reserve`.
    pub reserve: &'static str,
    /// `policy.store.linger`.
    pub linger: &'static str,
}

/// The host's own defaults.
const STORAGE: Storage = Storage {
    folder: "tidegate-data",
    reserve: "256MiB",
    linger: "30s",
};

/// Where one host lives: its folder, its ports and its configuration. It outlives the
/// processes that are started in it one after the other.
#[derive(Debug)]
pub struct Site {
    folder: PathBuf,
    storage: Storage,
    environment: Vec<(&'static str, PathBuf)>,
    binary: PathBuf,
    ingress: SocketAddr,
    operator: SocketAddr,
}

impl Site {
    /// Lays out a site in that folder, which must exist and be empty.
    pub fn new(folder: &Path, options: Options) -> anyhow::Result<Self> {
        Self::storing(folder, options, STORAGE)
    }

    /// The same, with a store kept as told.
    pub fn storing(folder: &Path, options: Options, storage: Storage) -> anyhow::Result<Self> {
        let folder = folder.canonicalize()?;
        let site = Self {
            storage,
            environment: Vec::new(),
            binary: binary()?,
            ingress: free_address()?,
            operator: free_address()?,
            folder,
        };
        write_private(&site.folder.join("webhook-secret"), SECRET)?;
        fs::copy(plugin()?, site.plugin()).context("could not copy the plugin to the site")?;
        fs::write(site.config(), site.config_text(options))?;
        Ok(site)
    }

    fn config_text(&self, options: Options) -> String {
        let scheme = options.engine.name();
        let workers = if options.mapping {
            ""
        } else {
            "[workers]\nmap_threads = 0\n\n"
        };
        format!(
            "[ingress]\nlisten = \"{}\"\n\n\
             [operator]\nlisten = \"{}\"\n\n\
             [store]\nurl = \"{scheme}:{}\"\nreserve = \"{}\"\n\n\
             [policy.store]\nlinger = \"{}\"\n\n\
             {workers}\
             [connectors.github]\nplugin = \"{}\"\n\n\
             [connections.\"github/acme\"]\nsecrets.webhook = [\"file:{}\"]\n",
            self.ingress,
            self.operator,
            self.store().display(),
            self.storage.reserve,
            self.storage.linger,
            self.plugin().display(),
            self.folder.join("webhook-secret").display(),
        )
    }

    /// Adds sections to the configuration. A host that runs reads them by itself, if late.
    pub fn configure(&self, sections: &str) -> anyhow::Result<()> {
        let mut file = File::options().append(true).open(self.config())?;
        file.write_all(format!("\n{sections}").as_bytes())?;
        Ok(())
    }

    /// Keeps a secret in a file that only its owner can read, and gives the reference.
    pub fn keep_secret(&self, name: &str, secret: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        write_private(&path, secret)?;
        Ok(format!("file:{}", path.display()))
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("tidegate.toml")
    }

    /// The plugin file, the site's own copy.
    pub fn plugin(&self) -> PathBuf {
        self.folder.join("github.wasm")
    }

    /// The store's folder.
    pub fn store(&self) -> PathBuf {
        self.folder.join(self.storage.folder)
    }

    /// What the next hosts find in their environment, beside this process's own.
    pub fn set_environment(&mut self, environment: Vec<(&'static str, PathBuf)>) {
        self.environment = environment;
    }

    /// Where the log of all its hosts is.
    pub fn log(&self) -> PathBuf {
        self.folder.join("host.log")
    }

    /// The address for partners.
    pub const fn ingress(&self) -> SocketAddr {
        self.ingress
    }

    /// The operator API of whichever host runs here.
    pub fn operator(&self) -> Operator {
        Operator::new(self.operator, self.store().join("operator-token"))
    }

    /// Starts a host here and waits until it is ready.
    pub fn start(&self) -> anyhow::Result<Host> {
        let mut host = self.spawn()?;
        host.wait_ready().with_context(|| {
            format!(
                "the host did not become ready; its log ends: {}",
                self.log_end()
            )
        })?;
        Ok(host)
    }

    /// Starts a host here and waits for nothing.
    pub fn spawn(&self) -> anyhow::Result<Host> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let child = Command::new(&self.binary)
            .arg("serve")
            .arg("--config")
            .arg(self.config())
            .current_dir(&self.folder)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("could not start {}", self.binary.display()))?;
        Ok(Host {
            child,
            operator: self.operator(),
        })
    }

    /// The last lines of the log.
    pub fn log_end(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Puts another plugin file in place at once, as a careful operator does.
    pub fn replace_plugin(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let beside = self.folder.join("github.wasm.new");
        fs::write(&beside, bytes)?;
        fs::rename(&beside, self.plugin())?;
        Ok(())
    }
}

/// A running host. Dropping it kills it.
#[derive(Debug)]
pub struct Host {
    child: Child,
    operator: Operator,
}

impl Host {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its operator API.
    pub const fn operator(&self) -> &Operator {
        &self.operator
    }

    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let stdout = self.child.stdout.take().context("stdout is not piped")?;
        let (tell, told) = std::sync::mpsc::channel();
        // Reads to the end, so that the host never writes into a closed pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.starts_with("ready ") {
                    // Nobody waits for a second line.
                    let _ = tell.send(());
                }
            }
        });
        if told.recv_timeout(READY_WITHIN).is_err() {
            let status = self.child.try_wait()?;
            bail!("no ready line; exit status so far: {status:?}");
        }
        Ok(())
    }

    /// Ends it as a power cut would, as far as a process can be.
    pub fn kill_9(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end without waiting.
    pub fn terminate(&self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no process id")?, Signal::TERM)?;
        Ok(())
    }

    /// Asks it to end and waits until it has.
    pub fn stop(self) -> anyhow::Result<ExitStatus> {
        self.terminate()?;
        self.ended(STOPPED_WITHIN)
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(
                start.elapsed() < within,
                "the host did not end within {within:?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that nobody listens on, and that no outgoing connection will take:
/// the ports that the system gives out by itself lie above. A host that is killed is
/// started again at the same one.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    const FIRST: u32 = 10_240;
    const COUNT: u32 = 32_768 - FIRST;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        // Processes that run at once begin at different ports.
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = std::process::id().wrapping_mul(97).wrapping_add(step) % COUNT;
        let address = (Ipv4Addr::LOCALHOST, u16::try_from(FIRST + place)?);
        if let Ok(listener) = TcpListener::bind(address) {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no port is free")
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("could not write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

/// The release binary under test.
pub fn binary() -> anyhow::Result<PathBuf> {
    artifact(
        "TIDEGATE_BIN",
        "release/tidegate",
        "cargo build --release --package tidegate --features sled",
    )
}

/// The library that stands between a host and its disk.
pub fn preload() -> anyhow::Result<PathBuf> {
    artifact(
        "TIDEGATE_PRELOAD",
        "release/libtidegate_preload.so",
        "cargo build --release --package tidegate-preload",
    )
}

/// The GitHub plugin as it ships.
pub fn plugin() -> anyhow::Result<PathBuf> {
    artifact(
        "TIDEGATE_PLUGIN_GITHUB",
        "wasm32-wasip2/plugin/tidegate_plugin_github.wasm",
        "cargo build --package tidegate-plugin-github --target wasm32-wasip2 --profile plugin",
    )
}

/// What the variable names, or the file in the target folder that this program is in.
fn artifact(variable: &str, file: &str, build: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let found = own
        .ancestors()
        .map(|folder| folder.join(file))
        .find(|path| path.exists());
    found.with_context(|| format!("{file} is not built: {build} (or set {variable})"))
}
