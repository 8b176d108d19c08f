//! What a `subscriptions/listen` hears of.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::mcp::reply::{self, Honoured};
use crate::mcp::route::ListenFilter;
use crate::mcp::{Changes, InlineId, List, RawId, Reason, SubscribeError, Subscriptions, Told};

use super::Shared;

/// What a `subscriptions/listen` wants to hear of, and what it was told.
pub(super) struct Listen {
    pub(super) id: InlineId,
    /// Tools, prompts, resources.
    pub(super) lists: [bool; 3],
    pub(super) told: Told,
    pub(super) subscriptions: Subscriptions,
}

/// The lists whose changes are told: tools, prompts, resources.
struct Wants([bool; 3]);

impl Wants {
    fn has(&self, list: List) -> bool {
        let Self([tools, prompts, resources]) = *self;
        match list {
            List::Tools => tools,
            List::Prompts => prompts,
            List::Resources | List::Templates => resources,
            List::Tasks => false,
        }
    }
}

impl Listen {
    /// Calls `each` with a message about each thing that has changed since the last time, until it takes no more.
    pub(super) fn news(&mut self, changes: &Changes, mut each: impl FnMut(&[u8]) -> bool) {
        let (id, wants) = (self.id, Wants(self.lists));
        let mut message = Vec::new();
        self.told.news(changes, |list| {
            message.clear();
            reply::list_changed(&mut message, list, Some(&id));
            // What was not asked for counts as told.
            !wants.has(list) || each(&message)
        });
        self.subscriptions.news(|uri| {
            message.clear();
            reply::resource_updated(&mut message, uri, Some(&id));
            each(&message)
        });
    }

    /// What of a filter can be heard of here, and the resources among it.
    ///
    /// Errors: it wants to follow more resources than it may.
    pub(super) fn new(
        shared: &Shared,
        catalog: &Catalog,
        id: &RawId<'_>,
        filter: &ListenFilter<'_>,
    ) -> Result<(Self, Vec<Box<str>>), Reason<'static>> {
        let offer = catalog.offer();
        let (changes, budget) = (shared.sessions.changes(), shared.sessions.kept_bytes());
        // Before what there is is looked at: a change from here on is told.
        let told = changes.now();
        let mut subscriptions = Subscriptions::new(Arc::clone(changes), Arc::clone(budget));
        let mut followed = Vec::new();
        for uri in filter.resource_subscriptions() {
            let uri = uri.to_cow();
            let before = subscriptions.len();
            if catalog.resource(&uri).is_some() {
                let count_max = shared.limits.subscription_count_max;
                subscriptions.add(&uri, count_max).map_err(too_many)?;
            }
            if subscriptions.len() > before {
                followed.push(uri.into());
            }
        }
        let listen = Self {
            id: InlineId::new(id),
            lists: [
                filter.tools && offer.tools,
                filter.prompts && offer.prompts,
                filter.resources && offer.resources,
            ],
            told,
            subscriptions,
        };
        Ok((listen, followed))
    }

    /// The acknowledgement's words for it.
    pub(super) fn honoured<'a>(&self, followed: &'a [Box<str>]) -> Honoured<'a> {
        Honoured {
            tools: self.lists[0],
            prompts: self.lists[1],
            resources: self.lists[2],
            resource_subscriptions: followed,
            task_ids: &[],
        }
    }
}

/// Why a subscription is refused.
pub(super) fn too_many(error: SubscribeError) -> Reason<'static> {
    let (limit, value) = match error {
        SubscribeError::Full { count_max } => ("limits.subscription_count_max", count_max),
        SubscribeError::Budget { bytes_max } => ("limits.event_bytes_max", bytes_max),
    };
    Reason::Overloaded { limit, value }
}
