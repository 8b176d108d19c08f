//! Children: started when somebody wants them, asked what they speak, and lost.

use super::failure::Failure;
use super::link::{Scope, Way};
use super::pending::Purpose;
use super::word::{ChildKey, ChildNews, ChildOrder};
use super::{Action, Gateway};
use crate::policy::{Failed, Reached};
use crate::upstream::envelope::Envelope;
use crate::upstream::era::{Answer, Spoken, judge_stdio, lists_modern};
use crate::upstream::settings::{Batching, EraChoice};
use crate::upstream::transport::StreamKey;

/// How long a child has to say what it speaks before it is taken for legacy.
const DISCOVER_MS: u64 = 10_000;
/// How long a child whose output has ended has to end itself.
const BROKEN_MS: u64 = 1_000;
/// A child that is started again within this time is waited for.
const SOON_MS: u64 = 1_000;

impl Gateway {
    /// Brings a request to a child as far as it gets without waiting.
    pub(super) fn advance_to_child(&mut self, slot: u64) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let remote = pending.remote;
        let scope = self.child_scope(remote, slot);
        let link = match self.routes[remote].links.get(&scope).copied() {
            Some(link) => link,
            None => {
                let child = ChildKey {
                    port: self.port,
                    number: self.key(),
                };
                let way = Way::Child {
                    child,
                    stream: None,
                    spoken: None,
                };
                let Some(link) = self.make_link(remote, scope, way, slot) else {
                    return;
                };
                self.children.insert(child.number, link);
                self.act(Action::Order(ChildOrder::Start { remote, child }));
                link
            }
        };
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        match found.way {
            Way::Child {
                stream: Some(_),
                spoken: Some(spoken),
                ..
            } => self.advance_on(slot, link, spoken),
            _ => {
                if let Some((until_ms, how)) = &found.down
                    && *until_ms > self.now_ms + SOON_MS
                {
                    let wait_ms = until_ms - self.now_ms;
                    let why = format!("it ended: {how}; it is started again in {wait_ms} ms");
                    let failure = Failure::new(Reached::Nothing, Failed::Refused, &why);
                    return self.fail(slot, failure.finally());
                }
                found.waiting.push(slot);
                if let Some(pending) = self.pending.get_mut(slot) {
                    pending.link = Some(link);
                }
            }
        }
    }

    /// Writes a request to a child.
    pub(super) fn write_to_child(&mut self, slot: u64, link: u64, message: Vec<u8>) {
        let now_ms = self.now_ms;
        let Some(stream) = self.links.get(link).and_then(super::link::Link::stream) else {
            return self.fail(slot, Failure::ended("it is not running"));
        };
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        if matches!(pending.purpose, Purpose::Caller(_)) {
            match self.routes[pending.remote].permit(0, now_ms) {
                Ok(ticket) => (pending.place, pending.permit) = (Some(0), Some(ticket)),
                Err(retry_in_ms) => {
                    let route = &mut self.routes[pending.remote];
                    route.numbers.refused += 1;
                    let last = route.last_failure.clone();
                    return self.fail(slot, Failure::unavailable(retry_in_ms, &last));
                }
            }
        }
        self.act(Action::Line(stream, message, Some(slot)));
    }

    /// A child reads more slowly than it is written to.
    pub fn line_refused(&mut self, slot: u64) {
        self.fail(slot, Failure::crowded("it reads its input too slowly: what waits for it is as long as it may be; try again in a moment"));
    }

    /// Control has word of a child.
    pub(super) fn child_news(&mut self, child: ChildKey, news: ChildNews) {
        let Some(link) = self.children.get(&child.number).copied() else {
            // It is no longer wanted, and its stream closes with this.
            return;
        };
        match news {
            ChildNews::Started(descriptor) => {
                let stream = StreamKey(self.key());
                self.streams.insert(stream, link);
                let batching = self.links.get(link).map_or_else(Batching::default, |link| {
                    self.routes[link.remote].remote.settings.batching
                });
                let burst = if batching.enabled {
                    batching.size_max
                } else {
                    1
                };
                self.act(Action::Adopt(stream, descriptor, burst));
                self.child_started(link, stream);
            }
            ChildNews::CloseInput => {
                if let Some(stream) = self.links.get(link).and_then(super::link::Link::stream) {
                    self.act(Action::EndInput(stream));
                }
            }
            ChildNews::Ended { how, restart_in_ms } => {
                let is_soon = restart_in_ms.is_some_and(|wait_ms| wait_ms <= SOON_MS);
                let again = match restart_in_ms {
                    Some(wait_ms) => format!("; it is started again in {wait_ms} ms"),
                    None => String::new(),
                };
                if let Some(found) = self.links.get_mut(link) {
                    found.broken_ms = None;
                    if !is_soon || found.session_never_was() {
                        let waiting = std::mem::take(&mut found.waiting);
                        let why = format!("it ended before it could be asked: {how}{again}");
                        for slot in waiting {
                            self.fail(
                                slot,
                                Failure::new(Reached::Nothing, Failed::Refused, &why).finally(),
                            );
                        }
                    }
                }
                self.lose_stream(link, &format!("it ended: {how}{again}"));
                match restart_in_ms {
                    // It is never started again: the next call orders another.
                    None => self.end_link(link, &how),
                    Some(wait_ms) => {
                        let down_until_ms = self.now_ms + wait_ms;
                        if let Some(found) = self.links.get_mut(link) {
                            found.down = Some((down_until_ms, how));
                        }
                    }
                }
            }
        }
    }

    fn child_started(&mut self, link: u64, new: StreamKey) {
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        found.broken_ms = None;
        found.down = None;
        found.is_proved = false;
        found.session.renew();
        let remote = found.remote;
        let known = match self.routes[remote].remote.settings.era {
            EraChoice::Modern => Some(Spoken::Modern),
            EraChoice::Legacy => Some(Spoken::Legacy),
            EraChoice::Auto => self.routes[remote].spoken(self.now_ms),
        };
        if let Way::Child { stream, spoken, .. } = &mut found.way {
            (*stream, *spoken) = (Some(new), known);
        }
        if known.is_some() {
            return self.child_is_ready(link);
        }
        let Some(slot) = self.begin_own(link, Purpose::Discover) else {
            return self.child_speaks(link, Spoken::Legacy);
        };
        let due_ms = self.now_ms + DISCOVER_MS;
        let Some((message, number, _)) = self.own_message(slot, link) else {
            self.end(slot, None);
            return self.child_speaks(link, Spoken::Legacy);
        };
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.number = Some(number);
            pending.due_ms = due_ms;
        }
        self.act(Action::Line(new, message, None));
    }

    /// A child has said what it speaks, or not in time.
    pub(super) fn child_discovered(&mut self, slot: u64, envelope: Option<&Envelope<'_>>) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let (remote, link) = (pending.remote, pending.link);
        let answer = envelope.map(|envelope| match (&envelope.result, envelope.error_code) {
            (Some(result), _) => Answer::Result {
                modern: lists_modern(result.text),
            },
            (None, Some(code)) => Answer::Error(code),
            (None, None) => Answer::Nothing,
        });
        let spoken = judge_stdio(answer);
        if spoken == Spoken::Modern {
            let result = envelope.and_then(|envelope| envelope.result.as_ref());
            self.routes[remote].facts = result.map(|result| result.text.to_vec());
        }
        self.end(slot, None);
        if let Some(link) = link {
            self.child_speaks(link, spoken);
        }
    }

    fn child_speaks(&mut self, link: u64, found: Spoken) {
        let Some(link_found) = self.links.get_mut(link) else {
            return;
        };
        if let Way::Child { spoken, .. } = &mut link_found.way {
            *spoken = Some(found);
        }
        let remote = link_found.remote;
        tracing::debug!(upstream = self.routes[remote].remote.name(), spoken = ?found, "is spoken");
        let waiting = self.routes[remote].learn(found, self.now_ms);
        self.release(waiting);
        self.child_is_ready(link);
    }

    fn child_is_ready(&mut self, link: u64) {
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        let remote = found.remote;
        let waiting = std::mem::take(&mut found.waiting);
        // The process before may have been asked to tell of changes; this one was not.
        found.listening = None;
        self.release(waiting);
        if self.is_shown(link) {
            self.feed_changed(remote, None);
        }
    }

    /// A child has answered something.
    pub(super) fn prove(&mut self, link: u64) {
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        if let (Way::Child { child, .. }, false) = (&found.way, found.is_proved) {
            let child = *child;
            found.is_proved = true;
            self.act(Action::Order(ChildOrder::Proved(child)));
        }
    }

    /// Whether the lists come over this link: those of one session's child are nobody else's.
    fn is_shown(&self, link: u64) -> bool {
        let link = self.links.get(link);
        link.is_some_and(|link| matches!(link.scope, Scope::Shared | Scope::Feed))
    }

    /// A child's output has ended.
    pub(super) fn stream_ended(&mut self, stream: StreamKey, why: &str) {
        let Some(link) = self.streams.remove(&stream) else {
            return;
        };
        if self.links.get(link).and_then(super::link::Link::stream) != Some(stream) {
            return;
        }
        let broken_ms = self.now_ms + BROKEN_MS;
        if let Some(found) = self.links.get_mut(link) {
            found.broken_ms = Some(broken_ms);
        }
        self.lose_stream(link, &format!("it closed its output: {why}"));
    }

    /// Everything that was on its way on a child's stream has failed.
    fn lose_stream(&mut self, link: u64, why: &str) {
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        let old = match &mut found.way {
            Way::Child { stream, .. } => stream.take(),
            _ => None,
        };
        let Some(old) = old else { return };
        found.session.renew();
        found.level = None;
        found.is_preparing = false;
        found.listening = None;
        let remote = found.remote;
        let calls: Vec<u64> = found
            .multiplexer
            .give_up_all()
            .map(|(slot, _)| slot)
            .collect();
        self.streams.remove(&old);
        self.act(Action::CloseStream(old));
        for slot in calls {
            if let Some(pending) = self.pending.get_mut(slot) {
                pending.number = None;
            }
            self.fail(slot, Failure::ended(why));
        }
        if self.is_shown(link) {
            self.feed_changed(remote, None);
        }
    }

    /// A child whose output has ended and that lives on is ended.
    pub(super) fn restart_broken(&mut self) {
        let now_ms = self.now_ms;
        let mut broken = Vec::new();
        for number in self.children.values() {
            if let Some(found) = self.links.get_mut(*number)
                && found.broken_ms.is_some_and(|due_ms| now_ms >= due_ms)
                && let Way::Child { child, .. } = found.way
            {
                found.broken_ms = None;
                broken.push(child);
            }
        }
        for child in broken {
            self.act(Action::Order(ChildOrder::Restart(child)));
        }
    }
}
