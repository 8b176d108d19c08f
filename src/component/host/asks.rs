//! The questions that are open in this process, and the way of their answers to the calls that wait for them.
//!
//! Ids are numbers of this process, never used twice. An answer is taken only from the session that was asked, and only once. There
//! is no lock: a shard that brings an answer waits for nobody.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::Notify;

use crate::mcp::{RawId, SessionId};

/// What a client answered: the text of its result, or of its error object.
pub(crate) type Reply = Result<Vec<u8>, Vec<u8>>;

/// The error of a client whose session ended before it answered.
const SESSION_ENDED: &[u8] = br#"{"code":-32603,"message":"the session ended"}"#;

/// The error that stands for an answer that is too long.
const TOO_LONG: &[u8] =
    br#"{"code":-32603,"message":"the answers of this call are longer than limits.body_bytes_max together"}"#;

/// The open questions of the process.
pub struct Asks {
    /// Weak, because the table lets go of what was removed only in its own time: an answer is freed with its call.
    open: papaya::HashMap<u64, Weak<Question>>,
    next: AtomicU64,
    count: AtomicUsize,
    count_max: usize,
    unanswered: AtomicU64,
}

struct Question {
    session: Option<SessionId>,
    reply: OnceLock<Reply>,
    arrived: Notify,
    /// Bytes that the answers to the call's questions may still have.
    room: Arc<AtomicUsize>,
}

impl Asks {
    pub(crate) fn new(count_max: usize) -> Arc<Self> {
        Arc::new(Self {
            open: papaya::HashMap::new(),
            next: AtomicU64::new(1),
            count: AtomicUsize::new(0),
            count_max,
            unanswered: AtomicU64::new(0),
        })
    }

    /// Brings a client's answer to the call that waits for it: the text of the result, or of the error object.
    ///
    /// Shape: `false` when this session has no such question open; then nothing happened.
    pub fn answer(
        &self,
        session: Option<SessionId>,
        id: &RawId<'_>,
        answer: Result<&[u8], &[u8]>,
    ) -> bool {
        let RawId::Integer(number) = id else {
            return false;
        };
        let Some(number) = number.as_u64() else {
            return false;
        };
        let question = self.open.pin().get(&number).and_then(Weak::upgrade);
        let Some(question) = question else {
            return false;
        };
        question.session == session && question.answer(answer)
    }

    /// Ends the questions of a session that is no more.
    pub(crate) fn end_session(&self, session: SessionId) {
        self.end_sessions(|other| other == session);
    }

    /// The same for all sessions that are no more.
    pub(crate) fn end_sessions(&self, is_over: impl Fn(SessionId) -> bool) {
        for question in self.open.pin().values().filter_map(Weak::upgrade) {
            if question.session.is_some_and(&is_over) {
                question.answer(Err(SESSION_ENDED));
            }
        }
    }

    /// Questions that wait for an answer.
    pub fn open_count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Questions that were given up without an answer, since the start.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Opens a question; it is closed when the handle is dropped. None when as many are open as may be.
    pub(crate) fn open(
        self: &Arc<Self>,
        session: Option<SessionId>,
        room: &Arc<AtomicUsize>,
    ) -> Option<OpenQuestion> {
        if self.count.fetch_add(1, Ordering::AcqRel) >= self.count_max {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let question = Arc::new(Question {
            session,
            reply: OnceLock::new(),
            arrived: Notify::new(),
            room: Arc::clone(room),
        });
        self.open.pin().insert(id, Arc::downgrade(&question));
        Some(OpenQuestion {
            asks: Arc::clone(self),
            id,
            question,
        })
    }
}

impl Question {
    fn answer(&self, answer: Result<&[u8], &[u8]>) -> bool {
        let bytes = answer.map_or_else(<[u8]>::len, <[u8]>::len);
        let takes = |room: usize| room.checked_sub(bytes);
        let fits = self
            .room
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, takes)
            .is_ok();
        let reply = match answer {
            _ if !fits => Err(TOO_LONG.to_vec()),
            Ok(text) => Ok(text.to_vec()),
            Err(text) => Err(text.to_vec()),
        };
        let is_first = self.reply.set(reply).is_ok();
        self.arrived.notify_one();
        is_first
    }
}

/// A question that waits for its answer.
pub(crate) struct OpenQuestion {
    asks: Arc<Asks>,
    id: u64,
    question: Arc<Question>,
}

impl OpenQuestion {
    /// The id of the request that asks it.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Waits until the answer is there.
    pub(crate) async fn arrived(&self) {
        while self.question.reply.get().is_none() {
            self.question.arrived.notified().await;
        }
    }

    /// The answer, if it is there.
    pub(crate) fn reply(&self) -> Option<&Reply> {
        self.question.reply.get()
    }
}

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        if self.reply().is_none() {
            self.asks.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        self.asks.open.pin().remove(&self.id);
        self.asks.count.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asks")
            .field("open", &self.open_count())
            .finish_non_exhaustive()
    }
}
