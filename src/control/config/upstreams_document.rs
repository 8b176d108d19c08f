//! `upstreams:` as it is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::upstream_auth_document::{AuthDocument, SecretPlaceDocument};
use super::values::{Size, Span};

/// One upstream. Either `url` or `replicas`, or `command`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamDocument {
    pub(super) url: Option<Spanned<String>>,
    pub(super) replicas: Option<Vec<Spanned<ReplicaDocument>>>,
    pub(super) headers: Option<BTreeMap<String, Spanned<HeaderDocument>>>,
    pub(super) auth: Option<Spanned<AuthDocument>>,
    pub(super) tls: Option<TlsDocument>,
    pub(super) command: Option<Spanned<String>>,
    pub(super) args: Option<Vec<String>>,
    pub(super) env: Option<BTreeMap<String, Spanned<String>>>,
    pub(super) pass_env: Option<Vec<Spanned<String>>>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) limits: Option<ChildLimitsDocument>,
    pub(super) era: Option<EraName>,
    pub(super) balance: Option<BalanceName>,
    #[serde(default)]
    pub(super) breaker: BreakerDocument,
    #[serde(default)]
    pub(super) health: HealthDocument,
    #[serde(default)]
    pub(super) outlier: OutlierDocument,
    #[serde(default)]
    pub(super) retry: RetryDocument,
    #[serde(default)]
    pub(super) timeouts: TimeoutsDocument,
    #[serde(default)]
    pub(super) connection_pool: PoolDocument,
    pub(super) prefix: Option<PrefixName>,
    pub(super) allow: Option<Vec<String>>,
    pub(super) deny: Option<Vec<String>>,
    pub(super) rename: Option<BTreeMap<String, Spanned<String>>>,
    pub(super) fail: Option<FailName>,
    pub(super) sharing: Option<SharingName>,
    pub(super) fallback: Option<Spanned<String>>,
    pub(super) hedge_after: Option<Spanned<Span>>,
}

/// A URL, or one with its weight.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum ReplicaDocument {
    Url(String),
    Weighted(WeightedReplica),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WeightedReplica {
    pub(super) url: String,
    pub(super) weight: u32,
}

/// A value, or where it is kept.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum HeaderDocument {
    Text(String),
    Secret(SecretPlaceDocument),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsDocument {
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<Spanned<PathBuf>>,
    pub(super) key: Option<Spanned<PathBuf>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChildLimitsDocument {
    pub(super) memory: Option<Size>,
    pub(super) open_files: Option<u64>,
    pub(super) cpu: Option<Span>,
    pub(super) processes: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EraName {
    Auto,
    Modern,
    Legacy,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum BalanceName {
    P2C,
    RoundRobin,
    LeastConnections,
    WeightedRandom,
    ConsistentHash,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PrefixName {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum FailName {
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SharingName {
    Shared,
    PerSession,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BreakerDocument {
    pub(super) failure_threshold: Option<Spanned<u32>>,
    pub(super) recovery_time: Option<Spanned<Span>>,
    pub(super) probes: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthDocument {
    pub(super) enabled: Option<bool>,
    pub(super) interval: Option<Spanned<Span>>,
    pub(super) timeout: Option<Spanned<Span>>,
    pub(super) rise: Option<Spanned<u32>>,
    pub(super) fall: Option<Spanned<u32>>,
    pub(super) path: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutlierDocument {
    pub(super) consecutive_failures: Option<Spanned<u32>>,
    pub(super) interval: Option<Spanned<Span>>,
    pub(super) ejection_time: Option<Spanned<Span>>,
    pub(super) max_ejection_time: Option<Spanned<Span>>,
    pub(super) max_ejected_percent: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryDocument {
    pub(super) budget_percent: Option<Spanned<u32>>,
    pub(super) min_per_second: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeoutsDocument {
    pub(super) connect: Option<Spanned<Span>>,
    pub(super) head: Option<Spanned<Span>>,
    pub(super) call: Option<Spanned<Span>>,
    pub(super) silence: Option<Spanned<Span>>,
    pub(super) tools: Option<BTreeMap<String, Spanned<Span>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolDocument {
    pub(super) min_idle: Option<Spanned<usize>>,
    pub(super) max_idle: Option<Spanned<usize>>,
    pub(super) max_active: Option<Spanned<usize>>,
    pub(super) idle_timeout: Option<Spanned<Span>>,
}

/// `performance.batching:`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchingDocument {
    pub(super) enabled: Option<bool>,
    pub(super) batch_size: Option<Spanned<usize>>,
    pub(super) batch_timeout: Option<Spanned<Span>>,
}
