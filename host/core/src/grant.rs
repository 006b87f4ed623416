//! The grant: what an operator has consented to for a connector.
//!
//! It is pinned in the store when a connector is first accepted. A plugin that replaces
//! it may ask for less; one that asks for more, or for another scheme or event id, does
//! not become active until a person consents. Without that, whoever can replace a
//! plugin file could choose by which secret-less scheme requests are believed, or where
//! credentials are sent.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

use crate::descriptor::{
    Credential, Descriptor, HostName, read_credentials, read_handshakes, read_hosts,
};
use crate::document::{Object, Problems, Report};
use crate::signature::{EventIdRule, Handshake, HandshakeKind, Scheme};

/// The version of the stored document.
const VERSION: u64 = 1;

const KEYS: [&str; 5] = ["credentials", "grant", "handshakes", "hosts", "scheme"];

/// What an operator has consented to for a connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The scheme with its event-id rule; None where no webhooks are taken.
    scheme: Option<Scheme>,
    /// In the order of their documents, each once.
    handshakes: Vec<Handshake>,
    hosts: BTreeSet<HostName>,
    credentials: BTreeSet<Credential>,
}

/// One thing that a descriptor asks for and that is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It takes webhooks, and the granted one did not.
    SchemeAdded {
        /// The scheme's algorithm.
        algorithm: String,
    },
    /// Requests would be verified in another way.
    SchemeDiffers {
        /// The keys of the scheme at which it differs.
        keys: Vec<&'static str>,
    },
    /// Events would be told apart in another way.
    EventIdDiffers {
        /// What it asks for.
        asked: EventIdRule,
        /// What is granted.
        granted: EventIdRule,
    },
    /// It asks for a handshake, or for one that is answered in another way.
    Handshake(HandshakeKind),
    /// It asks for a host.
    Host(HostName),
    /// It asks for a use of credentials.
    Credential(Credential),
}

impl Grant {
    /// Everything that a descriptor asks for.
    pub fn from_descriptor(descriptor: &Descriptor) -> Self {
        Self {
            scheme: descriptor.scheme().cloned(),
            handshakes: in_order(descriptor.handshakes().to_vec()),
            hosts: descriptor.hosts().clone(),
            credentials: descriptor.credentials().clone(),
        }
    }

    /// Whether a descriptor stays within the grant; otherwise everything in which it
    /// does not.
    pub fn compare(&self, descriptor: &Descriptor) -> Result<(), Vec<Difference>> {
        let asked = Self::from_descriptor(descriptor);
        let mut differences = self.compare_scheme(asked.scheme.as_ref());
        differences.extend(
            asked
                .handshakes
                .iter()
                .filter(|handshake| !self.handshakes.contains(handshake))
                .map(|handshake| Difference::Handshake(handshake.kind())),
        );
        differences.extend(
            asked
                .hosts
                .difference(&self.hosts)
                .cloned()
                .map(Difference::Host),
        );
        differences.extend(
            asked
                .credentials
                .difference(&self.credentials)
                .copied()
                .map(Difference::Credential),
        );
        if differences.is_empty() {
            Ok(())
        } else {
            Err(differences)
        }
    }

    fn compare_scheme(&self, asked: Option<&Scheme>) -> Vec<Difference> {
        let (granted, asked) = match (&self.scheme, asked) {
            (_, None) => return Vec::new(),
            (None, Some(asked)) => {
                return vec![Difference::SchemeAdded {
                    algorithm: asked.algorithm().text(),
                }];
            }
            (Some(granted), Some(asked)) => (granted, asked),
        };
        let mut keys = asked.differing_keys(granted);
        let event_id_differs = keys.contains(&"event_id");
        keys.retain(|key| *key != "event_id");
        let mut differences = Vec::new();
        if !keys.is_empty() {
            differences.push(Difference::SchemeDiffers { keys });
        }
        if event_id_differs {
            differences.push(Difference::EventIdDiffers {
                asked: asked.event_id().clone(),
                granted: granted.event_id().clone(),
            });
        }
        differences
    }

    /// The scheme that is granted.
    pub const fn scheme(&self) -> Option<&Scheme> {
        self.scheme.as_ref()
    }

    /// Whether requests to a host are granted.
    pub fn allows_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|granted| granted.as_str() == host)
    }

    /// Whether a use of credentials is granted.
    pub fn allows_credential(&self, credential: Credential) -> bool {
        self.credentials.contains(&credential)
    }

    /// The document to store: canonical, equal grants give equal documents.
    pub fn to_json(&self) -> Value {
        json!({
            "credentials": self.credentials.iter().map(|c| c.name()).collect::<Vec<_>>(),
            "grant": VERSION,
            "handshakes": self.handshakes.iter().map(Handshake::to_json).collect::<Vec<_>>(),
            "hosts": self.hosts.iter().map(HostName::as_str).collect::<Vec<_>>(),
            "scheme": self.scheme.as_ref().map(Scheme::to_json),
        })
    }

    /// Reads what [`Grant::to_json`] wrote.
    pub fn from_json(document: &Value) -> Result<Self, Problems> {
        if document.get("grant").and_then(Value::as_u64) != Some(VERSION) {
            let message = format!("is not version {VERSION} of the stored grant");
            return Err(Problems::one("/grant", message));
        }
        let mut report = Report::default();
        let grant = read(document, &mut report);
        report.finish(grant)
    }
}

fn read(document: &Value, report: &mut Report) -> Option<Grant> {
    let object = Object::read(document, "", &KEYS, report)?;
    let scheme = match object.required("scheme", report)? {
        Value::Null => None,
        value => Some(Scheme::read(value, "/scheme", report)?),
    };
    let handshakes = in_order(read_handshakes(&object, report));
    let (hosts, credentials) = (
        read_hosts(&object, report),
        read_credentials(&object, report),
    );
    Some(Grant {
        scheme,
        handshakes,
        hosts,
        credentials,
    })
}

/// Equal lists in another order are equal grants.
fn in_order(mut handshakes: Vec<Handshake>) -> Vec<Handshake> {
    handshakes.sort_by_cached_key(|handshake| handshake.to_json().to_string());
    handshakes.dedup();
    handshakes
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SchemeAdded { algorithm } => {
                write!(f, "webhooks verified by {algorithm} are not granted")
            }
            Self::SchemeDiffers { keys } => {
                write!(
                    f,
                    "the scheme differs from the granted one in {}",
                    keys.join(", ")
                )
            }
            Self::EventIdDiffers { asked, granted } => {
                write!(
                    f,
                    "the event id is asked to be {asked}, and granted is {granted}"
                )
            }
            Self::Handshake(kind) => write!(f, "handshake \"{kind}\" is not granted"),
            Self::Host(host) => write!(f, "host \"{host}\" is not granted"),
            Self::Credential(credential) => {
                write!(f, "use of credentials \"{credential}\" is not granted")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(change: impl FnOnce(&mut Value)) -> Descriptor {
        let mut document = json!({
            "descriptor": 1, "name": "github", "title": "GitHub",
            "scheme": {
                "algorithm": "hmac-sha256", "key": "utf8", "content": "{body}",
                "signature": {
                    "in": "header", "name": "X-Hub-Signature-256", "encoding": "hex", "prefix": "sha256=",
                },
                "event_id": {"in": "header", "name": "X-GitHub-Delivery"},
            },
            "hosts": ["api.github.com", "uploads.github.com"],
            "credentials": ["bearer"],
        });
        change(&mut document);
        Descriptor::parse_any(document.to_string().as_bytes()).unwrap()
    }

    fn echo() -> Value {
        let challenge = json!({"in": "query", "name": "challenge"});
        json!({"kind": "echo-challenge", "method": "GET", "challenge": challenge, "guard": "none"})
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
        let grant = Grant::from_descriptor(&descriptor(|_| {}));
        let differences = grant.compare(&descriptor(change)).err().unwrap_or_default();
        let lines: Vec<_> = differences.iter().map(ToString::to_string).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn the_same_or_less_is_granted() {
        check(|_| {}, &[]);
        check(|d| d["title"] = json!("Another title"), &[]);
        check(|d| d["hosts"] = json!(["api.github.com"]), &[]);
        check(|d| d["credentials"] = json!([]), &[]);
        check(|d| _ = d.as_object_mut().unwrap().remove("scheme"), &[]);
        check(
            |d| d["scheme"]["signature"]["name"] = json!("x-hub-signature-256"),
            &[],
        );
        check(|d| d["scheme"]["body_bound"] = json!(true), &[]);
    }

    #[test]
    fn more_or_other_is_not_granted() {
        check(
            |d| d["hosts"] = json!(["api.github.com", "evil.example"]),
            &["host \"evil.example\" is not granted"],
        );
        check(
            |d| d["credentials"] = json!(["bearer", "query"]),
            &["use of credentials \"query\" is not granted"],
        );
        check(
            |d| d["handshakes"] = json!([echo()]),
            &["handshake \"echo-challenge\" is not granted"],
        );
        check(
            |d| d["event_id"] = json!({"in": "header", "name": "X-Other"}),
            &[
                "the event id is asked to be header x-other, and granted is header x-github-delivery",
            ],
        );
        check(
            |d| d["scheme"]["algorithm"] = json!("hmac-sha1"),
            &["the scheme differs from the granted one in algorithm"],
        );
        check(
            |d| {
                d["scheme"]["signature"]["prefix"] = json!("v0=");
                d["scheme"]["content"] = json!("v0:{body}");
                d["hosts"] = json!(["a.example"]);
            },
            &[
                "the scheme differs from the granted one in content, signature",
                "host \"a.example\" is not granted",
            ],
        );
    }

    #[test]
    fn a_scheme_where_none_was_granted_is_more() {
        let without = descriptor(|d| _ = d.as_object_mut().unwrap().remove("scheme"));
        let differences = Grant::from_descriptor(&without)
            .compare(&descriptor(|_| {}))
            .unwrap_err();
        assert_eq!(
            differences[0].to_string(),
            "webhooks verified by hmac-sha256 are not granted"
        );
    }

    #[test]
    fn stored_and_read_it_is_the_same() {
        for descriptor in [
            descriptor(|d| {
                d["handshakes"] = json!(["probe", echo()]);
            }),
            descriptor(|d| _ = d.as_object_mut().unwrap().remove("scheme")),
        ] {
            let grant = Grant::from_descriptor(&descriptor);
            let stored = grant.to_json().to_string();
            let read = Grant::from_json(&serde_json::from_str(&stored).unwrap()).unwrap();
            assert_eq!(read, grant);
            assert_eq!(read.to_json().to_string(), stored);
        }
    }

    #[test]
    fn order_does_not_change_the_document() {
        let one = descriptor(|d| d["hosts"] = json!(["a.example", "b.example"]));
        let other = descriptor(|d| d["hosts"] = json!(["b.example", "a.example"]));
        let document = |d| Grant::from_descriptor(d).to_json().to_string();
        assert_eq!(document(&one), document(&other));
    }

    #[test]
    fn a_grant_of_another_version_is_refused() {
        let problems = Grant::from_json(&json!({"grant": 2})).unwrap_err();
        assert_eq!(
            problems.to_string(),
            "/grant: is not version 1 of the stored grant"
        );
    }
}
