//! Addresses that a name must not lead to: those that mean this machine, this network, or the cloud that it runs in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::host::carried;

/// The services that hand out a machine's credentials, in the clouds that have one.
const METADATA_V4: [[u8; 4]; 4] = [
    [169, 254, 169, 254],
    [100, 100, 100, 200],
    [192, 0, 0, 192],
    [168, 63, 129, 16],
];

/// The same over IPv6.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0xa9fe, 0, 0, 0xa9fe),
];

/// What the address is, if it is refused unless a line grants it by address. An address that carries another is what that one is.
///
/// Source: the special-purpose registries of RFC 6890 as updated.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let octets = address.octets();
    if METADATA_V4.contains(&octets) {
        return Some("metadata addresses are refused unless granted by address");
    }
    Some(match octets {
        [127, ..] => "loopback addresses are refused unless granted by address",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => {
            "private addresses are refused unless granted by address"
        }
        [169, 254, ..] => "link-local addresses are refused unless granted by address",
        [100, 64..=127, ..] => "carrier-grade NAT addresses are refused unless granted by address",
        [0, ..] => "unspecified addresses are refused unless granted by address",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => {
            "documentation addresses are refused unless granted by address"
        }
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => {
            "special-purpose addresses are refused unless granted by address"
        }
        [224..=239, ..] => "multicast addresses are refused unless granted by address",
        [240..=255, ..] => "reserved addresses are refused unless granted by address",
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if METADATA_V6.contains(&address) {
        return Some("metadata addresses are refused unless granted by address");
    }
    // Whoever translates these chooses where in them the other address is.
    if let [0x64, 0xff9b, 1, ..] = address.segments() {
        return Some("special-purpose addresses are refused unless granted by address");
    }
    if let Some(IpAddr::V4(v4)) = carried(address) {
        return special_v4(v4);
    }
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => "loopback addresses are refused unless granted by address",
        [0, 0, 0, 0, 0, 0, 0, 0] => "unspecified addresses are refused unless granted by address",
        [0xfe80..=0xfebf, ..] => "link-local addresses are refused unless granted by address",
        [0xfec0..=0xfeff, ..] => "site-local addresses are refused unless granted by address",
        [0xfc00..=0xfdff, ..] => "unique local addresses are refused unless granted by address",
        [0xff00..=0xffff, ..] => "multicast addresses are refused unless granted by address",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
            "documentation addresses are refused unless granted by address"
        }
        // Only 2000::/3 is given out for use on the Internet.
        [0x2000..=0x3fff, ..] => match address.segments() {
            [0x2001, 0x2 | 0x10..=0x2f, ..] => {
                "special-purpose addresses are refused unless granted by address"
            }
            _ => return None,
        },
        _ => "special-purpose addresses are refused unless granted by address",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_inner_address_is_special_in_every_form_that_carries_it() {
        for inner in [
            "127.0.0.1",
            "127.255.255.254",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "169.254.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "198.18.0.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
        ] {
            let v4: Ipv4Addr = inner.parse().unwrap();
            let [a, b, c, d] = v4.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let forms = [
                IpAddr::V4(v4),
                IpAddr::V6(v4.to_ipv6_mapped()),
                format!("64:ff9b::{high:x}:{low:x}").parse().unwrap(),
                format!("64:ff9b:1::{high:x}:{low:x}").parse().unwrap(),
                format!("2002:{high:x}:{low:x}::1").parse().unwrap(),
                format!("2001:0:1:2:3:4:{:x}:{:x}", !high, !low)
                    .parse()
                    .unwrap(),
            ];
            for form in forms {
                assert!(special(form).is_some(), "{inner} as {form}");
            }
        }
        for inner in [
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fdff::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "::127.0.0.1",
            "100::1",
            "4000::1",
            "2001:20::1",
            "64:ff9b:1:a00:1:100:808:808",
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:127.0.0.1",
        ] {
            assert!(special(inner.parse().unwrap()).is_some(), "{inner}");
        }
    }

    #[test]
    fn addresses_of_the_internet_are_not_special() {
        for outer in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "169.253.1.1",
            "11.0.0.1",
            "223.255.255.255",
            "192.167.1.1",
            "2606:4700::1111",
            "2a00::1",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert_eq!(special(outer.parse().unwrap()), None, "{outer}");
        }
    }
}
