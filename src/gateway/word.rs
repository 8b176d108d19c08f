//! The words.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::component::Outbox;
use crate::mcp::{ClientCapabilities, List, LogLevel, Method, Principal, Revision, SessionId};
use crate::upstream::credential::Challenge;
use crate::upstream::era::Spoken;
use crate::upstream::remote::Remote;

/// Who waits for an answer: a thread, by the number of its port, and its ticket for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerKey {
    /// The thread.
    pub port: u16,
    /// The ticket.
    pub ticket: u64,
}

/// One request of a client, on its way to an upstream.
#[derive(Debug)]
pub struct Call {
    /// Who waits for the answer.
    pub caller: CallerKey,
    /// Whose request it is.
    pub principal: Principal,
    /// The client's revision.
    pub revision: Revision,
    /// The client's legacy session.
    pub session: Option<SessionId>,
    /// The upstream.
    pub remote: Arc<Remote>,
    /// What is asked.
    pub method: Method,
    /// The whole JSON-RPC request, with the client's id, tokens and names.
    pub message: Vec<u8>,
    /// The tool, prompt, resource or task that it is about, as the upstream knows it.
    pub target: Box<str>,
    /// Whether the message names it otherwise.
    pub is_renamed: bool,
    /// Header fields that the tool wants mirrored: names and decoded values.
    pub mirrored: Vec<(String, String)>,
    /// What the client can do.
    pub capabilities: ClientCapabilities,
    /// `clientInfo` of a legacy client, as JSON text.
    pub client_info: Option<Box<[u8]>>,
    /// The least level of log messages that the client wants.
    pub log_level: Option<LogLevel>,
    /// Whether a second call changes nothing: the method reads, or the tool says so.
    pub is_repeatable: bool,
    /// Whether it waits for its client.
    pub patience: Arc<Patience>,
    /// Where what it says before its answer goes; none: the client cannot hear it, and why.
    pub outbox: Result<Arc<Outbox>, &'static str>,
}

impl Call {
    /// How long it may take.
    pub fn timeout(&self) -> std::time::Duration {
        let tool = (self.method == Method::CallTool).then_some(&*self.target);
        self.remote.settings.call_timeout(tool)
    }
}

/// How a call has ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Done {
    /// The HTTP status that goes with the answer.
    pub status: u16,
    /// How, for the log: `ok`, `error`, `unavailable`, `deadline`…
    pub outcome: &'static str,
    /// The whole JSON-RPC response, with the client's id.
    pub body: Vec<u8>,
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Done")
            .field("status", &self.status)
            .field("outcome", &self.outcome)
            .field("body", &String::from_utf8_lossy(&self.body))
            .finish()
    }
}

/// Names one question of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AskKey {
    /// The home of what it came from.
    pub port: u16,
    /// Its number there.
    pub number: u64,
}

/// Names one child of one upstream, for ever; chosen by its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildKey {
    /// Its home.
    pub port: u16,
    /// Its number there.
    pub number: u64,
}

/// What one thread tells another about calls.
#[derive(Debug)]
pub enum Word {
    /// To a home: begin this call.
    Begin(Box<Call>),
    /// To a home: its client wants it no longer.
    Cancel {
        /// Which upstream.
        remote: usize,
        /// Whose call.
        caller: CallerKey,
    },
    /// To a caller's thread: its call has ended.
    Done {
        /// The ticket.
        ticket: u64,
        /// How.
        done: Done,
    },
    /// To a home: a client answered a question; the text of its result, or of its error object.
    Answered {
        /// Which question.
        ask: AskKey,
        /// The answer.
        answer: Result<Vec<u8>, Vec<u8>>,
    },
    /// To a home, from control: word of a child.
    Child {
        /// Which.
        child: ChildKey,
        /// The word.
        news: ChildNews,
    },
    /// To a home, from control: the credential of this upstream is another one now, or there is none, and why.
    Credential(usize, Result<(), String>),
    /// To the home that feeds an upstream: a stream of a client's follows one of its resources, or no longer.
    Follow(Box<Follow>),
    /// To a home: nobody hears what is asked for this call.
    Unheard(CallerKey),
    /// To the home that feeds this upstream: its lists may have changed.
    Changed(usize, Option<List>),
    /// To a home: clients follow these resources no longer, or their session ended.
    SessionEnded(SessionId),
}

/// A stream of a client that belongs to no session follows a resource, or no longer.
#[derive(Clone, Debug)]
pub struct Follow {
    /// The upstream.
    pub remote: Arc<Remote>,
    /// The resource.
    pub uri: Box<str>,
    /// Names the stream, for ever.
    pub listener: u64,
    /// Whether it follows.
    pub wanted: bool,
}

/// What becomes of a child.
#[derive(Debug)]
pub enum ChildNews {
    /// It runs: this is its standard input and output.
    Started(OwnedFd),
    /// Close its input: it is to end.
    CloseInput,
    /// It has ended, or could not be started.
    Ended {
        /// How.
        how: String,
        /// When it is started again; none: never.
        restart_in_ms: Option<u64>,
    },
}

/// What a home wants of control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildOrder {
    /// Start a child of this upstream, and keep it running.
    Start {
        /// The upstream.
        remote: usize,
        /// The new child's key.
        child: ChildKey,
    },
    /// It answers no longer: end it and start it again.
    Restart(ChildKey),
    /// It has answered something: when it ends, it is started again soon.
    Proved(ChildKey),
    /// End it for good.
    Stop(ChildKey),
}

/// An upstream does not take the credential that a home's request has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialWant {
    /// The upstream.
    pub remote: usize,
    /// The home, which is told.
    pub port: u16,
    /// The number of the credential that was shown; 0: none.
    pub seen: u64,
    /// Whether it is one that may too little.
    pub lacks_scopes: bool,
    /// What the upstream wants.
    pub challenge: Challenge,
}

/// What a home tells control.
#[derive(Debug)]
pub enum News {
    /// What an upstream offers.
    Listed {
        /// The upstream.
        remote: usize,
        /// What it said.
        listing: Box<RawListing>,
    },
    /// It cannot be asked, and why. What it offered before is offered no longer once control says so.
    Down {
        /// The upstream.
        remote: usize,
        /// Why.
        why: String,
    },
}

/// What an upstream said that it offers, as it said it.
#[derive(Debug, PartialEq, Eq)]
pub struct RawListing {
    /// How it is spoken to.
    pub spoken: Spoken,
    /// The text of the result of its handshake or discovery.
    pub facts: Vec<u8>,
    /// The texts of the results of its list requests, page by page.
    pub pages: Vec<(List, Vec<u8>)>,
    /// The lists that it said had changed since the last time: clients are told, whatever stands in them.
    pub announced: Vec<List>,
}

/// The way from homes to control. Called from shards: nothing here waits.
pub trait ControlLink: Send + Sync {
    /// Takes news of an upstream.
    fn news(&self, news: News);

    /// Takes an order about a child.
    fn order(&self, order: ChildOrder);

    /// Takes the wish for another credential; it is answered with [`Word::Credential`].
    fn want(&self, want: CredentialWant);
}

/// Whether a call waits for an answer of its client, for the thread that watches its time.
#[derive(Debug, Default)]
pub struct Patience(std::sync::atomic::AtomicUsize);

impl Patience {
    /// One more question is in the client's hands.
    pub(super) fn begin(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// One is answered, or no longer asked.
    pub(super) fn end(&self) {
        let one_less = |count: usize| count.checked_sub(1);
        // Never below nothing.
        let _ = self.0.fetch_update(
            std::sync::atomic::Ordering::Relaxed,
            std::sync::atomic::Ordering::Relaxed,
            one_less,
        );
    }

    /// Whether it waits.
    pub fn is_asking(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed) > 0
    }
}
