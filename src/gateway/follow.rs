//! Which of our clients follow which resources of upstreams that they share.
//!
//! An upstream is told that somebody follows a resource, and told otherwise once nobody does.

use std::collections::{HashMap, HashSet};

use super::link::Scope;
use super::pending::{Pending, Purpose};
use super::send::Post;
use super::word::{Done, Follow};
use super::{Action, Gateway, millis};
use crate::mcp::{Method, SessionId, reply};
use crate::upstream::era::Spoken;
use crate::upstream::multiplex::IdText;
use crate::upstream::say;

/// Who follows a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Follower {
    /// A session; a client without one is the only one of its process.
    Session(Option<SessionId>),
    /// A stream.
    Listener(u64),
}

/// Who follows, by link and resource.
pub(super) type Follows = HashMap<(u64, Box<str>), HashSet<Follower>>;

impl Gateway {
    /// Takes in that a client follows a resource, or no longer does; whether the request is answered with that.
    pub(super) fn follow(&mut self, slot: u64, link: u64, spoken: Spoken) -> bool {
        let Some(call) = self
            .pending
            .get(slot)
            .and_then(super::pending::Pending::call)
        else {
            return false;
        };
        let (method, uri, session) = (call.method, call.target.clone(), call.session);
        let is_shared = self
            .links
            .get(link)
            .is_some_and(|link| link.scope == Scope::Shared);
        if !is_shared || !matches!(method, Method::Subscribe | Method::Unsubscribe) {
            return false;
        }
        let is_modern = spoken == Spoken::Modern;
        if method == Method::Subscribe {
            self.follows
                .entry((link, uri.clone()))
                .or_default()
                .insert(Follower::Session(session));
            if !is_modern {
                return false;
            }
            self.change_followed(link, &uri, true);
        } else {
            let is_last = self.unfollow(link, &uri, Follower::Session(session));
            if is_last && !is_modern {
                return false;
            }
            if is_last {
                self.change_followed(link, &uri, false);
            }
        }
        self.answer_empty(slot);
        true
    }

    /// Whether nobody follows the resource any longer.
    fn unfollow(&mut self, link: u64, uri: &str, follower: Follower) -> bool {
        let key = (link, uri.into());
        let Some(followers) = self.follows.get_mut(&key) else {
            return true;
        };
        followers.remove(&follower);
        let is_last = followers.is_empty();
        if is_last {
            self.follows.remove(&key);
        }
        is_last
    }

    fn change_followed(&mut self, link: u64, uri: &str, wanted: bool) {
        if let Some(found) = self.links.get_mut(link) {
            match wanted {
                true => {
                    found.session.subscribe(uri);
                }
                false => found.session.unsubscribe(uri),
            }
        }
        self.listen_modern(link);
    }

    fn answer_empty(&mut self, slot: u64) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        if let Some(call) = pending.call() {
            let mut body = Vec::new();
            reply::empty_result(&mut body, &pending.id, call.revision.era());
            let done = Done {
                status: 200,
                outcome: "ok",
                body,
            };
            let caller = call.caller;
            self.act(Action::Done(caller, done));
        }
        self.end(slot, None);
    }

    /// These sessions follow nothing any longer.
    pub(super) fn unfollow_all(&mut self, is_over: impl Fn(SessionId) -> bool) {
        let mut gone: Vec<(u64, Box<str>)> = Vec::new();
        for (key, followers) in &mut self.follows {
            let before = followers.len();
            followers.retain(|follower| {
                !matches!(follower, Follower::Session(Some(session)) if is_over(*session))
            });
            if followers.is_empty() && before > 0 {
                gone.push(key.clone());
            }
        }
        for key in gone {
            self.follows.remove(&key);
            let (link, uri) = key;
            match self.spoken_on(link) {
                Some(Spoken::Modern) => self.change_followed(link, &uri, false),
                Some(_) => self.tell_followed(link, &uri, false),
                None => {}
            }
        }
    }

    /// Tells a legacy upstream that a resource is followed, or no longer.
    pub(super) fn tell_followed(&mut self, link: u64, uri: &str, wanted: bool) {
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        match wanted {
            true => {
                found.session.subscribe(uri);
            }
            false => found.session.unsubscribe(uri),
        }
        let begun = self.begin_numbered(link, Purpose::Message, |out, number| {
            say::subscribe(out, number, uri, wanted);
        });
        if let Some((slot, message)) = begun {
            self.post(slot, link, message, Post::default());
        }
    }

    /// A stream of a client follows a resource, or no longer.
    pub(super) fn begin_follow(&mut self, follow: Follow) {
        if !follow.wanted {
            return self.end_follow(&follow);
        }
        let remote = follow.remote.index;
        let due_ms = self.now_ms + millis(follow.remote.settings.timeouts.head);
        let purpose = Purpose::Follow(follow);
        let pending = Pending::new(purpose, remote, IdText::of_number(0), due_ms);
        if let Ok(slot) = self.pending.insert(pending) {
            self.advance(slot);
        }
    }

    /// A stream follows no longer, whether or not its upstream is there to be told.
    fn end_follow(&mut self, follow: &Follow) {
        let is_its = |(_, pending): &(u64, &Pending)| matches!(&pending.purpose, Purpose::Follow(waiting) if waiting.listener == follow.listener);
        let waiting = self.pending.iter().find(is_its).map(|(slot, _)| slot);
        if let Some(slot) = waiting {
            return self.end(slot, None);
        }
        let follower = Follower::Listener(follow.listener);
        let has_it = |(key, followers): (&(u64, Box<str>), &HashSet<Follower>)| {
            (key.1 == follow.uri && followers.contains(&follower)).then_some(key.0)
        };
        let links: Vec<u64> = self.follows.iter().filter_map(has_it).collect();
        for link in links {
            if !self.unfollow(link, &follow.uri, follower) {
                continue;
            }
            match self.spoken_on(link) {
                Some(Spoken::Modern) => self.change_followed(link, &follow.uri, false),
                _ => self.tell_followed(link, &follow.uri, false),
            }
        }
    }

    /// A client's wish to follow was refused.
    pub(super) fn undo_follow(&mut self, slot: u64) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let (Some(link), Some(call)) = (pending.link, pending.call()) else {
            return;
        };
        if call.method == Method::Subscribe {
            let (uri, session) = (call.target.clone(), call.session);
            self.unfollow(link, &uri, Follower::Session(session));
        }
    }

    /// The link is there on which a stream follows.
    pub(super) fn follow_is_ready(&mut self, slot: u64, link: u64) {
        let follow = match self.pending.get(slot).map(|pending| &pending.purpose) {
            Some(Purpose::Follow(follow)) => follow.clone(),
            _ => return,
        };
        self.end(slot, None);
        let is_modern = self.spoken_on(link) == Some(Spoken::Modern);
        let follower = Follower::Listener(follow.listener);
        let key = (link, follow.uri.clone());
        let followers = self.follows.entry(key).or_default();
        let changes = followers.is_empty();
        followers.insert(follower);
        match (changes, is_modern) {
            (false, _) => {}
            (true, true) => self.change_followed(link, &follow.uri, true),
            (true, false) => self.tell_followed(link, &follow.uri, true),
        }
    }
}
