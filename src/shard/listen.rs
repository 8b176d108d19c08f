//! What a `subscriptions/listen` hears of.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::{Catalog, Owner};
use crate::gateway::Word;
use crate::mcp::reply::{self, Honoured};
use crate::mcp::route::ListenFilter;
use crate::mcp::{
    Changes, InlineId, List, News, Principal, RawId, Reason, SubscribeError, Subscriptions, Told,
};
use crate::task::{Follow, wire};
use crate::upstream::remote::Remote;

use super::Shared;

/// What a `subscriptions/listen` wants to hear of, and what it was told.
pub(super) struct Listen {
    pub(super) id: InlineId,
    /// Tools, prompts, resources.
    pub(super) lists: [bool; 3],
    pub(super) told: Told,
    pub(super) subscriptions: Subscriptions,
    tasks: Vec<Follow>,
    /// Resources of upstreams, for as long as the stream is there.
    _upstreams: Vec<Following>,
}

/// A resource of an upstream that is followed until this is dropped.
struct Following {
    shared: Arc<Shared>,
    home: u16,
    follow: crate::gateway::Follow,
}

impl Following {
    /// None where there are no upstreams.
    fn begin(shared: &Arc<Shared>, remote: &Arc<Remote>, uri: &str) -> Option<Self> {
        let upstreams = shared.upstreams()?;
        let home = upstreams.feed_home(remote.index);
        let follow = crate::gateway::Follow {
            remote: Arc::clone(remote),
            uri: uri.into(),
            listener: upstreams.listener(),
            wanted: true,
        };
        shared.hand(home, Word::Follow(Box::new(follow.clone())));
        Some(Self {
            shared: Arc::clone(shared),
            home,
            follow,
        })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let follow = crate::gateway::Follow {
            wanted: false,
            ..self.follow.clone()
        };
        self.shared.hand(self.home, Word::Follow(Box::new(follow)));
    }
}

/// What of a filter is heard of, for its acknowledgement.
#[derive(Default)]
pub(super) struct Followed {
    resources: Vec<Box<str>>,
    tasks: Vec<Box<str>>,
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
    /// What its client `hears` nothing of is passed over.
    pub(super) fn news(
        &mut self,
        changes: &Changes,
        hears: impl Fn(News<'_>) -> bool,
        mut each: impl FnMut(&[u8]) -> bool,
    ) {
        let (id, wants) = (self.id, Wants(self.lists));
        let mut message = Vec::new();
        self.told.news(changes, |list| {
            message.clear();
            reply::list_changed(&mut message, list, Some(&id));
            // What was not asked for counts as told.
            !wants.has(list) || !hears(News::List(list)) || each(&message)
        });
        self.subscriptions.news(|uri| {
            message.clear();
            reply::resource_updated(&mut message, uri, Some(&id));
            !hears(News::Resource(uri)) || each(&message)
        });
        // The state of a task as it was found comes first: it may have changed before anybody listened.
        self.tasks.retain(|follow| !follow.is_over());
        for follow in &mut self.tasks {
            let Some(record) = follow.news() else {
                continue;
            };
            message.clear();
            wire::changed(&mut message, &id, &record);
            if !each(&message) {
                return;
            }
            follow.told(&record);
        }
    }

    /// What of a filter can be heard of here, by somebody who `hears` of it.
    ///
    /// Errors: it wants to follow more resources or tasks than it may.
    pub(super) fn new(
        shared: &Arc<Shared>,
        catalog: &Catalog,
        principal: Principal,
        id: &RawId<'_>,
        filter: &ListenFilter<'_>,
        hears: &mut dyn FnMut(News<'_>) -> bool,
    ) -> Result<(Self, Followed), Reason<'static>> {
        let offer = catalog.offer();
        let (changes, budget) = (shared.sessions.changes(), shared.sessions.kept_bytes());
        // Before what there is is looked at: a change from here on is told.
        let told = changes.now();
        let mut subscriptions = Subscriptions::new(Arc::clone(changes), Arc::clone(budget));
        let mut followed = Followed::default();
        let mut upstreams = Vec::new();
        let count_max = shared.limits.subscription_count_max;
        for (index, uri) in filter.resource_subscriptions().enumerate() {
            // Whatever they are: each costs a look.
            if index >= count_max {
                return Err(too_many(SubscribeError::Full { count_max }));
            }
            let uri = uri.to_cow();
            let before = subscriptions.len();
            // One that may not be read is as unknown as one that is not there.
            let owner = match hears(News::Resource(&uri)) {
                true => catalog.resource(&uri),
                false => None,
            };
            if owner.is_some() {
                subscriptions.add(&uri, count_max).map_err(too_many)?;
            }
            if subscriptions.len() > before {
                if let Some(Owner::Upstream(remote)) = owner {
                    upstreams.extend(Following::begin(shared, remote, &uri));
                }
                followed.resources.push(uri.into());
            }
        }
        let tasks = follow_tasks(shared, principal, filter, &mut followed)?;
        let listen = Self {
            id: InlineId::new(id),
            lists: [
                filter.tools && offer.tools && hears(News::List(List::Tools)),
                filter.prompts && offer.prompts && hears(News::List(List::Prompts)),
                filter.resources && offer.resources && hears(News::List(List::Resources)),
            ],
            told,
            subscriptions,
            tasks,
            _upstreams: upstreams,
        };
        Ok((listen, followed))
    }

    /// The acknowledgement's words for it.
    pub(super) fn honoured<'a>(&self, followed: &'a Followed) -> Honoured<'a> {
        Honoured {
            tools: self.lists[0],
            prompts: self.lists[1],
            resources: self.lists[2],
            resource_subscriptions: &followed.resources,
            task_ids: &followed.tasks,
        }
    }
}

/// Follows the tasks of a filter that are its caller's; the others are as unknown as those that never were.
fn follow_tasks(
    shared: &Shared,
    principal: Principal,
    filter: &ListenFilter<'_>,
    followed: &mut Followed,
) -> Result<Vec<Follow>, Reason<'static>> {
    let Some(tasks) = shared.tasks() else {
        return Ok(Vec::new());
    };
    let value = shared.limits.subscription_count_max;
    let limit = "limits.subscription_count_max";
    let mut follows: Vec<Follow> = Vec::new();
    let mut seen = HashSet::new();
    for (index, id) in filter.task_ids().enumerate() {
        // Whatever they are: each costs a look.
        if index >= value {
            return Err(Reason::Overloaded { limit, value });
        }
        let id = id.to_cow();
        if !seen.insert(id.clone()) {
            continue;
        }
        let Some(entry) = tasks.table().find(&id, principal) else {
            continue;
        };
        follows.push(entry.follow());
        followed.tasks.push(id.into());
    }
    Ok(follows)
}

/// Why a subscription is refused.
pub(super) fn too_many(error: SubscribeError) -> Reason<'static> {
    let (limit, value) = match error {
        SubscribeError::Full { count_max } => ("limits.subscription_count_max", count_max),
        SubscribeError::Budget { bytes_max } => ("limits.event_bytes_max", bytes_max),
    };
    Reason::Overloaded { limit, value }
}
