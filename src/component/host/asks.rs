//! The questions that are open in this process, and the way of their answers to the calls that wait for them.
//!
//! Ids are numbers of this process, never used twice. An answer is taken only from the session that was asked, and only once. There
//! is no lock: a shard that brings an answer waits for nobody.
//!
//! A component's fiber waits for its answer ([`OpenQuestion`]); an upstream, whose question it is, is told by whoever brings it
//! ([`RemoteQuestion`]).

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use crossbeam_queue::ArrayQueue;
use papaya::{Compute, Operation};
use tokio::sync::Notify;

use crate::limits::Limits;
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
    /// Of the sessions that have any.
    counts: papaya::HashMap<SessionId, usize>,
    session_count_max: usize,
    /// Calls that wait for answers now.
    held: AtomicUsize,
    unanswered: AtomicU64,
}

struct Question {
    session: Option<SessionId>,
    reply: OnceLock<Reply>,
    arrived: Notify,
    /// Bytes that the answers to the call's questions may still have.
    room: Arc<AtomicUsize>,
    /// Who is told of the answer, in place of a fiber that waits for it; empty once it was told.
    /// Boxed, because the others do without.
    told: Option<Box<ArrayQueue<OnAnswer>>>,
}

/// What is run with the answer, on the thread that brings it: it must not block.
pub type OnAnswer = Box<dyn FnOnce(Result<Vec<u8>, Vec<u8>>) + Send + Sync>;

impl Asks {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            open: papaya::HashMap::new(),
            next: AtomicU64::new(1),
            count: AtomicUsize::new(0),
            count_max: limits.ask_count_max,
            counts: papaya::HashMap::new(),
            session_count_max: limits.ask_session_count_max,
            held: AtomicUsize::new(0),
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

    /// Calls that wait for answers now: at most as many as questions may be open.
    pub fn held_count(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// A call waits for answers until the guard is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.held.fetch_add(1, Ordering::AcqRel);
        Held(self)
    }

    /// Questions that were given up without an answer, since the start.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Opens a question; it is closed when the handle is dropped.
    ///
    /// Errors: as many are open as may be.
    pub(crate) fn open(
        self: &Arc<Self>,
        session: Option<SessionId>,
        room: &Arc<AtomicUsize>,
    ) -> Result<OpenQuestion, Full> {
        let (id, question) = self.put(session, Arc::clone(room), None)?;
        Ok(OpenQuestion {
            asks: Arc::clone(self),
            id,
            question,
        })
    }

    /// Opens a question whose answer goes to `on_answer`; it is closed when the handle is dropped.
    ///
    /// Shape: `on_answer` is run once, by the thread that brings the answer or ends the session, or never. Once the handle is
    /// gone it is not begun; one that was begun just before may still be running.
    /// Units: `bytes_max` bytes of the answer; a longer one is an error.
    /// Errors: as many are open as may be.
    pub fn open_with(
        self: &Arc<Self>,
        session: Option<SessionId>,
        bytes_max: usize,
        on_answer: OnAnswer,
    ) -> Result<RemoteQuestion, Full> {
        let told = Box::new(ArrayQueue::new(1));
        // There is room for the one.
        let _ = told.push(on_answer);
        let room = Arc::new(AtomicUsize::new(bytes_max));
        let (id, question) = self.put(session, room, Some(told))?;
        Ok(RemoteQuestion {
            asks: Arc::clone(self),
            id,
            question,
        })
    }

    /// Counts a question and puts it into the table.
    fn put(
        &self,
        session: Option<SessionId>,
        room: Arc<AtomicUsize>,
        told: Option<Box<ArrayQueue<OnAnswer>>>,
    ) -> Result<(u64, Arc<Question>), Full> {
        if self.count.fetch_add(1, Ordering::AcqRel) >= self.count_max {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return Err(Full::Process);
        }
        if session.is_some_and(|session| !self.enter(session)) {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return Err(Full::Session);
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let question = Arc::new(Question {
            session,
            reply: OnceLock::new(),
            arrived: Notify::new(),
            room,
            told,
        });
        self.open.pin().insert(id, Arc::downgrade(&question));
        Ok((id, question))
    }

    /// Takes a question out of the table and of the counts.
    fn close(&self, id: u64, question: &Question, is_answered: bool) {
        if !is_answered {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        self.open.pin().remove(&id);
        if let Some(session) = question.session {
            self.leave(session);
        }
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    /// Counts one more question of a session, if it may have one more.
    fn enter(&self, session: SessionId) -> bool {
        let most = self.session_count_max;
        let one_more = |entry: Option<(&SessionId, &usize)>| {
            let count = entry.map_or(0, |(_, count)| *count);
            if count >= most {
                return Operation::Abort(());
            }
            Operation::Insert(count + 1)
        };
        let counts = self.counts.pin();
        !matches!(counts.compute(session, one_more), Compute::Aborted(()))
    }

    fn leave(&self, session: SessionId) {
        self.counts
            .pin()
            .compute(session, |entry: Option<(&SessionId, &usize)>| match entry {
                Some((_, count)) if *count > 1 => Operation::Insert(count - 1),
                Some(_) => Operation::Remove,
                None => Operation::Abort(()),
            });
    }
}

/// Why there can be no more questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// As many are open in the process as may be.
    Process,
    /// As many are open in the session as may be.
    Session,
}

/// A call that waits for answers.
pub(crate) struct Held<'a>(&'a Asks);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
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
        if let Some(told) = &self.told {
            let on_answer = told.pop();
            return on_answer.map(|on_answer| on_answer(reply)).is_some();
        }
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
        let is_answered = self.reply().is_some();
        self.asks.close(self.id, &self.question, is_answered);
    }
}

/// A question of an upstream, for as long as somebody wants its answer.
#[must_use = "dropping it closes the question"]
pub struct RemoteQuestion {
    asks: Arc<Asks>,
    id: u64,
    question: Arc<Question>,
}

impl RemoteQuestion {
    /// The id of the request that asks it.
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for RemoteQuestion {
    fn drop(&mut self) {
        // Whoever takes it decides: either the answer was brought, or nobody will be told of one.
        let untold = self.question.told.as_ref().and_then(|told| told.pop());
        self.asks.close(self.id, &self.question, untold.is_none());
    }
}

impl fmt::Debug for RemoteQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteQuestion")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asks")
            .field("open", &self.open_count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
