//! Which addresses are somebody else's public ones, and what the others are.
//!
//! The tables are IANA's registries of special-purpose addresses, with the two metadata
//! services that lie outside them. An IPv6 address that carries an IPv4 one is what it
//! carries. Of IPv6 only `2000::/3` has been given out as global unicast; the rest is
//! reserved, whatever it may become.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not a public one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// This machine.
    Loopback,
    /// No address at all.
    Unspecified,
    /// A private network, shared address space of a provider included.
    Private,
    /// The same link only.
    LinkLocal,
    /// Where clouds answer with the machine's credentials.
    Metadata,
    /// A group instead of a host.
    Multicast,
    /// Documentation, tests, protocols, or not given out.
    Reserved,
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::Unspecified => "an unspecified address",
            Self::Private => "an address of a private network",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "the address of a cloud's metadata service",
            Self::Multicast => "a multicast address",
            Self::Reserved => "a reserved address",
        })
    }
}

const V4: [(Ipv4Addr, u32, Zone); 19] = [
    (Ipv4Addr::new(169, 254, 169, 254), 32, Zone::Metadata),
    (Ipv4Addr::new(169, 254, 170, 2), 32, Zone::Metadata),
    (Ipv4Addr::new(168, 63, 129, 16), 32, Zone::Metadata),
    (Ipv4Addr::UNSPECIFIED, 8, Zone::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Zone::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Zone::Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Zone::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Zone::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Zone::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Zone::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Zone::Reserved),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Zone::Reserved),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Zone::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Zone::Reserved),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Zone::Reserved),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Zone::Reserved),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Zone::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Zone::Reserved),
    (Ipv4Addr::BROADCAST, 32, Zone::Reserved),
];

const V6: [(Ipv6Addr, u32, Zone); 14] = [
    (Ipv6Addr::UNSPECIFIED, 128, Zone::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Zone::Loopback),
    (v6(0xfd00, 0x0ec2, 0x0254), 128, Zone::Metadata),
    (v6(0x0064, 0xff9b, 0), 48, Zone::Reserved),
    (v6(0x0100, 0, 0), 64, Zone::Reserved),
    (v6(0x2001, 0, 0), 23, Zone::Reserved),
    (v6(0x2001, 0x0db8, 0), 32, Zone::Reserved),
    (v6(0x3fff, 0, 0), 20, Zone::Reserved),
    (v6(0x5f00, 0, 0), 16, Zone::Reserved),
    (v6(0xfc00, 0, 0), 7, Zone::Private),
    (v6(0xfe80, 0, 0), 10, Zone::LinkLocal),
    // Site-local: withdrawn, and still routed inside some networks.
    (v6(0xfec0, 0, 0), 10, Zone::Private),
    (v6(0xff00, 0, 0), 8, Zone::Multicast),
    (Ipv6Addr::UNSPECIFIED, 3, Zone::Reserved),
];

/// An address of two leading groups and a last one.
const fn v6(first: u16, second: u16, last: u16) -> Ipv6Addr {
    Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, last)
}

/// Why that address is not a public one; none where it is.
pub fn zone(address: IpAddr) -> Option<Zone> {
    match plain(address) {
        IpAddr::V4(address) => zone_v4(address),
        IpAddr::V6(address) => zone_v6(address),
    }
}

/// The address itself, or the IPv4 one that it stands for on the wire.
pub(crate) fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Whether the first `prefix` bits of both are the same.
pub(crate) fn within(address: IpAddr, network: IpAddr, prefix: u32) -> bool {
    match (plain(address), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let differs = address.to_bits() ^ network.to_bits();
            differs.leading_zeros() >= prefix
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let differs = address.to_bits() ^ network.to_bits();
            differs.leading_zeros() >= prefix
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn zone_v4(address: Ipv4Addr) -> Option<Zone> {
    let found = V4
        .iter()
        .find(|(network, prefix, _)| within(address.into(), (*network).into(), *prefix));
    found.map(|(_, _, zone)| *zone)
}

fn zone_v6(address: Ipv6Addr) -> Option<Zone> {
    if let Some(carried) = carried_v4(address) {
        return zone_v4(carried);
    }
    let found = V6
        .iter()
        .find(|(network, prefix, _)| within(address.into(), (*network).into(), *prefix));
    match found {
        Some((_, _, zone)) => Some(*zone),
        None if address.segments()[0] >> 13 == 1 => None,
        None => Some(Zone::Reserved),
    }
}

/// The IPv4 address that a translator (`64:ff9b::/96`) or a 6to4 router (`2002::/16`) takes
/// out of it.
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let word = |shift: u32| u32::try_from(bits >> shift & 0xffff_ffff).ok();
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => word(0).map(Ipv4Addr::from_bits),
        [0x2002, ..] => word(80).map(Ipv4Addr::from_bits),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, expect: Option<Zone>) {
        assert_eq!(zone(address.parse().unwrap()), expect, "{address}");
    }

    #[test]
    fn public_addresses_are_public() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            check(address, None);
        }
    }

    #[test]
    fn each_zone_is_known_at_both_ends() {
        check("127.0.0.1", Some(Zone::Loopback));
        check("127.255.255.255", Some(Zone::Loopback));
        check("0.0.0.0", Some(Zone::Unspecified));
        check("0.1.2.3", Some(Zone::Unspecified));
        check("10.0.0.0", Some(Zone::Private));
        check("10.255.255.255", Some(Zone::Private));
        check("172.16.0.1", Some(Zone::Private));
        check("172.31.255.255", Some(Zone::Private));
        check("192.168.0.1", Some(Zone::Private));
        check("100.64.0.1", Some(Zone::Private));
        check("100.127.255.255", Some(Zone::Private));
        check("169.254.0.1", Some(Zone::LinkLocal));
        check("169.254.169.254", Some(Zone::Metadata));
        check("168.63.129.16", Some(Zone::Metadata));
        check("192.0.2.1", Some(Zone::Reserved));
        check("198.18.0.1", Some(Zone::Reserved));
        check("198.19.255.255", Some(Zone::Reserved));
        check("224.0.0.1", Some(Zone::Multicast));
        check("239.255.255.255", Some(Zone::Multicast));
        check("240.0.0.1", Some(Zone::Reserved));
        check("255.255.255.255", Some(Zone::Reserved));
    }

    #[test]
    fn the_zones_of_ipv6() {
        check("::", Some(Zone::Unspecified));
        check("::1", Some(Zone::Loopback));
        check("fc00::1", Some(Zone::Private));
        check("fdff::1", Some(Zone::Private));
        check("fd00:ec2::254", Some(Zone::Metadata));
        check("fe80::1", Some(Zone::LinkLocal));
        check("febf::1", Some(Zone::LinkLocal));
        check("fec0::1", Some(Zone::Private));
        check("ff02::1", Some(Zone::Multicast));
        check("2001:db8::1", Some(Zone::Reserved));
        check("2001::1", Some(Zone::Reserved));
        check("4000::1", Some(Zone::Reserved));
        check("100::1", Some(Zone::Reserved));
    }

    #[test]
    fn an_address_that_carries_another_is_that_one() {
        check("::ffff:127.0.0.1", Some(Zone::Loopback));
        check("::ffff:169.254.169.254", Some(Zone::Metadata));
        check("64:ff9b::10.0.0.1", Some(Zone::Private));
        check("64:ff9b::7f00:1", Some(Zone::Loopback));
        check("2002:7f00:1::", Some(Zone::Loopback));
        check("2002:a9fe:a9fe::1", Some(Zone::Metadata));
        // The withdrawn form ::a.b.c.d leads nowhere, and must not lead inwards.
        check("::127.0.0.1", Some(Zone::Reserved));
        check("::8.8.8.8", Some(Zone::Reserved));
        check("64:ff9b:1::808:808", Some(Zone::Reserved));
    }
}
