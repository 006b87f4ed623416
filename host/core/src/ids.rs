//! Names and numbers by which people and programs point at things.
//!
//! Each has one way in (`FromStr`, or a constructor that the store alone needs) and a
//! visible prefix, so that an event's id is never taken for a task's.

use std::fmt;
use std::str::FromStr;

use crate::limits;

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Not a connector's name.
    #[error(
        "connector name {name:?} is not 1 to 63 lower-case letters, digits and hyphens that begin with a letter"
    )]
    Connector {
        /// What was given, shortened.
        name: String,
    },
    /// Not an account's name.
    #[error(
        "account name {name:?} is not 1 to 128 bytes of text without '/' and control characters"
    )]
    Account {
        /// What was given, shortened.
        name: String,
    },
    /// Not a name of a sink or an alert channel.
    #[error(
        "{what} name {name:?} is not 1 to 63 lower-case letters, digits and hyphens that begin with a letter"
    )]
    Plain {
        /// Of what.
        what: &'static str,
        /// What was given, shortened.
        name: String,
    },
    /// Not a plugin's digest.
    #[error("digest {name:?} is not written as sha256: and 64 hexadecimal digits")]
    Digest {
        /// What was given, shortened.
        name: String,
    },
    /// Not a connection's name.
    #[error("connection {name:?} is not written as connector/account, like github/acme")]
    Connection {
        /// What was given, shortened.
        name: String,
    },
}

/// Fit for a configuration key, a URL segment and a store key as it is.
fn is_plain_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The name of a connector: `github`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectorName(Box<str>);

impl ConnectorName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConnectorName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        if is_plain_name(name) {
            Ok(Self(name.into()))
        } else {
            Err(InvalidName::Connector {
                name: shortened(name),
            })
        }
    }
}

impl fmt::Display for ConnectorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an account at a partner: `acme`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Box<str>);

impl AccountName {
    /// The account of an event whose own account could not be told: the event is kept,
    /// and parked as `no connection`.
    pub fn unknown() -> Self {
        Self("unknown".into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        let good = (1..=limits::ACCOUNT_NAME_BYTES_MAX).contains(&name.len())
            && !name.chars().any(|c| c == '/' || c.is_control());
        if good {
            Ok(Self(name.into()))
        } else {
            Err(InvalidName::Account {
                name: shortened(name),
            })
        }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One account at a partner: `github/acme`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// Which connector.
    pub connector: ConnectorName,
    /// Which account.
    pub account: AccountName,
}

impl FromStr for ConnectionId {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        let (connector, account) = name
            .split_once('/')
            .ok_or_else(|| InvalidName::Connection {
                name: shortened(name),
            })?;
        Ok(Self {
            connector: connector.parse()?,
            account: account.parse()?,
        })
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.connector, self.account)
    }
}

macro_rules! plain_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(name: &str) -> Result<Self, InvalidName> {
                if is_plain_name(name) {
                    Ok(Self(name.into()))
                } else {
                    Err(InvalidName::Plain {
                        what: $what,
                        name: shortened(name),
                    })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

plain_name!(
    /// The name of a sink: `app`.
    SinkName, "sink"
);
plain_name!(
    /// The name of an alert channel: `ops`.
    ChannelName, "alert channel"
);

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what} id, like {prefix}000000000000002a")]
pub struct InvalidId {
    text: String,
    what: &'static str,
    prefix: &'static str,
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The id of that number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number, as the store keeps it.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:016x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .filter(|digits| digits.len() == 16 && !digits.starts_with('+'))
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                    .map(Self)
                    .ok_or_else(|| InvalidId {
                        text: shortened(text),
                        what: $what,
                        prefix: $prefix,
                    })
            }
        }
    };
}

numbered!(
    /// An event, numbered in the order of receipt: `evt_000000000000002a`. Events and
    /// tasks count with one sequence, so the map task of an event has its number.
    EventId, "evt_", "an event"
);
numbered!(
    /// A task: `tsk_000000000000002a`.
    TaskId, "tsk_", "a task"
);
numbered!(
    /// A change's place in the change log: `chg_000000000000002a`. Gapless from 1; a
    /// reader's cursor is the last one it has seen, 0 before the first.
    ChangeSeq, "chg_", "a change"
);

numbered!(
    /// A replay by filter: `rpl_000000000000002a`.
    ReplayId, "rpl_", "a replay"
);

impl EventId {
    /// The task that maps this event.
    pub const fn map_task(self) -> TaskId {
        TaskId(self.0)
    }
}

/// The SHA-256 digest of a plugin's bytes, which names one version of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginDigest([u8; 32]);

impl PluginDigest {
    /// The digest of those bytes of a hash.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The hash's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for PluginDigest {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let mut digest = [0; 32];
        text.strip_prefix("sha256:")
            .and_then(|digits| hex::decode_to_slice(digits, &mut digest).ok())
            .map(|()| Self(digest))
            .ok_or_else(|| InvalidName::Digest {
                name: shortened(text),
            })
    }
}

impl fmt::Display for PluginDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for PluginDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_connection(text: &str, good: bool) {
        assert_eq!(text.parse::<ConnectionId>().is_ok(), good, "{text:?}");
    }

    #[test]
    fn connection_names() {
        check_connection("github/acme", true);
        check_connection("github/Åcme GmbH", true);
        check_connection("github", false);
        check_connection("GitHub/acme", false);
        check_connection("github/", false);
        check_connection("github/a/b", false);
        check_connection("github/a\nb", false);
        check_connection("9hub/a", false);
    }

    #[test]
    fn a_digest_is_read_as_it_is_shown() {
        let digest = PluginDigest::new([0xa7; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for wrong in ["", "sha256:", "sha256:a7", &digest.to_string()[7..]] {
            assert!(wrong.parse::<PluginDigest>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn ids_show_what_they_are_of() {
        let id = EventId::new(42);
        assert_eq!(id.to_string(), "evt_000000000000002a");
        assert_eq!("evt_000000000000002a".parse(), Ok(id));
        assert!("tsk_000000000000002a".parse::<EventId>().is_err());
        assert!("evt_2a".parse::<EventId>().is_err());
        assert!("evt_+00000000000002a".parse::<EventId>().is_err());
    }
}
