//! The document form of a [`Descriptor`]. Reading only: a descriptor is never written.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{AccountRule, Acknowledge, Credential, Descriptor, EntityKind, HostName, RateLimit};
use crate::document::{Object, Problems, Report, as_text};
use crate::ids::ConnectorName;
use crate::limits::{DESCRIPTOR_BYTES_MAX, ENTITY_KIND_BYTES_MAX};
use crate::signature::scheme_json::{read_event_id, read_header_name, read_pointer};
use crate::signature::{Handshake, Scheme, Unsupported};

/// The version of the document that is read.
const VERSION: u64 = 1;

pub(super) const KEYS: [&str; 14] = [
    "account",
    "acknowledge",
    "base_url",
    "credentials",
    "descriptor",
    "entities",
    "event_id",
    "handshakes",
    "hosts",
    "name",
    "rate_limit",
    "retry_horizon_s",
    "scheme",
    "title",
];
pub(super) const ACCOUNT_HEADER_KEYS: [&str; 2] = ["in", "name"];
pub(super) const ACCOUNT_JSON_KEYS: [&str; 2] = ["in", "pointer"];
pub(super) const ACKNOWLEDGE_KEYS: [&str; 2] = ["body", "status"];
pub(super) const ENTITY_KEYS: [&str; 3] = ["kind", "title", "versioned"];
pub(super) const RATE_LIMIT_KEYS: [&str; 2] = ["per_s", "requests"];

/// Longest title, in bytes.
pub(crate) const TITLE_BYTES_MAX: usize = 128;
/// Most handshakes: a partner has one or two.
pub(super) const HANDSHAKES_MAX: usize = 8;
/// Most hosts: partners that shard by region name a dozen.
pub(crate) const HOSTS_MAX: usize = 64;
/// Longest base URL, in bytes.
pub(super) const BASE_URL_BYTES_MAX: usize = 512;
/// Most kinds of entities: the largest partner APIs have about a hundred.
pub(super) const ENTITIES_MAX: usize = 256;
/// Most requests of a rate limit.
pub(super) const RATE_REQUESTS_MAX: u32 = 1_000_000;
/// Longest span of a rate limit: a day.
pub(super) const RATE_PER_S_MAX: u32 = 86_400;
/// Longest retry horizon: 90 days, three times the longest known.
pub(crate) const RETRY_HORIZON_S_MAX: u64 = 90 * 86_400;
/// Longest acknowledgement body, in bytes: the longest known has ten.
pub(super) const ACKNOWLEDGE_BODY_BYTES_MAX: usize = 1_024;

impl Descriptor {
    /// Reads the document that a plugin returned, and checks that this version can do
    /// everything it asks for.
    pub fn parse(document: &[u8]) -> Result<Self, Problems> {
        let descriptor = Self::parse_any(document)?;
        let mut report = Report::default();
        if let Some(scheme) = &descriptor.scheme
            && let Err(unsupported) = scheme.check_supported()
        {
            report.problem(unsupported_at(&unsupported), unsupported.to_string());
        }
        report.finish(Some(descriptor))
    }

    /// Reads a document whether or not this version can do what it asks for.
    pub(crate) fn parse_any(document: &[u8]) -> Result<Self, Problems> {
        if document.len() > DESCRIPTOR_BYTES_MAX {
            let message = format!(
                "the descriptor has {} bytes; at most {DESCRIPTOR_BYTES_MAX}",
                document.len()
            );
            return Err(Problems::one("", message));
        }
        let document: Value = serde_json::from_slice(document)
            .map_err(|e| Problems::one("", format!("the descriptor is not JSON: {e}")))?;
        match document.get("descriptor") {
            Some(version) if version.as_u64() != Some(VERSION) => {
                let message = format!(
                    "is version {version} of the descriptor; this version of Tidegate reads {VERSION}"
                );
                return Err(Problems::one("/descriptor", message));
            }
            _ => {}
        }
        let mut report = Report::default();
        let descriptor = read(&document, &mut report);
        report.finish(descriptor)
    }
}

const fn unsupported_at(unsupported: &Unsupported) -> &'static str {
    match unsupported {
        Unsupported::Algorithm(_) => "/scheme/algorithm",
        Unsupported::KeyForm { .. } => "/scheme/key",
    }
}

fn read(document: &Value, report: &mut Report) -> Option<Descriptor> {
    let object = Object::read(document, "", &KEYS, report)?;
    object.required("descriptor", report);
    let name = read_name(&object, report);
    let title = object
        .required_text("title", TITLE_BYTES_MAX, report)
        .map(str::to_owned);
    let scheme = read_scheme(&object, report);
    let handshakes = read_handshakes(&object, report);
    let hosts = read_hosts(&object, report);
    let base_url = read_base_url(&object, &hosts, report);
    let credentials = read_credentials(&object, report);
    let entities = read_entities(&object, report);
    let account = object
        .get("account")
        .and_then(|value| read_account(value, "/account", report));
    let rate_limit = object
        .get("rate_limit")
        .and_then(|value| read_rate_limit(value, report));
    let retry_horizon_s = object.number("retry_horizon_s", 1..=RETRY_HORIZON_S_MAX, report);
    let acknowledge = object
        .get("acknowledge")
        .and_then(|value| read_acknowledge(value, report));
    Some(Descriptor {
        name: name?,
        title: title?,
        scheme,
        handshakes,
        hosts,
        base_url,
        credentials,
        entities,
        account,
        rate_limit,
        retry_horizon_s,
        acknowledge,
    })
}

fn read_name(object: &Object<'_>, report: &mut Report) -> Option<ConnectorName> {
    let text = object.required_text("name", 64, report)?;
    text.parse()
        .map_err(|e| report.problem("/name", format!("{e}")))
        .ok()
}

/// The scheme, with the descriptor's own event-id rule where it has one.
fn read_scheme(object: &Object<'_>, report: &mut Report) -> Option<Scheme> {
    let scheme = object
        .get("scheme")
        .and_then(|value| Scheme::read(value, "/scheme", report));
    let Some(value) = object.get("event_id") else {
        return scheme;
    };
    if object.get("scheme").is_none() {
        report.problem(
            "/event_id",
            "has no meaning without a scheme: no webhook is taken",
        );
    }
    let event_id = read_event_id(value, "/event_id", report)?;
    let scheme = scheme?.with_event_id(event_id);
    scheme.check_event_id("/event_id", report);
    Some(scheme)
}

/// Reads a list of handshakes: descriptions, or bare names.
pub(crate) fn read_handshakes(object: &Object<'_>, report: &mut Report) -> Vec<Handshake> {
    object
        .list("handshakes", HANDSHAKES_MAX, report)
        .into_iter()
        .filter_map(|(at, value)| Handshake::read(value, &at, report))
        .collect()
}

/// Reads a list of host names, each once.
pub(crate) fn read_hosts(object: &Object<'_>, report: &mut Report) -> BTreeSet<HostName> {
    let mut hosts = BTreeSet::new();
    for (at, value) in object.list("hosts", HOSTS_MAX, report) {
        let Some(text) = as_text(value, &at, report) else {
            continue;
        };
        match HostName::parse(text) {
            Ok(host) if hosts.contains(&host) => report.problem(at, "is there twice"),
            Ok(host) => {
                hosts.insert(host);
            }
            Err(invalid) => report.problem(at, invalid.to_string()),
        }
    }
    hosts
}

/// Reads a list of uses of credentials, each once.
pub(crate) fn read_credentials(object: &Object<'_>, report: &mut Report) -> BTreeSet<Credential> {
    let mut credentials = BTreeSet::new();
    for (at, value) in object.list("credentials", Credential::NAMES.len(), report) {
        let Some(text) = as_text(value, &at, report) else {
            continue;
        };
        match Credential::parse(text) {
            Some(credential) if credentials.contains(&credential) => {
                report.problem(at, "is there twice");
            }
            Some(credential) => {
                credentials.insert(credential);
            }
            None => report.unknown(at, "use of credentials", text, &Credential::NAMES),
        }
    }
    credentials
}

fn read_base_url(
    object: &Object<'_>,
    hosts: &BTreeSet<HostName>,
    report: &mut Report,
) -> Option<String> {
    let url = object.text("base_url", BASE_URL_BYTES_MAX, report)?;
    let Some(rest) = url.strip_prefix("https://") else {
        report.problem("/base_url", "has to begin with https://");
        return None;
    };
    let (host, path) = rest
        .split_once('/')
        .map_or((rest, ""), |(host, path)| (host, path));
    if !hosts.iter().any(|granted| granted.as_str() == host) {
        report.problem("/base_url", "has to name one of \"hosts\", without a port");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%".contains(&b);
    if url.ends_with('/') || !path.bytes().all(plain) {
        let message = "has to be a URL without query, fragment and slash at its end";
        report.problem("/base_url", message);
    }
    Some(url.to_owned())
}

fn read_entities(object: &Object<'_>, report: &mut Report) -> Vec<EntityKind> {
    let mut entities: Vec<EntityKind> = Vec::new();
    for (at, value) in object.list("entities", ENTITIES_MAX, report) {
        let Some(entity) = read_entity(value, &at, report) else {
            continue;
        };
        if entities.iter().any(|other| other.kind == entity.kind) {
            report.problem(at, format!("kind {:?} is there twice", entity.kind));
        } else {
            entities.push(entity);
        }
    }
    entities
}

fn read_entity(value: &Value, at: &str, report: &mut Report) -> Option<EntityKind> {
    let object = Object::read(value, at, &ENTITY_KEYS, report)?;
    let kind = object.required_text("kind", ENTITY_KIND_BYTES_MAX, report);
    let title = object.required_text("title", TITLE_BYTES_MAX, report);
    object.required("versioned", report);
    let versioned = object.boolean("versioned", report);
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b);
    if kind.is_some_and(|kind| !kind.bytes().all(letter)) {
        let message = "has to be of lower-case letters, digits, \"_\", \"-\" and \".\"";
        report.problem(object.at("kind"), message);
    }
    Some(EntityKind {
        kind: kind?.to_owned(),
        title: title?.to_owned(),
        versioned: versioned?,
    })
}

impl AccountRule {
    /// Reads a rule that stands alone, like one in the configuration.
    pub fn parse(document: &Value) -> Result<Self, Problems> {
        let mut report = Report::default();
        let rule = read_account(document, "", &mut report);
        report.finish(rule)
    }
}

fn read_account(value: &Value, at: &str, report: &mut Report) -> Option<AccountRule> {
    let object = Object::read_any(value, at, report)?;
    match object.required_text("in", 64, report)? {
        "header" => {
            object.check_keys(&ACCOUNT_HEADER_KEYS, report);
            let name = read_header_name(&object, "name", report)?;
            if name.is_credential() {
                report.problem(
                    object.at("name"),
                    "carries a credential and names no account",
                );
            }
            Some(AccountRule::Header(name))
        }
        "json" => {
            object.check_keys(&ACCOUNT_JSON_KEYS, report);
            read_pointer(&object, "pointer", report).map(AccountRule::Json)
        }
        other => {
            report.unknown(object.at("in"), "place", other, &["header", "json"]);
            None
        }
    }
}

fn read_rate_limit(value: &Value, report: &mut Report) -> Option<RateLimit> {
    let object = Object::read(value, "/rate_limit", &RATE_LIMIT_KEYS, report)?;
    object.required("requests", report);
    object.required("per_s", report);
    let mut number = |key, max: u32| {
        object
            .number(key, 1..=u64::from(max), report)
            .and_then(|n| u32::try_from(n).ok())
    };
    let (requests, per_s) = (
        number("requests", RATE_REQUESTS_MAX),
        number("per_s", RATE_PER_S_MAX),
    );
    Some(RateLimit {
        requests: requests?,
        per_s: per_s?,
    })
}

/// Reads the answer that a partner insists on.
pub(crate) fn read_acknowledge(value: &Value, report: &mut Report) -> Option<Acknowledge> {
    let object = Object::read(value, "/acknowledge", &ACKNOWLEDGE_KEYS, report)?;
    let status = match object.get("status") {
        None => Some(200),
        Some(_) => object
            .number("status", 200..=299, report)
            .and_then(|n| u16::try_from(n).ok()),
    };
    // An empty body is one as well: some partners insist on it.
    let body = match object.get("body").and_then(Value::as_str) {
        Some("") => Some(String::new()),
        _ => object
            .text("body", ACKNOWLEDGE_BODY_BYTES_MAX, report)
            .map(str::to_owned),
    };
    Some(Acknowledge {
        status: status?,
        body,
    })
}
