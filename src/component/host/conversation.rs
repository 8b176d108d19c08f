//! What one running call may see and say: the state behind the imports of `margay:host`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::limits::{ANNOUNCEMENTS_PER_CALL_MAX, Limits};
use crate::mcp::LogLevel;
use crate::mcp::reply;

use super::super::call::{Control, End};
use super::super::traffic::Traffic;
use super::announce::{Announcement, Announcer};
use super::asks::Asks;
use super::caller::{Asking, Caller};
use super::outbox::Outgoing;
use super::text;

/// Bytes of what progress and log messages may say beside their data.
const WORDS_BYTES_MAX: usize = 4 << 10;

/// What all calls of the process share when they speak.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) asks: Arc<Asks>,
    pub(crate) announcer: Announcer,
}

/// One call's part in it.
pub(crate) struct Conversation {
    pub(super) caller: Arc<Caller>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) limits: Arc<Limits>,
    pub(super) control: Arc<Control>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) component_id: u64,
    /// Why a question, or becoming a task, cannot end the call, if it cannot.
    pub(super) never_ends: Option<&'static str>,
    /// Whether the component is only asked for its lists: then it has nothing to announce.
    pub(super) is_listing: bool,
    progress: f64,
    /// The keys of the questions that this run has asked.
    pub(super) keys: BTreeSet<String>,
    /// Bytes of their texts.
    pub(super) question_bytes: usize,
    /// Bytes that the answers of this run may still have.
    pub(super) answer_room: Arc<AtomicUsize>,
    announcement_count: usize,
    pub(super) release_count: usize,
    /// What the component keeps for the call's next run.
    pub(super) state: Option<Vec<u8>>,
    /// How the call ends, where a host function decided that.
    pub(super) end: Option<End>,
}

/// What a conversation is made of.
pub(crate) struct Opening {
    pub(crate) caller: Arc<Caller>,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) control: Arc<Control>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) component_id: u64,
    pub(crate) never_ends: Option<&'static str>,
    pub(crate) is_listing: bool,
}

/// A host function ends the call; how, the conversation knows. Raised as a trap.
#[derive(Debug)]
pub(crate) struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call has to be run again")
    }
}

impl std::error::Error for Ended {}

impl Conversation {
    pub(crate) fn open(opening: Opening) -> Box<Self> {
        let Opening {
            caller,
            exchange,
            limits,
            control,
            traffic,
            component_id,
            never_ends,
            is_listing,
        } = opening;
        let state = match &caller.asking {
            Asking::Rerun(recorded) => recorded.state.clone(),
            Asking::Live | Asking::Never(_) => None,
        };
        Box::new(Self {
            answer_room: Arc::new(AtomicUsize::new(limits.body_bytes_max)),
            caller,
            exchange,
            limits,
            control,
            traffic,
            component_id,
            never_ends,
            is_listing,
            progress: f64::NEG_INFINITY,
            keys: BTreeSet::new(),
            question_bytes: 0,
            announcement_count: 0,
            release_count: 0,
            state,
            end: None,
        })
    }

    /// How the call ends, where a host function decided that.
    pub(crate) fn take_end(&mut self) -> Option<End> {
        self.end.take()
    }

    /// The error that ends the call.
    pub(super) fn ends(&mut self, end: End) -> wasmtime::Error {
        self.end = Some(end);
        wasmtime::Error::new(Ended)
    }

    /// Says how far the call is, if anybody wants to hear of it and it is further than before.
    pub(super) fn progress(&mut self, progress: f64, total: Option<f64>, words: Option<&str>) {
        let (Some(token), Some(outbox)) = (&self.caller.progress_token, &self.caller.outbox) else {
            return;
        };
        // Not a number is not greater either.
        let is_further = progress > self.progress;
        if !is_further {
            return;
        }
        let words = words.map(|words| text::cut(words, WORDS_BYTES_MAX));
        let mut message = Vec::new();
        if reply::progress(&mut message, token, progress, total, words) {
            self.progress = progress;
            // One that finds no room is made up for by the next.
            outbox.offer_progress(Outgoing::Message(message));
        }
    }

    /// Sends a log message, if the client wants such. What is no JSON goes as the text that it is.
    pub(super) fn log(&self, level: LogLevel, logger: Option<&str>, data: &str) {
        let wanted = self.caller.log_level.is_some_and(|least| level >= least);
        let Some(outbox) = self.caller.outbox.as_ref().filter(|_| wanted) else {
            return;
        };
        if data.len() > self.limits.outbox_bytes_max {
            return;
        }
        let mut value = Vec::new();
        if text::append(&mut value, data, self.limits.json_depth_max).is_err() {
            crate::wire::json::write_str(&mut value, data);
        }
        let logger = logger.map(|logger| text::cut(logger, WORDS_BYTES_MAX));
        let mut message = Vec::new();
        reply::log_message(&mut message, level, logger, &value);
        outbox.offer(Outgoing::Message(message));
    }

    /// Announces a change to everybody, within the call's bound.
    pub(super) fn announce(&mut self, announcement: Announcement) {
        if self.is_listing {
            return;
        }
        self.announcement_count += 1;
        if self.announcement_count <= ANNOUNCEMENTS_PER_CALL_MAX {
            self.exchange
                .announcer
                .announce(self.component_id, announcement);
        } else if self.announcement_count == ANNOUNCEMENTS_PER_CALL_MAX + 1 {
            tracing::warn!(
                component_id = self.component_id,
                "a call announced more than {ANNOUNCEMENTS_PER_CALL_MAX} changes; the rest is dropped"
            );
        }
    }
}
