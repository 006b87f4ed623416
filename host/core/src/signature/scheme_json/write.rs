//! Writing a scheme as its canonical document.

use serde_json::{Map, Value, json};

use super::{SCHEME_KEYS, body_word};
use crate::pointer::JsonPointer;
use crate::signature::algorithm::Algorithm;
use crate::signature::builtin::Builtin;
use crate::signature::fetched::KeyUrl;
use crate::signature::request::HeaderName;
use crate::signature::scheme::{
    BodyHashPlace, BodyHashRule, HeaderForm, Scheme, SignaturePlace, SignatureRule, UrlHashClaim,
};
use crate::signature::split::SplitRule;
use crate::signature::template::Template;
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
        put("body_hash", self.body_hash.as_ref().map(body_hash_to_json));
        put(
            "components",
            (self.algorithm == Algorithm::Builtin(Builtin::Rfc9421))
                .then(|| self.components.clone().into()),
        );
        let content = self.content.as_ref().map(Template::as_str);
        put(
            "content",
            content.or(self.content_note.as_deref()).map(Value::from),
        );
        put(
            "content_variants",
            self.newline_variant
                .then(|| json!(["as-is", "newline-appended"])),
        );
        put("event_id", Some(self.event_id.to_json()));
        put("issuer", self.jwt.issuer.clone().map(Value::from));
        put("key", Some(self.key.text().into()));
        put("key_url", self.key_url.as_ref().map(key_url_to_json));
        put("leeway_s", self.jwt.leeway_s.map(Value::from));
        put("max_age_s", self.jwt.max_age_s.map(Value::from));
        put("signature", Some(signature_to_json(&self.signature)));
        put("split", self.split.as_ref().map(SplitRule::to_json));
        put("then", self.then.clone().map(Value::from));
        put("timestamp", self.timestamp.as_ref().map(timestamp_to_json));
        put("url_hash", self.jwt.url_hash.as_ref().map(url_hash_to_json));
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
pub(in crate::signature) fn present(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
        other => other,
    }
}

fn signature_to_json(rule: &SignatureRule) -> Value {
    let mut document = match &rule.place {
        SignaturePlace::Header { name, form } => {
            let mut document = form_to_json(form);
            put(&mut document, "in", "header");
            put(&mut document, "name", name.as_str());
            document
        }
        SignaturePlace::Form { name, form } => {
            let mut document = form_to_json(form);
            put(&mut document, "in", "form");
            put(&mut document, "name", name.as_str());
            document
        }
        SignaturePlace::Headers(names) => {
            let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
            json!({"in": "headers", "names": names})
        }
        SignaturePlace::NumberedHeaders { name_prefix } => {
            json!({"in": "numbered-headers", "name_prefix": name_prefix.as_str()})
        }
        SignaturePlace::Query(name) => json!({"in": "query", "name": name}),
        SignaturePlace::Json(pointer) => json!({"in": "json", "pointer": pointer.as_str()}),
        SignaturePlace::JsonEach {
            each,
            item,
            pointer,
        } => json!({
            "each": each.as_str(), "in": "json-each",
            "item": item.as_ref().map(JsonPointer::as_str), "pointer": pointer.as_str(),
        }),
    };
    if let Some(encoding) = rule.encoding {
        put(&mut document, "encoding", encoding.name());
    }
    present(document)
}

fn put(document: &mut Value, key: &str, text: &str) {
    if let Value::Object(map) = document {
        map.insert(key.to_owned(), text.into());
    }
}

fn form_to_json(form: &HeaderForm) -> Value {
    match form {
        HeaderForm::Single { prefix } => json!({"prefix": prefix}),
        HeaderForm::List {
            item_separator,
            prefix,
        } => json!({"format": "list", "item_separator": item_separator, "prefix": prefix}),
        HeaderForm::KeyValueList {
            item_separator,
            pair_separator,
            key,
            multiple,
            trim,
        } => json!({
            "format": "key-value-list", "item_separator": item_separator, "key": key,
            "multiple": multiple, "pair_separator": pair_separator, "trim": trim,
        }),
    }
}

fn timestamp_to_json(rule: &TimestampRule) -> Value {
    let (place, key, name) = match &rule.place {
        TimestampPlace::Header(header) => ("header", "name", header.as_str()),
        TimestampPlace::SignatureItem(item) => ("signature-item", "key", item.as_str()),
        TimestampPlace::Json(pointer) => ("json", "pointer", pointer.as_str()),
        TimestampPlace::Form(field) => ("form", "name", field.as_str()),
        TimestampPlace::Claim(claim) => ("claim", "name", claim.as_str()),
        TimestampPlace::Parameter(name) => ("signature-parameter", "name", name.as_str()),
    };
    present(json!({
        "in": place, key: name, "signed": rule.signed, "tolerance_s": rule.tolerance_s,
        "unit": rule.unit.name(),
    }))
}

fn body_hash_to_json(rule: &BodyHashRule) -> Value {
    let (place, name) = match &rule.place {
        BodyHashPlace::Claim(name) => ("claim", name.as_str()),
        BodyHashPlace::Query(name) => ("query", name.as_str()),
        BodyHashPlace::Header(name) => ("header", name.as_str()),
    };
    present(json!({
        "encoding": rule.encoding.name(), "hash": rule.hash.name(), "in": place, "name": name,
        "optional_when_empty": rule.optional_when_empty.then_some(true),
        "unless_form": rule.unless_form.then_some(true),
    }))
}

fn url_hash_to_json(claim: &UrlHashClaim) -> Value {
    json!({
        "encoding": claim.encoding.name(), "hash": claim.hash.name(), "in": "claim",
        "name": claim.name,
    })
}

fn key_url_to_json(place: &KeyUrl) -> Value {
    match &place.post {
        None => place.url.clone().into(),
        Some(post) => json!({"post": post, "url": place.url}),
    }
}
