//! Hosts: what a line names, and what is asked for, in one notation.
//!
//! Names are compared without regard to case, without their last dot and in their ASCII form (IDNA). An address in whatever notation
//! (`127.1`, `0x7f000001`, `2130706433`, `::ffff:127.0.0.1`) is that address and never a name.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fault::Wrong;

/// A host that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    /// Lower case, ASCII, without a last dot.
    Name(Cow<'a, str>),
    /// An IPv4-mapped one as IPv4.
    Address(IpAddr),
}

impl<'a> Host<'a> {
    /// The host of a URL or of a question to the resolver; none, if it is not one.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.ends_with('.') {
            return None;
        }
        if is_plain_name(text) {
            return Some(Self::Name(Cow::Borrowed(text)));
        }
        // Four decimal numbers are an address to everybody; other notations are the slow way's.
        if let Ok(v4) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(IpAddr::V4(v4)));
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        if bare.contains(':') {
            return bare
                .parse()
                .ok()
                .map(|v6| Self::Address(canonical(IpAddr::V6(v6))));
        }
        match url::Host::parse(text).ok()? {
            url::Host::Domain(name) => {
                let name = name
                    .strip_suffix('.')
                    .map_or_else(|| name.clone(), str::to_owned);
                (!name.is_empty() && !name.starts_with('.') && !name.contains(".."))
                    .then_some(Self::Name(Cow::Owned(name)))
            }
            url::Host::Ipv4(v4) => Some(Self::Address(IpAddr::V4(v4))),
            url::Host::Ipv6(v6) => Some(Self::Address(canonical(IpAddr::V6(v6)))),
        }
    }
}

/// An address as it is compared: an IPv4-mapped one is IPv4.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Whether it is a name in its one notation already: then nothing has to be allocated to compare it.
fn is_plain_name(text: &str) -> bool {
    let mut last = 0;
    let mut previous = b'.';
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'.' if previous == b'.' => return false,
            b'.' => last = at + 1,
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => {}
            _ => return false,
        }
        previous = byte;
    }
    // A last label that begins with a digit may be the end of an address in some notation, and punycode has to be valid.
    previous != b'.'
        && text.len() <= 253
        && text
            .as_bytes()
            .get(last)
            .is_some_and(u8::is_ascii_alphabetic)
        && !text.contains("xn--")
}

/// The hosts that a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// `*`
    Any,
    /// `*.example.com`: every name below it, not itself. Kept with its leading dot.
    Below(Box<str>),
    /// `api.example.com`
    Name(Box<str>),
    /// `192.0.2.7`
    Address(IpAddr),
}

impl Pattern {
    /// Reads the host of a line, without scheme, port and path.
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        const FORMS: &str = "write a name, *.NAME, an address, or *";
        if text.is_empty() {
            return Err(Wrong::new(text, "is empty where a host must be", FORMS));
        }
        if text == "*" {
            return Ok(Self::Any);
        }
        let (below, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if rest.contains('*') {
            let rule = "has a * that is not the whole host or its first label";
            return Err(Wrong::new(text, rule, FORMS));
        }
        if rest.ends_with('.') || rest.is_empty() {
            return Err(Wrong::new(text, "ends with a dot", "leave the dot out"));
        }
        match (below, Host::parse(rest)) {
            (false, Some(Host::Name(name))) => Ok(Self::Name(name.as_ref().into())),
            (true, Some(Host::Name(name))) => Ok(Self::Below(format!(".{name}").into())),
            (false, Some(Host::Address(address))) => Ok(Self::Address(address)),
            (true, Some(Host::Address(_))) => {
                let remedy = "write addresses as cidr: 10.0.0.0/8";
                Err(Wrong::new(text, "has a * before an address", remedy))
            }
            (_, None) => Err(Wrong::new(text, "is not a host", FORMS)),
        }
    }

    /// Whether this host is one of them.
    pub(super) fn covers(&self, host: &Host<'_>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Below(suffix), Host::Name(name)) => {
                name.len() > suffix.len() && name.ends_with(&**suffix)
            }
            (Self::Name(own), Host::Name(name)) => **own == **name,
            (Self::Address(own), Host::Address(address)) => own == address,
            _ => false,
        }
    }

    /// Whether it is the name of this machine's loopback.
    pub(super) fn is_localhost(&self) -> bool {
        matches!(self, Self::Name(name) if **name == *"localhost")
    }

    /// Whether every host that `other` covers is covered by it.
    pub(super) fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Below(own), Self::Below(others)) => others.ends_with(&**own),
            (Self::Below(own), Self::Name(name)) => {
                name.len() > own.len() && name.ends_with(&**own)
            }
            (own, others) => own == others,
        }
    }
}

/// The IPv4 address that an IPv6 one leads to, by one of the ways that translate: IPv4-mapped, IPv4-compatible, NAT64, 6to4, Teredo,
/// ISATAP.
///
/// Source: RFC 4291 2.5.5, RFC 6052, RFC 8215, RFC 3056, RFC 4380, RFC 5214.
pub(super) fn carried(address: Ipv6Addr) -> Option<IpAddr> {
    let words = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(IpAddr::from([a, b, c, d]))
    };
    match words {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            v4(high, low)
        }
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => {
            v4(high, low)
        }
        [0x2002, high, low, ..] => v4(high, low),
        [0x2001, 0, _, _, _, _, high, low] => v4(!high, !low),
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => v4(high, low),
        _ => None,
    }
}

/// As a line has it.
impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}
