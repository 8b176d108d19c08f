//! The configuration: one strict YAML file, overlaid by the command line.
//!
//! An unknown key is an error that names its line and the nearest valid key. A key that is known but not implemented is refused,
//! never ignored. Values carry units. What comes out is complete: every default is filled in and every relation is checked.
#![forbid(unsafe_code)]

mod audit;
mod auth;
mod auth_document;
mod choices;
mod document;
mod hardening;
mod limits_document;
mod management;
mod paths;
mod permissions;
mod pinning;
mod rates;
mod rates_document;
mod refusal;
mod rules;
mod rules_document;
mod secret_document;
mod secrets;
#[cfg(test)]
mod tests;
mod tls;
mod upstream_auth_document;
mod upstreams;
mod upstreams_document;
mod values;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_saphyr::Spanned;

use super::secrets::StorePlace;
use crate::component::ComponentOptions;
use crate::control::auth::AuthOptions;
use crate::control::pins::PinOptions;
use crate::control::policies::{PolicySource, ProfileOptions};
pub(crate) use crate::error::nearest;
use crate::error::{Problem, exit};
use crate::limits::Limits;
use crate::policy::auth::Resource;
use crate::policy::{RateOptions, RuleOptions};
use crate::upstream::settings::Upstream;
pub use audit::{AuditSettings, WhenFull};
pub(crate) use auth::{parse_date, parse_keys, show_date};
pub use choices::{
    Instances, Io, LogFormat, LogLevel, ManagementTools, Network, Overrides, Profile,
};
use document::Document;
pub use hardening::Hardening;
pub use paths::default_component_dir;
pub use pinning::Sanitize;
pub(super) use refusal::invalid;
pub use tls::{ClientCertificates, Tls, TlsVersion};
pub(crate) use values::{parse_span, show_size};

/// Bytes of a configuration file. All keys with their comments are a hundredth of it.
const FILE_BYTES_MAX: usize = 1 << 20;

/// A complete, checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where MCP is served.
    pub listen: SocketAddr,
    /// Where metrics and health are served; `None` when switched off.
    pub admin: Option<SocketAddr>,
    /// TLS of where MCP is served; none: plain HTTP.
    pub tls: Option<Tls>,
    /// TLS of the admin listener.
    pub admin_tls: Option<Tls>,
    /// Shards, at least one.
    pub shards: usize,
    /// How sockets are driven.
    pub io: Io,
    /// Threads that finish calls which outlive their slice, at least one.
    pub workers: usize,
    /// Component files named one by one.
    pub components: Vec<PathBuf>,
    /// A manifest of more of them, with their digests and permissions.
    pub manifest: Option<PathBuf>,
    /// Whether the others of a manifest are served where one cannot be.
    pub continue_on_provisioning_failure: bool,
    /// The directory of loaded components, watched while serving; `None` when only the named files are served.
    pub component_dir: Option<PathBuf>,
    /// What was chosen about components, by their names; the others have the defaults.
    pub component_options: BTreeMap<String, ComponentOptions>,
    /// The policies of components that do not have theirs beside them, by their names.
    pub component_policies: BTreeMap<String, PolicySource>,
    /// What narrows permissions for some callers.
    pub permission_profiles: Vec<ProfileOptions>,
    /// Whether the demo components are served when the directory is empty: nobody said what to serve.
    pub demo: bool,
    /// Where compiled code is kept.
    pub cache_dir: PathBuf,
    /// Where what outlives a restart is kept: the key of request states.
    pub state_dir: PathBuf,
    /// The audit log, where one is kept.
    pub audit: Option<AuditSettings>,
    /// Where the encrypted store of secrets is, and what opens it.
    pub secrets: StorePlace,
    /// A key of request states that several replicas share; `None`: one of our own, in `state_dir`.
    pub request_state_key_file: Option<PathBuf>,
    /// Whether the HTTP+SSE endpoints of 2024-11-05 are served too.
    pub http_sse: bool,
    /// How tools are pinned.
    pub pinning: PinOptions,
    /// Where texts are made harmless for terminals and readers.
    pub sanitize: Sanitize,
    /// Where the tools are that load components and grant permissions.
    pub management_tools: ManagementTools,
    /// Names under which the server may be called, beside loopback and the listen address.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may call the server, beside its own names.
    pub allowed_origins: Vec<String>,
    /// Who may call the data listener.
    pub auth: AuthOptions,
    /// Who may call the admin listener.
    pub admin_auth: AuthOptions,
    /// What authorization servers know this server by.
    pub resource: Option<Resource>,
    /// JSON Lines, one for each request; `None` writes none.
    pub access_log: Option<PathBuf>,
    /// How much is logged.
    pub log_level: LogLevel,
    /// How a log line looks.
    pub log_format: LogFormat,
    /// Options of the downstream sockets.
    pub network: Network,
    /// The upstreams, in order of name.
    pub upstreams: Vec<Upstream>,
    /// What the process gives up once it is started.
    pub hardening: Hardening,
    /// The file that this was read from.
    pub file: Option<PathBuf>,
    /// Who may do what.
    pub rules: RuleOptions,
    /// How often.
    pub rates: RateOptions,
    /// Every bound.
    pub limits: Limits,
}

impl Config {
    /// Reads `file`, if one is named, and overlays the command line.
    ///
    /// Errors: one line with the file, the line in it, the key, the value, the rule and the remedy.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, Problem> {
        let Some(path) = file else {
            return Self::read("", Path::new("margay.yaml"), false, overrides);
        };
        let text = read(path).map_err(|error| refusal::unreadable(path, &error))?;
        if text.len() > FILE_BYTES_MAX {
            return Err(refusal::too_large(path));
        }
        let config = Self::read(&text, path, true, overrides)?;
        let file = Some(path.to_owned());
        Ok(Self { file, ..config })
    }

    /// The same from a text; `path` is for messages, and relative paths in the text start at its folder.
    pub fn parse(text: &str, path: &Path, overrides: &Overrides) -> Result<Self, Problem> {
        Self::read(text, path, false, overrides)
    }

    fn read(
        text: &str,
        path: &Path,
        is_a_file: bool,
        overrides: &Overrides,
    ) -> Result<Self, Problem> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            reject_unsupported_tags: true,
            merge_keys: serde_saphyr::MergeKeyPolicy::Error,
        };
        let document: Document = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| refusal::invalid(path, &error))?;
        let file = Parsed {
            path,
            is_a_file,
            document,
        };
        let mut config = file.config(overrides)?;
        file.add_management(&mut config)?;
        Ok(config)
    }

    /// Whether the listener can be reached from another machine.
    pub fn is_exposed(&self) -> bool {
        !self.listen.ip().is_loopback()
    }
}

/// Reads another file of the operator's, as large as a configuration at most.
///
/// Errors: it cannot be read, or is larger.
pub(super) fn read_text(path: &Path) -> Result<String, Problem> {
    let text = read(path).map_err(|error| refusal::unreadable(path, &error))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(refusal::too_large(path));
    }
    Ok(text)
}

/// Reads a file, and no more of it than shows that it is too large: it may be a device without an end.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(FILE_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// A parsed file on its way to a [`Config`].
struct Parsed<'p> {
    path: &'p Path,
    /// Whether the path is where the document was read from.
    is_a_file: bool,
    document: Document,
}

impl Parsed<'_> {
    fn config(&self, overrides: &Overrides) -> Result<Config, Problem> {
        let document = &self.document;
        if let Some((key, line)) = document.performance.not_yet() {
            return Err(self.problem(
                Some(line),
                key,
                "",
                "is not implemented yet",
                "remove the key",
            ));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let limits = self.limits(overrides)?;
        let components = self.components(overrides);
        let given = document.manifest.as_ref().map(|path| self.relative(path));
        let manifest = overrides.manifest.clone().or(given);
        let upstreams = self.upstreams(overrides)?;
        let listen = pick(
            overrides.listen.as_deref(),
            document.listen.as_ref(),
            "127.0.0.1:8080",
        );
        let admin = pick(
            overrides.admin.as_deref(),
            document.admin.as_ref(),
            "127.0.0.1:9091",
        );
        let listen = self.address("listen", listen)?;
        let admin = match admin.0 {
            "off" => None,
            _ => Some(self.address("admin", admin)?),
        };
        let resource = self.resource()?;
        let (tls, admin_tls) = (self.tls(overrides)?, self.admin_tls()?);
        Ok(Config {
            auth: self.auth(listen, resource.as_ref(), tls.as_ref())?,
            admin_auth: self.admin_auth(admin, admin_tls.as_ref())?,
            resource,
            listen,
            pinning: self.pinning(self.state_dir(overrides), !listen.ip().is_loopback()),
            sanitize: self.sanitize(),
            admin,
            tls,
            admin_tls,
            shards: self.shards(overrides, cores)?,
            io: overrides.io.or(document.io).unwrap_or_default(),
            workers: self.workers(overrides, cores)?,
            demo: components.is_empty()
                && manifest.is_none()
                && upstreams.is_empty()
                && overrides.component_dir.is_none()
                && document.component_dir.is_none(),
            component_dir: self
                .component_dir(overrides, !components.is_empty() || manifest.is_some()),
            components,
            manifest,
            continue_on_provisioning_failure: overrides.continue_on_provisioning_failure
                || document.continue_on_provisioning_failure.unwrap_or(false),
            component_options: self.component_options(),
            component_policies: self.component_policies()?,
            permission_profiles: self.permission_profiles()?,
            cache_dir: self.cache_dir(overrides),
            state_dir: self.state_dir(overrides),
            secrets: self.secrets(overrides),
            audit: self.audit(overrides, !listen.ip().is_loopback())?,
            request_state_key_file: document
                .request_state_key_file
                .as_ref()
                .map(|path| self.relative(path)),
            http_sse: overrides.http_sse || document.http_sse.unwrap_or(false),
            management_tools: ManagementTools::Off,
            allowed_hosts: names(&overrides.allowed_hosts, document.allowed_hosts.as_deref()),
            allowed_origins: names(
                &overrides.allowed_origins,
                document.allowed_origins.as_deref(),
            ),
            access_log: overrides
                .access_log
                .clone()
                .or_else(|| document.access_log.as_ref().map(|path| self.relative(path))),
            log_level: overrides
                .log_level
                .or(document.log_level)
                .unwrap_or_default(),
            log_format: overrides
                .log_format
                .or(document.log_format)
                .unwrap_or_default(),
            network: self.network()?,
            upstreams,
            hardening: self.hardening(overrides)?,
            file: None,
            rules: self.rules()?,
            rates: self.rates(&limits)?,
            limits,
        })
    }

    /// Limits by rising precedence: default, profile, `limits:`, and `performance:`, which must not contradict `limits:`.
    fn limits(&self, overrides: &Overrides) -> Result<Limits, Problem> {
        let mut limits = Limits::default();
        match overrides.profile.or(self.document.profile) {
            Some(Profile::HighThroughput) => limits.request_count_max = 1_000,
            Some(Profile::LowLatency) => limits.request_count_max = 100,
            Some(Profile::Balanced) => limits.request_count_max = 500,
            None => {}
        }
        self.document.limits.apply(&mut limits);
        let performance = &self.document.performance;
        let (concurrency, memory) = (&performance.concurrency, &performance.memory);
        let count =
            |value: &Option<Spanned<usize>>| value.as_ref().map(|v| (v.value, v.referenced.line()));
        let size = |value: &Option<Spanned<values::Size>>| {
            value.as_ref().map(|v| (v.value.0, v.referenced.line()))
        };
        let aliases = [
            (
                "concurrency.max_concurrent_requests",
                count(&concurrency.max_concurrent_requests),
                "request_count_max",
                &mut limits.request_count_max,
            ),
            (
                "concurrency.queue_size",
                count(&concurrency.queue_size),
                "worker_queue_max",
                &mut limits.worker_queue_max,
            ),
            (
                "memory.buffer_pool_size",
                size(&memory.buffer_pool_size),
                "buffer_pool_bytes_max",
                &mut limits.buffer_pool_bytes_max,
            ),
            (
                "memory.max_message_size",
                size(&memory.max_message_size),
                "body_bytes_max",
                &mut limits.body_bytes_max,
            ),
        ];
        for (alias, given, key, limit) in aliases {
            let Some((value, line)) = given else { continue };
            if self.document.limits.line(key).is_some() && *limit != value {
                let rule = format!("contradicts limits.{key}, which is the same limit");
                let thing = format!("performance.{alias}");
                return Err(self.problem(
                    Some(line),
                    &thing,
                    &value.to_string(),
                    &rule,
                    "keep one of the two",
                ));
            }
            *limit = value;
        }
        if self.document.limits.line("ask_count_max").is_none() {
            // What nobody has set gives way to what somebody has.
            let most = limits_document::ask_count_most(&limits);
            limits.ask_count_max = limits.ask_count_max.min(most);
        }
        limits_document::check(&limits, &self.document.limits).map_err(|broken| {
            let key = format!("limits.{}", broken.key);
            self.problem(
                broken.line,
                &key,
                &broken.value,
                &broken.rule,
                "change one of them",
            )
        })?;
        Ok(limits)
    }

    fn shards(&self, overrides: &Overrides, cores: usize) -> Result<usize, Problem> {
        let line = self
            .document
            .shards
            .as_ref()
            .map(|given| given.referenced.line());
        let given = overrides
            .shards
            .or(self.document.shards.as_ref().map(|given| given.value))
            .unwrap_or(0);
        if given > 1_024 {
            let rule = "must not be above 1024";
            return Err(self.problem(
                line,
                "shards",
                &given.to_string(),
                rule,
                "use 0 for one shard a core",
            ));
        }
        Ok(if given == 0 { cores } else { given })
    }

    fn workers(&self, overrides: &Overrides, cores: usize) -> Result<usize, Problem> {
        let given = self
            .document
            .performance
            .concurrency
            .worker_threads
            .as_ref();
        let count = given.map_or(0, |given| given.value);
        if count > 1_024 {
            let key = "performance.concurrency.worker_threads";
            let line = given.map(|given| given.referenced.line());
            return Err(self.problem(
                line,
                key,
                &count.to_string(),
                "must not be above 1024",
                "use 0 for automatic",
            ));
        }
        let throughput =
            overrides.profile.or(self.document.profile) == Some(Profile::HighThroughput);
        Ok(match count {
            0 if throughput => cores * 2,
            0 => cores,
            _ => count,
        })
    }

    fn network(&self) -> Result<Network, Problem> {
        let network = &self.document.performance.network;
        let given = network.keep_alive_interval.as_ref();
        let interval = given.map_or(Duration::from_secs(30), |given| given.value.0);
        if interval < Duration::from_secs(1) || interval > Duration::from_secs(32_767) {
            let key = "performance.network.keep_alive_interval";
            let line = given.map(|given| given.referenced.line());
            let value = values::show_span(interval);
            return Err(self.problem(
                line,
                key,
                &value,
                "must be between 1s and 32767s",
                "use 30s",
            ));
        }
        Ok(Network {
            tcp_nodelay: network.tcp_nodelay.unwrap_or(true),
            keep_alive: network.keep_alive.unwrap_or(true).then_some(interval),
        })
    }

    fn component_options(&self) -> BTreeMap<String, ComponentOptions> {
        let options = self.document.component_options.iter();
        options
            .map(|(name, given)| {
                let instances = given.instances.into();
                let options = ComponentOptions {
                    instances,
                    ..ComponentOptions::default()
                };
                (name.clone(), options)
            })
            .collect()
    }

    fn address(&self, key: &str, (text, line): (&str, Option<u64>)) -> Result<SocketAddr, Problem> {
        let found = text
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next());
        found.ok_or_else(|| {
            self.problem(
                line,
                key,
                text,
                "is not an address",
                "write it like 127.0.0.1:8080 or [::1]:8080",
            )
        })
    }

    fn problem(
        &self,
        line: Option<u64>,
        key: &str,
        value: &str,
        rule: &str,
        remedy: &str,
    ) -> Problem {
        // Without a line the value came from the command line or from a default.
        let (thing, exit_code) = match line {
            Some(line) => (
                format!("{} line {line}: {key}", self.path.display()),
                exit::CONFIG,
            ),
            None => (key.to_owned(), exit::USAGE),
        };
        Problem::operator(exit_code, thing, value, rule, remedy)
    }
}

/// Holds the promises of [`Config::parse`] on any text: no panic, and one line of words for each refusal.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Err(problem) = Config::parse(text, Path::new("margay.yaml"), &Overrides::default()) {
        let shown = problem.to_string();
        assert!(
            !shown.is_empty() && !shown.contains('\n'),
            "not one line: {shown:?}"
        );
    }
}

fn pick<'v>(
    flag: Option<&'v str>,
    key: Option<&'v Spanned<String>>,
    default: &'v str,
) -> (&'v str, Option<u64>) {
    match (flag, key) {
        (Some(flag), _) => (flag, None),
        (None, Some(key)) => (key.value.as_str(), Some(key.referenced.line())),
        (None, None) => (default, None),
    }
}

fn names(flags: &[String], keys: Option<&[Spanned<String>]>) -> Vec<String> {
    if flags.is_empty() {
        return keys
            .unwrap_or_default()
            .iter()
            .map(|key| key.value.clone())
            .collect();
    }
    flags.to_vec()
}
