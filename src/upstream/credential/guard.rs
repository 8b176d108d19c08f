//! Where requests may go whose URL somebody else has written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::refusal::Refusal;
use crate::upstream::http::{Scheme, Url};

/// What kind of network an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// The internet.
    Public,
    /// This machine.
    Loopback,
    /// A network of somebody's own.
    Private,
    /// Links, clouds' metadata, groups, what is reserved: nobody's API.
    Special,
}

impl Range {
    /// The range of an address, however it is written: one that carries an IPv4 address is judged as that.
    ///
    /// Source: RFC 6890, RFC 4291, RFC 6598, RFC 6052.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        match (a, b, c) {
            (127, ..) => Self::Loopback,
            (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Self::Private,
            (0, ..) | (169, 254, _) | (192, 0, 0 | 2) | (192, 88, 99) | (198, 18..=19, _) => {
                Self::Special
            }
            (198, 51, 100) | (203, 0, 113) | (224.., ..) => Self::Special,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if address == Ipv6Addr::LOCALHOST {
            return Self::Loopback;
        }
        let segments = address.segments();
        let v4 = |high: u16, low: u16| {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            Self::of_v4(Ipv4Addr::new(a, b, c, d))
        };
        match segments {
            // Mapped, translated, compatible, 6to4.
            [0, 0, 0, 0, 0, 0xffff, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0, 0, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => match v4(high, low) {
                // `::` and what is near it is no address of the internet.
                Self::Public if segments[..6] == [0; 6] => Self::Special,
                range => range,
            },
            [0xfc00..=0xfdff, ..] => Self::Private,
            // The internet's unicast addresses, without what is set aside for examples, tunnels and tests.
            [0x2001, 0..=0x01ff | 0x0db8, ..] => Self::Special,
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Special,
        }
    }
}

/// Where the documents of one upstream may lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Origins that the operator wrote.
    origins: Vec<String>,
    /// The ranges that the upstream is in itself.
    ranges: Vec<Range>,
}

impl Guard {
    /// The public internet, and the ranges of these addresses, which are the upstream's; special ones are not opened by that.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut ranges = vec![Range::Public];
        for address in addresses {
            let range = Range::of(address);
            if range != Range::Special && !ranges.contains(&range) {
                ranges.push(range);
            }
        }
        Self {
            origins: Vec::new(),
            ranges,
        }
    }

    /// This one too, wherever it is: the operator wrote it.
    #[must_use]
    pub fn with(mut self, url: &Url) -> Self {
        self.origins.push(url.origin());
        self
    }

    /// Whether a URL may be asked at these addresses, to all of which its host resolves.
    ///
    /// Errors: why not.
    pub fn check(
        &self,
        name: &'static str,
        url: &Url,
        addresses: &[IpAddr],
    ) -> Result<(), Refusal> {
        if self.origins.contains(&url.origin()) {
            return Ok(());
        }
        let refused = |problem: String| Err(Refusal::Endpoint { name, problem });
        for address in addresses {
            let range = Range::of(*address);
            if !self.ranges.contains(&range) {
                return refused(format!(
                    "{} leads to {address}, which is no address of the internet, and was not written by the operator",
                    url.origin()
                ));
            }
            if url.scheme == Scheme::Http && range != Range::Loopback {
                return refused(format!("{} is not https", url.origin()));
            }
        }
        match addresses.is_empty() {
            true => refused(format!("{} has no address", url.origin())),
            false => Ok(()),
        }
    }
}
