//! Active checks, by the home that feeds an upstream.

use std::sync::Arc;

use super::link::{Scope, Way};
use super::pending::{Pending, Purpose};
use super::word::ChildOrder;
use super::{Action, Gateway, millis};
use crate::upstream::era::Spoken;
use crate::upstream::http::Url;
use crate::upstream::multiplex::IdText;
use crate::upstream::settings::Probe;
use crate::upstream::transport::{ExchangeKey, HeadFacts, Request, Verb};

impl Gateway {
    /// Begins the checks that are due.
    pub(super) fn check_places(&mut self) {
        for remote in 0..self.routes.len() {
            for place in 0..self.routes[remote].places.len() {
                let now_ms = self.now_ms;
                let health = self.routes[remote].places[place].health.as_mut();
                if health.is_some_and(|health| health.begin_check(now_ms)) {
                    self.check(remote, place);
                }
            }
        }
    }

    fn check(&mut self, remote: usize, place: usize) {
        let timeout = millis(self.routes[remote].remote.settings.health.timeout);
        let due_ms = self.now_ms + timeout;
        let purpose = Purpose::Check { place };
        let pending = Pending::new(purpose, remote, IdText::of_number(0), due_ms);
        let Ok(slot) = self.pending.insert(pending) else {
            return self.checked(remote, place, true);
        };
        if self.routes[remote].remote.is_stdio() {
            return self.check_child(slot, remote);
        }
        if let Probe::Http(path) = &self.routes[remote].remote.settings.health.probe {
            let path = path.clone();
            return self.check_path(slot, remote, place, &path);
        }
        let link = self.checked_link(remote, place, slot);
        match link {
            Some(link) => {
                if let Some(pending) = self.pending.get_mut(slot) {
                    pending.link = Some(link);
                }
                self.send(slot);
            }
            None => self.end(slot, None),
        }
    }

    /// The session for the lists, where this place keeps it; else none: any server says something to a discovery.
    fn checked_link(&mut self, remote: usize, place: usize, slot: u64) -> Option<u64> {
        let feed = self.routes[remote].links.get(&Scope::Feed).copied();
        let is_there = |link: &u64| {
            self.links.get(*link).is_some_and(|link| {
                link.place == Some(place)
                    && link.session.current().is_some()
                    && matches!(link.way, Way::Exchanges)
            })
        };
        match feed.filter(is_there) {
            Some(link) => Some(link),
            None => self.link(remote, Scope::Shared, Spoken::Modern, slot),
        }
    }

    fn check_child(&mut self, slot: u64, remote: usize) {
        let scope = self.child_scope(remote, slot);
        let link = self.routes[remote].links.get(&scope).copied();
        let is_ready = |link: &u64| {
            self.links.get(*link).is_some_and(|link| {
                let has_session = link.session.current().is_some();
                match link.way {
                    Way::Child {
                        stream: Some(_),
                        spoken: Some(spoken),
                        ..
                    } => spoken == Spoken::Modern || has_session,
                    _ => false,
                }
            })
        };
        match link.filter(is_ready) {
            Some(link) => {
                if let Some(pending) = self.pending.get_mut(slot) {
                    pending.link = Some(link);
                }
                self.send(slot);
            }
            // Whether it runs is known without asking.
            None => {
                self.end(slot, None);
                self.checked(remote, 0, true);
            }
        }
    }

    fn check_path(&mut self, slot: u64, remote: usize, place: usize, path: &str) {
        let shared = Arc::clone(&self.routes[remote].remote);
        let endpoint = shared.places.get(place).and_then(|place| {
            let url = Url {
                target: path.to_owned(),
                ..place.url.clone()
            };
            place.endpoint_at(&url).ok()
        });
        let call_ms = millis(shared.settings.health.timeout);
        self.exchange(
            slot,
            Request {
                key: ExchangeKey(0),
                remote: shared,
                place,
                verb: Verb::Get,
                endpoint: endpoint.map(Arc::new),
                head: HeadFacts::default(),
                body: Vec::new(),
                is_long: false,
                call_ms,
            },
        );
    }

    /// Whether a status says that a place is well.
    pub(super) fn is_well(&self, remote: usize, status: u16) -> bool {
        match self.routes[remote].remote.settings.health.probe {
            Probe::Http(_) => (200..300).contains(&status),
            // Whatever it says of the question: it answers.
            Probe::Protocol => (200..500).contains(&status),
        }
    }

    /// A check is over.
    pub(super) fn checked(&mut self, remote: usize, place: usize, good: bool) {
        let (random, now_ms) = (self.random(), self.now_ms);
        let route = &mut self.routes[remote];
        let Some(health) = route
            .places
            .get_mut(place)
            .and_then(|place| place.health.as_mut())
        else {
            return;
        };
        let Some(healthy) = health.record(good, now_ms, random) else {
            return;
        };
        let name = route.remote.name();
        tracing::warn!(
            upstream = name,
            place,
            healthy,
            "the checks of a place turned"
        );
        match route.remote.places.get(place) {
            Some(place) => place.set_healthy(healthy),
            None if !healthy => self.restart_silent(remote),
            None => {}
        }
        if healthy {
            self.routes[remote].recovered(place);
        }
        self.feed_changed(remote, None);
    }

    /// A child that answers no longer is ended and started again.
    fn restart_silent(&mut self, remote: usize) {
        let ways = self.routes[remote]
            .links
            .values()
            .filter_map(|link| self.links.get(*link));
        let children: Vec<_> = ways
            .filter(|link| matches!(link.scope, Scope::Shared | Scope::Feed))
            .filter_map(|link| match link.way {
                Way::Child { child, .. } => Some(child),
                _ => None,
            })
            .collect();
        for child in children {
            self.act(Action::Order(ChildOrder::Restart(child)));
        }
    }
}
