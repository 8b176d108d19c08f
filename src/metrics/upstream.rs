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
    up.chain(tools).collect()
}
