//! What an operator chooses about one component.

use std::sync::Arc;

use crate::policy::permission::{Policy, Profiles};

/// How long an instance of a component lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InstanceMode {
    /// For one call: nothing of a call can be seen by the next. The default.
    #[default]
    Fresh,
    /// For one legacy session; a call without a session has an instance of its own.
    PerSession,
    /// For the life of the component: one for everybody.
    Singleton,
}

impl InstanceMode {
    /// The words of the configuration file.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("fresh", Self::Fresh),
        ("per-session", Self::PerSession),
        ("singleton", Self::Singleton),
    ];

    /// The word in the configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::PerSession => "per-session",
            Self::Singleton => "singleton",
        }
    }
}

/// What an operator chooses about one component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentOptions {
    /// How long its instances live.
    pub instances: InstanceMode,
    /// What it may reach; without a policy, nothing.
    pub policy: Option<Arc<Policy>>,
    /// What narrows that for some callers.
    pub profiles: Profiles,
}
