//! How a connector's or a connection's requests prove themselves: a preset by name, a scheme in
//! the file or beside it, an event-id rule over it, and the values that a scheme asks for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tidegate_core::document;
use tidegate_core::signature::{EventIdRule, Preset, SchemeConfig};

use super::Surroundings;
use super::json::to_json;
use super::keys::printable;
use super::problem::Report;
use super::reader::{Entry, Section};

/// Largest file with a scheme or a preset.
const SCHEME_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Most values for a scheme.
const CONFIG_VALUES_MAX: usize = 32;

/// Longest value for a scheme, in bytes.
const CONFIG_VALUE_BYTES_MAX: usize = 4_096;

/// What a section says of how requests prove themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signing {
    /// The scheme and what goes with it: handshakes, acknowledgement, what is known of retries.
    pub(crate) preset: Option<Arc<Preset>>,
    /// Where the partner's id of an event is. A rule within a scheme of the file stands here,
    /// too.
    pub(crate) event_id: Option<EventIdRule>,
    /// Values of `{config:NAME}` in the scheme.
    pub(crate) config: BTreeMap<String, String>,
}

impl Signing {
    /// The values for a scheme: these over those of the connector.
    pub(crate) fn config_over(&self, connector: Option<&Self>) -> SchemeConfig {
        let mut values = connector.map_or_else(BTreeMap::new, |shared| shared.config.clone());
        values.extend(self.config.clone());
        values.into()
    }
}

/// Reads `preset`, `scheme`, `event_id` and `config` of a section.
pub(super) fn signing(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Signing {
    let named = named(section, report);
    let written = written(section, surroundings, report);
    if let (Some(_), Some(_), Some(entry)) = (&named, &written, section.entry("preset")) {
        let message = "stands beside scheme, and both say how requests are signed; leave one out";
        report.problem(entry.at, &entry.key, message);
    }
    let of_scheme = written
        .as_ref()
        .filter(|(_, has_event_id)| *has_event_id)
        .map(|(preset, _)| preset.scheme().event_id().clone());
    let own = section.entry("event_id").and_then(|entry| {
        let json = match entry.item.as_str() {
            // TOML has no null, by which the JSON form says that a partner sends no id.
            Some("none") => Some(Value::Null),
            _ => to_json(entry.item, &entry.key, entry.at, report),
        };
        rule(&json?, &entry, EventIdRule::parse, report)
    });
    let of_named = named.map(|preset| preset.scheme().event_id().clone());
    let event_id = own.or(of_scheme).or(of_named);
    let preset = written
        .map(|(preset, _)| Arc::new(preset))
        .or_else(|| named.cloned().map(Arc::new));
    if let (Some(preset), Some(event_id)) = (&preset, event_id.clone())
        && let Err(problems) = preset.scheme().clone().replace_event_id(event_id)
    {
        let key = format!("{}.event_id", section.path());
        report.problem(section.at(), &key, problems);
    }
    Signing {
        preset,
        event_id,
        config: config(section, report),
    }
}

/// The preset of that name.
fn named(section: &Section<'_>, report: &mut Report<'_>) -> Option<&'static Preset> {
    section.parsed("preset", report, |name| {
        Preset::find(name).ok_or_else(|| {
            let names = Preset::all().iter().map(Preset::name);
            let meant = document::nearest(name, names);
            let hint = meant.map_or_else(
                || {
                    "; `tidegate presets` lists them, and scheme = { … } describes another"
                        .to_owned()
                },
                |meant| format!(" — did you mean {meant:?}?"),
            );
            format!("there is no preset {:?}{hint}", printable(name))
        })
    })
}

/// The scheme or preset that is written here or in a file, and whether it has an event-id
/// rule.
fn written(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<(Preset, bool)> {
    let entry = section.entry("scheme")?;
    let json = match entry.item.as_str() {
        Some(path) => match scheme_file(&surroundings.folder.join(path)) {
            Ok(json) => json,
            Err(error) => {
                report.problem(entry.at, &entry.key, error);
                return None;
            }
        },
        None => to_json(entry.item, &entry.key, entry.at, report)?,
    };
    let has_event_id = json.get("event_id").is_some();
    let preset = rule(&json, &entry, |json| Preset::parse("own", json), report)?;
    if let Err(unsupported) = preset.scheme().check_supported() {
        report.problem(entry.at, &entry.key, unsupported);
    }
    Some((preset, has_event_id))
}

fn scheme_file(path: &Path) -> Result<Value, String> {
    let text = super::read_bounded(path, SCHEME_FILE_BYTES_MAX)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_slice(&text)
        .map_err(|error| format!("{} is not JSON: {error}", path.display()))
}

/// Reads `config = { webhook_id = "…" }`: facts about the account, and no secrets.
fn config(section: &Section<'_>, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    let Some(section) = section.section("config", report) else {
        return values;
    };
    for (name, entry) in section.entries() {
        if values.len() == CONFIG_VALUES_MAX {
            let message = format!("is one value too many; there may be {CONFIG_VALUES_MAX}");
            report.problem(entry.at, &entry.key, message);
            break;
        }
        match entry.item.as_str() {
            Some(text) if text.len() <= CONFIG_VALUE_BYTES_MAX => {
                values.insert(name.to_owned(), text.to_owned());
            }
            Some(_) => {
                let message = format!("has more than {CONFIG_VALUE_BYTES_MAX} bytes");
                report.problem(entry.at, &entry.key, message);
            }
            None => entry.wrong_kind("a text", report),
        }
    }
    values
}

/// Reads a document that stands in the configuration; its problems point into it.
pub(super) fn rule<T>(
    json: &Value,
    entry: &Entry<'_>,
    parse: impl FnOnce(&Value) -> Result<T, document::Problems>,
    report: &mut Report<'_>,
) -> Option<T> {
    match parse(json) {
        Ok(rule) => Some(rule),
        Err(problems) => {
            for problem in problems.as_slice() {
                let key = format!("{}{}", entry.key, problem.pointer.replace('/', "."));
                report.problem(entry.find(&problem.pointer), &key, &problem.message);
            }
            None
        }
    }
}
