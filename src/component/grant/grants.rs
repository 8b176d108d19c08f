//! What was granted to a component, and for whom a call is made.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::http::{HeaderName, HeaderValue};

use crate::policy::permission::{Ask, Budgets, Decider};
use crate::secret::Secret;

/// A directory that a component is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Where it is. For a file it is the directory of that file.
    pub path: PathBuf,
    /// What the component calls it.
    pub guest: String,
}

/// The value of a granted variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// To be seen by anybody.
    Plain(String),
    /// A secret that was granted: the component is given it, the audit log is told.
    Secret(Secret),
}

impl Value {
    pub(super) fn reveal(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.reveal(),
        }
    }
}

/// The headers that the host adds to a request that was allowed; their values are marked as sensitive.
pub type Injector = Arc<dyn Fn(&Ask<'_>) -> Vec<(HeaderName, HeaderValue)> + Send + Sync>;

/// What a component was granted. What is not here it has not.
#[derive(Clone)]
pub struct Grants {
    /// Who decides.
    pub decider: Decider,
    /// The directories to show; what may be done in them is asked for each path.
    pub roots: Vec<Root>,
    /// The granted variables: in the environment, and in `wasi:config`.
    pub environment: Vec<(Box<str>, Value)>,
    /// What one call may use up.
    pub budgets: Budgets,
    /// Whether any line is about the network: without one, no socket is made.
    pub reaches_network: bool,
    /// Headers with secrets.
    pub injector: Option<Injector>,
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants")
            .field("roots", &self.roots)
            .field("environment", &self.environment)
            .field("budgets", &self.budgets)
            .field("reaches_network", &self.reaches_network)
            .finish_non_exhaustive()
    }
}

/// For whom a call is made, as far as its permissions and the audit log go.
#[derive(Clone, Default)]
pub struct Behalf {
    /// The caller's name: [`Identity::name`](crate::policy::Identity::name).
    pub principal: Arc<str>,
    /// What narrows the component's grants for this caller; it and they must allow.
    pub narrow: Option<Decider>,
    /// Budgets that hold beside the component's.
    pub budgets: Budgets,
}

impl fmt::Debug for Behalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behalf")
            .field("principal", &self.principal)
            .field("is_narrowed", &self.narrow.is_some())
            .field("budgets", &self.budgets)
            .finish()
    }
}
