//! What one policy allows and another does not.

use super::ask::By;
use super::{Policy, Variable};

impl Policy {
    /// What this one allows and the other does not, a text for each line of either that makes the difference.
    ///
    /// Lines are compared by what they mean: `{host: https://a.com}` is within `{host: "*.com"}` once there. Several lines of the other that
    /// only together allow what one line here does are not joined: then more is told than there is, never less.
    pub fn beyond(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut tell = |by: &By, denied: bool| {
            let text = match denied {
                true => format!("what {by} denies"),
                false => by.to_string(),
            };
            found.push(text);
        };
        for rule in &self.network().allow {
            if !other
                .network()
                .allow
                .iter()
                .any(|others| others.includes(rule))
            {
                tell(&rule.by, false);
            }
        }
        for entry in &self.storage().allow {
            if !other
                .storage()
                .allow
                .iter()
                .any(|others| others.includes(entry))
            {
                tell(&entry.by, false);
            }
        }
        for deny in &other.network().deny {
            if !self.network().deny.iter().any(|own| own.includes(deny)) {
                tell(&deny.by, true);
            }
        }
        for deny in &other.storage().deny {
            if !self.storage().deny.iter().any(|own| own.includes(deny)) {
                tell(&deny.by, true);
            }
        }
        let same = |own: &Variable, others: &Variable| {
            own.key == others.key && own.source == others.source
        };
        for variable in self.environment() {
            if !other
                .environment()
                .iter()
                .any(|others| same(variable, others))
            {
                tell(variable.by(), false);
            }
        }
        self.budgets_beyond(other, &mut found);
        found
    }

    fn budgets_beyond(&self, other: &Self, found: &mut Vec<String>) {
        let (own, others) = (self.budgets(), other.budgets());
        for (key, limit) in others.entries() {
            let (_, value) = own.entries().find(|(name, _)| *name == key).unzip();
            match value {
                Some(value) if value > limit => {
                    found.push(format!("{key} {value} instead of {limit}"))
                }
                Some(_) => {}
                None => found.push(format!(
                    "{key} without a bound of its own instead of {limit}"
                )),
            }
        }
    }
}
