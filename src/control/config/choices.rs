//! The choices that a configuration is made of, and what the command line says about them.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

use crate::component::InstanceMode;

/// How sockets are driven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Io {
    /// io_uring.
    #[default]
    Uring,
    /// epoll, for hosts that forbid io_uring; never chosen silently.
    Epoll,
}

/// A starting point for what is served at one time. Explicit keys win over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum Profile {
    /// 1000 requests at one time, two worker threads a core: deep queues, all cores busy.
    HighThroughput,
    /// 100 requests at one time: what does not fit is refused early instead of queued.
    LowLatency,
    /// 500 requests at one time.
    Balanced,
}

/// How long an instance of a component lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instances {
    /// For one call.
    #[default]
    Fresh,
    /// For one legacy session.
    PerSession,
    /// For the life of the component.
    Singleton,
}

impl From<Instances> for InstanceMode {
    fn from(instances: Instances) -> Self {
        match instances {
            Instances::Fresh => Self::Fresh,
            Instances::PerSession => Self::PerSession,
            Instances::Singleton => Self::Singleton,
        }
    }
}

/// Where the tools are that load components and grant permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManagementTools {
    /// Nowhere: it is done by commands.
    #[default]
    Off,
    /// At `/mcp` of the admin listener.
    AdminListener,
    /// There, and among all other tools.
    All,
}

/// How much is logged to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// What needs attention.
    Warn,
    /// What changed.
    #[default]
    Info,
    /// What was decided.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Options of the downstream sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Whether answers leave at once instead of waiting to be joined (TCP_NODELAY).
    pub tcp_nodelay: bool,
    /// Silence after which the kernel asks whether the peer still lives; `None` switches TCP keep-alive off.
    pub keep_alive: Option<Duration>,
}

/// What the command line says; `None` and empty leave the file's word or the default.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--admin`.
    pub admin: Option<String>,
    /// `--tls-cert`.
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`.
    pub tls_key: Option<PathBuf>,
    /// `--shards`.
    pub shards: Option<usize>,
    /// `--io`.
    pub io: Option<Io>,
    /// `--profile`.
    pub profile: Option<Profile>,
    /// `COMPONENT…`.
    pub components: Vec<PathBuf>,
    /// `--manifest`.
    pub manifest: Option<PathBuf>,
    /// `--continue-on-provisioning-failure`.
    pub continue_on_provisioning_failure: bool,
    /// `--component-dir`.
    pub component_dir: Option<PathBuf>,
    /// `--cache-dir`.
    pub cache_dir: Option<PathBuf>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// `--http-sse`.
    pub http_sse: bool,
    /// `--allowed-host`.
    pub allowed_hosts: Vec<String>,
    /// `--allowed-origin`.
    pub allowed_origins: Vec<String>,
    /// `--upstream`.
    pub upstreams: Vec<String>,
    /// `--access-log`.
    pub access_log: Option<PathBuf>,
    /// `--hardening`.
    pub hardening: Option<String>,
    /// `--log-level`.
    pub log_level: Option<LogLevel>,
    /// `--log-format`.
    pub log_format: Option<LogFormat>,
}
