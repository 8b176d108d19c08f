//! Writing requests, and choosing where they go.

use std::borrow::Cow;
use std::sync::Arc;

use super::failure::Failure;
use super::link::{Scope, Way};
use super::pending::{Pending, Purpose};
use super::word::Call;
use super::{Action, Gateway, text};
use crate::mcp::{ClientCapabilities, Era, Method, Revision, SessionId};
use crate::upstream::bridge::{self, Who};
use crate::upstream::envelope::Envelope;
use crate::upstream::era::Spoken;
use crate::upstream::transport::{ExchangeKey, HeadFacts, Request, Verb};
use crate::wire::json::write_str;

/// What the head of a POST says beside what its link knows.
#[derive(Debug, Default)]
pub(super) struct Post {
    pub(super) mirrored: Option<(&'static str, Option<Box<str>>)>,
    pub(super) parameters: Vec<(String, String)>,
}

impl Gateway {
    /// Sends a request on its link, which is ready.
    pub(super) fn send(&mut self, slot: u64) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let Some(link) = pending.link else {
            return self.fail(slot, Failure::over());
        };
        let written = match &pending.purpose {
            Purpose::Follow(_) => return self.follow_is_ready(slot, link),
            Purpose::Feed => return self.feed_is_ready(slot, link),
            Purpose::Caller(_) => self.client_message(slot, slot, link),
            Purpose::Twin(of) => self.client_message(slot, *of, link),
            _ => self
                .own_message(slot, link)
                .map(|(message, number, method)| {
                    let is_modern = self.spoken_on(link) == Some(Spoken::Modern);
                    let mirrored = is_modern.then_some((method, None));
                    let parameters = Vec::new();
                    (
                        message,
                        number,
                        Post {
                            mirrored,
                            parameters,
                        },
                    )
                }),
        };
        let Some((message, number, post)) = written else {
            let why =
                "as many requests to this upstream are in flight as may be; try again in a moment";
            return self.fail(slot, Failure::crowded(why));
        };
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.number = Some(number);
            pending.attempts += 1;
        }
        self.post(slot, link, message, post);
    }

    /// The client's request as the upstream takes it: that of the slot `of`, sent for `slot`.
    fn client_message(
        &mut self,
        slot: u64,
        of: u64,
        link: u64,
    ) -> Option<(Vec<u8>, crate::upstream::multiplex::CallNumber, Post)> {
        let spoken = self.spoken_on(link)?;
        let depth_max = self.limits.json_depth_max;
        let pending = self.pending.get(of)?;
        let call = pending.call()?;
        let text = in_its_era(call, pending, spoken);
        let envelope = Envelope::read(&text, depth_max).ok()?;
        let mut quoted = Vec::new();
        let name = match call.method {
            Method::CallTool | Method::GetPrompt if call.is_renamed => {
                write_str(&mut quoted, &call.target);
                envelope.name.as_ref()
            }
            _ => None,
        };
        let changes: Vec<(&crate::upstream::envelope::Place<'_>, &[u8])> =
            name.into_iter().map(|name| (name, &quoted[..])).collect();
        let mut message = Vec::with_capacity(text.len() + 32);
        let post = Post {
            mirrored: (spoken == Spoken::Modern).then(|| {
                let about = matches!(
                    call.method,
                    Method::CallTool
                        | Method::GetPrompt
                        | Method::ReadResource
                        | Method::GetTask
                        | Method::UpdateTask
                        | Method::CancelTask
                );
                (call.method.name(), about.then(|| call.target.clone()))
            }),
            parameters: match spoken {
                Spoken::Modern => call.mirrored.clone(),
                _ => Vec::new(),
            },
        };
        let found = self.links.get_mut(link)?;
        let number = found
            .multiplexer
            .begin(slot, &envelope, &changes, &mut message);
        Some((message, number.ok()?, post))
    }

    /// Sends a message on a link: over HTTP as a request of its own.
    pub(super) fn post(&mut self, slot: u64, link: u64, message: Vec<u8>, post: Post) {
        let now_ms = self.now_ms;
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.sent_ms = now_ms;
        }
        if self.is_child(link) {
            return self.write_to_child(slot, link, message);
        }
        let Some(place) = self.choose_place(slot, link) else {
            return;
        };
        let (Some(found), Some(pending)) = (self.links.get(link), self.pending.get_mut(slot))
        else {
            return;
        };
        let current = found.session.current();
        pending.session_number = current.map(|(number, _, _)| number);
        let revision = match (&found.way, found.scope) {
            (Way::Exchanges, Scope::Shared) => Some(Revision::MODERN),
            _ => current.map(|(_, _, facts)| facts.revision),
        };
        let endpoint = match &found.way {
            Way::Old { endpoint, .. } => endpoint.clone(),
            _ => None,
        };
        let asking_ms = match pending.purpose {
            Purpose::Caller(_) => super::millis(self.limits.ask_deadline),
            _ => 0,
        };
        // One that listens is in a hurry only until its answer begins.
        let is_long = matches!(pending.purpose, Purpose::Listen);
        let call_ms = match is_long {
            true => super::millis(self.routes[found.remote].remote.settings.timeouts.head),
            // Of a client's call this state machine has the clock, which stops while a person answers.
            false => pending.due_ms.saturating_sub(now_ms) + asking_ms,
        };
        let request = Request {
            key: ExchangeKey(0),
            remote: Arc::clone(&self.routes[found.remote].remote),
            place,
            verb: Verb::Post,
            endpoint,
            head: HeadFacts {
                revision,
                session: current.and_then(|(_, id, _)| id.map(Arc::from)),
                mirrored: post.mirrored.map(|(method, name)| (method.into(), name)),
                parameters: post.parameters,
                last_event_id: None,
            },
            body: message,
            is_long,
            call_ms,
        };
        self.exchange(slot, request);
    }

    /// Begins an exchange for a request.
    pub(super) fn exchange(&mut self, slot: u64, request: Request) -> ExchangeKey {
        let key = ExchangeKey(self.key());
        self.exchanges.insert(key, slot);
        let credential_seen = request.remote.credential.generation();
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.credential_seen = credential_seen;
            pending.exchange = Some(key);
            pending.status = 0;
            pending.excerpt = "".into();
        }
        self.act(Action::Exchange(Box::new(Request { key, ..request })));
        key
    }

    /// Nothing more is wanted of an exchange.
    pub(super) fn abandon(&mut self, key: ExchangeKey) {
        self.exchanges.remove(&key);
        self.act(Action::Abandon(key));
    }

    /// Sends what has no answer: a notification, or an answer of ours.
    pub(super) fn send_message(&mut self, link: u64, message: Vec<u8>) {
        if let Some(stream) = self.links.get(link).and_then(super::link::Link::stream) {
            return self.act(Action::Line(stream, message, None));
        }
        if self.is_child(link) {
            // It has ended: nobody is there to be told.
            return;
        }
        if let Some(slot) = self.begin_own(link, Purpose::Message) {
            self.post(slot, link, message, Post::default());
        }
    }

    /// Chooses the place that a request goes to, and asks its breaker. None: nobody is available, and the request has failed.
    pub(super) fn choose_place(&mut self, slot: u64, link: u64) -> Option<usize> {
        let random = self.random();
        let now_ms = self.now_ms;
        let pending = self.pending.get(slot)?;
        let found = self.links.get(link)?;
        let remote = found.remote;
        let own = matches!(
            pending.purpose,
            Purpose::Message | Purpose::Initialized | Purpose::Listen
        );
        let fixed = match pending.purpose {
            Purpose::Check { place } => Some(place),
            _ => found.place,
        };
        let session = match (found.scope, pending.call().and_then(|call| call.session)) {
            (Scope::Session(session), _) | (_, Some(session)) => Some(hash(session)),
            _ => None,
        };
        let is_ours = matches!(
            pending.purpose,
            Purpose::Discover | Purpose::List(..) | Purpose::Initialize | Purpose::OldStream
        ) && matches!(found.scope, Scope::Feed | Scope::Shared);
        let avoid = pending.avoid;
        let chosen = match fixed {
            // What belongs to a session goes where it is kept, and says little of its own.
            Some(place) if own => return self.placed(slot, place, None),
            Some(place) if matches!(pending.purpose, Purpose::Check { .. }) => {
                return self.placed(slot, place, None);
            }
            Some(place) => self.routes[remote]
                .permit(place, now_ms)
                .map(|ticket| (place, ticket)),
            None => self.routes[remote].choose(session, avoid, random, now_ms),
        };
        match chosen {
            Ok((place, ticket)) => self.placed(slot, place, Some(ticket)),
            // What we ask on our own account finds out whether it works again.
            Err(_) if is_ours => {
                let place = (0..self.routes[remote].places.len())
                    .find(|place| self.routes[remote].is_well(*place))
                    .unwrap_or(0);
                self.placed(slot, place, None)
            }
            Err(retry_in_ms) => {
                self.routes[remote].numbers.refused += 1;
                let last = self.routes[remote].last_failure.clone();
                self.fail(slot, Failure::unavailable(retry_in_ms, &last));
                None
            }
        }
    }

    fn placed(
        &mut self,
        slot: u64,
        place: usize,
        permit: Option<crate::policy::Ticket>,
    ) -> Option<usize> {
        let pending = self.pending.get_mut(slot)?;
        pending.place = Some(place);
        pending.permit = permit;
        Some(place)
    }
}

/// A client's request in the era that its upstream speaks.
fn in_its_era<'c>(call: &'c Call, pending: &Pending, spoken: Spoken) -> Cow<'c, [u8]> {
    let params = || super::facts::member(&call.message, "params");
    let (from, to_modern) = (call.revision.era(), spoken == Spoken::Modern);
    let params = match (from, to_modern, call.method) {
        (Era::Legacy, true, _) => {
            let who = Who {
                // A task of a modern upstream is none that a legacy client can follow.
                capabilities: call.capabilities.missing_from(ClientCapabilities::TASKS),
                client_info: call.client_info.as_deref(),
                log_level: call.log_level,
            };
            let mut params = bridge::params_to_modern(params(), &who);
            if let Some(collected) = &pending.collecting {
                params =
                    bridge::with_responses(&params, &collected.answers, collected.state.as_deref());
            }
            Some(params)
        }
        (Era::Modern, false, _) => {
            params().map(|params| bridge::params_to_legacy(params).into_owned())
        }
        _ => None,
    };
    let params = match call.method {
        Method::Complete if call.is_renamed => {
            let params = params
                .or_else(|| super::facts::member(&call.message, "params").map(<[u8]>::to_vec));
            params.map(|params| bridge::set_reference(&params, &call.target))
        }
        Method::GetTask | Method::TaskResult | Method::UpdateTask | Method::CancelTask => {
            let params = params
                .or_else(|| super::facts::member(&call.message, "params").map(<[u8]>::to_vec));
            params.map(|params| bridge::set_task_id(&params, &call.target))
        }
        _ => params,
    };
    match params {
        None => Cow::Borrowed(&call.message),
        Some(params) => Cow::Owned(text::request(
            &pending.id,
            call.method.name(),
            Some(&params),
        )),
    }
}

/// A hash of a session's id, which is random: the same on every machine, so that replicas of ours choose alike.
fn hash(session: SessionId) -> u64 {
    let id = session.bits();
    (id >> 64) as u64 ^ id as u64
}
