//! Several policies as one: each must allow.

use std::sync::Arc;

use super::ask::{Access, Ask, By, Verdict};
use super::place::decide_place;
use super::{Budgets, Decide, Injection, Policy, Root, Variable};

/// What a caller may have a component do: what the component's policy grants, and every narrowing leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    policy: Option<Arc<Policy>>,
    narrowed: Arc<[Arc<Policy>]>,
}

impl Effective {
    /// Without a policy nothing is granted.
    pub fn new(policy: Option<Arc<Policy>>, narrowed: Arc<[Arc<Policy>]>) -> Self {
        Self { policy, narrowed }
    }

    /// The component's policy.
    pub fn policy(&self) -> Option<&Arc<Policy>> {
        self.policy.as_ref()
    }

    /// The places of the storage to show; what may be done in them is asked for each path.
    pub fn roots(&self) -> Vec<Root> {
        self.policy
            .as_ref()
            .map(|policy| policy.roots())
            .unwrap_or_default()
    }

    /// The variables that are left.
    pub fn environment(&self) -> impl Iterator<Item = &Variable> {
        let granted = self
            .policy
            .as_ref()
            .map(|policy| policy.environment())
            .unwrap_or_default();
        let is_left = |variable: &&Variable| {
            self.decide(&Ask::Environment { key: &variable.key })
                .is_allowed
        };
        granted.iter().filter(is_left)
    }

    /// The lowest of each budget.
    pub fn budgets(&self) -> Budgets {
        let all = self.policy.iter().chain(self.narrowed.iter());
        all.fold(Budgets::default(), |least, policy| {
            least.and(&policy.budgets())
        })
    }

    /// What is decided about a place with several names.
    pub fn place(&self, access: Access, names: &[String]) -> Verdict {
        let Some(policy) = &self.policy else {
            return Verdict::denied(By::NoRule);
        };
        let granted = decide_place(&**policy, access, names);
        if !granted.is_allowed {
            return granted;
        }
        let narrowed = self.narrowed.iter();
        let verdicts = narrowed.map(|policy| decide_place(&**policy, access, names));
        let mut denying = verdicts.filter(|verdict| !verdict.is_allowed);
        denying.next().unwrap_or(granted)
    }

    /// The headers to add to a request that was allowed.
    pub fn injections_for(&self, ask: &Ask<'_>) -> Vec<&Injection> {
        match &self.policy {
            Some(policy) => policy.injections_for(ask),
            None => Vec::new(),
        }
    }
}

impl Decide for Effective {
    /// The line is the one that denies, or else the one that grants.
    fn decide(&self, ask: &Ask<'_>) -> Verdict {
        let Some(policy) = &self.policy else {
            return Verdict::denied(By::NoRule);
        };
        let granted = policy.decide(ask);
        if !granted.is_allowed {
            return granted;
        }
        let denying = self
            .narrowed
            .iter()
            .map(|policy| policy.decide(ask))
            .find(|verdict| !verdict.is_allowed);
        denying.unwrap_or(granted)
    }
}
