//! The configuration: one TOML file, all of it optional.
//!
//! The text is parsed with the places of its keys kept, read section by section into
//! [`Config`], and every problem is collected with its line, its key and the fix. Only
//! a file without a problem gives a `Config`; a bad one changes nothing.
//!
//! `default.toml`, beside this file, is the documentation: every key with its default.
//!
//! What must not be here: what the sections are used for, and any secret in a text that
//! leaves this module.

mod alerts;
mod effective;
mod json;
mod keys;
mod model;
mod network;
mod partners;
mod policy;
mod problem;
mod reader;
mod secret;
mod secrets;
mod sections;
mod signing;
mod sinks;
mod syntax;
#[cfg(test)]
mod tests;
mod units;
mod waivers;

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use self::problem::Report;
use self::reader::Section;
use self::secret::Environment;

pub(crate) use self::alerts::ChannelKind;
pub(crate) use self::effective::Whose;
pub(crate) use self::model::{
    Config, ConnectionConfig, LogConfig, LogFormat, OperatorToken, Scope, StoreConfig, StoreEngine,
};
pub(crate) use self::problem::{Problem, Problems};
pub(crate) use self::secret::{
    NoSecret, NotAKey, SecretRef, StoreSecretKey, process_environment, resolve,
};
pub(crate) use self::sinks::{
    EgressConfig, FileConfig, PostgresConfig, SinkConfig, SinkKind, WebhookConfig,
};
use self::units::size_text;
pub(crate) use self::units::{span, span_text};

/// The file that is read where none is named and it exists.
pub(crate) const FILE_NAME: &str = "tidegate.toml";

/// Every key with its default and what it does.
pub(crate) const DEFAULT_FILE: &str = include_str!("default.toml");

/// Largest configuration: many thousands of connections fit.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Sections of the file.
const SECTIONS: [&str; 11] = [
    "ingress",
    "operator",
    "store",
    "policy",
    "workers",
    "log",
    "connectors",
    "connections",
    "egress",
    "sinks",
    "alerts",
];

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is wrong.
    #[error("the configuration has problems\n{0}")]
    Problems(Problems),
}

/// Which file is the configuration, so that it can be loaded again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigSource {
    path: Option<PathBuf>,
    accept_only: bool,
}

impl ConfigSource {
    /// The file that was named, or `tidegate.toml` here if it exists, or the defaults.
    pub(crate) fn new(named: Option<PathBuf>) -> Self {
        let here = || Some(PathBuf::from(FILE_NAME)).filter(|path| path.exists());
        Self {
            path: named.or_else(here),
            accept_only: false,
        }
    }

    /// The same, with events stored and not mapped whatever the file says.
    #[must_use]
    pub(crate) fn accept_only(self, accept_only: bool) -> Self {
        Self {
            accept_only,
            ..self
        }
    }

    /// The file; none where the defaults stand alone.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Reads and checks it, secrets included.
    pub(crate) fn load(&self) -> Result<Config, LoadError> {
        let text = self.text()?;
        let mut config =
            read(&text, self.name(), &process_environment).map_err(LoadError::Problems)?;
        if self.accept_only {
            config.workers.map_threads = 0;
        }
        Ok(config)
    }

    /// Reads only where its host is to be found. Problems are of no matter here: the host
    /// that runs has loaded an earlier state of the file, or a better one.
    pub(crate) fn whereabouts(&self) -> Result<Whereabouts, LoadError> {
        let text = self.text()?;
        let mut report = Report::new(self.name(), &text);
        let parsed = syntax::parse(&text, &mut report);
        let surroundings = Surroundings {
            folder: self.folder(),
            environment: &|_| None,
            recovered: true,
        };
        let nothing = toml_edit::Table::new();
        let root = Section::root(parsed.as_ref().map_or(&nothing, |parsed| parsed.as_table()));
        let mut operator = sections::operator(&root, &surroundings, &mut report).listen;
        if operator.ip().is_unspecified() {
            operator.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let store = sections::store(&root, None, &surroundings, &mut report);
        Ok(Whereabouts {
            operator,
            token_file: store.token_file(),
        })
    }

    fn text(&self) -> Result<String, LoadError> {
        let Some(path) = &self.path else {
            return Ok(String::new());
        };
        let failed = |source| LoadError::Read {
            path: path.clone(),
            source,
        };
        let bytes = read_bounded(path, FILE_BYTES_MAX).map_err(failed)?;
        String::from_utf8(bytes).map_err(|_| {
            failed(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "it is not UTF-8 text",
            ))
        })
    }

    fn name(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(FILE_NAME))
    }

    fn folder(&self) -> &Path {
        folder_of(self.name())
    }
}

/// Where a running host is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whereabouts {
    /// Its operator listener, as seen from this machine.
    pub(crate) operator: SocketAddr,
    /// The token that it made itself, if it did.
    pub(crate) token_file: Option<PathBuf>,
}

/// Where references and relative paths lead.
struct Surroundings<'a> {
    folder: &'a Path,
    environment: Environment<'a>,
    /// Lines that are not TOML were left out: what is missing may stand there.
    recovered: bool,
}

/// Checks a whole file.
fn read(text: &str, path: &Path, environment: Environment<'_>) -> Result<Config, Problems> {
    let mut report = Report::new(path, text);
    let Some(parsed) = syntax::parse(text, &mut report) else {
        return report.finish().and_then(|_| read("", path, environment));
    };
    let surroundings = Surroundings {
        folder: folder_of(path),
        environment,
        recovered: report.has_problems(),
    };
    let root = Section::root(parsed.as_table());
    root.check_keys(&SECTIONS, &mut report);
    let policy_section = root.section("policy", &mut report);
    let ingress = sections::ingress(&root, &mut report);
    let operator = sections::operator(&root, &surroundings, &mut report);
    sections::check_listeners(&ingress, &operator, &root, &mut report);
    let store = sections::store(&root, policy_section.as_ref(), &surroundings, &mut report);
    let waivers = policy_section
        .as_ref()
        .map(|section| waivers::waivers(section, &mut report))
        .unwrap_or_default();
    let mut policy = policy::policy(policy_section.as_ref(), &mut report);
    let workers = sections::workers(&root, &mut report);
    let log = sections::log(&root, &mut report);
    let partners = partners::read(&root, &surroundings, &waivers, &mut report);
    policy::check_horizons(&mut policy, &partners, policy_section.as_ref(), &mut report);
    policy.waivers = waivers.into_iter().map(|placed| placed.waiver).collect();
    let egress = sinks::egress(&root, &surroundings, &mut report);
    let sinks = sinks::sinks(&root, &surroundings, &mut report);
    let alerts = alerts::alerts(&root, &surroundings, &mut report);
    let warnings = report.finish()?;
    let partners::Partners {
        connectors,
        connections,
    } = partners;
    Ok(Config {
        ingress,
        operator,
        store,
        policy,
        workers,
        log,
        connectors,
        connections,
        egress,
        sinks,
        alerts,
        warnings,
    })
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// Reads a file that may have at most `bytes_max` bytes.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(bytes_max + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let message = format!("it has more than {}", size_text(bytes_max));
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            message,
        ));
    }
    Ok(bytes)
}
