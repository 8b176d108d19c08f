//! What was granted to a component, and for whom a call is made.

use std::fmt;
use std::sync::Arc;

use hyper::http::{HeaderName, HeaderValue};

use crate::error::{Problem, exit};
use crate::policy::Identity;
use crate::policy::permission::{
    Ask, Budgets, By, Decide, Decider, Policy, Profiles, Root, Source, Verdict,
};
use crate::secret::{Resolve, Secret, SecretRef, Shape};

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

impl Grants {
    /// What a policy grants.
    ///
    /// Shape: `own` tells a variable that is to be passed on: of our own environment, or of what the operator set. Reads secrets: blocks.
    /// Errors: a secret that is not there.
    pub fn of(
        policy: &Arc<Policy>,
        secrets: &dyn Resolve,
        own: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problem> {
        let thing = |what: &str| format!("{}: {what}", policy.name());
        let mut environment: Vec<(Box<str>, Value)> = Vec::new();
        for variable in policy.environment() {
            let value = match &variable.source {
                Source::Own => own(&variable.key).map(Value::Plain),
                Source::Variable(name) => own(name).map(Value::Plain),
                Source::Secret(from) => {
                    let secret = secrets.secret(&thing(&variable.key), from, Shape::Text)?;
                    Some(Value::Secret(secret))
                }
            };
            // One that is not set is not there for the component either.
            if let Some(value) = value {
                environment.push((variable.key.clone(), value));
            }
        }
        Ok(Self {
            roots: policy.roots(),
            environment,
            budgets: policy.budgets(),
            reaches_network: policy.has_network(),
            injector: injector(policy, secrets)?,
            decider: Arc::<Policy>::clone(policy),
        })
    }
}

/// The headers of a policy, with their secrets as they are now.
fn injector(policy: &Arc<Policy>, secrets: &dyn Resolve) -> Result<Option<Injector>, Problem> {
    let mut values: Vec<(SecretRef, Secret)> = Vec::new();
    for injection in policy.injections() {
        let thing = format!("{}: header {}", policy.name(), injection.header);
        let secret = secrets.secret(&thing, &injection.secret, Shape::Line)?;
        if HeaderValue::try_from(injection.value(&secret).reveal()).is_err() {
            return Err(Problem::operator(
                exit::CONFIG,
                thing,
                injection.secret.to_string(),
                "has characters that no header has",
                "keep the secret as one line of printable text",
            ));
        }
        values.push((injection.secret.clone(), secret));
    }
    if values.is_empty() {
        return Ok(None);
    }
    let policy = Arc::clone(policy);
    Ok(Some(Arc::new(move |ask| {
        let applying = policy.injections_for(ask).into_iter();
        applying
            .filter_map(|injection| {
                let (_, secret) = values.iter().find(|(from, _)| *from == injection.secret)?;
                let name = HeaderName::try_from(&*injection.header).ok()?;
                let mut value = HeaderValue::try_from(injection.value(secret).reveal()).ok()?;
                value.set_sensitive(true);
                Some((name, value))
            })
            .collect()
    })))
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
#[derive(Clone)]
pub struct Behalf {
    /// The caller's name: [`Identity::name`](crate::policy::Identity::name).
    pub principal: Arc<str>,
    /// What narrows the component's grants for this caller; it and they must allow.
    pub narrow: Option<Decider>,
    /// Budgets that hold beside the component's.
    pub budgets: Budgets,
}

impl Behalf {
    /// A caller, as far as it narrows a component's grants or has a name; nothing, if it does neither.
    ///
    /// Shape: `name` is [`Identity::name`], for callers who were asked who they are.
    pub fn of(profiles: &Profiles, identity: &Identity, name: Option<&Arc<str>>) -> Option<Self> {
        if profiles.is_empty() && name.is_none() {
            return None;
        }
        let name = name.map_or_else(|| identity.name().into(), Arc::clone);
        Some(Self::narrowed(name, profiles.of(identity)))
    }

    /// A caller for whom these narrow every component's grants.
    pub fn narrowed(principal: Arc<str>, policies: Arc<[Arc<Policy>]>) -> Self {
        let all = policies.iter().map(|policy| policy.budgets());
        let budgets = all.fold(Budgets::default(), |least, own| least.and(&own));
        let narrow: Option<Decider> = match policies.is_empty() {
            true => None,
            false => Some(Arc::new(All(policies))),
        };
        Self {
            principal,
            narrow,
            budgets,
        }
    }
}

/// Several policies, each of which must allow.
struct All(Arc<[Arc<Policy>]>);

impl Decide for All {
    fn decide(&self, ask: &Ask<'_>) -> Verdict {
        let mut last = Verdict::denied(By::NoRule);
        for policy in self.0.iter() {
            last = policy.decide(ask);
            if !last.is_allowed {
                break;
            }
        }
        last
    }
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
