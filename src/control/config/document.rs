//! The configuration file as it is written: the shape that the strict YAML reader checks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

use super::audit::AuditDocument;
use super::auth_document::AuthDocument;
use super::choices::{Instances, ManagementTools};
use super::hardening::HardeningDocument;
use super::limits_document::LimitsDocument;
use super::permissions::ProfileDocument;
use super::pinning::{PinningDocument, SanitizeDocument};
use super::rates_document::RatesDocument;
use super::rules_document::{EffectName, RoleDocument, RuleDocument};
use super::secrets::SecretsDocument;
use super::tls::TlsDocument;
use super::upstreams_document::{BatchingDocument, PoolDocument, UpstreamDocument};
use super::values::{Size, Span};
use super::{Io, LogFormat, LogLevel, Profile};
use crate::policy::permission::Permissions;

/// The whole file. Every key is optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) listen: Option<Spanned<String>>,
    pub(super) admin: Option<Spanned<String>>,
    pub(super) tls: Option<Spanned<TlsDocument>>,
    pub(super) admin_tls: Option<Spanned<TlsDocument>>,
    pub(super) shards: Option<Spanned<usize>>,
    pub(super) io: Option<Io>,
    pub(super) profile: Option<Profile>,
    pub(super) components: Option<Vec<PathBuf>>,
    pub(super) manifest: Option<PathBuf>,
    pub(super) continue_on_provisioning_failure: Option<bool>,
    pub(super) component_dir: Option<PathBuf>,
    #[serde(default)]
    pub(super) component_options: BTreeMap<String, ComponentOptions>,
    pub(super) permission_profiles: Option<Vec<Spanned<ProfileDocument>>>,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) secrets: Option<SecretsDocument>,
    pub(super) audit: Option<AuditDocument>,
    pub(super) request_state_key_file: Option<PathBuf>,
    pub(super) http_sse: Option<bool>,
    #[serde(default)]
    pub(super) pinning: PinningDocument,
    #[serde(default)]
    pub(super) sanitize: SanitizeDocument,
    pub(super) management_tools: Option<Spanned<ManagementTools>>,
    pub(super) allowed_hosts: Option<Vec<Spanned<String>>>,
    pub(super) allowed_origins: Option<Vec<Spanned<String>>>,
    pub(super) auth: Option<Spanned<AuthDocument>>,
    pub(super) admin_auth: Option<Spanned<AuthDocument>>,
    pub(super) resource: Option<Spanned<String>>,
    pub(super) authorization_servers: Option<Spanned<Vec<String>>>,
    pub(super) scopes_supported: Option<Spanned<Vec<String>>>,
    pub(super) access_log: Option<PathBuf>,
    pub(super) log_level: Option<LogLevel>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) upstreams: Option<BTreeMap<String, Spanned<UpstreamDocument>>>,
    pub(super) hardening: Option<Spanned<HardeningDocument>>,
    pub(super) rules: Option<Vec<Spanned<RuleDocument>>>,
    pub(super) roles: Option<BTreeMap<String, Spanned<RoleDocument>>>,
    pub(super) scope_hierarchy: Option<BTreeMap<String, Spanned<Vec<String>>>>,
    pub(super) default_rule: Option<EffectName>,
    pub(super) rates: Option<RatesDocument>,
    #[serde(default)]
    pub(super) limits: LimitsDocument,
    #[serde(default)]
    pub(super) performance: Performance,
}

/// One component's part of `component_options:`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ComponentOptions {
    #[serde(default)]
    pub(super) instances: Instances,
    pub(super) policy: Option<PathBuf>,
    pub(super) permissions: Option<Spanned<Option<Permissions>>>,
}

/// `performance:`. A key of type [`NotYet`] is known and refused: silently ignoring it would promise what is not done.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Performance {
    #[serde(default)]
    pub(super) connection_pool: PoolDocument,
    #[serde(default)]
    pub(super) cache: Cache,
    #[serde(default)]
    pub(super) batching: BatchingDocument,
    #[serde(default)]
    pub(super) concurrency: Concurrency,
    #[serde(default)]
    pub(super) memory: Memory,
    #[serde(default)]
    pub(super) network: Network,
}

/// A key that has a meaning in a later version.
pub(super) type NotYet = Option<Spanned<IgnoredAny>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cache {
    metadata_cache_size: NotYet,
    component_cache_size: NotYet,
    ttl: NotYet,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Concurrency {
    pub(super) worker_threads: Option<Spanned<usize>>,
    pub(super) max_concurrent_requests: Option<Spanned<usize>>,
    pub(super) queue_size: Option<Spanned<usize>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    pub(super) buffer_pool_size: Option<Spanned<Size>>,
    pub(super) max_message_size: Option<Spanned<Size>>,
    gc_interval: NotYet,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    pub(super) tcp_nodelay: Option<bool>,
    pub(super) keep_alive: Option<bool>,
    pub(super) keep_alive_interval: Option<Spanned<Span>>,
}

impl Performance {
    /// The first key that is given and not implemented, with its line.
    pub(super) fn not_yet(&self) -> Option<(&'static str, u64)> {
        let keys: [(&'static str, &NotYet); 4] = [
            (
                "performance.cache.metadata_cache_size",
                &self.cache.metadata_cache_size,
            ),
            (
                "performance.cache.component_cache_size",
                &self.cache.component_cache_size,
            ),
            ("performance.cache.ttl", &self.cache.ttl),
            ("performance.memory.gc_interval", &self.memory.gc_interval),
        ];
        keys.into_iter()
            .find_map(|(key, value)| value.as_ref().map(|value| (key, value.referenced.line())))
    }
}
