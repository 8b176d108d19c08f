//! How often something may be asked for: the generic cell rate algorithm, one counter for each whom it counts.
//!
//! ```yaml
//! rates:
//!   global:    {per_second: 5000, burst: 10000}    # everybody together
//!   address:   {per_second: 50, burst: 100}        # each address; of IPv6 each /64; refused callers count too
//!   principal: {per_minute: 600, burst: 100}       # each caller; of callers nobody knows, each address
//!   session:   {per_second: 20}                    # each legacy session; without `burst` as many at once as a period has
//!   methods:   {"tools/call": {per_second: 1000}}  # each method, everybody together
//!   tools:     {"export_*": {per_minute: 10, per: principal}}   # each tool whose name matches, for each caller
//!   components: {weather: {per_second: 20}}
//!   upstreams:  {docs: {per_second: 100}}
//!   tiers:     {standard: {per_second: 100, burst: 200}, premium: {per_second: 1000, burst: 2000}}   # instead of `principal`
//!   default_tier: standard
//!   exempt: [127.0.0.1, 10.0.0.0/8]                # addresses that nothing is counted of
//! ```
//!
//! Invariants: time is a parameter; a check allocates only for a key that it has not seen, and waits for nobody: a counter is one
//! word, changed by compare-and-exchange. What is refused by one limit is given back to those that were asked before it. Keys are
//! bounded: who finds no place shares a counter with others who found none, and is still limited. Who is not known yet is counted
//! by his address alone, before what he shows is looked at: verifying is dearer than forging.

mod knock;
mod limit;
mod spec;
mod store;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::pattern::Pattern;
use crate::mcp::{Method, Principal, SessionId};

pub use knock::Knock;
pub use spec::{NamedRate, Per, Rate, RateOptions};

use limit::{Limit, Taken};
use store::Key;

/// Whose request it is, and what it is about.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'k> {
    /// Who asks.
    pub principal: Principal,
    /// From where; none over stdio.
    pub address: Option<IpAddr>,
    /// The legacy session.
    pub session: Option<SessionId>,
    /// The method.
    pub method: Method,
    /// The tool, under the name that clients know; only one that exists.
    pub tool: Option<&'k str>,
    /// The component that has what it is about.
    pub component: Option<&'k str>,
    /// The upstream that has what it is about.
    pub upstream: Option<&'k str>,
    /// The caller's tier, if it has one.
    pub tier: Option<&'k str>,
}

impl Keys<'_> {
    /// A request of nobody in particular, about nothing in particular.
    pub fn new(method: Method) -> Self {
        Self {
            principal: Principal::ANONYMOUS,
            address: None,
            session: None,
            method,
            tool: None,
            component: None,
            upstream: None,
            tier: None,
        }
    }
}

/// A request is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited<'l> {
    /// Which limit: `global`, `tiers.standard`, `tools.export_*`.
    pub limit: &'l str,
    /// When it would be taken, if nobody else comes.
    ///
    /// Units: milliseconds from now, at least 1.
    pub retry_after_ms: u64,
}

impl Limited<'_> {
    /// The value of `Retry-After`.
    ///
    /// Units: seconds, rounded up.
    pub fn retry_after_s(&self) -> u64 {
        self.retry_after_ms.div_ceil(1_000)
    }
}

/// All limits, with what they have counted. Shared by all shards.
#[derive(Debug, Default)]
pub struct Limiter {
    options: RateOptions,
    global: Option<Arc<Limit>>,
    address: Option<Arc<Limit>>,
    auth_failure: Option<Arc<Limit>>,
    principal: Option<Arc<Limit>>,
    tiers: Vec<(Box<str>, Arc<Limit>)>,
    default_tier: Option<usize>,
    session: Option<Arc<Limit>>,
    /// By method.
    methods: Vec<Vec<Arc<Limit>>>,
    tools: Vec<(Pattern, Per, Arc<Limit>)>,
    components: Vec<(Pattern, Per, Arc<Limit>)>,
    upstreams: Vec<(Pattern, Per, Arc<Limit>)>,
    exempt: Vec<IpNet>,
}

impl Limiter {
    /// Limits that have counted nothing, with at most this many keys each.
    pub fn new(options: &RateOptions, key_count_max: usize) -> Self {
        Self::replacing(options, key_count_max, None)
    }

    /// New limits; those that are as they were in `before` go on counting where they are.
    pub fn replacing(options: &RateOptions, key_count_max: usize, before: Option<&Self>) -> Self {
        let limit = |name: String, rate: Rate| -> Arc<Limit> {
            let kept = before.and_then(|before| before.limit_named(&name));
            match kept {
                Some(kept) if kept.is(rate, key_count_max) => Arc::clone(kept),
                _ => Arc::new(Limit::new(&name, rate, key_count_max)),
            }
        };
        let one = |name: &str, rate: Option<Rate>| rate.map(|rate| limit(name.to_owned(), rate));
        let named = |kind: &str, rates: &[NamedRate]| {
            let rates = rates.iter();
            let made = rates.map(|named| {
                let name = format!("{kind}.{}", named.pattern);
                (named.pattern.clone(), named.per, limit(name, named.rate))
            });
            made.collect::<Vec<_>>()
        };
        let tiers = options.tiers.iter();
        let tiers: Vec<(Box<str>, Arc<Limit>)> = tiers
            .map(|(name, rate)| (name.as_str().into(), limit(format!("tiers.{name}"), *rate)))
            .collect();
        let default = options.default_tier.as_deref();
        let default_tier =
            default.and_then(|name| tiers.iter().position(|(own, _)| **own == *name));
        let of_methods = named("methods", &options.methods);
        let of_method = |method: Method| {
            let matching = of_methods
                .iter()
                .filter(|(one, ..)| one.matches(method.name()));
            matching.map(|(.., limit)| Arc::clone(limit)).collect()
        };
        Self {
            options: options.clone(),
            global: one("global", options.global),
            address: one("address", options.address),
            auth_failure: one("auth_failure_per_second_max", options.auth_failure),
            principal: one("principal", options.principal),
            tiers,
            default_tier,
            session: one("session", options.session),
            methods: match of_methods.is_empty() {
                true => Vec::new(),
                false => Method::all().map(of_method).collect(),
            },
            tools: named("tools", &options.tools),
            components: named("components", &options.components),
            upstreams: named("upstreams", &options.upstreams),
            exempt: options.exempt.clone(),
        }
    }

    /// What it was made of.
    pub fn options(&self) -> &RateOptions {
        &self.options
    }

    /// Whether nothing is limited that somebody may ask for who is known.
    pub fn is_open(&self) -> bool {
        self.limits_of_requests().next().is_none()
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|net| net.contains(&address))
    }

    /// Counts a request, or says which limit it is one too many for; then none has counted it.
    ///
    /// Shape: `now_ns` never goes back by much, whoever calls: the nanoseconds since the process began.
    pub fn check(&self, now_ns: u64, keys: &Keys<'_>) -> Result<(), Limited<'_>> {
        let address = keys.address.map(canonical);
        if address.is_some_and(|address| self.is_exempt(address)) {
            return Ok(());
        }
        let from = address.map_or(Key::EVERYBODY, Key::of_address);
        // Callers whom nobody knows are told apart by where they come from.
        let who = match keys.principal {
            Principal::ANONYMOUS => from,
            known => Key::of_principal(known),
        };
        let mut taken = Taken::new(now_ns);
        self.take_all(&mut taken, keys, from, who).inspect_err(|_| {
            taken.give_back();
        })
    }

    fn take_all<'l>(
        &'l self,
        taken: &mut Taken<'l>,
        keys: &Keys<'_>,
        from: Key,
        who: Key,
    ) -> Result<(), Limited<'l>> {
        if let Some(global) = &self.global {
            taken.take(global, Key::EVERYBODY)?;
        }
        if let (Some(limit), Some(_)) = (&self.address, keys.address) {
            taken.take(limit, from)?;
        }
        if let Some(limit) = self.of_caller(keys.tier) {
            taken.take(limit, who)?;
        }
        if let (Some(limit), Some(session)) = (&self.session, keys.session) {
            taken.take(limit, Key::of_session(session))?;
        }
        for limit in self.methods.get(keys.method as usize).into_iter().flatten() {
            taken.take(limit, Key::of_number(keys.method as u64))?;
        }
        let named = [
            (&self.tools, keys.tool),
            (&self.components, keys.component),
            (&self.upstreams, keys.upstream),
        ];
        for (limits, name) in named {
            let (Some(name), false) = (name, limits.is_empty()) else {
                continue;
            };
            for (pattern, per, limit) in limits {
                if pattern.matches(name) {
                    let whose = match per {
                        Per::Everybody => Key::EVERYBODY,
                        Per::Principal => who,
                    };
                    taken.take(limit, whose.about(limit.digest(name)))?;
                }
            }
        }
        Ok(())
    }

    /// The limit of each caller: its tier's, else the default tier's, else that of everybody without a tier.
    fn of_caller(&self, tier: Option<&str>) -> Option<&Arc<Limit>> {
        let own = tier.and_then(|tier| self.tiers.iter().find(|(name, _)| **name == *tier));
        let default = || self.default_tier.and_then(|index| self.tiers.get(index));
        own.or_else(default)
            .map(|(_, limit)| limit)
            .or(self.principal.as_ref())
    }

    /// Forgets whom nothing is remembered of: to be called every few seconds by one thread that serves nobody, which it costs some
    /// hundred nanoseconds a key.
    pub fn sweep(&self, now_ns: u64) {
        for limit in self.limits() {
            limit.sweep(now_ns);
        }
    }

    /// Keys that are counted now, of all limits together.
    pub fn key_count(&self) -> usize {
        self.limits().map(|limit| limit.key_count()).sum()
    }

    fn limit_named(&self, name: &str) -> Option<&Arc<Limit>> {
        self.limits().find(|limit| limit.name() == name)
    }

    fn limits(&self) -> impl Iterator<Item = &Arc<Limit>> {
        self.limits_of_requests().chain(&self.auth_failure)
    }

    fn limits_of_requests(&self) -> impl Iterator<Item = &Arc<Limit>> {
        let single = [&self.global, &self.address, &self.principal, &self.session];
        let named = [&self.tools, &self.components, &self.upstreams];
        single
            .into_iter()
            .flatten()
            .chain(self.tiers.iter().map(|(_, limit)| limit))
            .chain(self.methods.iter().flatten())
            .chain(named.into_iter().flatten().map(|(.., limit)| limit))
    }
}

/// One notation of each address: an IPv4 address is not another one because it came over an IPv6 socket.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The network that one customer of a provider has: the rest of an IPv6 address is anybody's to choose.
fn network_of(address: Ipv6Addr) -> u128 {
    address.to_bits() & !u128::from(u64::MAX)
}
