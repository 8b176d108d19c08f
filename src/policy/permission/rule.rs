//! One line about the network: which hosts or addresses, and what limits it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::ask::{By, Protocol};
use super::document::{NetworkEntry, ProtocolWord, SchemeWord, Word};
use super::fault::Wrong;
use super::host::{Host, Pattern, canonical, carried};
use super::inject::Injection;
use super::urlpath::Prefix;

/// Networks wider than this say everything, not these: they grant no special address.
const NARROW_V4: u8 = 8;
/// The same for IPv6; all unique local addresses are a network of this length.
const NARROW_V6: u8 = 7;

/// What a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Host(Pattern),
    Network(IpNet),
}

/// A line of `network.allow` or `network.deny`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) by: By,
    pub(super) text: String,
    pub(super) target: Target,
    /// First and last; none is every port.
    pub(super) ports: Box<[(u16, u16)]>,
    pub(super) tcp: bool,
    pub(super) udp: bool,
    /// `http` and `https`; none is both, and bare sockets.
    pub(super) schemes: Option<(bool, bool)>,
    pub(super) methods: Box<[Box<str>]>,
    pub(super) paths: Box<[Prefix]>,
    pub(super) injection: Option<Injection>,
}

impl Rule {
    /// Reads an entry. `by` is filled in by the caller, who knows the line.
    pub(super) fn parse(entry: &NetworkEntry, is_allow: bool) -> Result<Self, Wrong> {
        let mut rule = match (&entry.host, &entry.cidr) {
            (Some(host), None) => Self::of_host(host)?,
            (None, Some(cidr)) => Self::of(Target::Network(network(cidr)?)),
            (Some(host), Some(_)) => {
                let rule = "stands beside a cidr";
                return Err(Wrong::new(host, rule, "write two entries"));
            }
            (None, None) => {
                let remedy = "write {host: NAME} or {cidr: NETWORK}";
                return Err(Wrong::new("entry", "has neither host nor cidr", remedy));
            }
        };
        if let Some(ports) = &entry.ports {
            if !rule.ports.is_empty() {
                let rule = "stands beside a host that has its port already";
                return Err(Wrong::new("ports", rule, "keep one of them"));
            }
            rule.ports = listed("ports", ports)?
                .iter()
                .map(port_range)
                .collect::<Result<_, _>>()?;
        }
        if let Some(schemes) = &entry.schemes {
            if rule.schemes.is_some() {
                let rule = "stands beside a host that has its scheme already";
                return Err(Wrong::new("schemes", rule, "keep one of them"));
            }
            let has = |scheme| schemes.contains(&scheme);
            listed("schemes", schemes)?;
            rule.schemes = Some((has(SchemeWord::Http), has(SchemeWord::Https)));
        }
        // What allows says what it allows; what denies and does not say, denies both.
        (rule.tcp, rule.udp) = match &entry.protocols {
            Some(protocols) => {
                listed("protocols", protocols)?;
                let has = |protocol| protocols.contains(&protocol);
                (has(ProtocolWord::Tcp), has(ProtocolWord::Udp))
            }
            None => (true, !is_allow),
        };
        if let Some(methods) = &entry.methods {
            rule.methods = listed("methods", methods)?
                .iter()
                .map(method)
                .collect::<Result<_, _>>()?;
        }
        if let Some(paths) = &entry.paths {
            if !rule.paths.is_empty() {
                let rule = "stands beside a host that has its path already";
                return Err(Wrong::new("paths", rule, "keep one of them"));
            }
            rule.paths = listed("paths", paths)?
                .iter()
                .map(|path| Prefix::parse(path))
                .collect::<Result<_, _>>()?;
        }
        if let Some(inject) = &entry.inject {
            if !is_allow {
                return Err(Wrong::new("inject", "stands in a deny", "remove it"));
            }
            if !matches!(&rule.target, Target::Host(pattern) if *pattern != Pattern::Any) {
                let rule = "would send its secret to whoever is asked";
                return Err(Wrong::new("inject", rule, "name the host that it is for"));
            }
            rule.injection = Some(Injection::parse(inject)?);
        }
        if !rule.tcp && (rule.is_for_http() || rule.injection.is_some()) {
            let rule = "without tcp leave nothing of a line about HTTP";
            return Err(Wrong::new(
                "protocols",
                rule,
                "add tcp, or remove what is about HTTP",
            ));
        }
        rule.text = rule.shown(if is_allow { "allow" } else { "deny" });
        Ok(rule)
    }

    fn of(target: Target) -> Self {
        Self {
            by: By::NoRule,
            text: String::new(),
            target,
            ports: Box::default(),
            tcp: true,
            udp: true,
            schemes: None,
            methods: Box::default(),
            paths: Box::default(),
            injection: None,
        }
    }

    /// `api.x.com`, `localhost:8080`, `[::1]:80`, `https://x.com:8443/v1/`. With a scheme and without a port it is the scheme's own port.
    fn of_host(text: &str) -> Result<Self, Wrong> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(SchemeWord::Http), rest),
            Some(("https", rest)) => (Some(SchemeWord::Https), rest),
            Some(_) => {
                let remedy = "use http:// or https://, or no scheme for TCP";
                return Err(Wrong::new(text, "has another scheme than HTTP's", remedy));
            }
            None => (None, text),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) if scheme.is_some() => rest.split_at(at),
            Some(_) => {
                let remedy = "write https://HOST/PATH, or cidr: for a network";
                return Err(Wrong::new(text, "has a path and no scheme", remedy));
            }
            None => (rest, ""),
        };
        if authority.contains('@') {
            let remedy = "leave name and password out";
            return Err(Wrong::new(text, "has a user name in it", remedy));
        }
        let (host, port) = split_port(authority)?;
        let pattern =
            Pattern::parse(host).map_err(|wrong| Wrong::new(text, wrong.rule, wrong.remedy))?;
        let mut rule = Self::of(Target::Host(pattern));
        let own_port = scheme.map(|scheme| if scheme == SchemeWord::Http { 80 } else { 443 });
        rule.ports = port
            .or(own_port)
            .map(|port| (port, port))
            .into_iter()
            .collect();
        rule.schemes =
            scheme.map(|scheme| (scheme == SchemeWord::Http, scheme == SchemeWord::Https));
        if !matches!(path, "" | "/") {
            rule.paths = [Prefix::parse(path)?].into();
        }
        Ok(rule)
    }

    /// Whether it is about this host, by its name or address.
    pub(super) fn covers(&self, host: &Host<'_>) -> bool {
        match (&self.target, host) {
            (Target::Host(pattern), Host::Address(address)) if pattern.is_localhost() => {
                address.is_loopback()
            }
            (Target::Host(pattern), host) => pattern.covers(host),
            (Target::Network(network), Host::Address(address)) => network.contains(address),
            (Target::Network(_), Host::Name(_)) => false,
        }
    }

    /// The same for a deny: an address that is carried in another is denied with it.
    pub(super) fn covers_any_form(&self, host: &Host<'_>) -> bool {
        let inner = match host {
            Host::Address(IpAddr::V6(v6)) => carried(*v6),
            _ => None,
        };
        self.covers(host) || inner.is_some_and(|inner| self.covers(&Host::Address(inner)))
    }

    /// Whether it names this special address, and does not only include it in everything. `localhost` names loopback.
    pub(super) fn names_address(&self, address: IpAddr, host: Option<&Host<'_>>) -> bool {
        match &self.target {
            Target::Network(network) => is_narrow(network) && network.contains(&address),
            Target::Host(Pattern::Address(own)) => *own == address,
            Target::Host(pattern) => {
                let may = match host {
                    None | Some(Host::Address(_)) => true,
                    Some(Host::Name(name)) => name == "localhost",
                };
                pattern.is_localhost() && address.is_loopback() && may
            }
        }
    }

    pub(super) fn fits_port(&self, port: u16) -> bool {
        self.ports.is_empty()
            || self
                .ports
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&port))
    }

    pub(super) fn fits_protocol(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Tcp => self.tcp,
            Protocol::Udp => self.udp,
        }
    }

    /// A line of HTTP alone does not fit a bare socket.
    pub(super) fn fits_scheme(&self, scheme: Option<&str>) -> bool {
        match (self.schemes, scheme) {
            (None, _) => true,
            (Some((http, _)), Some("http")) => http,
            (Some((_, https)), Some("https")) => https,
            (Some(_), _) => false,
        }
    }

    /// Whether it looks into the request.
    pub(super) fn has_request_limits(&self) -> bool {
        !self.methods.is_empty() || !self.paths.is_empty()
    }

    /// Whether it is about more than the host.
    pub(super) fn has_limits(&self) -> bool {
        self.is_for_http() || !self.ports.is_empty() || !(self.tcp && self.udp)
    }

    fn is_for_http(&self) -> bool {
        self.schemes.is_some() || self.has_request_limits()
    }

    /// `allow host *.x.com ports 443,8000-9000 methods GET`.
    fn shown(&self, word: &str) -> String {
        use std::fmt::Write;
        let mut text = match &self.target {
            Target::Host(pattern) => format!("{word} host {pattern}"),
            Target::Network(network) => format!("{word} cidr {network}"),
        };
        let mut list = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                let _ = write!(text, " {name} {}", values.join(","));
            }
        };
        let ports = self.ports.iter().map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        list("ports", ports.collect());
        if let Some((http, https)) = self.schemes {
            let names = [(http, "http"), (https, "https")];
            list("schemes", given(names));
        }
        if (self.tcp, self.udp) != (true, word == "deny") {
            list("protocols", given([(self.tcp, "tcp"), (self.udp, "udp")]));
        }
        list(
            "methods",
            self.methods.iter().map(ToString::to_string).collect(),
        );
        list(
            "paths",
            self.paths
                .iter()
                .map(|path| path.as_str().to_owned())
                .collect(),
        );
        text
    }
}

/// Whether a network says these addresses, and not everything.
pub(super) fn is_narrow(network: &IpNet) -> bool {
    let least = match network {
        IpNet::V4(_) => NARROW_V4,
        IpNet::V6(_) => NARROW_V6,
    };
    network.prefix_len() >= least
}

fn given(names: [(bool, &str); 2]) -> Vec<String> {
    let given = names.iter().filter(|(is_given, _)| *is_given);
    given.map(|(_, name)| (*name).to_owned()).collect()
}

/// An empty list limits to nothing, which nobody means.
fn listed<'l, T>(key: &str, list: &'l [T]) -> Result<&'l [T], Wrong> {
    match list {
        [] => Err(Wrong::new(
            key,
            "is empty: it would cover nothing",
            "name one, or leave the key out",
        )),
        list => Ok(list),
    }
}

/// Host and port; an IPv6 address has brackets where a port follows.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), Wrong> {
    let is_bare_v6 = authority.matches(':').count() > 1 && !authority.starts_with('[');
    let split = match authority.rsplit_once(':') {
        Some((host, port)) if !is_bare_v6 && !port.contains(']') => Some((host, port)),
        _ => None,
    };
    match split {
        None => Ok((authority, None)),
        Some((host, port)) => match port.parse() {
            Ok(port) if port > 0 => Ok((host, Some(port))),
            _ => Err(Wrong::new(
                authority,
                "has no port after its colon",
                "write it like localhost:8080",
            )),
        },
    }
}

fn port_range(word: &Word) -> Result<(u16, u16), Wrong> {
    let (first, last) = word.0.split_once('-').unwrap_or((&word.0, &word.0));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok((first, last)),
        _ => Err(Wrong::new(
            &word.0,
            "is not a port or a range of ports",
            "write it like 443 or 8000-9000",
        )),
    }
}

/// Methods are compared as they are; the usual ones may be written in lower case.
fn method(text: &String) -> Result<Box<str>, Wrong> {
    if !is_token(text) {
        return Err(Wrong::new(
            text,
            "is not an HTTP method",
            "write it like GET",
        ));
    }
    Ok(text.to_ascii_uppercase().into())
}

/// Source: RFC 9110 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(allowed)
}

fn network(text: &str) -> Result<IpNet, Wrong> {
    const FORM: &str = "write it like 10.0.0.0/8 or fd00::/8";
    if !text.contains('/') {
        let rule = "is an address without the length of its network";
        return Err(Wrong::new(text, rule, "write it like 10.0.0.1/32"));
    }
    let network: IpNet = text
        .parse()
        .map_err(|_| Wrong::new(text, "is not a network", FORM))?;
    if network != network.trunc() {
        let rule = "has bits of an address beyond its length";
        return Err(Wrong::new(
            text,
            rule,
            "write the network's first address, or /32 for one",
        ));
    }
    let IpNet::V6(v6) = network else {
        return Ok(network);
    };
    // Addresses are compared as IPv4 where they are that.
    match (
        canonical(IpAddr::V6(v6.addr())),
        v6.prefix_len().checked_sub(96),
    ) {
        (v4 @ IpAddr::V4(_), Some(length)) => {
            IpNet::new(v4, length).map_err(|_| Wrong::new(text, "is not a network", FORM))
        }
        _ => Ok(network),
    }
}
