//! What a running call says before its answer, on its way to the shard.
//!
//! One fiber writes, one shard reads; there is no lock. Messages that may be missed (progress, log) are bounded in number and in
//! bytes, and passed over beyond that; questions are bounded where they are asked and never lost.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use crossbeam_queue::ArrayQueue;

use crate::limits::{Limits, QUESTIONS_PER_CALL_MAX, RELEASES_PER_CALL_MAX};

use super::super::mailbox::Mailbox;

/// Places for what must arrive: each question, that it was given up, and each release of the stream.
const RESERVED: usize = 2 * QUESTIONS_PER_CALL_MAX + RELEASES_PER_CALL_MAX;

/// One thing that a call says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A whole JSON-RPC message, without a line break.
    Message(Vec<u8>),
    /// The stream of the answer may be closed; the client comes back for it after this time.
    Release {
        /// Milliseconds.
        retry_ms: u32,
    },
}

impl Outgoing {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(text) => text.len(),
            Self::Release { .. } => 0,
        }
    }
}

/// The messages of one call.
pub struct Outbox {
    ticket: u64,
    mailbox: Weak<Mailbox>,
    /// Made for the first message: most calls say nothing.
    queue: OnceLock<ArrayQueue<Outgoing>>,
    count: AtomicUsize,
    bytes: AtomicUsize,
    count_max: usize,
    bytes_max: usize,
    signalled: AtomicBool,
    /// The call has ended: its shard looks here without being told to.
    has_ended: AtomicBool,
}

impl Outbox {
    pub(crate) fn new(ticket: u64, mailbox: &Arc<Mailbox>, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            ticket,
            mailbox: Arc::downgrade(mailbox),
            queue: OnceLock::new(),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            count_max: limits.outbox_count_max,
            bytes_max: limits.outbox_bytes_max,
            signalled: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        })
    }

    /// Takes what was said first. To be called until it gives nothing, after the mailbox gave this call's ticket as a signal and once
    /// more when the call has ended.
    pub fn take(&self) -> Option<Outgoing> {
        let said = self.queue.get()?.pop()?;
        self.count.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(said.bytes(), Ordering::AcqRel);
        Some(said)
    }

    /// Adds what may be missed, if there is room.
    pub(crate) fn offer(self: &Arc<Self>, said: Outgoing) -> bool {
        self.offer_within(said, self.count_max)
    }

    /// Adds what may be missed first: half of the places are for other messages.
    pub(crate) fn offer_progress(self: &Arc<Self>, said: Outgoing) -> bool {
        self.offer_within(said, self.count_max.div_ceil(2))
    }

    fn offer_within(self: &Arc<Self>, said: Outgoing, count_max: usize) -> bool {
        let has_room = self.count.load(Ordering::Acquire) < count_max
            && self
                .bytes
                .load(Ordering::Acquire)
                .saturating_add(said.bytes())
                <= self.bytes_max;
        if has_room {
            self.push(said);
        }
        has_room
    }

    /// Adds what must arrive. Whoever calls this bounds how often.
    pub(crate) fn push(self: &Arc<Self>, said: Outgoing) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(said.bytes(), Ordering::AcqRel);
        let queue = self
            .queue
            .get_or_init(|| ArrayQueue::new(self.count_max + RESERVED));
        if queue.push(said).is_err() {
            debug_assert!(false, "an outbox has a place for all that must arrive");
            tracing::error!("a message of a call was lost: its outbox was full");
        }
        // After the message is there: the shard that clears the mark looks into the queue afterwards.
        if !self.signalled.swap(true, Ordering::SeqCst)
            && let Some(mailbox) = self.mailbox.upgrade()
        {
            mailbox.signal(Arc::clone(self));
        }
    }

    /// Nothing is said any more, and what was said is looked for without a signal.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// The mailbox hands the signal out: the next message makes a new one.
    pub(crate) fn signal_taken(&self) -> u64 {
        self.signalled.store(false, Ordering::SeqCst);
        self.ticket
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("ticket", &self.ticket)
            .field("waiting", &self.count.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}
