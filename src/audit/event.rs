//! One thing that happened, as the audit log has it.

use std::net::IpAddr;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody showed, or failed to show, who it is.
    AuthenticationAttempt,
    /// A rule was asked about a request.
    AuthorizationCheck,
    /// A legacy session began.
    SessionCreated,
    /// A legacy session ended.
    SessionTerminated,
    /// The configuration, a policy or an approval was changed.
    ConfigurationChanged,
    /// Something was tried that must not be: a capability without a grant, a changed tool, a forbidden host.
    SecurityViolation,
    /// A rate limit refused a request.
    RateLimitExceeded,
    /// The circuit breaker of an upstream opened or closed.
    CircuitBreakerStateChange,
    /// A secret was given to somebody.
    SensitiveDataAccess,
    /// The appliance began to serve.
    SystemStartup,
    /// The appliance ended.
    SystemShutdown,
    /// A component was loaded.
    ComponentLoad,
    /// A component was removed.
    ComponentUnload,
    /// A tool was called, of a component or of an upstream.
    ComponentInvocation,
    /// A component failed: a trap, a limit.
    ComponentError,
}

impl Kind {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationAttempt => "AuthenticationAttempt",
            Self::AuthorizationCheck => "AuthorizationCheck",
            Self::SessionCreated => "SessionCreated",
            Self::SessionTerminated => "SessionTerminated",
            Self::ConfigurationChanged => "ConfigurationChanged",
            Self::SecurityViolation => "SecurityViolation",
            Self::RateLimitExceeded => "RateLimitExceeded",
            Self::CircuitBreakerStateChange => "CircuitBreakerStateChange",
            Self::SensitiveDataAccess => "SensitiveDataAccess",
            Self::SystemStartup => "SystemStartup",
            Self::SystemShutdown => "SystemShutdown",
            Self::ComponentLoad => "ComponentLoad",
            Self::ComponentUnload => "ComponentUnload",
            Self::ComponentInvocation => "ComponentInvocation",
            Self::ComponentError => "ComponentError",
        }
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was done, or allowed.
    #[default]
    Ok,
    /// It was refused.
    Denied,
    /// It was allowed, and failed.
    Failed,
}

impl Outcome {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// One thing that happened. What is empty is left out of the log.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What kind of thing.
    pub kind: Kind,
    /// How it went.
    pub outcome: Outcome,
    /// Whose doing: [`crate::policy::Identity::name`].
    pub principal: &'a str,
    /// The address it came from.
    pub source: Option<IpAddr>,
    /// The MCP method, or the capability that was asked for.
    pub method: &'a str,
    /// The tool, the component, the upstream, the file, the host: what it was about.
    pub target: &'a str,
    /// The rule that decided: its name, or its file and line; or that there is none.
    pub rule: &'a str,
    /// SHA-256 of the component, in hexadecimal.
    pub component_digest: &'a str,
    /// SHA-256 of the arguments' text as it came.
    pub arguments_hash: Option<[u8; 32]>,
    /// Anything else, without secrets.
    pub detail: &'a str,
}

impl Event<'_> {
    /// An event of this kind about which nothing else is known.
    pub fn new(kind: Kind, outcome: Outcome) -> Self {
        Self {
            kind,
            outcome,
            principal: "",
            source: None,
            method: "",
            target: "",
            rule: "",
            component_digest: "",
            arguments_hash: None,
            detail: "",
        }
    }
}
