//! The facts of a request that a component may see, and how it may speak before its answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mcp::{ClientCapabilities, InlineId, LogLevel, Revision, SessionId};

use super::super::grant::Behalf;
use super::outbox::Outbox;

/// One request's facts. One for each call, shared by whoever serves it.
#[derive(Debug)]
pub struct Caller {
    /// The request's method.
    pub method: &'static str,
    /// The revision whose rules hold for it.
    pub revision: Revision,
    /// The legacy session that it came in.
    pub session: Option<SessionId>,
    /// The authenticated caller, as the component may know it.
    pub principal: Option<Arc<str>>,
    /// For whom the call is made, as far as permissions and the audit log go.
    pub behalf: Option<Arc<Behalf>>,
    /// What the client declared.
    pub capabilities: ClientCapabilities,
    /// `clientInfo`, as JSON text.
    pub client_info: Option<Box<[u8]>>,
    /// The whole `_meta` object, as JSON text.
    pub meta: Option<Box<[u8]>>,
    /// The token that progress goes under; none where nobody wants any.
    pub progress_token: Option<InlineId>,
    /// The least level of log messages that the client wants; none where it wants none.
    pub log_level: Option<LogLevel>,
    /// Whether the call runs as a task.
    pub is_task: bool,
    /// Whether the call may end with [`CallOutcome::BecomeTask`](crate::component::CallOutcome::BecomeTask).
    pub may_become_task: bool,
    /// How a question is asked.
    pub asking: Asking,
    /// Where messages go; none where nobody can hear anything before the answer.
    pub outbox: Option<Arc<Outbox>>,
}

impl Caller {
    /// A caller that declares nothing and hears nothing before its answer.
    pub fn silent(method: &'static str, revision: Revision) -> Self {
        Self {
            method,
            revision,
            session: None,
            principal: None,
            behalf: None,
            capabilities: ClientCapabilities::NONE,
            client_info: None,
            meta: None,
            progress_token: None,
            log_level: None,
            is_task: false,
            may_become_task: false,
            asking: Asking::Never("nobody is there to answer"),
            outbox: None,
        }
    }
}

/// How a question is asked.
#[derive(Clone, Debug)]
pub enum Asking {
    /// Questions go out through the outbox as requests; answers come through [`Asks`](super::Asks).
    Live,
    /// The call ends with its questions and runs again from its start with their answers.
    Rerun(Recorded),
    /// Not at all, and why: each question fails with these words.
    Never(&'static str),
}

/// What one run of a call leaves to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// By the question's key: the text of the result that the client gave.
    pub answers: BTreeMap<String, Vec<u8>>,
    /// What the component keeps.
    pub state: Option<Vec<u8>>,
    /// Runs that ended with questions.
    pub round: u32,
}

/// How a call ended that has to run again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The text of an object: by its key each question as `{"method":…,"params":…}`. Empty (`{}`) where the call becomes a task.
    pub requests: Vec<u8>,
    /// What the next run is given, with the new answers added.
    pub recorded: Recorded,
}
