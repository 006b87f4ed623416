//! Networks as people write them: `10.0.0.0/8`, or one address.

use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    base: IpAddr,
    prefix: u32,
}

/// A text that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not an address or a network, like \"10.0.0.7\" or \"10.0.0.0/8\"")]
pub(crate) struct NotANetwork;

impl Network {
    /// Whether `address` is in it. An IPv4 address that arrives in IPv6 form is the
    /// IPv4 address.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let (base, width) = bits(self.base);
        let (address, address_width) = bits(address.to_canonical());
        let host_bits = width - self.prefix;
        width == address_width && base.checked_shr(host_bits) == address.checked_shr(host_bits)
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let (_, width) = bits(base);
        let prefix = match prefix {
            Some(prefix) => prefix
                .parse()
                .ok()
                .filter(|prefix| *prefix <= width)
                .ok_or(NotANetwork)?,
            None => width,
        };
        Ok(Self { base, prefix })
    }
}

/// The address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, address: &str, inside: bool) {
        let network: Network = network.parse().unwrap();
        assert_eq!(
            network.contains(address.parse().unwrap()),
            inside,
            "{network:?} {address}"
        );
    }

    #[test]
    fn networks_contain_their_addresses() {
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/8", "::ffff:10.0.0.1", true);
        check("10.0.0.7", "10.0.0.7", true);
        check("10.0.0.7", "10.0.0.8", false);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("::/0", "2001:db8::1", true);
        check("::/0", "10.0.0.1", false);
        check("2001:db8::/32", "2001:db9::1", false);
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "proxy",
            "10.0.0.0/",
            "10.0.0.0/-1",
        ] {
            assert_eq!(bad.parse::<Network>(), Err(NotANetwork), "{bad:?}");
        }
    }
}
