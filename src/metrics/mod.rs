//! What the appliance counts and times, and how that is read.
//!
//! Each shard owns one [`ShardMetrics`]: plain numbers and histograms, no atomics, no locks. Control asks every shard for
//! a copy, merges the copies and writes them as OpenMetrics text ([`exposition()`]). Recording allocates nothing and never
//! fails; what is too large for a histogram is counted in its last bucket.
#![forbid(unsafe_code)]

mod exposition;
mod names;
mod shard;
mod upstream;

pub use exposition::{CONTENT_TYPE, Extra, exposition};
pub use names::{Counter, Gauge, Phase};
pub use shard::ShardMetrics;
pub use upstream::{UpstreamCounts, UpstreamNumbers, upstream_extras};
