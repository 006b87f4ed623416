//! The sections about the host itself: ingress, operator, store, workers and log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_core::limits;

use super::keys::printable;
use super::model::{
    IngressConfig, LogConfig, LogFormat, OperatorConfig, OperatorToken, Scope, StoreConfig,
    StoreEngine, WorkersConfig,
};
use super::network::check_network;
use super::problem::Report;
use super::reader::Section;
use super::secret::SecretRef;
use super::secret::StoreSecretKey;
use super::{Surroundings, secret};

/// Most operator tokens.
const TOKENS_MAX: usize = 256;

/// Most trusted proxies.
const NETWORKS_MAX: usize = 256;

/// Most threads that call plugins: each holds a plugin's memory.
const MAP_THREADS_MAX: usize = 256;

/// Reads `[ingress]`.
pub(super) fn ingress(root: &Section<'_>, report: &mut Report<'_>) -> IngressConfig {
    let default = IngressConfig::default();
    let Some(section) = root.section("ingress", report) else {
        return default;
    };
    section.check_keys(
        &["listen", "public_url", "trusted_proxies", "body_max"],
        report,
    );
    trusted_proxies(&section, report);
    let body_max = 1024..=limits::INGRESS_BODIES_BYTES_MAX as u64;
    IngressConfig {
        listen: section
            .parsed("listen", report, address)
            .unwrap_or(default.listen),
        public_url: section.parsed("public_url", report, base_url),
        body_bytes_max: section
            .size("body_max", body_max, report)
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(default.body_bytes_max),
    }
}

fn trusted_proxies(section: &Section<'_>, report: &mut Report<'_>) {
    let proxies = section.texts("trusted_proxies", NETWORKS_MAX, report, |text| {
        check_network(text).map_err(|error| format!("{:?} {error}", printable(text)))
    });
    if let (Some(entry), Some(_)) = (
        section.entry("trusted_proxies"),
        proxies.filter(|proxies| !proxies.is_empty()),
    ) {
        let message = "is not carried out by this version: no forwarded header is believed, \
                       schemes that sign the URL use ingress.public_url";
        report.warning(entry.at, &entry.key, message);
    }
}

/// Reads `[operator]`. A listener that others can reach needs tokens.
pub(super) fn operator(
    root: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> OperatorConfig {
    let default = OperatorConfig::default();
    let Some(section) = root.section("operator", report) else {
        return default;
    };
    section.check_keys(&["listen", "tokens"], report);
    let listen = section
        .parsed("listen", report, address)
        .unwrap_or(default.listen);
    let tables = section.sections("tokens", TOKENS_MAX, report);
    if tables.is_empty() && !listen.ip().is_loopback() {
        let at = section
            .entry("listen")
            .map_or(section.at(), |entry| entry.at);
        let message = format!(
            "{listen} can be reached from outside, so operator.tokens has to name who may: \
             [[operator.tokens]] with name, secret and scopes"
        );
        report.problem(at, "operator.listen", message);
    }
    let tokens: Vec<OperatorToken> = tables
        .iter()
        .filter_map(|table| operator_token(table, surroundings, report))
        .collect();
    for (index, token) in tokens.iter().enumerate() {
        if tokens
            .iter()
            .take(index)
            .any(|other| other.name == token.name)
        {
            report.problem(
                section.at(),
                "operator.tokens",
                format!("{:?} is there twice", token.name),
            );
        }
    }
    OperatorConfig { listen, tokens }
}

fn operator_token(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<OperatorToken> {
    section.check_keys(&["name", "secret", "scopes"], report);
    for key in ["name", "secret", "scopes"] {
        if section.entry(key).is_none() {
            report.problem(section.at(), section.path(), format!("lacks {key:?}"));
        }
    }
    let name = section.parsed("name", report, |text| {
        if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
            return Err("has to be 1 to 64 bytes of text");
        }
        Ok(text.to_owned())
    });
    let names = Scope::ALL.map(|(name, _)| format!("{name:?}")).join(", ");
    let scopes = section.texts("scopes", Scope::ALL.len(), report, |text| {
        let found = Scope::ALL
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, scope)| *scope);
        found.ok_or_else(|| format!("{:?} is not a scope; known: {names}", printable(text)))
    });
    if section.entry("scopes").is_some() && scopes.as_ref().is_some_and(Vec::is_empty) {
        report.problem(
            section.at(),
            section.path(),
            format!("opens nothing; give it scopes: {names}"),
        );
    }
    let token = section.parsed("secret", report, |text| {
        let reference =
            SecretRef::parse(text, surroundings.folder).map_err(|error| error.to_string())?;
        secret::resolve_bytes(&reference, surroundings.environment)
            .map_err(|error| error.to_string())
    });
    Some(OperatorToken {
        name: name?,
        scopes: scopes?,
        token: token?,
    })
}

/// Reports listeners that want the same port.
pub(super) fn check_listeners(
    ingress: &IngressConfig,
    operator: &OperatorConfig,
    root: &Section<'_>,
    report: &mut Report<'_>,
) {
    let (a, b) = (ingress.listen, operator.listen);
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    if a.port() != 0 && a.port() == b.port() && overlap {
        let key = ["operator", "ingress"]
            .into_iter()
            .find_map(|key| root.entry(key));
        let at = key.map_or(root.at(), |entry| entry.at);
        let message = format!("{b} is also where ingress listens ({a}); give it another port");
        report.problem(at, "operator.listen", message);
    }
}

/// Reads `[store]` and `[policy.store]`.
pub(super) fn store(
    root: &Section<'_>,
    policy: Option<&Section<'_>>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> StoreConfig {
    let (default, folder) = (StoreConfig::default(), surroundings.folder);
    let default_dir = default.dir.map(|dir| folder.join(dir));
    let linger = policy
        .and_then(|policy| policy.section("store", report))
        .and_then(|section| {
            section.check_keys(&["linger"], report);
            section.span("linger", Duration::ZERO..=Duration::from_hours(1), report)
        })
        .unwrap_or(default.linger);
    let unset = StoreConfig {
        dir: default_dir,
        linger,
        ..StoreConfig::default()
    };
    let Some(section) = root.section("store", report) else {
        return unset;
    };
    section.check_keys(&["url", "reserve", "secret_key"], report);
    let reserve_bytes = section
        .size("reserve", 0..=1 << 50, report)
        .unwrap_or(default.reserve_bytes);
    let (engine, dir) = section
        .parsed("url", report, |text| store_url(text, folder))
        .unwrap_or((unset.engine, unset.dir));
    StoreConfig {
        engine,
        dir,
        reserve_bytes,
        linger,
        secret_key: secret_key(&section, surroundings, report),
    }
}

/// What received secrets are sealed with: 32 bytes, written as hexadecimal or base64.
fn secret_key(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<StoreSecretKey> {
    section.parsed("secret_key", report, |text| {
        let reference =
            SecretRef::parse(text, surroundings.folder).map_err(|error| error.to_string())?;
        let text = secret::resolve_bytes(&reference, surroundings.environment)
            .map_err(|error| error.to_string())?;
        StoreSecretKey::parse(&text).map_err(|error| format!("{reference} {error}"))
    })
}

/// Reads a store's URL. One of another kind is not repeated: it may hold a password.
fn store_url(text: &str, folder: &Path) -> Result<(StoreEngine, Option<PathBuf>), String> {
    const FORM: &str = "write \"embedded:./DIR\", \"sled:./DIR\" or \"memory:\"";
    let (kind, path) = text
        .split_once(':')
        .ok_or_else(|| format!("names no engine; {FORM}"))?;
    let dir = || match path {
        "" => Err(format!("{kind:?} lacks its folder; {FORM}")),
        _ if path.starts_with("//") => Err(format!("takes a folder and no //; {FORM}")),
        _ => Ok(Some(folder.join(path))),
    };
    match kind {
        "embedded" => Ok((StoreEngine::Embedded, dir()?)),
        "sled" if cfg!(feature = "sled") => Ok((StoreEngine::Sled, dir()?)),
        "sled" => {
            Err("this build has no sled; build with --features sled, or use embedded".to_owned())
        }
        "memory" if path.is_empty() => Ok((StoreEngine::Memory, None)),
        "memory" => Err("takes nothing after \"memory:\"".to_owned()),
        "postgres" | "postgresql" => Err(format!(
            "PostgreSQL is not carried out by this version; {FORM}"
        )),
        _ => Err(format!("engine {:?} is not known; {FORM}", printable(kind))),
    }
}

/// Reads `[workers]`.
pub(super) fn workers(root: &Section<'_>, report: &mut Report<'_>) -> WorkersConfig {
    let default = WorkersConfig::default();
    let Some(section) = root.section("workers", report) else {
        return default;
    };
    section.check_keys(&["map_threads"], report);
    let threads = section.number("map_threads", 0..=MAP_THREADS_MAX, report);
    if threads == Some(0) {
        report.warning(
            section.at(),
            "workers.map_threads",
            "is 0: events are stored and not mapped",
        );
    }
    WorkersConfig {
        map_threads: threads.unwrap_or(default.map_threads),
    }
}

/// Reads `[log]`.
pub(super) fn log(root: &Section<'_>, report: &mut Report<'_>) -> LogConfig {
    let default = LogConfig::default();
    let Some(section) = root.section("log", report) else {
        return default;
    };
    section.check_keys(&["format", "level"], report);
    let format = section.parsed("format", report, |text| match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!(
            "{:?} is not a format; write \"text\" or \"json\"",
            printable(text)
        )),
    });
    let level = section.parsed("level", report, log_level);
    LogConfig {
        format: format.unwrap_or(default.format),
        level: level.unwrap_or(default.level),
    }
}

fn log_level(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let good = text.split(',').map(str::trim).all(|directive| {
        let (target, level) = directive.split_once('=').unwrap_or(("tidegate", directive));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b':';
        !target.is_empty() && target.bytes().all(plain) && LEVELS.contains(&level)
    });
    if good {
        return Ok(text.to_owned());
    }
    let text = printable(text);
    Err(format!(
        "{text:?} is not a level: write one of {}, or levels by target like \"info,tidegate=debug\"",
        LEVELS.join(", ")
    ))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{:?} is not an address with a port, like \"127.0.0.1:8080\"",
            printable(text)
        )
    })
}

/// An absolute http(s) URL without query; a slash at its end is dropped. It is not
/// repeated where it holds a password.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    const FORM: &str = "write it like \"https://hooks.example.com\"";
    if text.len() > 2_048 || text.contains('@') {
        return Err(format!("may not hold a user or password; {FORM}"));
    }
    let uri: hyper::Uri = text
        .parse()
        .map_err(|_| format!("{:?} is not a URL; {FORM}", printable(text)))?;
    let host = uri.host().is_some_and(|host| !host.is_empty());
    if !matches!(uri.scheme_str(), Some("http" | "https")) || !host {
        return Err(format!(
            "{:?} is not an http or https URL with a host; {FORM}",
            printable(text)
        ));
    }
    if uri.query().is_some() {
        return Err(format!("may not have a query; {FORM}"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}
