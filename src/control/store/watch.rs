//! Noticing that a component directory has changed.
//!
//! By polling once a second. Every change to a store renames or removes a file, which sets the directory's modification time, so a poll is
//! one `stat` unless something happened; it works on every file system, network and overlay ones included, and the delay does
//! not matter for an act of a person. Policies are looked at one by one beside that: a person may edit one where it is.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime};

use super::policy::Stamp;
use super::{Manifest, Store};
use crate::error::Problem;

/// Time between two looks.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Two changes within one tick of the file system's clock leave the same time; a time this fresh is not trusted.
const FRESH: Duration = Duration::from_secs(2);

/// What changed between two looks.
#[derive(Debug, Default)]
pub struct Change {
    /// Components that are new or have new bytes or another policy, with their checked bytes.
    pub added: Vec<(Manifest, Vec<u8>)>,
    /// Those of the added ones that are the same but for their policy.
    pub repoliced: Vec<String>,
    /// Components that are gone or whose bytes were replaced.
    pub removed: Vec<Manifest>,
    /// What could not be read; it is looked at again when the directory changes next.
    pub damaged: Vec<Problem>,
}

impl Change {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// A store as it was seen last.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    known: Vec<Manifest>,
    /// Of each known component its policy's file, as it was.
    policies: BTreeMap<String, Option<Stamp>>,
    trusted: Option<SystemTime>,
    /// What is damaged and was said; it is said again when it is another.
    damage_told: Vec<Problem>,
}

impl Watch {
    /// A watch that has seen nothing yet: the first poll adds everything.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            known: Vec::new(),
            policies: BTreeMap::new(),
            trusted: None,
            damage_told: Vec::new(),
        }
    }

    /// What the last poll saw.
    pub fn known(&self) -> &[Manifest] {
        &self.known
    }

    /// Looks again next time even if the directory's time is the same.
    pub fn distrust(&mut self) {
        self.trusted = None;
    }

    /// Compares the directory with the last look.
    ///
    /// Errors: the directory exists and cannot be read; then what was known stays known.
    pub fn poll(&mut self) -> Result<Change, Problem> {
        let modified = fs::metadata(self.store.directory())
            .and_then(|facts| facts.modified())
            .ok();
        // A policy may be written in place, which the directory's time does not tell.
        let is_same_policy = |(name, stamp): (&String, &Option<Stamp>)| {
            Stamp::of(&self.store.policy_path(name)) == *stamp
        };
        let is_repoliced = !self.policies.iter().all(is_same_policy);
        if modified.is_some() && modified == self.trusted && !is_repoliced {
            return Ok(Change::default());
        }
        let listing = self.store.list()?;
        let mut change = Change::default();
        let same = |left: &Manifest, right: &Manifest| {
            left.name == right.name && left.digest == right.digest
        };
        let (mut known, mut policies) = (Vec::new(), BTreeMap::new());
        for manifest in listing.manifests {
            // Before it is read: a change that comes between is seen the next time.
            let stamp = Stamp::of(&self.store.policy_path(&manifest.name));
            let is_known = self.known.iter().any(|old| same(old, &manifest));
            let before = self.policies.get(&manifest.name);
            let is_unfinished = match (before, &stamp) {
                (Some(Some(before)), Some(stamp)) => {
                    is_known && stamp != before && stamp.is_being_written(before, SystemTime::now())
                }
                _ => false,
            };
            if is_unfinished {
                // Half of a policy is another policy. It is looked at again the next time.
                policies.insert(manifest.name.clone(), *before.unwrap_or(&None));
                known.push(manifest);
                continue;
            }
            policies.insert(manifest.name.clone(), stamp);
            if is_known && before == Some(&stamp) {
                known.push(manifest);
                continue;
            }
            if is_known {
                change.repoliced.push(manifest.name.clone());
            }
            match self.store.read(&manifest) {
                Ok(bytes) => {
                    change.added.push((manifest.clone(), bytes));
                    known.push(manifest);
                }
                Err(problem) => {
                    // The bytes that are served stay served while their replacement cannot be read.
                    known.extend(
                        self.known
                            .iter()
                            .find(|old| old.name == manifest.name)
                            .cloned(),
                    );
                    change.damaged.push(problem);
                }
            }
        }
        change.removed = self
            .known
            .iter()
            .filter(|old| !known.iter().any(|new| same(old, new)))
            .cloned()
            .collect();
        change.damaged.extend(listing.damaged);
        self.known = known;
        self.policies = policies;
        if change.damaged == self.damage_told {
            change.damaged.clear();
        } else {
            self.damage_told.clone_from(&change.damaged);
        }
        let old_enough = |time: &SystemTime| time.elapsed().is_ok_and(|age| age > FRESH);
        self.trusted = modified.filter(old_enough);
        Ok(change)
    }
}
