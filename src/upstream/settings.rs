//! What an operator says of one upstream, complete and checked.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::credential::AuthSettings;
use super::http::{PoolRules, Url};
use super::naming::{Glob, NameRules};
use super::stdio::ResourceLimits;
use super::tls::TlsOptions;
use crate::policy::{BreakerRules, BudgetRules, HealthRules, OutlierRules, Strategy};
use crate::secret::SecretRef;

/// One upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its name, which may stand in front of its tools' names.
    pub name: String,
    /// Where it is.
    pub transport: Transport,
    /// Which era it speaks, where the operator knows.
    pub era: EraChoice,
    /// How a replica is chosen.
    pub balance: Strategy,
    /// When its circuit opens.
    pub breaker: BreakerRules,
    /// How it is checked.
    pub health: HealthCheck,
    /// When a replica is left out for its failures.
    pub outlier: OutlierRules,
    /// How many failed calls are made again.
    pub retry: BudgetRules,
    /// The bounds of time.
    pub timeouts: Timeouts,
    /// The time of one call, for tools whose names match: the first pattern counts.
    pub tool_timeouts: Vec<(Glob, Duration)>,
    /// After which time a call that may be made twice is made at another place, too; the first answer counts. None: never.
    pub hedge_after: Option<Duration>,
    /// Its connections.
    pub pool: PoolRules,
    /// How many requests leave at once.
    pub batching: Batching,
    /// Under which names its tools are offered.
    pub names: NameRules,
    /// What becomes of the catalogue while it is down.
    pub fail: FailMode,
    /// Whether callers share its connections, sessions and processes.
    pub sharing: Sharing,
    /// The upstream that is called instead while its circuit is open.
    pub fallback: Option<String>,
    /// Where the credential for it comes from, beside its header fields.
    pub auth: Option<AuthSettings>,
}

impl Upstream {
    /// One of which nothing is said but where it is.
    pub fn new(name: &str, transport: Transport) -> Self {
        Self {
            name: name.to_owned(),
            transport,
            era: EraChoice::default(),
            balance: Strategy::default(),
            breaker: BreakerRules {
                failure_threshold: 5,
                recovery_ms: 10_000,
                probe_count: 1,
            },
            health: HealthCheck {
                rules: Some(HealthRules::default()),
                probe: Probe::default(),
                timeout: Duration::from_secs(5),
            },
            outlier: OutlierRules::default(),
            retry: BudgetRules::default(),
            timeouts: Timeouts::default(),
            pool: PoolRules::default(),
            batching: Batching::default(),
            names: NameRules::default(),
            fail: FailMode::default(),
            sharing: Sharing::default(),
            fallback: None,
            auth: None,
            tool_timeouts: Vec::new(),
            hedge_after: None,
        }
    }

    /// The time of one call: of the tool of this name, as the upstream knows it, or of any other request.
    pub fn call_timeout(&self, tool: Option<&str>) -> Duration {
        let matching = tool.and_then(|tool| {
            let mut rules = self.tool_timeouts.iter();
            rules.find(|(pattern, _)| pattern.matches(tool))
        });
        matching.map_or(self.timeouts.call, |(_, timeout)| *timeout)
    }
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq)]
pub enum Transport {
    /// Over HTTP, in one place or in several that are alike.
    Http {
        /// The places; at least one.
        replicas: Vec<Replica>,
        /// Further header fields for every request: credentials, for one.
        headers: Vec<(String, HeaderValue)>,
        /// For `https`.
        tls: TlsOptions,
    },
    /// A child's standard input and output.
    Stdio(Command),
}

/// One place of an HTTP upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its endpoint.
    pub url: Url,
    /// Its share, for [`Strategy::WeightedRandom`] and [`Strategy::ConsistentHash`].
    pub weight: u32,
}

/// A header's value. A secret is read when it is needed, and stands in no configuration.
#[derive(Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// The value itself.
    Text(String),
    /// Where it is kept.
    Secret(SecretRef),
}

impl std::fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("…"),
            Self::Secret(place) => write!(f, "{place:?}"),
        }
    }
}

/// What is run for a stdio upstream.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// The program: a path, or a name that is looked for in `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables that it gets.
    pub environment: BTreeMap<String, String>,
    /// Variables of ours that it gets beside the usual ones.
    pub pass_environment: Vec<String>,
    /// Where it starts.
    pub directory: Option<PathBuf>,
    /// What it may use.
    pub limits: ResourceLimits,
}

/// The values of variables are often secrets.
impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("environment", &self.environment.keys())
            .field("directory", &self.directory)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Which era an upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EraChoice {
    /// It is found out.
    #[default]
    Auto,
    /// Modern.
    Modern,
    /// Legacy.
    Legacy,
}

/// How an upstream is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// When, and how many checks change a mind; `None`: it is not checked.
    pub rules: Option<HealthRules>,
    /// What is asked.
    pub probe: Probe,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// What a health check asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// `ping` of a legacy upstream, `server/discover` of a modern one.
    #[default]
    Protocol,
    /// A GET of this path; 2xx is good.
    Http(String),
}

/// What becomes of the catalogue while an upstream is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailMode {
    /// The lists are served without it.
    #[default]
    Open,
    /// The lists fail: a client must not take a part for the whole.
    Closed,
}

/// Whether callers share what leads to an upstream. Legacy sessions are one caller's always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// They share connections and processes.
    #[default]
    Shared,
    /// Each session has its own.
    PerSession,
}

/// How many requests leave for one connection at once. Nothing ever waits for others to come: what is joined is what is ready
/// in the same turn of the loop anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Whether requests that are ready in one turn of the loop leave in one write.
    pub enabled: bool,
    /// The most of them; at least 1.
    pub size_max: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            enabled: true,
            size_max: 64,
        }
    }
}

/// The bounds of time of calls to one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, handshake of TLS included, or for a child to start.
    pub connect: Duration,
    /// From a request to the head of its answer.
    pub head: Duration,
    /// For one call, retries and questions included.
    pub call: Duration,
    /// Between two bytes of a stream of events.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            head: Duration::from_secs(30),
            call: Duration::from_secs(60),
            silence: Duration::from_secs(300),
        }
    }
}
