//! Limits as they are written.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::policy::pattern::Pattern;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Time in which one more may come.
    ///
    /// Units: nanoseconds, at least 1.
    pub interval_ns: u64,
    /// How many may come at once after a pause, at least 1.
    pub burst: u32,
}

impl Rate {
    /// So many in a second.
    pub fn per_second(count: u32) -> Self {
        Self::per_ns(count, 1_000_000_000)
    }

    /// So many in a minute.
    pub fn per_minute(count: u32) -> Self {
        Self::per_ns(count, 60_000_000_000)
    }

    /// So many in an hour.
    pub fn per_hour(count: u32) -> Self {
        Self::per_ns(count, 3_600_000_000_000)
    }

    fn per_ns(count: u32, ns: u64) -> Self {
        let count = count.max(1);
        Self {
            interval_ns: (ns / u64::from(count)).max(1),
            burst: count,
        }
    }

    /// The same, and so many at once.
    #[must_use]
    pub fn with_burst(self, burst: u32) -> Self {
        Self {
            burst: burst.max(1),
            ..self
        }
    }
}

/// Of whom a named limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Per {
    /// Of everybody together.
    #[default]
    Everybody,
    /// Of each caller.
    Principal,
}

/// A limit of what matches a pattern; each that does is counted by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedRate {
    /// The names.
    pub pattern: Pattern,
    /// How often.
    pub rate: Rate,
    /// Of whom.
    pub per: Per,
}

/// All limits. What is none is not limited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RateOptions {
    /// Everybody together.
    pub global: Option<Rate>,
    /// Each address; of IPv6 each network of 64 bits.
    pub address: Option<Rate>,
    /// Each address, counting only what it shows to prove who asks and what turns out to be worth nothing.
    pub auth_failure: Option<Rate>,
    /// Each caller without a tier; of callers whom nobody knows, each address.
    pub principal: Option<Rate>,
    /// Each legacy session.
    pub session: Option<Rate>,
    /// Each method, by the names that it has on the wire.
    pub methods: Vec<NamedRate>,
    /// Each tool, by the names that clients know.
    pub tools: Vec<NamedRate>,
    /// Each component.
    pub components: Vec<NamedRate>,
    /// Each upstream.
    pub upstreams: Vec<NamedRate>,
    /// Each caller of a tier.
    pub tiers: BTreeMap<String, Rate>,
    /// The tier of those who have none, or one that there is not.
    pub default_tier: Option<String>,
    /// Addresses that nothing is counted of.
    pub exempt: Vec<IpNet>,
}
