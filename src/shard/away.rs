//! Where the calls of sessions are, once they have left their first slice: so that a client's word about one finds it from any
//! shard, and a word about none costs nothing.

// A queue of tickets holds each call at most once, and its thread empties it every turn.
#![allow(clippy::disallowed_types)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::SegQueue;

use crate::mcp::SessionId;

/// The calls of one thread that their clients want no longer.
pub(super) struct Unwanted {
    tickets: SegQueue<u64>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Unwanted {
    pub(super) fn new(wake: Arc<dyn Fn() + Send + Sync>) -> Arc<Self> {
        let tickets = SegQueue::new();
        Arc::new(Self { tickets, wake })
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.tickets.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }
}

struct Filed {
    ticket: u64,
    thread: Arc<Unwanted>,
    is_unwanted: AtomicBool,
}

/// The calls of sessions that are away, by session and request id.
///
/// Invariants: no lock, and no word that can be lost: a call is unwanted once, and its thread's queue takes as many as there are.
#[derive(Default)]
pub(super) struct CallIndex {
    calls: papaya::HashMap<(SessionId, Box<[u8]>), Arc<Filed>>,
}

impl CallIndex {
    /// A call of the session goes on under this ticket of this thread. Of two with one id, which no client may send, the later one
    /// is found.
    pub(super) fn file(&self, session: SessionId, id: &[u8], ticket: u64, thread: &Arc<Unwanted>) {
        let filed = Filed {
            ticket,
            thread: Arc::clone(thread),
            is_unwanted: AtomicBool::new(false),
        };
        self.calls
            .pin()
            .insert((session, id.into()), Arc::new(filed));
    }

    /// It has ended.
    pub(super) fn forget(
        &self,
        session: SessionId,
        id: &[u8],
        ticket: u64,
        thread: &Arc<Unwanted>,
    ) {
        let is_it = |filed: &Filed| filed.ticket == ticket && Arc::ptr_eq(&filed.thread, thread);
        // An error is another call with its id.
        let _ = self
            .calls
            .pin()
            .remove_if(&(session, id.into()), |_, filed| is_it(filed));
    }

    /// Its client wants the call no longer: tells its thread. False where there is no such call.
    pub(super) fn stop(&self, session: SessionId, id: &[u8]) -> bool {
        let calls = self.calls.pin();
        let Some(filed) = calls.get(&(session, id.into())) else {
            return false;
        };
        if !filed.is_unwanted.swap(true, Ordering::Relaxed) {
            filed.thread.tickets.push(filed.ticket);
            (filed.thread.wake)();
        }
        true
    }
}
