//! What is decided about the network: requests, the addresses that they go to, and names that are looked up.
//!
//! A request is asked about twice: as what it says (`Http`), and, once its name is resolved, as where it goes (`Address`). A name never
//! leads to a special address that no line names as an address, whoever answers for the name.

use std::net::IpAddr;

use super::address::special;
use super::ask::{By, Protocol, Verdict};
use super::host::{Host, Pattern, canonical};
use super::inject::Injection;
use super::rule::{Rule, Target, is_narrow};
use super::urlpath::is_plain;

/// No request has a user name or password in its address.
pub const NO_USER: &str = "no user name or password is sent in the address of a request";
/// No request asks for a tunnel.
pub const NO_TUNNEL: &str = "no tunnel is asked for";

const NOT_A_HOST: By = By::BuiltIn("what is no host is not reached");
const NOT_HTTP: By = By::BuiltIn("only http and https are requested");
const OTHER_ADDRESS: By = By::BuiltIn("an address leads to itself only");
pub(super) const NOT_NARROWED: By = By::BuiltIn("no line narrows it");

/// The lines about the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) allow: Vec<Rule>,
    pub(super) deny: Vec<Rule>,
    /// What no line denies is allowed: so it is for a narrowing without an allow list.
    pub(super) is_open: bool,
}

/// A request, as the guest makes it.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) scheme: &'a str,
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) path: &'a str,
}

/// A connection, as it is about to be made.
pub(super) struct Connection<'a> {
    pub(super) host: Option<&'a str>,
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) scheme: Option<&'a str>,
    pub(super) protocol: Protocol,
}

impl Request<'_> {
    /// All that does not depend on whether the line allows or denies.
    fn fits(&self, rule: &Rule) -> bool {
        rule.fits_protocol(Protocol::Tcp)
            && rule.fits_port(self.port)
            && rule.fits_scheme(Some(self.scheme))
    }

    fn is_allowed_by(&self, rule: &Rule, host: &Host<'_>, is_plain: bool) -> bool {
        let method =
            rule.methods.is_empty() || rule.methods.iter().any(|own| **own == *self.method);
        let path = || {
            rule.paths.is_empty()
                || (is_plain && rule.paths.iter().any(|own| own.allows(self.path)))
        };
        rule.covers(host) && self.fits(rule) && method && path()
    }

    fn is_denied_by(&self, rule: &Rule, host: &Host<'_>, is_plain: bool) -> bool {
        let method = rule.methods.is_empty()
            || rule
                .methods
                .iter()
                .any(|own| own.eq_ignore_ascii_case(self.method));
        let path = || {
            rule.paths.is_empty() || !is_plain || rule.paths.iter().any(|own| own.denies(self.path))
        };
        rule.covers_any_form(host) && self.fits(rule) && method && path()
    }
}

impl Lines {
    pub(super) fn request(&self, ask: &Request<'_>) -> Verdict {
        let Some(host) = Host::parse(ask.host) else {
            return Verdict::denied(NOT_A_HOST);
        };
        if !matches!(ask.scheme, "http" | "https") {
            return Verdict::denied(NOT_HTTP);
        }
        let is_plain = is_plain(ask.path);
        if let Some(rule) = self
            .deny
            .iter()
            .find(|rule| ask.is_denied_by(rule, &host, is_plain))
        {
            return Verdict::denied(rule.by.clone());
        }
        if self.is_open {
            return Verdict::allowed(NOT_NARROWED);
        }
        let mut allowing = self
            .allow
            .iter()
            .filter(|rule| ask.is_allowed_by(rule, &host, is_plain));
        let Host::Address(address) = host else {
            return verdict(allowing.next());
        };
        named(allowing, address, Some(&host))
    }

    pub(super) fn connection(&self, ask: &Connection<'_>) -> Verdict {
        let address = canonical(ask.address);
        let host = match ask.host.map(Host::parse) {
            None => None,
            Some(None) => return Verdict::denied(NOT_A_HOST),
            Some(Some(Host::Address(other))) if other != address => {
                return Verdict::denied(OTHER_ADDRESS);
            }
            Some(host) => host,
        };
        let there = Host::Address(address);
        let denying = self
            .deny
            .iter()
            .find(|rule| denies(rule, ask, host.as_ref(), &there));
        if let Some(rule) = denying {
            return Verdict::denied(rule.by.clone());
        }
        if self.is_open {
            return Verdict::allowed(NOT_NARROWED);
        }
        // By the name that was asked for, or else by the address itself.
        let asked = host.as_ref().unwrap_or(&there);
        let fits = |rule: &&Rule| {
            rule.fits_port(ask.port)
                && rule.fits_protocol(ask.protocol)
                && rule.fits_scheme(ask.scheme)
                && (ask.scheme.is_some() || !rule.has_request_limits())
        };
        let mut by_host = self
            .allow
            .iter()
            .filter(fits)
            .filter(|rule| rule.covers(asked));
        if !matches!(asked, Host::Name(_)) {
            return named(by_host, address, host.as_ref());
        }
        let by_host = by_host.next();
        match (by_host, special(address)) {
            (Some(_), Some(refused)) => {
                let names = |rule: &&Rule| rule.names_address(address, host.as_ref());
                // What limits requests to an address by its notation was not asked about this name.
                let is_asked = |rule: &&Rule| rule.covers(asked) || !rule.has_request_limits();
                match self.allow.iter().filter(fits).filter(is_asked).find(names) {
                    Some(rule) => Verdict::allowed(rule.by.clone()),
                    None => Verdict::denied(By::BuiltIn(refused)),
                }
            }
            (rule, _) => verdict(rule),
        }
    }

    pub(super) fn name(&self, name: &str) -> Verdict {
        let Some(host) = Host::parse(name) else {
            return Verdict::denied(NOT_A_HOST);
        };
        let denying = |rule: &&Rule| rule.covers_any_form(&host) && !rule.has_limits();
        if let Some(rule) = self.deny.iter().find(denying) {
            return Verdict::denied(rule.by.clone());
        }
        if self.is_open {
            return Verdict::allowed(NOT_NARROWED);
        }
        verdict(self.allow.iter().find(|rule| rule.covers(&host)))
    }

    /// The headers to add to a request that was allowed. Never over plain HTTP, unless the line says `schemes: [http]`.
    pub(super) fn injections(&self, ask: &Request<'_>) -> Vec<&Injection> {
        if self.allow.iter().all(|rule| rule.injection.is_none()) {
            return Vec::new();
        }
        let Some(host) = Host::parse(ask.host) else {
            return Vec::new();
        };
        let is_plain = is_plain(ask.path);
        let applies = |rule: &&Rule| {
            let is_private = ask.scheme == "https" || rule.schemes.is_some_and(|(http, _)| http);
            is_private && ask.is_allowed_by(rule, &host, is_plain)
        };
        let applying = self.allow.iter().filter(applies);
        applying
            .filter_map(|rule| rule.injection.as_ref())
            .collect()
    }
}

fn denies(rule: &Rule, ask: &Connection<'_>, host: Option<&Host<'_>>, there: &Host<'_>) -> bool {
    let by_host = host.is_some_and(|host| rule.covers_any_form(host));
    let by_address = rule.covers_any_form(there);
    // A bare socket may carry anything, so that it is denied by what denies some of it.
    let scheme = ask.scheme.is_none() || rule.fits_scheme(ask.scheme);
    // Limits of requests were looked at when the request was asked about, if it was asked about under this host.
    let request = !rule.has_request_limits() || ask.scheme.is_none() || !by_host;
    (by_host || by_address)
        && rule.fits_port(ask.port)
        && rule.fits_protocol(ask.protocol)
        && scheme
        && request
}

fn verdict(rule: Option<&Rule>) -> Verdict {
    match rule {
        Some(rule) => Verdict::allowed(rule.by.clone()),
        None => Verdict::denied(By::NoRule),
    }
}

/// Of the lines that allow this address, one that is enough for it.
fn named<'r>(
    mut allowing: impl Iterator<Item = &'r Rule>,
    address: IpAddr,
    host: Option<&Host<'_>>,
) -> Verdict {
    let Some(refused) = special(address) else {
        return verdict(allowing.next());
    };
    let mut is_covered = false;
    let found = allowing.find(|rule| {
        is_covered = true;
        rule.names_address(address, host)
    });
    match (found, is_covered) {
        (None, true) => Verdict::denied(By::BuiltIn(refused)),
        (found, _) => verdict(found),
    }
}

impl Rule {
    /// Whether everything that `other` allows is allowed by it, as far as that can be seen from the two lines.
    pub(super) fn includes(&self, other: &Self) -> bool {
        let target = self.reaches_as_far(&other.target);
        let inside = |(first, last): &(u16, u16)| {
            self.ports
                .iter()
                .any(|(from, to)| from <= first && last <= to)
        };
        let ports =
            self.ports.is_empty() || (!other.ports.is_empty() && other.ports.iter().all(inside));
        let schemes = match (self.schemes, other.schemes) {
            (None, _) => true,
            (Some((http, https)), Some((others_http, others_https))) => {
                (http || !others_http) && (https || !others_https)
            }
            (Some(_), None) => false,
        };
        let methods = self.methods.is_empty()
            || (!other.methods.is_empty()
                && other
                    .methods
                    .iter()
                    .all(|method| self.methods.contains(method)));
        let led = |path| self.paths.iter().any(|own| own.includes(path));
        let paths =
            self.paths.is_empty() || (!other.paths.is_empty() && other.paths.iter().all(led));
        let protocols = (self.tcp || !other.tcp) && (self.udp || !other.udp);
        let injects = self.injection == other.injection || other.injection.is_none();
        target && ports && schemes && methods && paths && protocols && injects
    }

    /// The same of the targets. One that names special addresses is only within one that names them too.
    fn reaches_as_far(&self, other: &Target) -> bool {
        match (&self.target, other) {
            (_, Target::Host(Pattern::Address(address))) if special(*address).is_some() => {
                self.names_address(*address, None)
            }
            (Target::Host(own), Target::Host(others)) => {
                own.includes(others) && (own.is_localhost() || !others.is_localhost())
            }
            (Target::Network(own), Target::Network(others)) => {
                own.contains(others) && (is_narrow(own) || !is_narrow(others))
            }
            (Target::Network(own), Target::Host(Pattern::Address(address))) => {
                own.contains(address)
            }
            (Target::Network(_), Target::Host(_)) | (Target::Host(_), Target::Network(_)) => false,
        }
    }
}
