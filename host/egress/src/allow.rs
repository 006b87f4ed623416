//! What the configuration lets through besides public addresses over TLS.

use std::net::IpAddr;
use std::str::FromStr;

use crate::address::{plain, within};

/// One entry of `egress.allow`: a host's name, an address, or a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// That name, wherever it points.
    Name(Box<str>),
    /// The addresses that share these first bits.
    Network(IpAddr, u32),
}

/// A text that is none of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a host name, an address, or a network like 10.0.0.0/8 with no bits beyond its prefix"
)]
pub struct InvalidAllow {
    text: String,
}

impl FromStr for Allow {
    type Err = InvalidAllow;

    fn from_str(text: &str) -> Result<Self, InvalidAllow> {
        let invalid = || InvalidAllow {
            text: text.chars().take(80).collect(),
        };
        if let Some((address, prefix)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| invalid())?;
            let prefix: u32 = prefix.parse().map_err(|_| invalid())?;
            let network = network(address, prefix).ok_or_else(invalid)?;
            return Ok(Self::Network(network, prefix));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse() {
            let address = plain(address);
            let prefix = if address.is_ipv4() { 32 } else { 128 };
            return Ok(Self::Network(address, prefix));
        }
        let good = (1..=253).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        good.then(|| Self::Name(name(text).into()))
            .ok_or_else(invalid)
    }
}

/// The network, unless it has bits beyond its prefix: then something else was meant.
fn network(address: IpAddr, prefix: u32) -> Option<IpAddr> {
    let rest = match address {
        IpAddr::V4(address) if prefix <= 32 => {
            u128::from(address.to_bits().checked_shl(prefix).unwrap_or(0))
        }
        IpAddr::V6(address) if prefix <= 128 => address.to_bits().checked_shl(prefix).unwrap_or(0),
        IpAddr::V4(_) | IpAddr::V6(_) => return None,
    };
    (rest == 0).then_some(address)
}

/// A name as it is compared: in small letters, without the dot of the root.
pub(crate) fn name(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Whether an entry covers that host under that name (as [`name`] gives it) or that
/// address.
pub(crate) fn covers(allowed: &[Allow], host: &str, address: IpAddr) -> bool {
    allowed.iter().any(|entry| match entry {
        Allow::Name(name) => **name == *host,
        Allow::Network(network, prefix) => within(address, *network, *prefix),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entry: &str, host: &str, address: &str, expect: Option<bool>) {
        let entry: Option<Allow> = entry.parse().ok();
        let address = address.parse().unwrap();
        assert_eq!(entry.map(|one| covers(&[one], host, address)), expect);
    }

    #[test]
    fn entries_cover_what_they_say() {
        check("10.0.0.0/8", "a", "10.1.2.3", Some(true));
        check("10.0.0.0/8", "a", "::ffff:10.1.2.3", Some(true));
        check("10.0.0.0/8", "a", "11.1.2.3", Some(false));
        check("0.0.0.0/0", "a", "11.1.2.3", Some(true));
        check("0.0.0.0/0", "a", "fd00::1", Some(false));
        check("127.0.0.1", "a", "127.0.0.1", Some(true));
        check("127.0.0.1", "a", "127.0.0.2", Some(false));
        check("::1", "a", "::1", Some(true));
        check("fd00::/8", "a", "fd12::1", Some(true));
        check("::/0", "a", "fd12::1", Some(true));
        check(
            "Internal.Example.",
            "internal.example",
            "10.0.0.1",
            Some(true),
        );
        check("internal.example", "other.example", "10.0.0.1", Some(false));
    }

    #[test]
    fn what_is_meant_otherwise_is_no_entry() {
        for entry in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "a b",
            "x/8",
            "http://a",
        ] {
            check(entry, "a", "10.0.0.1", None);
        }
    }
}
