//! What has changed in the process, as versions that a stream compares with what it has told.
//!
//! Nothing is queued for anybody: that a list has changed is worth telling once, however often it did, and to a client that
//! was away as well as to one that was not. So the process keeps a version of each list and of each resource that somebody
//! subscribes to, and each stream keeps the version that it told last. The two differ, or there is nothing to tell.
//!
//! Invariants: versions only grow; a resource keeps its version while anybody subscribes to it; the generation is published
//! after the versions, so whoever sees it sees them. What is announced is in force already: a client that comes after the
//! announcement finds the new state.
//!
//! There is no lock: list versions are atomics, resources a concurrent map.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use papaya::Operation;

use super::list::List;
use crate::mem::ByteBudget;

/// The versions of the whole process.
pub struct Changes {
    /// The last version of a list.
    version: AtomicU64,
    /// Grows after each change.
    generation: AtomicU64,
    lists: [AtomicU64; LIST_COUNT],
    resources: papaya::HashMap<Box<str>, Watched>,
}

const LIST_COUNT: usize = 3;

/// A resource that somebody subscribes to. Replaced as a whole at each change.
#[derive(Clone, Copy, Debug)]
struct Watched {
    version: u64,
    watcher_count: u32,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            version: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            lists: Default::default(),
            resources: papaya::HashMap::new(),
        }
    }
}

impl Changes {
    /// A number that grows with each change of anything: what a shard looks at to know whether to look further.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Notes that a list has changed; a list that no client is told of is passed over.
    pub fn list_changed(&self, list: List) {
        if let Some(index) = index(list) {
            let version = self.version.fetch_add(1, Ordering::AcqRel) + 1;
            self.lists[index].fetch_max(version, Ordering::Release);
            self.publish();
        }
    }

    /// Notes that what a resource holds has changed. False where nobody subscribes to it.
    pub fn resource_updated(&self, uri: &str) -> bool {
        let resources = self.resources.pin();
        // An announcement of a resource that nobody follows is the usual one, and copies nothing.
        if !resources.contains_key(uri) {
            return false;
        }
        let update = |watched: &Watched| Watched {
            version: watched.version + 1,
            ..*watched
        };
        let watched = resources.update(uri.into(), update).is_some();
        if watched {
            self.publish();
        }
        watched
    }

    /// What a stream starts from that is to tell of every list that changes from now on.
    pub fn now(&self) -> Told {
        Told::since(self.version())
    }

    /// Resources that somebody subscribes to.
    pub fn watched_count(&self) -> usize {
        self.resources.len()
    }

    /// The last version of any list.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn publish(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    fn list_version(&self, index: usize) -> u64 {
        self.lists[index].load(Ordering::Acquire)
    }

    fn resource_version(&self, uri: &str) -> u64 {
        self.resources
            .pin()
            .get(uri)
            .map_or(0, |watched| watched.version)
    }

    /// Counts one more subscription to a resource, and gives its version.
    fn watch(&self, uri: &str) -> u64 {
        let fresh = Watched {
            version: 0,
            watcher_count: 1,
        };
        let more = |watched: &Watched| Watched {
            watcher_count: watched.watcher_count + 1,
            ..*watched
        };
        let resources = self.resources.pin();
        resources.update_or_insert(uri.into(), more, fresh).version
    }

    /// Counts one subscription less; with the last one the resource is forgotten.
    fn unwatch(&self, uri: &str) {
        let resources = self.resources.pin();
        resources.compute(uri.into(), |entry| match entry {
            None => Operation::Abort(()),
            Some((_, watched)) if watched.watcher_count <= 1 => Operation::Remove,
            Some((_, watched)) => Operation::Insert(Watched {
                watcher_count: watched.watcher_count - 1,
                ..*watched
            }),
        });
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("generation", &self.generation())
            .field("watched_count", &self.watched_count())
            .finish_non_exhaustive()
    }
}

/// The place of a list that clients are told of. Templates are told of with the resources.
const fn index(list: List) -> Option<usize> {
    match list {
        List::Tools => Some(0),
        List::Resources | List::Templates => Some(1),
        List::Prompts => Some(2),
        List::Tasks => None,
    }
}

/// The lists of [`Told`], by place.
const LISTS: [List; LIST_COUNT] = [List::Tools, List::Resources, List::Prompts];

/// Up to which version of each list a stream has told its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told([u64; LIST_COUNT]);

impl Told {
    /// Everything up to this version is told, or was before the client came.
    pub(super) const fn since(version: u64) -> Self {
        Self([version; LIST_COUNT])
    }

    /// Calls `each` for every list that has changed since it was told of. What `each` could tell counts as told.
    pub fn news(&mut self, changes: &Changes, mut each: impl FnMut(List) -> bool) {
        for (index, list) in LISTS.into_iter().enumerate() {
            let version = changes.list_version(index);
            if version > self.0[index] && each(list) {
                self.0[index] = version;
            }
        }
    }
}

/// What somebody may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News<'n> {
    /// A list has other entries.
    List(List),
    /// A resource, by its address, holds something else.
    Resource(&'n str),
}

/// Why a subscription is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// There are as many as there may be.
    Full {
        /// `limits.subscription_count_max`.
        count_max: usize,
    },
    /// The process keeps as much for its clients as it may.
    Budget {
        /// `limits.event_bytes_max`.
        bytes_max: usize,
    },
}

/// What an entry takes beside its text, about: in the map here, and once in [`Changes`].
const ENTRY_BYTES: usize = 160;

/// The resources that one session, or one stream, is told of, each with the version that it was told of last.
///
/// Dropping it ends its subscriptions and gives their bytes back.
#[derive(Debug)]
pub struct Subscriptions {
    changes: Arc<Changes>,
    budget: Arc<ByteBudget>,
    told: HashMap<Box<str>, u64>,
}

impl Subscriptions {
    /// None yet.
    pub fn new(changes: Arc<Changes>, budget: Arc<ByteBudget>) -> Self {
        Self {
            changes,
            budget,
            told: HashMap::new(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.told.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Adds a resource. One that is there already stays as it is.
    pub fn add(&mut self, uri: &str, count_max: usize) -> Result<bool, SubscribeError> {
        if self.told.contains_key(uri) {
            return Ok(false);
        }
        if self.told.len() >= count_max {
            return Err(SubscribeError::Full { count_max });
        }
        if !self.budget.try_charge(uri.len() + ENTRY_BYTES) {
            let bytes_max = self.budget.limit();
            return Err(SubscribeError::Budget { bytes_max });
        }
        let version = self.changes.watch(uri);
        self.told.insert(uri.into(), version);
        Ok(true)
    }

    /// Removes a resource; whether it was there.
    pub fn remove(&mut self, uri: &str) -> bool {
        let removed = self.told.remove(uri).is_some();
        if removed {
            self.end(uri);
        }
        removed
    }

    /// Removes all.
    pub fn clear(&mut self) {
        for (uri, _) in std::mem::take(&mut self.told) {
            self.end(&uri);
        }
    }

    /// Calls `each` for every resource that has changed since it was told of. What `each` could tell counts as told.
    pub fn news(&mut self, mut each: impl FnMut(&str) -> bool) {
        for (uri, told) in &mut self.told {
            let version = self.changes.resource_version(uri);
            if version > *told && each(uri) {
                *told = version;
            }
        }
    }

    fn end(&self, uri: &str) {
        self.changes.unwatch(uri);
        self.budget.refund(uri.len() + ENTRY_BYTES);
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests;
