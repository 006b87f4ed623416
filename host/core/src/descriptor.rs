//! The descriptor: what a connector says about itself.
//!
//! A plugin returns it as one JSON document (`wit/descriptor.schema.json`). It asks; the
//! operator's [grant](crate::grant) decides. It is read once, when a plugin is admitted:
//! unknown keys are refused by name, everything that is wrong is said at once, and what
//! this version cannot do is refused here, so that a [`Descriptor`] can be acted on as
//! it stands. A host never meets half a descriptor.

mod read;

pub(crate) use read::{
    RETRY_HORIZON_S_MAX, TITLE_BYTES_MAX, read_acknowledge, read_credentials, read_handshakes,
    read_hosts,
};

use std::collections::BTreeSet;
use std::fmt;

use crate::ids::ConnectorName;
use crate::pointer::JsonPointer;
use crate::signature::{Handshake, HeaderName, Scheme, VerifiedRequest};

/// A connector's description of itself, checked. Made by [`Descriptor::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    name: ConnectorName,
    title: String,
    scheme: Option<Scheme>,
    handshakes: Vec<Handshake>,
    hosts: BTreeSet<HostName>,
    base_url: Option<String>,
    credentials: BTreeSet<Credential>,
    entities: Vec<EntityKind>,
    account: Option<AccountRule>,
    rate_limit: Option<RateLimit>,
    retry_horizon_s: Option<u64>,
    acknowledge: Option<Acknowledge>,
}

/// The DNS name of a host that a connector sends requests to, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Box<str>);

/// A text that is not a host's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "has to be a host's DNS name in lower case, like api.github.com: no scheme, port, path, \
     wildcard or address"
)]
pub struct InvalidHostName;

/// A way in which the host may use a connection's secrets in requests to the partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential {
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: Basic`.
    Basic,
    /// A header of the partner's own.
    Header,
    /// A query parameter.
    Query,
    /// A signature over the request.
    Hmac,
    /// Tokens fetched and renewed by the host.
    OAuth2,
}

/// A kind of entity of which a connector reports changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityKind {
    /// The kind's name in changes.
    pub kind: String,
    /// Its name for people.
    pub title: String,
    /// Whether its changes carry a version that orders them.
    pub versioned: bool,
}

/// How the account is found where a partner sends every account's events to one URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountRule {
    /// A header has its name.
    Header(HeaderName),
    /// A field of the JSON body has it.
    Json(JsonPointer),
}

/// How many requests a partner allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// So many requests
    pub requests: u32,
    /// in so many seconds.
    pub per_s: u32,
}

/// The success answer that a partner insists on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledge {
    /// The status, from 200 to 299.
    pub status: u16,
    /// The exact body; the host's own where None.
    pub body: Option<String>,
}

impl Descriptor {
    /// The connector's name.
    pub const fn name(&self) -> &ConnectorName {
        &self.name
    }

    /// Its name for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How requests are verified and events told apart; None where the connector takes
    /// no webhooks.
    pub const fn scheme(&self) -> Option<&Scheme> {
        self.scheme.as_ref()
    }

    /// The handshakes it needs.
    pub fn handshakes(&self) -> &[Handshake] {
        &self.handshakes
    }

    /// The hosts it sends requests to.
    pub const fn hosts(&self) -> &BTreeSet<HostName> {
        &self.hosts
    }

    /// The base URL of the partner's API unless the operator sets another; without a
    /// slash at its end.
    pub fn base_url(&self) -> Option<&str> {
        self.base_url.as_deref()
    }

    /// How secrets are used in requests to the partner.
    pub const fn credentials(&self) -> &BTreeSet<Credential> {
        &self.credentials
    }

    /// The kinds of entities of which it reports changes.
    pub fn entities(&self) -> &[EntityKind] {
        &self.entities
    }

    /// How an account is found in a request to the connector's own URL.
    pub const fn account(&self) -> Option<&AccountRule> {
        self.account.as_ref()
    }

    /// The partner's rate limit.
    pub const fn rate_limit(&self) -> Option<RateLimit> {
        self.rate_limit
    }

    /// For how long the partner sends an event again.
    pub const fn retry_horizon_s(&self) -> Option<u64> {
        self.retry_horizon_s
    }

    /// The success answer that the partner insists on.
    pub const fn acknowledge(&self) -> Option<&Acknowledge> {
        self.acknowledge.as_ref()
    }
}

impl HostName {
    /// Reads a name.
    pub fn parse(name: &str) -> Result<Self, InvalidHostName> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let top = name.rsplit_once('.').map(|(_, top)| top);
        // An all-numeric last label is an IPv4 address to every resolver.
        let top_is_a_name =
            top.is_some_and(|top| top.starts_with(|c: char| c.is_ascii_lowercase()));
        if name.len() <= 253 && top_is_a_name && name.split('.').all(label) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidHostName)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Credential {
    const ALL: [Self; 6] = [
        Self::Bearer,
        Self::Basic,
        Self::Header,
        Self::Query,
        Self::Hmac,
        Self::OAuth2,
    ];

    /// The words of a descriptor.
    pub(crate) const NAMES: [&'static str; 6] =
        ["bearer", "basic", "header", "query", "hmac", "oauth2"];

    /// The use of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|credential| credential.name() == name)
    }

    /// The word of a descriptor.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Header => "header",
            Self::Query => "query",
            Self::Hmac => "hmac",
            Self::OAuth2 => "oauth2",
        }
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl AccountRule {
    /// The account that a request names; None where it names none.
    pub fn find(&self, request: &VerifiedRequest) -> Option<String> {
        let found = match self {
            Self::Header(name) => request.header_text(name).map(str::to_owned),
            Self::Json(pointer) => pointer
                .text_in(request.body())
                .unwrap_or(None)
                .map(std::borrow::Cow::into_owned),
        };
        found.filter(|account| !account.is_empty())
    }
}

#[cfg(test)]
mod tests;
