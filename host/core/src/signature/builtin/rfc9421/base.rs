//! The signature base of RFC 9421: a line for each covered component, and the parameters.
//!
//! The URL is the public one as configured, never one rebuilt from forwarded headers.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sfv::{
    Dictionary, FieldType as _, Item, ItemSerializer, List, ListEntry, ListSerializer, Parser,
};

use super::super::WebUrl;
use super::input::{Candidate, field};
use crate::signature::form;
use crate::signature::refusal::{Malformed, Refusal};
use crate::signature::request::{HeaderName, RawRequest};
use crate::signature::scheme::SignatureRule;

/// Why there is no base.
#[derive(Debug)]
pub(super) enum Fault {
    /// A component that is not there, twice there, or of a response.
    Component,
    /// A field that is covered and absent.
    Absent(String),
    /// The URL is covered and not configured.
    Url,
}

impl Fault {
    pub(super) fn refusal(self, rule: &SignatureRule) -> Refusal {
        match self {
            Self::Component => rule.malformed(Malformed::NotStructured),
            Self::Absent(name) => match HeaderName::parse(&name) {
                Ok(name) => Refusal::HeaderMissing { name },
                Err(_) => rule.malformed(Malformed::NotStructured),
            },
            Self::Url => Refusal::UrlNotConfigured,
        }
    }
}

/// The bytes that a signature is over.
pub(super) fn of(candidate: &Candidate, raw: &RawRequest) -> Result<Vec<u8>, Fault> {
    let mut base = Vec::new();
    let mut seen = Vec::with_capacity(candidate.input.items.len());
    for item in &candidate.input.items {
        let identifier = identifier(item);
        if seen.contains(&identifier) {
            return Err(Fault::Component);
        }
        base.extend_from_slice(identifier.as_bytes());
        base.extend_from_slice(b": ");
        base.extend_from_slice(&value(item, raw)?);
        base.push(b'\n');
        seen.push(identifier);
    }
    base.extend_from_slice(b"\"@signature-params\": ");
    base.extend_from_slice(params(candidate).as_bytes());
    Ok(base)
}

/// A component as the base names it.
pub(super) fn identifier(item: &Item) -> String {
    ItemSerializer::new()
        .bare_item(&item.bare_item)
        .parameters(&item.params)
        .finish()
}

fn params(candidate: &Candidate) -> String {
    let mut list = ListSerializer::new();
    let mut inner = list.inner_list();
    inner.items(&candidate.input.items);
    inner.finish().parameters(&candidate.input.params);
    list.finish().unwrap_or_default()
}

fn value(item: &Item, raw: &RawRequest) -> Result<Vec<u8>, Fault> {
    let name = item.bare_item.as_string().ok_or(Fault::Component)?.as_str();
    if let Some(derived) = name.strip_prefix('@') {
        return derived_value(derived, item, raw).map(String::into_bytes);
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(Fault::Component);
    }
    let absent = || Fault::Absent(name.to_owned());
    let mut parameters = item.params.iter();
    match (parameters.next(), parameters.next()) {
        (None, _) => field(raw, name).ok_or_else(absent),
        (Some((parameter, value)), None) => {
            let text = field(raw, name).ok_or_else(absent)?;
            match parameter.as_str() {
                "sf" => canonical(&text),
                "key" => {
                    let key = value.as_string().ok_or(Fault::Component)?;
                    member(&text, key.as_str())
                }
                "bs" => Ok(wrapped(raw, name).into_bytes()),
                // Of the request or its trailers: parts that are not before us.
                _ => Err(Fault::Component),
            }
        }
        _ => Err(Fault::Component),
    }
}

fn derived_value(name: &str, item: &Item, raw: &RawRequest) -> Result<String, Fault> {
    let whole = raw.url.as_deref().ok_or(Fault::Url);
    let url = || WebUrl::split(whole.as_ref().map_err(|_| Fault::Url)?).ok_or(Fault::Url);
    if name == "query-param" {
        return query_param(item, url()?);
    }
    if !item.params.is_empty() {
        return Err(Fault::Component);
    }
    Ok(match name {
        "method" => raw.method.clone(),
        "target-uri" => whole.map(str::to_owned)?,
        "authority" => authority(url()?),
        "scheme" => url()?.scheme.to_ascii_lowercase(),
        "request-target" => url()?.target.to_owned(),
        "path" => url()?.path().to_owned(),
        "query" => format!("?{}", url()?.query().unwrap_or_default()),
        _ => return Err(Fault::Component),
    })
}

fn authority(url: WebUrl<'_>) -> String {
    let default = if url.scheme == "http" { ":80" } else { ":443" };
    let authority = url.authority.strip_suffix(default);
    authority.unwrap_or(url.authority).to_ascii_lowercase()
}

/// The value of the one query item of that name.
fn query_param(item: &Item, url: WebUrl<'_>) -> Result<String, Fault> {
    let name = item.params.get("name").and_then(|name| name.as_string());
    let name = name
        .filter(|_| item.params.len() == 1)
        .ok_or(Fault::Component)?;
    let mut values = form::fields(url.query().unwrap_or_default().as_bytes())
        .filter(|(found, _)| escaped(found) == name.as_str());
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Ok(escaped(&value)),
        _ => Err(Fault::Component),
    }
}

/// As the URL standard encodes a query item, with blanks as `%20`.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"*-._".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a text never fails.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// A structured field, serialised again. Whether it is a dictionary, list or item is tried
/// in this order: what is read as one of them is written the same as another.
fn canonical(text: &[u8]) -> Result<Vec<u8>, Fault> {
    let dictionary = Parser::new(text).parse::<Dictionary>().ok();
    let canonical = dictionary
        .and_then(|dictionary| dictionary.serialize())
        .or_else(|| Parser::new(text).parse::<List>().ok()?.serialize())
        .or_else(|| Some(Parser::new(text).parse::<Item>().ok()?.serialize()));
    canonical.map(String::into_bytes).ok_or(Fault::Component)
}

/// One member of a dictionary.
fn member(text: &[u8], key: &str) -> Result<Vec<u8>, Fault> {
    let dictionary: Dictionary = Parser::new(text).parse().map_err(|_| Fault::Component)?;
    let text = match dictionary.get(key).ok_or(Fault::Component)? {
        ListEntry::Item(item) => identifier(item),
        ListEntry::InnerList(inner) => {
            let mut list = ListSerializer::new();
            let mut serializer = list.inner_list();
            serializer.items(&inner.items);
            serializer.finish().parameters(&inner.params);
            list.finish().unwrap_or_default()
        }
    };
    Ok(text.into_bytes())
}

/// Each line of a field as bytes in base64.
fn wrapped(raw: &RawRequest, name: &str) -> String {
    let lines: Vec<_> = raw
        .headers
        .iter()
        .filter(|(found, _)| found == name)
        .map(|(_, value)| format!(":{}:", STANDARD.encode(value.trim_ascii())))
        .collect();
    lines.join(", ")
}
