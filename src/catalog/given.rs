//! Names given out: each once, and to whom the rules give it.

use std::collections::{HashMap, HashSet};

use crate::component::Component;
use crate::upstream::naming::Prefix;
use crate::upstream::remote::Remote;

use super::names::{qualified, unused};

/// The names of one kind, tools or prompts. First everybody says what he wants, then names are given in the same order.
#[derive(Debug, Default)]
pub(super) struct Names {
    wanted: HashMap<Box<str>, usize>,
    given: HashSet<Box<str>>,
}

impl Names {
    /// A component has something of this name.
    pub(super) fn want(&mut self, name: &str) {
        *self.wanted.entry(name.into()).or_default() += 1;
    }

    /// An upstream has something of this name, which its rules may call otherwise or not offer.
    pub(super) fn want_of(&mut self, remote: &Remote, name: &str) {
        let rules = &remote.settings.names;
        if rules.offers(name) {
            self.want(&rules.offered_name(remote.name(), name, |_| false));
        }
    }

    fn is_shared(&self, name: &str) -> bool {
        self.wanted.get(name).is_some_and(|count| *count > 1)
    }

    /// The name under which a component's is offered: its own, or `COMPONENT__NAME` where others want the same.
    pub(super) fn give(&mut self, component: &Component, name: &str) -> Box<str> {
        let wanted = match self.is_shared(name) {
            true => qualified(component.name(), name),
            false => name.to_owned(),
        };
        let given = unused(wanted, |name| self.given.contains(name)).into_boxed_str();
        self.given.insert(given.clone());
        given
    }

    /// The name under which an upstream's is offered, by its rules; none where it is not offered.
    pub(super) fn give_of(&mut self, remote: &Remote, kind: &str, name: &str) -> Option<Box<str>> {
        let rules = &remote.settings.names;
        if !rules.offers(name) {
            return None;
        }
        let mut given = rules.offered_name(remote.name(), name, |plain| self.is_shared(plain));
        if self.given.contains(given.as_str()) && rules.prefix == Prefix::Auto {
            // Another's name came to be the same only by its own prefix.
            given = rules.offered_name(remote.name(), name, |_| true);
        }
        let given = given.into_boxed_str();
        if self.given.insert(given.clone()) {
            return Some(given);
        }
        tracing::warn!(
            upstream = remote.name(),
            kind,
            name,
            "is not offered: another that comes first is called `{given}`; change upstreams.{}.prefix, or give it a name with rename",
            remote.name()
        );
        None
    }
}
