//! A stream of a session, from the side of the calls that write to it.
//!
//! What is written goes into the session's events; whoever carries the stream, on whatever shard, is told to look. Only an event that
//! could not be kept is handed over itself.

use std::cell::Cell;
use std::sync::Arc;

use crate::component::Outgoing;
use crate::mcp::{EventId, SessionEvents, StreamId};

use super::service::Service;

/// Bits of a carrier's number below its shard's.
pub(super) const CARRIER_SHARD_SHIFT: u32 = 48;

/// The shard of a carrier, by its number; nobody carries under 0.
pub(super) fn carrier_shard(owner: u64) -> Option<usize> {
    let shard = (owner >> CARRIER_SHARD_SHIFT).checked_sub(1)?;
    usize::try_from(shard).ok()
}

/// A word to the connection that carries a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// There is something new.
    Look,
    /// An event that nobody keeps: it is delivered from here, or lost.
    Take(EventId, Arc<[u8]>),
    /// Close behind this event, and let the client come back after this time.
    Release {
        /// The number of the event.
        through: u64,
        /// Milliseconds.
        retry_ms: u32,
    },
    /// Somebody else carries the stream now.
    Displaced,
}

/// A stream that calls of this shard write to.
#[derive(Debug)]
pub(super) struct Channel {
    events: Arc<SessionEvents>,
    stream: StreamId,
    /// Answers that are still to come. The last one ends the stream; a stream that goes on for ever owes none.
    owed: Cell<usize>,
}

impl Channel {
    /// The stream of the answers to so many requests.
    pub(super) fn of_answers(events: Arc<SessionEvents>, stream: StreamId, owed: usize) -> Self {
        Self {
            events,
            stream,
            owed: Cell::new(owed),
        }
    }

    /// The session's own stream, which carries everything where there is no other.
    pub(super) fn of_session(events: Arc<SessionEvents>) -> Self {
        Self::of_answers(events, StreamId::SESSION, 0)
    }

    /// Whether a connection carries it now, on any shard.
    pub(super) fn is_carried(&self) -> bool {
        self.events.carrier(self.stream) != 0
    }

    /// One of the answers that it waits for will not come: nobody wants it.
    pub(super) fn forgo(&self) {
        if self.settle() {
            self.events.finish(self.stream);
        }
    }

    fn settle(&self) -> bool {
        let owed = self.owed.get();
        self.owed.set(owed.saturating_sub(1));
        owed == 1
    }
}

impl Service {
    /// Writes one message to a stream.
    pub(super) fn write_channel(&mut self, channel: &Channel, message: &[u8]) {
        let owner = self.append(channel, message);
        self.tell(owner, Word::Look);
    }

    /// Writes one of the answers that a stream waits for.
    pub(super) fn answer_channel(&mut self, channel: &Channel, body: &[u8]) {
        let mut owner = self.append(channel, body);
        if channel.settle() {
            owner = channel.events.finish(channel.stream);
        }
        self.tell(owner, Word::Look);
    }

    /// Takes what a call says to its stream.
    pub(super) fn say(&mut self, channel: &Channel, said: Vec<Outgoing>) {
        let mut owner = 0;
        for said in said {
            match said {
                Outgoing::Message(message) => {
                    let shared = std::sync::Arc::clone(&self.shared);
                    owner = self.append(channel, &shared.harmless(&message));
                }
                Outgoing::Release { retry_ms } => self.release_channel(channel, retry_ms),
            }
        }
        // Once for all of it.
        self.tell(owner, Word::Look);
    }

    /// Adds a message to a stream: who is to look, 0 for nobody.
    fn append(&mut self, channel: &Channel, message: &[u8]) -> u64 {
        let appended = channel
            .events
            .append(channel.stream, message, self.now_ms());
        // The session has ended, and its calls are about to.
        let Ok(appended) = appended else { return 0 };
        if !appended.kept {
            let word = Word::Take(appended.id, message.into());
            self.tell(appended.owner, word);
        }
        appended.owner
    }

    /// Lets the client of a stream come back for the rest of it later.
    fn release_channel(&mut self, channel: &Channel, retry_ms: u32) {
        let (events, stream) = (&channel.events, channel.stream);
        let through = events.last(stream);
        self.tell(events.carrier(stream), Word::Release { through, retry_ms });
    }
}
