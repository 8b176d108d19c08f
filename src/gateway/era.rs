//! Finding out what HTTP upstreams speak.

use super::Gateway;
use super::admit::ANYTHING;
use super::failure::Failure;
use super::link::Scope;
use super::pending::{Pending, Purpose};
use super::route::Era;
use crate::mcp::{Method, Revision};
use crate::upstream::bridge;
use crate::upstream::envelope::Envelope;
use crate::upstream::era::{Answer, Finding, Question, Spoken, judge_http, lists_modern};
use crate::upstream::multiplex::IdText;
use crate::upstream::say;

/// What a discovery of our own declares.
pub(super) const NO_CAPABILITIES: &[u8] = b"{}";

impl Gateway {
    /// Has a request wait until it is known what its upstream speaks, and asks, if nobody has.
    pub(super) fn ask_era(&mut self, remote: usize, slot: u64) {
        match &mut self.routes[remote].era {
            Era::Asked(waiting) => waiting.push(slot),
            era => {
                *era = Era::Asked(vec![slot]);
                self.discover(remote);
            }
        }
    }

    fn discover(&mut self, remote: usize) {
        let due_ms = self.now_ms + super::millis(self.routes[remote].remote.settings.timeouts.head);
        let pending = Pending::new(Purpose::Discover, remote, IdText::of_number(0), due_ms);
        let Ok(slot) = self.pending.insert(pending) else {
            return self.era_failed(remote, &Failure::crowded("too many requests are in flight"));
        };
        match self.link(remote, Scope::Shared, Spoken::Modern, slot) {
            Some(link) => {
                if let Some(pending) = self.pending.get_mut(slot) {
                    pending.link = Some(link);
                }
                self.send(slot);
            }
            None => self.era_failed(remote, &Failure::crowded("too many links are open")),
        }
    }

    /// An HTTP upstream has answered the question.
    pub(super) fn discovered(&mut self, slot: u64, envelope: Option<&Envelope<'_>>) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let (remote, status) = (pending.remote, pending.status);
        let answer = match envelope {
            Some(envelope) => match (&envelope.result, envelope.error_code) {
                (Some(result), _) => Answer::Result {
                    modern: lists_modern(result.text),
                },
                (None, Some(code)) => Answer::Error(code),
                (None, None) => Answer::Nothing,
            },
            None => Answer::Nothing,
        };
        let is_over_http = !self.routes[remote].remote.is_stdio();
        let finding = judge_http(Question::Discover, status, answer);
        if !is_over_http {
            return self.child_discovered(slot, envelope);
        }
        match finding {
            Finding::Speaks(spoken) => {
                let result = envelope.and_then(|envelope| envelope.result.as_ref());
                self.routes[remote].facts = result.map(|result| result.text.to_vec());
                self.end(slot, Some(true));
                self.learn(remote, spoken);
            }
            Finding::Next(_) => {
                // The handshake that follows says whether it is one with sessions, or the old pair of endpoints.
                self.end(slot, Some(true));
                self.learn(remote, Spoken::Legacy);
            }
            Finding::Failed => {
                let failure = self.of_status(slot);
                self.end(slot, Some(!failure.blames));
                self.era_failed(remote, &failure);
            }
        }
    }

    pub(super) fn learn(&mut self, remote: usize, spoken: Spoken) {
        tracing::debug!(
            upstream = self.routes[remote].remote.name(),
            ?spoken,
            "is spoken"
        );
        for slot in self.routes[remote].learn(spoken, self.now_ms) {
            self.advance(slot);
        }
    }

    /// Nothing was learnt: whoever waits is told why.
    pub(super) fn era_failed(&mut self, remote: usize, failure: &Failure) {
        for slot in self.routes[remote].forget_era() {
            self.fail(slot, failure.of_waiting());
        }
    }

    /// Writes the message of a request of our own.
    pub(super) fn own_message(
        &mut self,
        slot: u64,
        link: u64,
    ) -> Option<(
        Vec<u8>,
        crate::upstream::multiplex::CallNumber,
        &'static str,
    )> {
        let pending = self.pending.get(slot)?;
        let id = pending.id.clone();
        let found = self.links.get_mut(link)?;
        let number = found.multiplexer.number(slot, id, None).ok()?;
        let mut out = Vec::new();
        let modern = self.spoken_on(link) == Some(Spoken::Modern);
        let pending = self.pending.get(slot)?;
        let method = match &pending.purpose {
            Purpose::Discover => {
                say::discover(&mut out, number, NO_CAPABILITIES);
                "server/discover"
            }
            Purpose::Check { .. } if modern => {
                say::discover(&mut out, number, NO_CAPABILITIES);
                "server/discover"
            }
            Purpose::Check { .. } => {
                say::ping(&mut out, number);
                "ping"
            }
            Purpose::List(list, _) => {
                let method = match list {
                    crate::mcp::List::Tools => Method::ListTools,
                    crate::mcp::List::Resources => Method::ListResources,
                    crate::mcp::List::Templates => Method::ListTemplates,
                    _ => Method::ListPrompts,
                };
                let cursor = self.feed_cursor(pending.remote, *list);
                // What is shown to some clients only is listed.
                let anything = bridge::capabilities_text(ANYTHING, Revision::MODERN);
                let capabilities = modern.then_some(&anything[..]);
                say::list(
                    &mut out,
                    number,
                    method.name(),
                    cursor.as_deref(),
                    capabilities,
                );
                method.name()
            }
            _ => return None,
        };
        Some((out, number, method))
    }
}
