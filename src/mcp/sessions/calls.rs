//! The calls of sessions, and what is left of a session that ended while it was in use.
//!
//! A call that goes on keeps its session: its client waits for the answer, and may come back for it or for a question. That is
//! bounded by the deadlines of calls and questions, and by the number of calls that may be away at one time.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::fence;

use super::session::Session;
use super::{SessionId, Sessions};

impl Sessions {
    /// Whether there is such a session, whoever has it.
    pub fn contains(&self, id: SessionId) -> bool {
        self.map.pin().contains_key(&id.0)
    }

    /// A call of the session goes on after its first slice. Where the session has just ended, those that look for what it left
    /// behind find the call.
    pub fn call_left(&self, id: SessionId) {
        let map = self.map.pin();
        if let Some(session) = map.get(&id.0) {
            session.call_left();
        }
        // Either this sees that the session is gone, or whoever removes it sees the call: see `close`.
        fence(SeqCst);
        if !map.contains_key(&id.0) {
            self.bereaved.fetch_add(1, Release);
        }
    }

    /// It has ended; the session counts as used until now. To be called once for each [`Sessions::call_left`].
    pub fn call_ended(&self, id: SessionId, now_ms: u64) {
        if let Some(session) = self.map.pin().get(&id.0) {
            session.used_ms.fetch_max(now_ms, Relaxed);
            session.call_ended();
        }
    }

    /// Sessions that ended while they were in use, whatever the reason. Whoever does something for sessions looks, where this has
    /// changed, for those that are no more: no word about one can be lost.
    pub fn bereaved(&self) -> u64 {
        self.bereaved.load(Acquire)
    }

    /// Frees what a removed session keeps. The session itself is freed when no thread looks at it any longer; its bytes and its
    /// subscriptions must not wait for that.
    pub(super) fn close(&self, session: &Session) {
        if let Some(events) = session.events() {
            events.close();
        }
        fence(SeqCst);
        if session.is_in_use() {
            self.bereaved.fetch_add(1, Release);
        }
    }
}
