//! `rates:` as it is written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

/// Limits by pattern.
pub(super) type Named = Option<BTreeMap<String, Spanned<RateDocument>>>;

/// All limits.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RatesDocument {
    pub(super) global: Option<Spanned<RateDocument>>,
    pub(super) address: Option<Spanned<RateDocument>>,
    pub(super) principal: Option<Spanned<RateDocument>>,
    pub(super) session: Option<Spanned<RateDocument>>,
    pub(super) methods: Named,
    pub(super) tools: Named,
    pub(super) components: Named,
    pub(super) upstreams: Named,
    pub(super) tiers: Named,
    pub(super) default_tier: Option<Spanned<String>>,
    pub(super) exempt: Option<Vec<Spanned<String>>>,
}

/// One limit; exactly one of the three periods.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateDocument {
    pub(super) per_second: Option<u32>,
    pub(super) per_minute: Option<u32>,
    pub(super) per_hour: Option<u32>,
    pub(super) burst: Option<u32>,
    pub(super) per: Option<PerName>,
}

/// Of whom a named limit counts.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PerName {
    Everybody,
    Principal,
}
