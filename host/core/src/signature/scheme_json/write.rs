//! Writing a scheme as its canonical document.

use serde_json::{Map, Value, json};

use super::{SCHEME_KEYS, body_word};
use crate::pointer::JsonPointer;
use crate::signature::encoding::Encoding;
use crate::signature::event_id::{EventIdRule, IdInJson};
use crate::signature::scheme::{BodyHashClaim, HeaderForm, Scheme, SignaturePlace, SignatureRule};
use crate::signature::timestamp::{TimestampPlace, TimestampRule};

impl Scheme {
    /// The canonical document: it holds every key that has a meaning and no other.
    pub fn to_json(&self) -> Value {
        let mut document = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                document.insert(key.to_owned(), value);
            }
        };
        put("algorithm", Some(self.algorithm.text().into()));
        put(
            "body_authenticated",
            Some(body_word(self.body_authenticated).into()),
        );
        put(
            "body_hash",
            self.jwt.body_hash.as_ref().map(body_hash_to_json),
        );
        put(
            "content",
            self.content.as_ref().map(|content| content.as_str().into()),
        );
        put("event_id", Some(event_id_to_json(&self.event_id)));
        put("issuer", self.jwt.issuer.clone().map(Value::from));
        put("key", Some(self.key.text().into()));
        put("max_age_s", self.jwt.max_age_s.map(Value::from));
        put("signature", Some(signature_to_json(&self.signature)));
        put("then", self.then.clone().map(Value::from));
        put("timestamp", self.timestamp.as_ref().map(timestamp_to_json));
        let variants: Vec<_> = self
            .url_variants
            .iter()
            .map(|variant| variant.name())
            .collect();
        put(
            "url_variants",
            (!variants.is_empty()).then(|| variants.into()),
        );
        Value::Object(document)
    }

    /// The keys at whose values two schemes differ.
    pub(crate) fn differing_keys(&self, other: &Self) -> Vec<&'static str> {
        let (ours, theirs) = (self.to_json(), other.to_json());
        SCHEME_KEYS
            .into_iter()
            .filter(|key| ours.get(*key) != theirs.get(*key))
            .collect()
    }
}

/// The members that are not null.
fn present(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
        other => other,
    }
}

fn signature_to_json(rule: &SignatureRule) -> Value {
    let encoding = rule.encoding.map(Encoding::name);
    present(match &rule.place {
        SignaturePlace::Header {
            name,
            form: HeaderForm::Single { prefix },
        } => {
            json!({"encoding": encoding, "in": "header", "name": name.as_str(), "prefix": prefix})
        }
        SignaturePlace::Header {
            name,
            form:
                HeaderForm::List {
                    item_separator,
                    prefix,
                },
        } => json!({
            "encoding": encoding, "format": "list", "in": "header",
            "item_separator": item_separator, "name": name.as_str(), "prefix": prefix,
        }),
        SignaturePlace::Header {
            name,
            form:
                HeaderForm::KeyValueList {
                    item_separator,
                    pair_separator,
                    key,
                    multiple,
                    trim,
                },
        } => json!({
            "encoding": encoding, "format": "key-value-list", "in": "header",
            "item_separator": item_separator, "key": key, "multiple": multiple,
            "name": name.as_str(), "pair_separator": pair_separator, "trim": trim,
        }),
        SignaturePlace::NumberedHeaders { name_prefix } => {
            json!({"encoding": encoding, "in": "numbered-headers", "name_prefix": name_prefix.as_str()})
        }
        SignaturePlace::Json(pointer) => {
            json!({"encoding": encoding, "in": "json", "pointer": pointer.as_str()})
        }
        SignaturePlace::JsonEach {
            each,
            item,
            pointer,
        } => json!({
            "each": each.as_str(), "encoding": encoding, "in": "json-each",
            "item": item.as_ref().map(JsonPointer::as_str), "pointer": pointer.as_str(),
        }),
    })
}

fn timestamp_to_json(rule: &TimestampRule) -> Value {
    let (place, key, name) = match &rule.place {
        TimestampPlace::Header(header) => ("header", "name", header.as_str()),
        TimestampPlace::SignatureItem(item) => ("signature-item", "key", item.as_str()),
        TimestampPlace::Json(pointer) => ("json", "pointer", pointer.as_str()),
    };
    present(json!({
        "in": place, key: name, "signed": rule.signed, "tolerance_s": rule.tolerance_s,
        "unit": rule.unit.name(),
    }))
}

fn event_id_to_json(rule: &EventIdRule) -> Value {
    match rule {
        EventIdRule::BodyHash => Value::Null,
        EventIdRule::Header(name) => json!({"in": "header", "name": name.as_str()}),
        EventIdRule::Json { find, of_each_item } => {
            let of = of_each_item.then_some("each item");
            present(match find {
                IdInJson::Pointer(pointer) => {
                    json!({"in": "json", "of": of, "pointer": pointer.as_str()})
                }
                IdInJson::Template(template) => {
                    json!({"in": "json", "of": of, "template": template.as_str()})
                }
            })
        }
    }
}

fn body_hash_to_json(claim: &BodyHashClaim) -> Value {
    json!({
        "encoding": claim.encoding.name(), "hash": claim.hash.name(), "in": "claim",
        "name": claim.name,
    })
}
