//! Many callers on one upstream connection, process or session: whose answer is this?
//!
//! Every caller numbers its requests as it likes, and most begin with 0; so each request gets a number of our own, used
//! once and never again, and the answer gets the caller's id back, type and text as they were. The same number stands
//! for the caller's progress token. What the upstream itself asks is numbered likewise on its way down.
//!
//! Invariants: a number names one call for ever, so an answer that is late, doubled or made up reaches nobody; calls and
//! questions in flight are bounded; an answer on an exchange of its own is taken only if it names that exchange's call.
//!
//! Source: CVE-2026-25536 (two clients with the same id on one transport got each other's answers).

use std::collections::HashMap;
use std::fmt;

use super::envelope::{Envelope, EnvelopeError, Place};
use crate::limits::ID_BYTES_MAX;
use crate::mcp::{Shape, WriteId};

/// The largest number that every JSON reader takes exactly.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Bounds of one multiplexer, and which numbers it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiplexRules {
    /// Calls in flight.
    pub call_count_max: usize,
    /// Questions of the upstream that are not answered.
    pub ask_count_max: usize,
    /// The first number; below `step`.
    pub first: u64,
    /// From one number to the next: as many as there are multiplexers to one upstream, so that no two use the same.
    pub step: u64,
    /// Nesting depth of a message.
    pub depth_max: usize,
}

/// The number of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallNumber(u64);

/// The number of a question, which is its id on the way down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AskNumber(u64);

impl CallNumber {
    /// No call's: of an exchange whose call has been answered.
    pub const NONE: Self = Self(u64::MAX);

    /// Appends the number as the upstream knows it.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(itoa::Buffer::new().format(self.0).as_bytes());
    }
}

impl fmt::Display for CallNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AskNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The exact JSON text of an id or a token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdText(Box<[u8]>);

impl IdText {
    /// Keeps an id; none where it is longer than any that is answered.
    pub fn new(text: &[u8]) -> Option<Self> {
        (text.len() <= ID_BYTES_MAX).then(|| Self(text.into()))
    }

    /// A number.
    pub fn of_number(number: u64) -> Self {
        Self(itoa::Buffer::new().format(number).as_bytes().into())
    }

    /// The text, quotes included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl WriteId for IdText {
    fn write_id(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl fmt::Debug for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// As much is in flight as may be: refuse the caller, with the advice to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded;

#[derive(Debug)]
struct Call<C> {
    caller: C,
    id: IdText,
    token: Option<IdText>,
}

#[derive(Debug)]
struct Ask<C> {
    caller: Option<C>,
    id: IdText,
}

/// A message of the upstream, and who is meant.
#[derive(Debug)]
pub enum Received<'b, C> {
    /// The answer to a call, which is over.
    Answer {
        /// Whose call it was.
        caller: C,
        /// The caller's id.
        id: IdText,
        /// The message.
        envelope: Envelope<'b>,
    },
    /// A notification of one call: its progress, or one of its subscription.
    Told {
        /// Whose call it is.
        caller: C,
        /// Where a caller's own token or id belongs in it, and which.
        change: (Place<'b>, IdText),
        /// The message.
        envelope: Envelope<'b>,
    },
    /// Any other notification.
    Notification(Envelope<'b>),
    /// The upstream asks something.
    Ask {
        /// The question's id on its way down.
        number: AskNumber,
        /// Whose call caused it, where that is known.
        caller: Option<C>,
        /// The message.
        envelope: Envelope<'b>,
    },
    /// The upstream no longer wants an answer to a question.
    AskWithdrawn {
        /// The question.
        number: AskNumber,
        /// Who was asked.
        caller: Option<C>,
    },
    /// An answer that nobody waits for any more, a doubled one, or word of a call that is over: drop it.
    Late,
}

/// What an upstream must not send; whoever waits on that exchange gets an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaved {
    /// No message.
    Envelope(EnvelopeError),
    /// An answer to what was never asked, or to another exchange's call.
    WrongId,
    /// More questions than may be open. The error to answer it with names its id, if it can be kept.
    TooManyAsks,
}

impl fmt::Display for Misbehaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope(error) => error.fmt(f),
            Self::WrongId => f.write_str("it answers a request that was not made"),
            Self::TooManyAsks => f.write_str("it asks more than may be open at one time"),
        }
    }
}

impl std::error::Error for Misbehaved {}

/// The calls in flight on one upstream connection, process or session. `C` names a caller to whoever owns it.
#[derive(Debug)]
pub struct Multiplexer<C> {
    rules: MultiplexRules,
    next_call: u64,
    next_ask: u64,
    calls: HashMap<u64, Call<C>>,
    asks: HashMap<u64, Ask<C>>,
}

impl<C: Copy> Multiplexer<C> {
    /// A multiplexer without calls.
    pub fn new(rules: MultiplexRules) -> Self {
        Self {
            next_call: rules.first,
            next_ask: 0,
            calls: HashMap::new(),
            asks: HashMap::new(),
            rules: MultiplexRules {
                step: rules.step.max(1),
                ..rules
            },
        }
    }

    /// Begins a call, and appends its request with our number for its id and its progress token.
    ///
    /// Shape: `changes` are further places to write anew, in order, none of them the id or the token.
    /// Errors: too many are in flight; nothing is appended then. A message that is no request, or has an id that is too
    /// long to be answered, is refused likewise: whoever admits requests has refused it before.
    pub fn begin(
        &mut self,
        caller: C,
        request: &Envelope<'_>,
        changes: &[(&Place<'_>, &[u8])],
        out: &mut Vec<u8>,
    ) -> Result<CallNumber, Crowded> {
        let id = request.id.as_ref().ok_or(Crowded)?;
        let token = match &request.meta_progress_token {
            Some(token) => Some(IdText::new(token.text).ok_or(Crowded)?),
            None => None,
        };
        let number = self.number(caller, IdText::new(id.text).ok_or(Crowded)?, token)?;
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(number.0).as_bytes();
        let mut all: Vec<(&Place<'_>, &[u8])> = Vec::with_capacity(changes.len() + 2);
        all.push((id, text));
        all.extend(
            request
                .meta_progress_token
                .as_ref()
                .map(|token| (token, text)),
        );
        all.extend_from_slice(changes);
        all.sort_by_key(|(place, _)| place.range.start);
        request.write(out, &all);
        Ok(number)
    }

    /// Begins a call whose request the caller writes itself: one of our own, or one that is made anew.
    ///
    /// Errors: too many are in flight.
    pub fn number(
        &mut self,
        caller: C,
        id: IdText,
        token: Option<IdText>,
    ) -> Result<CallNumber, Crowded> {
        if self.calls.len() >= self.rules.call_count_max || self.next_call > NUMBER_MAX {
            return Err(Crowded);
        }
        let number = self.next_call;
        self.next_call += self.rules.step;
        self.calls.insert(number, Call { caller, id, token });
        Ok(CallNumber(number))
    }

    /// Gives a call up: its answer will be late. Its questions lose their caller, and are answered by nobody.
    ///
    /// Shape: who called, and with which id, if the call was still in flight.
    pub fn give_up(&mut self, number: CallNumber) -> Option<(C, IdText)> {
        let call = self.calls.remove(&number.0)?;
        Some((call.caller, call.id))
    }

    /// Gives up every call, when the connection, process or session ends; who called, and with which id. Questions are
    /// forgotten: nobody is there to answer.
    pub fn give_up_all(&mut self) -> impl Iterator<Item = (C, IdText)> + '_ {
        self.asks.clear();
        self.calls.drain().map(|(_, call)| (call.caller, call.id))
    }

    /// Calls in flight.
    pub fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// Appends the cancellation of a call, as the upstream knows it.
    pub fn write_cancellation(number: CallNumber, reason: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(
            br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"#,
        );
        number.write(out);
        out.extend_from_slice(br#","reason":"#);
        crate::wire::json::write_str(out, reason);
        out.extend_from_slice(b"}}");
    }

    /// Takes in one message of the upstream.
    ///
    /// Shape: `on` is the call whose own exchange it came on, where there is one (HTTP); on a shared stream (stdio, a GET
    /// stream) there is none.
    /// Errors: what the upstream must not send.
    pub fn receive<'b>(
        &mut self,
        body: &'b [u8],
        on: Option<CallNumber>,
    ) -> Result<Received<'b, C>, Misbehaved> {
        let envelope = Envelope::read(body, self.rules.depth_max).map_err(Misbehaved::Envelope)?;
        match envelope.shape {
            Shape::Response => self.answer(envelope, on),
            Shape::Notification => Ok(self.notification(envelope)),
            Shape::Request => self.ask(envelope, on),
        }
    }

    fn answer<'b>(
        &mut self,
        envelope: Envelope<'b>,
        on: Option<CallNumber>,
    ) -> Result<Received<'b, C>, Misbehaved> {
        let number = match (&envelope.id, on) {
            (Some(id), _) => self.given(id.text).ok_or(Misbehaved::WrongId)?,
            // The upstream could not read the id. On an exchange of its own it is clear what it answers.
            (None, Some(on)) => on.0,
            (None, None) => return Err(Misbehaved::WrongId),
        };
        if on.is_some_and(|on| on.0 != number) {
            return Err(Misbehaved::WrongId);
        }
        Ok(match self.calls.remove(&number) {
            None => Received::Late,
            Some(call) => Received::Answer {
                caller: call.caller,
                id: call.id,
                envelope,
            },
        })
    }

    fn notification<'b>(&mut self, envelope: Envelope<'b>) -> Received<'b, C> {
        let is = |name: &str| envelope.method.is_some_and(|method| method.eq_str(name));
        if is("notifications/cancelled") {
            let withdrawn = envelope.request_id.as_ref().and_then(|id| {
                let found = |(_, ask): &(&u64, &Ask<C>)| ask.id.as_bytes() == id.text;
                self.asks.iter().find(found).map(|(number, _)| *number)
            });
            if let Some(number) = withdrawn
                && let Some(ask) = self.asks.remove(&number)
            {
                return Received::AskWithdrawn {
                    number: AskNumber(number),
                    caller: ask.caller,
                };
            }
        }
        let progress = is("notifications/progress");
        let place = if progress {
            &envelope.progress_token
        } else {
            &envelope.subscription_id
        };
        let Some(place) = place else {
            return if progress || is("notifications/cancelled") {
                Received::Late
            } else {
                Received::Notification(envelope)
            };
        };
        let call = self
            .given(place.text)
            .and_then(|number| self.calls.get(&number));
        let own = call.and_then(|call| {
            let own = if progress {
                call.token.clone()
            } else {
                Some(call.id.clone())
            };
            Some((call.caller, own?))
        });
        match own {
            None => Received::Late,
            Some((caller, own)) => Received::Told {
                caller,
                change: (place.clone(), own),
                envelope,
            },
        }
    }

    fn ask<'b>(
        &mut self,
        envelope: Envelope<'b>,
        on: Option<CallNumber>,
    ) -> Result<Received<'b, C>, Misbehaved> {
        let id = envelope.id.as_ref().and_then(|id| IdText::new(id.text));
        let id = id.ok_or(Misbehaved::WrongId)?;
        let doubled = self.asks.values().any(|ask| ask.id == id);
        if doubled || self.asks.len() >= self.rules.ask_count_max {
            return Err(Misbehaved::TooManyAsks);
        }
        let caller = match on {
            Some(on) => self.calls.get(&on.0).map(|call| call.caller),
            // On a shared stream it is clear only where there is one call that can have caused it.
            None if self.calls.len() == 1 => self.calls.values().next().map(|call| call.caller),
            None => None,
        };
        let number = self.next_ask;
        self.next_ask += 1;
        self.asks.insert(number, Ask { caller, id });
        Ok(Received::Ask {
            number: AskNumber(number),
            caller,
            envelope,
        })
    }

    /// The upstream's own id of a question, which is over with that; none where it is over already.
    pub fn take_ask(&mut self, number: AskNumber) -> Option<IdText> {
        self.asks.remove(&number.0).map(|ask| ask.id)
    }

    /// A number that was given out, from its text; whether its call is still in flight is another matter.
    fn given(&self, text: &[u8]) -> Option<u64> {
        let number: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
        let ours = number >= self.rules.first
            && (number - self.rules.first).is_multiple_of(self.rules.step);
        // `parse` takes "+7" and "007", which we never wrote.
        let exact = itoa::Buffer::new().format(number).as_bytes() == text;
        (ours && exact && number < self.next_call).then_some(number)
    }
}

#[cfg(test)]
#[path = "multiplex/tests.rs"]
mod tests;
