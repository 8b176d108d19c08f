//! A stream of a session, from the side of the connection that carries it: read from the session's events, behind the last one that was
//! written, wherever the calls run that write it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crate::mcp::{EventId, LogLevel, Principal, SessionEvents, SessionId, StreamId, reply};
use crate::metrics::Counter;
use crate::wire::{json, sse};

use super::known::Known;
use super::service::Service;
use super::stream::{Flow, PIECE_BYTES, write_event};

/// Bytes of events handed over that wait for their reader. They are kept nowhere else.
const TAKEN_BYTES_MAX: usize = 256 << 10;

/// Time that an event may take from the shard whose call wrote it to the one that carries its stream.
const HANDOVER_MS: u64 = 500;

/// Time after which a client may come back whose stream was closed without a word about it.
pub(super) const RETRY_MS: u64 = 1_000;

/// How the events of a session's stream look to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// With ids, by which the client can come back.
    Numbered,
    /// Without: HTTP+SSE.
    Plain,
}

/// A stream of a session that this connection carries.
pub(super) struct Carried {
    pub(super) session: SessionId,
    pub(super) events: Arc<SessionEvents>,
    pub(super) stream: StreamId,
    /// The number under which it is carried.
    pub(super) owner: u64,
    /// The last event that was written.
    pub(super) after: u64,
    pub(super) looks: Looks,
    /// Events that are kept nowhere else, in their order.
    taken: VecDeque<(EventId, Arc<[u8]>)>,
    taken_bytes: usize,
    /// Behind which event it closes, and when its client may come back.
    released: Option<(u64, u32)>,
    /// Since when the next event is missing. It may be on its way here, handed over by another shard.
    missing_since_ms: Option<u64>,
    /// The stream is no longer this connection's.
    pub(super) displaced: bool,
}

impl Carried {
    pub(super) fn new(
        session: SessionId,
        events: Arc<SessionEvents>,
        from: EventId,
        owner: u64,
        looks: Looks,
    ) -> Self {
        Self {
            session,
            events,
            stream: from.stream,
            owner,
            after: from.seq,
            looks,
            taken: VecDeque::new(),
            taken_bytes: 0,
            released: None,
            missing_since_ms: None,
            displaced: false,
        }
    }

    /// The same for a client that came back: what is missing then is not on its way any longer.
    pub(super) fn again(self) -> Self {
        Self {
            missing_since_ms: Some(0),
            ..self
        }
    }

    /// Whether what is missing may still come.
    fn may_come(&mut self, now_ms: u64) -> bool {
        let since_ms = *self.missing_since_ms.get_or_insert(now_ms.max(1));
        since_ms > 0 && now_ms.saturating_sub(since_ms) < HANDOVER_MS
    }

    /// Whether this is the stream of what belongs to no request.
    pub(super) fn is_sessions_own(&self) -> bool {
        self.stream == StreamId::SESSION
    }

    /// Takes an event that is kept nowhere else; false where its reader is too slow for that.
    pub(super) fn take(&mut self, id: EventId, message: Arc<[u8]>) -> bool {
        let fits = self.taken.is_empty() || self.taken_bytes + message.len() <= TAKEN_BYTES_MAX;
        if fits {
            self.taken_bytes += message.len();
            self.taken.push_back((id, message));
        }
        fits
    }

    /// Closes behind this event, and lets the client come back, if it is one that can.
    pub(super) fn release(&mut self, through: u64, retry_ms: u32) {
        if self.looks == Looks::Numbered {
            self.released = Some((through, retry_ms));
        }
    }

    /// Whether this event is for those who come back.
    fn is_beyond(&self, seq: u64) -> bool {
        self.released.is_some_and(|(through, _)| seq > through)
    }

    /// Ends it, if it is released and has had what was there.
    fn write_release(&self, out: &mut Vec<u8>) -> bool {
        let released = self.released.filter(|(through, _)| self.after >= *through);
        if let Some((_, retry_ms)) = released {
            sse::write_retry(out, u64::from(retry_ms));
        }
        released.is_some()
    }

    fn write_one(&mut self, seq: u64, message: &[u8], out: &mut Vec<u8>) {
        self.after = seq;
        // Waiting begins anew with each gap; those of before a client came back are all behind it once the stream is read to its end.
        if self.missing_since_ms != Some(0) {
            self.missing_since_ms = None;
        }
        match self.looks {
            Looks::Plain => write_event(out, message),
            Looks::Numbered => {
                let id = EventId {
                    stream: self.stream,
                    seq,
                };
                sse::write_event(out, Some(&id.to_string()), Some("message"), message);
            }
        }
    }

    /// Writes those that were handed over and whose turn it is.
    fn write_taken(&mut self, out: &mut Vec<u8>) -> usize {
        let mut count = 0;
        while let Some((id, _)) = self.taken.front()
            && id.seq <= self.after + 1
            && !self.is_beyond(id.seq)
            && let Some((id, message)) = self.taken.pop_front()
        {
            self.taken_bytes -= message.len();
            if id.seq == self.after + 1 {
                self.write_one(id.seq, &message, out);
                count += 1;
            }
        }
        count
    }
}

impl Service {
    /// Appends what a session's stream has to say next: how many events, and whether there can be more.
    pub(super) fn write_carried(
        &mut self,
        carried: &mut Carried,
        principal: Principal,
        hearer: Option<&Rc<Known>>,
        out: &mut Vec<u8>,
    ) -> (usize, Flow) {
        // Looked up and not only told: the word about it may have been lost.
        carried.displaced |= carried.events.carrier(carried.stream) != carried.owner;
        if carried.displaced {
            return (0, Flow::Ended);
        }
        // What could not be kept now will be told again: its number is no loss.
        let untold = carried.is_sessions_own() && self.announce(&carried.events, hearer);
        let events = Arc::clone(&carried.events);
        let mut count = carried.write_taken(out);
        let Ok(replay) = events.read_after(carried.stream, carried.after, PIECE_BYTES) else {
            return (count, Flow::Ended);
        };
        for event in replay.events {
            if carried.is_beyond(event.seq) {
                break;
            }
            let gone = event.seq - carried.after - 1;
            if gone > 0 {
                if carried.may_come(self.now_ms()) {
                    return (count, Flow::Open);
                }
                self.write_gap(carried, principal, gone, out);
            }
            carried.write_one(event.seq, &event.message, out);
            count += 1 + carried.write_taken(out);
        }
        if carried.looks == Looks::Plain && count > 0 {
            // Nobody can come back for them.
            events.forget_through(carried.stream, carried.after);
        }
        if carried.write_release(out) {
            return (count, Flow::Ended);
        }
        if replay.more {
            return (count, Flow::Open);
        }
        if untold {
            carried.after = replay.last;
        }
        if replay.last > carried.after {
            if carried.may_come(self.now_ms()) {
                return (count, Flow::Open);
            }
            self.write_gap(carried, principal, replay.last - carried.after, out);
            carried.after = replay.last;
        }
        carried.missing_since_ms = None;
        let flow = match replay.completed {
            true => Flow::Ended,
            false => Flow::Open,
        };
        (count, flow)
    }

    /// Tells the client that events are missing, if it hears warnings.
    fn write_gap(
        &mut self,
        carried: &Carried,
        principal: Principal,
        count: u64,
        out: &mut Vec<u8>,
    ) {
        self.metrics.add(Counter::EventsLost, count);
        let session = self.shared.sessions.get(carried.session, principal);
        let level = session.and_then(|facts| facts.log_level);
        if level.is_some_and(|level| level > LogLevel::Warning) {
            return;
        }
        let limits = &self.shared.limits;
        let text = format!(
            "{count} events of this stream are gone: a session keeps {} events (limits.session_event_count_max) and {} bytes of them \
             (limits.session_event_bytes_max) for {:?} (limits.session_event_deadline), all sessions together {} bytes (limits.event_bytes_max)",
            limits.session_event_count_max,
            limits.session_event_bytes_max,
            limits.session_event_deadline,
            limits.event_bytes_max
        );
        let (mut data, mut message) = (Vec::new(), Vec::new());
        json::write_str(&mut data, &text);
        reply::log_message(&mut message, LogLevel::Warning, Some("margay"), &data);
        write_event(out, &message);
    }
}
