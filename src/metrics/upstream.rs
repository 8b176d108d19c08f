//! Upstreams in numbers.

use super::Extra;

/// One upstream in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamNumbers {
    /// Its name.
    pub name: String,
    /// Whether it has said what it offers, and can be asked.
    pub is_up: bool,
    /// The tools that it lists, those that are not offered included.
    pub tool_count: usize,
    /// What its homes have counted.
    pub counts: UpstreamCounts,
}

/// Counts of one upstream since the start, over all homes; the last three are of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamCounts {
    /// Calls of clients.
    pub calls: u64,
    /// Those that ended without an answer of the upstream.
    pub failures: u64,
    /// Those that were refused at once, because no place was available.
    pub refused: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Calls that went to the fallback.
    pub fallbacks: u64,
    /// Times that a breaker opened.
    pub openings: u64,
    /// Times that a place was left out.
    pub ejections: u64,
    /// Handshakes.
    pub handshakes: u64,
    /// Messages that made no sense or came too late.
    pub strays: u64,
    /// Calls that wait.
    pub waiting: u64,
    /// Sessions, children and shared links.
    pub links: u64,
}

/// The families of upstreams' numbers, each with one value for each upstream.
pub fn upstream_extras(upstreams: &[UpstreamNumbers]) -> Vec<Extra> {
    let family = |name, help, value: fn(&UpstreamNumbers) -> usize| {
        upstreams
            .iter()
            .map(move |one| Extra::gauge(name, help, value(one) as f64).of("upstream", &one.name))
    };
    let up = family("upstream_up", "Whether the upstream can be asked.", |one| {
        usize::from(one.is_up)
    });
    let tools = family("upstream_tools", "Tools that the upstream lists.", |one| {
        one.tool_count
    });
    let counted = |name, help, value: fn(&UpstreamCounts) -> u64| {
        upstreams.iter().map(move |one| {
            Extra::counter(name, help, value(&one.counts) as f64).of("upstream", &one.name)
        })
    };
    let now = |name, help, value: fn(&UpstreamCounts) -> u64| {
        upstreams.iter().map(move |one| {
            Extra::gauge(name, help, value(&one.counts) as f64).of("upstream", &one.name)
        })
    };
    up.chain(tools)
        .chain(counted("upstream_calls", "Calls to the upstream.", |one| {
            one.calls
        }))
        .chain(counted(
            "upstream_failures",
            "Calls without an answer of the upstream.",
            |one| one.failures,
        ))
        .chain(counted(
            "upstream_refused",
            "Calls refused at once: no place was available.",
            |one| one.refused,
        ))
        .chain(counted(
            "upstream_retries",
            "Attempts after the first.",
            |one| one.retries,
        ))
        .chain(counted(
            "upstream_fallbacks",
            "Calls that went to the fallback.",
            |one| one.fallbacks,
        ))
        .chain(counted(
            "upstream_breaker_openings",
            "Times that a breaker opened.",
            |one| one.openings,
        ))
        .chain(counted(
            "upstream_ejections",
            "Times that a place was left out for its failures.",
            |one| one.ejections,
        ))
        .chain(counted(
            "upstream_handshakes",
            "Handshakes with the upstream.",
            |one| one.handshakes,
        ))
        .chain(counted(
            "upstream_strays",
            "Messages of the upstream that made no sense or came too late.",
            |one| one.strays,
        ))
        .chain(now(
            "upstream_waiting",
            "Calls that wait for the upstream.",
            |one| one.waiting,
        ))
        .chain(now(
            "upstream_links",
            "Sessions, children and shared links of the upstream.",
            |one| one.links,
        ))
        .collect()
}
