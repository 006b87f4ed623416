//! Reading `secrets.*`: what each secret is for, and the references to its values.

use tidegate_core::document;
use tidegate_core::signature::SECRETS_MAX;
use tidegate_core::time::Timestamp;
use toml_edit::Value;

use tidegate_core::signature::Secret;

use super::Surroundings;
use super::keys::printable;
use super::model::Secrets;
use super::problem::{At, Report};
use super::reader::{Element, Entry, Section};
use super::secret::{self, SecretRef};

/// Names of secrets that have a meaning; any other is kept for the connector.
const SECRET_NAMES: [&str; 3] = ["webhook", "token", "verify_token"];

/// Reads the `secrets` of a connector or a connection.
pub(super) fn secrets(
    section: &Section<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Secrets {
    let mut secrets = Secrets::default();
    let Some(section) = section.section("secrets", report) else {
        return secrets;
    };
    for (name, entry) in section.entries() {
        if let Some(meant) = document::nearest(name, SECRET_NAMES).filter(|meant| *meant != name) {
            let key = printable(&entry.key);
            let text = format!(
                "unknown key \"{key}\" — did you mean \"{}.{meant}\"?",
                section.path()
            );
            report.problem_as_is(entry.at, &entry.key, text);
            continue;
        }
        let Some(values) = values_of(&entry, surroundings, report) else {
            continue;
        };
        if name == "webhook" {
            secrets.webhook = values;
        } else {
            secrets.other.insert(name.to_owned(), values);
        }
    }
    secrets
}

/// Reads the secret or secrets under `key`, which has to be there.
pub(super) fn secret_list(
    section: &Section<'_>,
    key: &str,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<Vec<Secret>> {
    let Some(entry) = section.entry(key) else {
        let message = format!("lacks {key:?}, a reference like \"env:NAME\"");
        report.problem(section.at(), section.path(), message);
        return None;
    };
    values_of(&entry, surroundings, report).filter(|values| !values.is_empty())
}

fn values_of(
    entry: &Entry<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<Vec<Secret>> {
    let elements = entry.one_or_more(report);
    if elements.is_empty() || elements.len() > SECRETS_MAX {
        report.problem(
            entry.at,
            &entry.key,
            format!("takes 1 to {SECRETS_MAX} references"),
        );
        return None;
    }
    let values = elements
        .into_iter()
        .filter_map(|element| one_secret(element, surroundings, report));
    Some(values.collect())
}

/// Reads `"env:NAME"`, `"file:PATH"` or `{ ref = "…", not_after = … }`.
fn one_secret(
    element: Element<'_>,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<Secret> {
    let (at, key) = (element.at, element.key.clone());
    let (reference, not_after) = match element.value {
        Value::String(text) => (
            reference(text.value().as_str(), at, &key, surroundings, report)?,
            None,
        ),
        Value::InlineTable(_) => {
            let section = element.into_section(report)?;
            section.check_keys(&["ref", "not_after"], report);
            let not_after = section
                .entry("not_after")
                .and_then(|entry| not_after(&entry, report));
            let Some((text, entry)) = section.text("ref", report) else {
                if section.entry("ref").is_none() {
                    report.problem(
                        section.at(),
                        section.path(),
                        "lacks \"ref\", like \"env:NAME\"",
                    );
                }
                return None;
            };
            (
                reference(text, entry.at, &entry.key, surroundings, report)?,
                not_after,
            )
        }
        _ => {
            element.wrong_kind(
                "a reference like \"env:NAME\", or { ref, not_after }",
                report,
            );
            return None;
        }
    };
    match secret::resolve(&reference, surroundings.environment) {
        Ok(secret) => {
            let secret = match not_after {
                Some(not_after) => secret.with_not_after(not_after),
                None => secret,
            };
            Some(secret)
        }
        Err(error) => {
            report.problem(at, &key, error);
            None
        }
    }
}

fn reference(
    text: &str,
    at: At,
    key: &str,
    surroundings: &Surroundings<'_>,
    report: &mut Report<'_>,
) -> Option<SecretRef> {
    SecretRef::parse(text, surroundings.folder)
        .map_err(|error| report.problem(at, key, error))
        .ok()
}

/// An instant, written as a TOML date or as text.
fn not_after(entry: &Entry<'_>, report: &mut Report<'_>) -> Option<Timestamp> {
    let text = match entry.item.as_datetime() {
        Some(date) => date.to_string(),
        None => entry.item.as_str().unwrap_or_default().to_owned(),
    };
    text.parse()
        .map_err(|_| {
            let message = "has to be an instant with its offset, like 2026-01-31T08:00:00Z";
            report.problem(entry.at, &entry.key, message);
        })
        .ok()
}
