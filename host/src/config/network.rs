//! Networks as people write them: `10.0.0.0/8`, or one address. Only their form is
//! checked: nothing in this version believes a proxy.

use std::net::IpAddr;

/// A text that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an address or a network, like \"10.0.0.7\" or \"10.0.0.0/8\"")]
pub(crate) struct NotANetwork;

/// Checks an address, or an address and the length of its prefix.
pub(super) fn check_network(text: &str) -> Result<(), NotANetwork> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let width = match address.parse().map_err(|_| NotANetwork)? {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    match prefix.map(str::parse::<u32>) {
        None => Ok(()),
        Some(Ok(prefix)) if prefix <= width => Ok(()),
        Some(_) => Err(NotANetwork),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Result<(), NotANetwork>) {
        assert_eq!(check_network(text), expect, "{text:?}");
    }

    #[test]
    fn addresses_and_networks_are_told_from_other_texts() {
        for good in [
            "10.0.0.0/8",
            "10.0.0.7",
            "0.0.0.0/0",
            "2001:db8::/32",
            "::1",
        ] {
            check(good, Ok(()));
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "proxy",
            "10.0.0.0/",
            "10.0.0.0/-1",
        ] {
            check(bad, Err(NotANetwork));
        }
    }
}
