//! A caller as a shard knows it: its identity, with what would otherwise be made anew for each of its requests.
//!
//! One shard's own copy: a count of references that all shards share would be written by all of them.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::component::{Behalf, Component};
use crate::mcp::Principal;
use crate::policy::permission::Profiles;
use crate::policy::{Class, Identity, RuleSet};

/// A caller.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) identity: Identity,
    /// [`Identity::name`]; none for whoever was not asked.
    pub(super) name: Option<Arc<str>>,
    /// For components, where nothing is narrowed.
    behalf: Option<Arc<Behalf>>,
    /// By the rules that were asked last, which hardly ever are others.
    class: Cell<Option<Class>>,
}

impl Known {
    pub(super) fn new(identity: Identity) -> Self {
        let name = match identity.principal {
            Principal::ANONYMOUS => None,
            _ => Some(identity.name().into()),
        };
        Self::named(identity, name)
    }

    fn named(identity: Identity, name: Option<Arc<str>>) -> Self {
        let behalf = Behalf::of(&Profiles::default(), &identity, name.as_ref());
        Self {
            behalf: behalf.map(Arc::new),
            identity,
            name,
            class: Cell::new(None),
        }
    }

    /// Its class, which says what lists it is shown.
    pub(super) fn class(&self, rules: &RuleSet) -> Class {
        if let Some(class) = self.class.get().filter(|class| rules.has(*class)) {
            return class;
        }
        let class = rules.class(&self.identity);
        self.class.set(Some(class));
        class
    }

    /// For whom a component works when it works for this caller.
    pub(super) fn behalf(&self, component: &Component) -> Option<Arc<Behalf>> {
        let profiles = &component.options().profiles;
        if profiles.is_empty() {
            return self.behalf.clone();
        }
        Behalf::of(profiles, &self.identity, self.name.as_ref()).map(Arc::new)
    }

    /// Whoever it is, where nobody is asked.
    pub(super) fn anonymous() -> Rc<Self> {
        Rc::new(Self::new(Identity::anonymous()))
    }

    /// Somebody who was not asked yet: nobody's sessions are his.
    pub(super) fn nobody() -> Rc<Self> {
        let identity = Identity {
            principal: Principal(u128::MAX),
            subject: "nobody".into(),
            ..Identity::anonymous()
        };
        Rc::new(Self::named(identity, None))
    }

    pub(super) fn principal(&self) -> Principal {
        self.identity.principal
    }

    /// The name for the audit log.
    pub(super) fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or("anonymous")
    }
}

/// Who asks, and from where.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) known: Rc<Known>,
    pub(super) address: Option<IpAddr>,
}

impl Caller {
    /// Somebody who was not asked who it is, of no address.
    pub(super) fn anonymous() -> Self {
        Self {
            known: Known::anonymous(),
            address: None,
        }
    }

    pub(super) fn principal(&self) -> Principal {
        self.known.principal()
    }
}
