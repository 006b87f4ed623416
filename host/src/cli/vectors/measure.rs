//! With what a case is judged: the file's own description of the partner, or the preset, and
//! what the case itself says over it.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use tidegate_core::signature::{KeySet, Preset, Scheme, SchemeConfig, Secret};

use super::By;
use super::file::Asked;

/// Descriptions by partner, read once for each way in which cases change them.
pub(super) struct Measures<'f> {
    by: By,
    /// The file's descriptions.
    described: &'f Map<String, Value>,
    read: HashMap<String, Result<Preset, String>>,
}

/// What one request is judged with.
pub(super) struct Measure {
    pub(super) preset: Preset,
    pub(super) scheme: Scheme,
    pub(super) keys: KeySet,
}

impl<'f> Measures<'f> {
    pub(super) fn new(by: By, described: &'f Map<String, Value>) -> Self {
        Self {
            by,
            described,
            read: HashMap::new(),
        }
    }

    /// What that request is judged with; or why there is nothing.
    pub(super) fn of(&mut self, asked: &Asked) -> Result<Measure, String> {
        let preset = self.preset(asked)?;
        let scheme = match asked.tolerance_s {
            Some(tolerance_s) => preset.scheme().clone().with_tolerance_s(tolerance_s),
            None => preset.scheme().clone(),
        };
        let secrets = asked
            .keys
            .iter()
            .map(|text| Secret::new(text.clone().into_bytes()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())?;
        let keys = KeySet::prepare_with(&scheme, secrets, &config(&asked.config))
            .map_err(|error| error.to_string())?;
        Ok(Measure {
            preset,
            scheme,
            keys,
        })
    }

    fn preset(&mut self, asked: &Asked) -> Result<Preset, String> {
        let changes = changes(&asked.config);
        let key = format!("{} {}", asked.partner, Value::Object(changes.clone()));
        if let Some(read) = self.read.get(&key) {
            return read.clone();
        }
        let read = self.document(&asked.partner).and_then(|mut document| {
            change(&mut document, &changes);
            let preset = Preset::parse(&asked.partner, &document);
            let preset = preset.map_err(|problems| problems.to_string())?;
            let supported = preset.scheme().check_supported();
            supported.map_err(|error| error.to_string())?;
            Ok(preset)
        });
        self.read.insert(key, read.clone());
        read
    }

    fn document(&self, partner: &str) -> Result<Value, String> {
        let shipped = || Preset::text_of(partner).and_then(|text| serde_json::from_str(text).ok());
        match self.by {
            By::Preset => shipped().ok_or_else(|| format!("there is no preset {partner:?}")),
            By::Description => {
                let mut described = self
                    .described
                    .get(partner)
                    .cloned()
                    .ok_or_else(|| format!("the file describes no scheme {partner:?}"))?;
                // A description of the scheme alone says nothing of handshakes.
                if let (Some(own), Some(Value::Object(preset))) =
                    (described.as_object_mut(), shipped())
                {
                    for key in ["handshakes", "acknowledge"] {
                        if let Some(value) = preset.get(key).filter(|_| !own.contains_key(key)) {
                            own.insert(key.to_owned(), value.clone());
                        }
                    }
                }
                Ok(described)
            }
        }
    }
}

/// Parts of a scheme that a case sets by the names which the vectors give them.
const CHANGES: [&str; 4] = [
    "algorithm",
    "body_hash_claim",
    "body_hash_encoding",
    "issuer",
];

fn changes(config: &Map<String, Value>) -> Map<String, Value> {
    let known = config
        .iter()
        .filter(|(name, value)| CHANGES.contains(&name.as_str()) && value.is_string());
    known
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn change(document: &mut Value, changes: &Map<String, Value>) {
    let Some(document) = document.as_object_mut() else {
        return;
    };
    let is_jwt = document
        .get("algorithm")
        .and_then(Value::as_str)
        .is_some_and(|algorithm| algorithm.starts_with("jwt "));
    for (name, value) in changes {
        match name.as_str() {
            "algorithm" if is_jwt => {
                let algorithm = format!("jwt {}", value.as_str().unwrap_or_default());
                document.insert("algorithm".into(), algorithm.into());
            }
            "body_hash_claim" => set_in_body_hash(document, "name", value),
            "body_hash_encoding" => set_in_body_hash(document, "encoding", value),
            "issuer" if is_jwt => {
                document.insert("issuer".into(), value.clone());
            }
            _ => {}
        }
    }
}

fn set_in_body_hash(document: &mut Map<String, Value>, key: &str, value: &Value) {
    if let Some(Value::Object(body_hash)) = document.get_mut("body_hash") {
        body_hash.insert(key.to_owned(), value.clone());
    }
}

/// The texts of a case's configuration, under their names and under the same in the words that
/// presets use: `webhookId` is `webhook_id`.
pub(super) fn config(config: &Map<String, Value>) -> SchemeConfig {
    let mut values = BTreeMap::new();
    for (name, value) in config {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        values.insert(snake_case(name), text.clone());
        values.insert(name.clone(), text);
    }
    values.into()
}

fn snake_case(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() && !words.ends_with('_') {
            words.push('_');
        }
        words.push(if letter == '-' {
            '_'
        } else {
            letter.to_ascii_lowercase()
        });
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_case_says_goes_over_the_description() {
        let mut document = json!({
            "algorithm": "jwt HS256",
            "body_hash": {"in": "claim", "name": "sha256", "encoding": "hex"},
        });
        let said =
            json!({"issuer": "me", "algorithm": "ES256", "body_hash_claim": "hash", "note": "x"});
        change(&mut document, &changes(said.as_object().unwrap()));
        let expect = json!({
            "algorithm": "jwt ES256", "issuer": "me",
            "body_hash": {"in": "claim", "name": "hash", "encoding": "hex"},
        });
        assert_eq!(document, expect);
    }

    #[test]
    fn names_are_known_in_either_writing() {
        let said = json!({"webhookId": "8", "public-key": "k", "secrets": []});
        let config = config(said.as_object().unwrap());
        assert_eq!(config.get("webhook_id"), Some("8"));
        assert_eq!(config.get("public_key"), Some("k"));
        assert_eq!(config.get("secrets"), None);
    }
}
