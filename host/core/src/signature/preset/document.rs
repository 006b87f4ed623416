//! The document form of a [`Preset`]: a scheme's document with a few keys beside it.

use serde_json::{Map, Value};

use super::{ConfigValue, Preset};
use crate::descriptor::{RETRY_HORIZON_S_MAX, TITLE_BYTES_MAX, read_acknowledge, read_handshakes};
use crate::document::{Object, Problems, Report, as_text};
use crate::signature::scheme::Scheme;
use crate::signature::scheme_json::SCHEME_KEYS;

/// The keys beside those of a scheme.
pub(crate) const PRESET_KEYS: [&str; 8] = [
    "acknowledge",
    "aliases",
    "config",
    "disables_after",
    "documentation",
    "handshakes",
    "retry_horizon_s",
    "title",
];

/// Longest note for operators, in bytes.
const DOCUMENTATION_BYTES_MAX: usize = 4_096;
/// Most other names of a preset.
const ALIASES_MAX: usize = 8;
/// Longest explanation of a configured value, in bytes.
const CONFIG_TEXT_BYTES_MAX: usize = 256;
/// Most values that a configuration has to give.
const CONFIG_VALUES_MAX: usize = 8;
/// Highest number of failures after which a partner gives up.
const DISABLES_AFTER_MAX: u64 = 10_000;

impl Preset {
    /// Reads a preset's document, or a scheme's alone, which has no more to say.
    pub fn parse(name: &str, document: &Value) -> Result<Self, Problems> {
        let mut report = Report::default();
        let preset = read(name, document, &mut report);
        report.finish(preset)
    }
}

fn read(name: &str, document: &Value, report: &mut Report) -> Option<Preset> {
    let known: Vec<_> = SCHEME_KEYS.iter().chain(&PRESET_KEYS).copied().collect();
    let object = Object::read(document, "", &known, report)?;
    let scheme = Scheme::read(&of_scheme(document), "", report);
    let title = object
        .text("title", TITLE_BYTES_MAX, report)
        .unwrap_or(name);
    let documentation = object
        .text("documentation", DOCUMENTATION_BYTES_MAX, report)
        .map(str::to_owned);
    let acknowledge = object
        .get("acknowledge")
        .and_then(|value| read_acknowledge(value, report));
    let aliases = object
        .list("aliases", ALIASES_MAX, report)
        .into_iter()
        .filter_map(|(at, value)| as_text(value, &at, report).map(str::to_owned))
        .collect();
    let disables_after = object
        .number("disables_after", 1..=DISABLES_AFTER_MAX, report)
        .and_then(|count| u32::try_from(count).ok());
    Some(Preset {
        name: name.to_owned(),
        aliases,
        title: title.to_owned(),
        documentation,
        handshakes: read_handshakes(&object, report),
        acknowledge,
        retry_horizon_s: object.number("retry_horizon_s", 1..=RETRY_HORIZON_S_MAX, report),
        disables_after,
        config: read_config(&object, report),
        scheme: scheme?,
    })
}

/// The members that belong to the scheme, and those that nobody knows, which were reported.
fn of_scheme(document: &Value) -> Value {
    let members: Map<String, Value> = document
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| SCHEME_KEYS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Value::Object(members)
}

fn read_config(object: &Object<'_>, report: &mut Report) -> Vec<ConfigValue> {
    let Some(value) = object.get("config") else {
        return Vec::new();
    };
    let at = object.at("config");
    let Some(values) = value.as_object() else {
        report.problem(at, "has to be an object of names and what they are");
        return Vec::new();
    };
    if values.len() > CONFIG_VALUES_MAX {
        report.problem(at, format!("has more than {CONFIG_VALUES_MAX} values"));
        return Vec::new();
    }
    let mut config = Vec::new();
    for (name, what) in values {
        let at = object.at("config");
        let Some(what) = as_text(what, &at, report) else {
            continue;
        };
        if what.len() > CONFIG_TEXT_BYTES_MAX {
            report.problem(at, format!("explains {name:?} in too many words"));
        }
        config.push(ConfigValue {
            name: name.clone(),
            what: what.to_owned(),
        });
    }
    config
}
