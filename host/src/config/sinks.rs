//! The sections about where changes go: `[sinks.NAME]`, and `[egress]`, which says what
//! the host may reach.

use std::collections::BTreeMap;
use std::path::{Component, PathBuf};
use std::time::Duration;

use tidegate_core::ids::SinkName;
use tidegate_core::limits;
use tidegate_core::signature::{SECRETS_MAX, Secret};
use tidegate_core::sink::{SinkFilter, SinkStart};
use tidegate_egress::Allow;
use tidegate_sinks::file::rotated_from;

use super::Surroundings;
use super::keys::printable;
use super::problem::Report;
use super::reader::{Entry, Section};
use super::secrets::secret_list;

/// Most names, addresses and networks that egress may be allowed.
const ALLOWED_MAX: usize = 256;
/// Most names in one of a sink's filters.
const FILTER_MAX: usize = 1_000;

/// `[egress]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EgressConfig {
    /// Private addresses, networks and names that may be reached all the same.
    pub(crate) allow: Vec<Allow>,
    /// Certificates of further authorities, in PEM.
    pub(crate) ca_file: Option<PathBuf>,
}

/// One of `[sinks.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SinkConfig {
    /// Where it begins when it is new.
    pub(crate) start: SinkStart,
    /// Which changes it takes.
    pub(crate) filter: SinkFilter,
    /// What it is.
    pub(crate) kind: SinkKind,
}

/// What a sink is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SinkKind {
    /// Signed HTTP requests.
    Webhook(WebhookConfig),
    /// Lines of JSON in a file.
    File(FileConfig),
    /// Rows of a database.
    Postgres(PostgresConfig),
}

impl SinkKind {
    /// The word in the file.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::File(_) => "file",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// A webhook sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebhookConfig {
    /// Where to.
    pub(crate) url: String,
    /// What is signed with; each signs while secrets rotate.
    pub(crate) secrets: Vec<Secret>,
    /// Attributes in headers instead of in the body.
    pub(crate) binary: bool,
    /// Most changes of one request; 1 sends each alone.
    pub(crate) batch: usize,
    /// Most requests at a time.
    pub(crate) concurrency: usize,
    /// Longest request.
    pub(crate) timeout: Duration,
    /// Asks the receiver first whether it wants events (`CloudEvents` webhooks, section 4).
    pub(crate) handshake: bool,
}

/// A file sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileConfig {
    /// The current file; rotated ones stand beside it.
    pub(crate) path: PathBuf,
    /// Largest file before it is rotated.
    pub(crate) rotate_bytes: u64,
    /// Longest age of a file before it is rotated.
    pub(crate) rotate_every: Duration,
    /// Rotated files that are kept.
    pub(crate) keep: usize,
}

/// A PostgreSQL sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PostgresConfig {
    /// Where to, password included.
    pub(crate) url: Secret,
    /// The schema of its tables.
    pub(crate) schema: String,
    /// One table for all instead of one for each kind of entity.
    pub(crate) single_table: bool,
    /// A delete marks the row instead of removing it.
    pub(crate) mark_deletes: bool,
}

/// Reads `[egress]`.
pub(super) fn egress(
    root: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> EgressConfig {
    let Some(section) = root.section("egress", report) else {
        return EgressConfig::default();
    };
    section.check_keys(&["allow", "ca_file"], report);
    EgressConfig {
        allow: section
            .texts("allow", ALLOWED_MAX, report, str::parse)
            .unwrap_or_default(),
        ca_file: section.parsed("ca_file", report, |text| path(text, surroundings)),
    }
}

/// Reads `[sinks.*]`.
pub(super) fn sinks(
    root: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> BTreeMap<SinkName, SinkConfig> {
    let mut sinks = BTreeMap::new();
    let Some(section) = root.section("sinks", report) else {
        return sinks;
    };
    for (name, entry) in section.entries() {
        if sinks.len() >= limits::SINKS_MAX {
            report.problem(
                entry.at,
                &entry.key,
                format!("is one sink too many; there may be {}", limits::SINKS_MAX),
            );
            break;
        }
        match name.parse::<SinkName>() {
            Err(error) => report.problem(entry.at, &entry.key, error),
            Ok(name) => {
                if let Some(sink) = sink(entry, surroundings, report) {
                    sinks.insert(name, sink);
                }
            }
        }
    }
    check_files(&section, &sinks, report);
    sinks
}

/// Reports each file that is another sink's already, since two writers cannot share one, and
/// each that another sink would take for one that it has rotated, and remove.
fn check_files(
    section: &Section<'_>,
    sinks: &BTreeMap<SinkName, SinkConfig>,
    report: &mut Report<'_>,
) {
    let mut taken: BTreeMap<PathBuf, &str> = BTreeMap::new();
    for (name, entry) in section.entries() {
        let parsed = name.parse::<SinkName>().ok();
        let kind = parsed
            .and_then(|name| sinks.get(&name))
            .map(|sink| &sink.kind);
        let Some(SinkKind::File(file)) = kind else {
            continue;
        };
        // Links and ".." are left to the lock of the file itself.
        let parts = file.path.components();
        let plain = parts.filter(|part| *part != Component::CurDir).collect();
        if let Some(other) = taken.insert(plain, name) {
            let message =
                format!("is the file of sinks.{other} too; each sink needs a file of its own");
            report.problem(entry.at, &format!("{}.path", entry.key), message);
        }
    }
    for (path, name) in &taken {
        let other = rotated_from(path).and_then(|from| taken.get(&from));
        let entry = section.entry(name);
        if let Some((other, entry)) = other.zip(entry) {
            let message = format!(
                "is named like a rotated file of sinks.{other}, which would remove it; name it otherwise"
            );
            report.problem(entry.at, &format!("{}.path", entry.key), message);
        }
    }
}

const COMMON_KEYS: [&str; 5] = ["kind", "from", "connectors", "connections", "kinds"];

fn sink(
    entry: Entry<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<SinkConfig> {
    let section = entry.into_section(report)?;
    let start = section.parsed("from", report, |text| match text {
        "now" => Ok(SinkStart::Now),
        "start" => Ok(SinkStart::Start),
        "mirror" => Ok(SinkStart::Mirror),
        _ => Err(format!(
            "{:?} is no beginning; write \"now\", \"start\" or \"mirror\"",
            printable(text)
        )),
    });
    let filter = SinkFilter {
        connectors: names(&section, "connectors", report),
        connections: names(&section, "connections", report),
        kinds: section
            .texts("kinds", FILTER_MAX, report, |text| {
                Ok::<_, String>(text.to_owned())
            })
            .unwrap_or_default(),
    };
    let Some((kind, at)) = section.text("kind", report) else {
        if section.entry("kind").is_none() {
            let message = "lacks \"kind\": \"webhook\", \"file\" or \"postgres\"";
            report.problem(section.at(), section.path(), message);
        }
        return None;
    };
    let kind = match kind {
        "webhook" => SinkKind::Webhook(webhook(&section, surroundings, report)?),
        "file" => SinkKind::File(file(&section, surroundings, report)?),
        "postgres" => SinkKind::Postgres(postgres(&section, surroundings, report)?),
        _ => {
            let message = format!(
                "{:?} is no kind of sink; write \"webhook\", \"file\" or \"postgres\"",
                printable(kind)
            );
            report.problem(at.at, &at.key, message);
            return None;
        }
    };
    Some(SinkConfig {
        start: start.unwrap_or_default(),
        filter,
        kind,
    })
}

fn check_keys(section: &Section<'_>, own: &[&str], report: &mut Report<'_>) {
    let known: Vec<&str> = COMMON_KEYS.iter().chain(own).copied().collect();
    section.check_keys(&known, report);
}

fn names<T: std::str::FromStr<Err: std::fmt::Display>>(
    section: &Section<'_>,
    key: &str,
    report: &mut Report<'_>,
) -> Vec<T> {
    section
        .texts(key, FILTER_MAX, report, str::parse)
        .unwrap_or_default()
}

fn webhook(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<WebhookConfig> {
    check_keys(
        section,
        &[
            "url",
            "secret",
            "format",
            "batch",
            "concurrency",
            "timeout",
            "handshake",
        ],
        report,
    );
    let binary = section.parsed("format", report, |text| match text {
        "cloudevents-structured" => Ok(false),
        "cloudevents-binary" => Ok(true),
        _ => Err(format!(
            "{:?} is no format; write \"cloudevents-structured\" or \"cloudevents-binary\"",
            printable(text)
        )),
    });
    let batch = section.number("batch", 1..=limits::SINK_BATCH_MAX, report);
    if let (Some(true), Some(2..)) = (binary, batch) {
        let message = "sends one event a request; a batch has the form cloudevents-structured";
        report.problem(section.at(), section.path(), message);
    }
    let secrets = secret_list(section, "secret", surroundings, report);
    let url = required(section, "url", report, target_url);
    if let Some(count) = secrets.as_ref().map(Vec::len)
        && !(1..=SECRETS_MAX).contains(&count)
    {
        return None;
    }
    Some(WebhookConfig {
        url: url?,
        secrets: secrets?,
        binary: binary.unwrap_or(false),
        batch: batch.unwrap_or(1),
        concurrency: section
            .number("concurrency", 1..=limits::SINK_CONCURRENCY_MAX, report)
            .unwrap_or(64),
        timeout: section
            .span(
                "timeout",
                Duration::from_millis(100)..=Duration::from_mins(2),
                report,
            )
            .unwrap_or(Duration::from_secs(15)),
        handshake: section.flag("handshake", report).unwrap_or(false),
    })
}

fn file(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<FileConfig> {
    check_keys(
        section,
        &["path", "rotate_size", "rotate_every", "keep"],
        report,
    );
    let path = required(section, "path", report, |text| path(text, surroundings));
    Some(FileConfig {
        path: path?,
        rotate_bytes: section
            .size("rotate_size", 1 << 12..=1 << 40, report)
            .unwrap_or(256 << 20),
        rotate_every: section
            .span(
                "rotate_every",
                Duration::from_mins(1)..=Duration::from_hours(365 * 24),
                report,
            )
            .unwrap_or(Duration::from_hours(24)),
        keep: section.number("keep", 1..=10_000, report).unwrap_or(30),
    })
}

fn postgres(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<PostgresConfig> {
    check_keys(section, &["url", "schema", "layout", "deletes"], report);
    let schema = section.parsed("schema", report, |text| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let good = (1..=63).contains(&text.len())
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(plain);
        if good {
            Ok(text.to_owned())
        } else {
            Err("has to be 1 to 63 lower-case letters, digits and underscores")
        }
    });
    let single_table = choice(section, "layout", ["per-kind", "single"], report);
    let mark_deletes = choice(section, "deletes", ["row", "mark"], report);
    let mut url = secret_list(section, "url", surroundings, report)?;
    if url.len() != 1 {
        let message = "has to be one reference, like \"env:DATABASE_URL\"";
        report.problem(section.at(), &format!("{}.url", section.path()), message);
        return None;
    }
    Some(PostgresConfig {
        url: url.pop()?,
        schema: schema.unwrap_or_else(|| "public".to_owned()),
        single_table: single_table.unwrap_or(false),
        mark_deletes: mark_deletes.unwrap_or(false),
    })
}

/// Whether the second of two words stands there.
fn choice(
    section: &Section<'_>,
    key: &str,
    words: [&str; 2],
    report: &mut Report<'_>,
) -> Option<bool> {
    let [first, second] = words;
    section.parsed(key, report, |text| {
        if text == first {
            Ok(false)
        } else if text == second {
            Ok(true)
        } else {
            let text = printable(text);
            Err(format!(
                "{text:?} is not known; write {first:?} or {second:?}"
            ))
        }
    })
}

/// Reads a text that has to be there.
fn required<'d, T, E: std::fmt::Display>(
    section: &Section<'d>,
    key: &str,
    report: &mut Report<'_>,
    parse: impl FnOnce(&'d str) -> Result<T, E>,
) -> Option<T> {
    if section.entry(key).is_none() {
        report.problem(section.at(), section.path(), format!("lacks {key:?}"));
    }
    section.parsed(key, report, parse)
}

fn path(text: &str, surroundings: &Surroundings<'_>) -> Result<PathBuf, &'static str> {
    match text {
        "" => Err("is empty; name a file"),
        _ => Ok(surroundings.folder.join(text)),
    }
}

/// An absolute http(s) URL. It is not repeated in a problem: its path may be a secret.
pub(super) fn target_url(text: &str) -> Result<String, &'static str> {
    const FORM: &str =
        "has to be an http or https URL without a user, like \"https://app.example/hooks\"";
    let uri: hyper::Uri = text.parse().map_err(|_| FORM)?;
    let host = uri.host().is_some_and(|host| !host.is_empty());
    let good = matches!(uri.scheme_str(), Some("http" | "https"))
        && host
        && text.len() <= 2_048
        && !uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'));
    if good { Ok(text.to_owned()) } else { Err(FORM) }
}
