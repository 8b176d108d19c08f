//! One task at one moment: what was asked, how far it is, and how it goes on from there.
//!
//! A record never changes; what happens to a task makes the next record. So whoever holds one has a task that is whole, and
//! the next one can be written to the disk before anybody sees it. Records know neither of the protocol's two forms.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::component::{Asked, Recorded};
use crate::limits::Limits;
use crate::mcp::{ClientCapabilities, Revision, code};
use crate::wire::json::{self, DEPTH_CAP, JsonError, Kind, Reader};

use super::id::{Owner, TaskId};

/// A task at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: TaskId,
    /// Whose it is.
    pub owner: Owner,
    /// The tool, as clients name it.
    pub tool: Arc<str>,
    /// When it was made.
    ///
    /// Units: milliseconds since 1970.
    pub created_ms: u64,
    /// When it last changed; of two records of one task the later one has the greater time.
    ///
    /// Units: milliseconds since 1970.
    pub updated_ms: u64,
    /// How long it is kept, from when it was made.
    ///
    /// Units: milliseconds.
    pub ttl_ms: u64,
    /// How far it is.
    pub state: State,
}

/// How far a task is, with what belongs to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its call runs, or waits for its turn.
    Working(Arc<Work>),
    /// It waits for answers.
    InputRequired {
        /// What is run again when they are there.
        work: Arc<Work>,
        /// The questions that are still open, at least one.
        open: Arc<[Question]>,
    },
    /// Its call answered.
    Completed {
        /// The members of the call's result, without its `_meta`.
        members: Arc<[u8]>,
        /// The members of that; mostly there are none.
        meta: Arc<[u8]>,
        /// Whether the result says that the tool failed.
        is_error: bool,
    },
    /// Its call has no result.
    Failed {
        /// The members of a JSON-RPC error.
        members: Arc<[u8]>,
    },
    /// It was given up.
    Cancelled,
}

/// What a task does: everything that a run of its call needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// What was asked for.
    pub order: Arc<Order>,
    /// What earlier runs left behind.
    pub recorded: Recorded,
}

/// What was asked for, and under which circumstances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The text of the arguments: an object.
    pub arguments: Vec<u8>,
    /// Name of the component that has the tool.
    pub component: Box<str>,
    /// SHA-256 of the component's file, in hexadecimal: answers to one component's questions are not given to another.
    pub digest: Box<str>,
    /// The revision whose rules hold.
    pub revision: Revision,
    /// What the client declared.
    pub capabilities: ClientCapabilities,
    /// The text of its `clientInfo`.
    pub client_info: Option<Box<[u8]>>,
    /// The text of the request's `_meta`.
    pub meta: Option<Box<[u8]>>,
    /// The authenticated caller, as the component may know it.
    pub principal: Option<Box<str>>,
    /// Who that is, for whatever narrows what the component may do for it: see [`Who`](super::Who).
    pub who: Option<Box<[u8]>>,
}

/// A question to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The key under which it is answered.
    pub key: Box<str>,
    /// The text of the request: an object with `method` and `params`.
    pub request: Box<[u8]>,
}

/// How a run of a task's call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// With a result.
    Result {
        /// Its members, without its `_meta`.
        members: Vec<u8>,
        /// The members of that; mostly there are none.
        meta: Vec<u8>,
        /// Whether it says that the tool failed.
        is_error: bool,
    },
    /// With a JSON-RPC error.
    Error {
        /// Its members.
        members: Vec<u8>,
    },
    /// With questions.
    Asked(Box<Asked>),
    /// At its deadline.
    Deadline,
    /// It could not be run, and will not be: the component is gone or another.
    Impossible {
        /// Why not, as the client reads it.
        why: String,
    },
    /// Without anything of its own: it was stopped.
    Stopped,
}

/// What answers did to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// None of them answers an open question.
    Nothing,
    /// They made this record: with fewer open questions, or at work again.
    Next(Record),
    /// The task would keep more than it may.
    TooLarge,
}

impl Record {
    /// A task that has just been asked for.
    pub fn new(
        id: TaskId,
        owner: Owner,
        tool: Arc<str>,
        work: Work,
        now_ms: u64,
        ttl_ms: u64,
    ) -> Self {
        Self {
            id,
            owner,
            tool,
            created_ms: now_ms,
            updated_ms: now_ms,
            ttl_ms,
            state: State::Working(Arc::new(work)),
        }
    }

    /// When nobody may count on it any more.
    ///
    /// Units: milliseconds since 1970.
    pub fn expires_ms(&self) -> u64 {
        self.created_ms.saturating_add(self.ttl_ms)
    }

    /// Whether it never changes again.
    pub fn is_terminal(&self) -> bool {
        !matches!(self.state, State::Working(_) | State::InputRequired { .. })
    }

    /// Bytes that it keeps, in memory and on the disk: what the limits on tasks count.
    pub fn kept_bytes(&self) -> usize {
        let own = size_of::<Self>() + self.tool.len();
        own + match &self.state {
            State::Working(work) => work.kept_bytes(),
            State::InputRequired { work, open } => {
                let open: usize = open.iter().map(Question::kept_bytes).sum();
                work.kept_bytes() + open
            }
            State::Completed { members, meta, .. } => members.len() + meta.len(),
            State::Failed { members } => members.len(),
            State::Cancelled => 0,
        }
    }

    /// How it stands once a run of its call has ended; `room` is what all tasks together may still take.
    ///
    /// Shape: none where nothing has changed: it was stopped from outside.
    #[must_use]
    pub fn ended(&self, ending: RunEnd, now_ms: u64, room: usize, limits: &Limits) -> Option<Self> {
        let state = match ending {
            RunEnd::Result {
                members,
                meta,
                is_error,
            } => too_large(members.len() + meta.len(), room, limits).unwrap_or_else(|| {
                State::Completed {
                    members: members.into(),
                    meta: meta.into(),
                    is_error,
                }
            }),
            RunEnd::Error { members } => {
                too_large(members.len(), room, limits).unwrap_or_else(|| State::Failed {
                    members: members.into(),
                })
            }
            RunEnd::Asked(asked) => self.asked(*asked, room, limits),
            RunEnd::Deadline => State::Completed {
                members: deadline_members(limits).into(),
                meta: [].into(),
                is_error: true,
            },
            RunEnd::Impossible { why } => failure(code::INTERNAL_ERROR, &why),
            RunEnd::Stopped => return None,
        };
        Some(self.next(state, now_ms))
    }

    /// How it stands after a failure that is not its tool's.
    #[must_use]
    pub fn failed(&self, message: &str, now_ms: u64) -> Self {
        self.next(failure(code::INTERNAL_ERROR, message), now_ms)
    }

    /// How it stands after it was given up.
    #[must_use]
    pub fn cancelled(&self, now_ms: u64) -> Self {
        self.next(State::Cancelled, now_ms)
    }

    /// How it stands with these answers. Keys that no open question has are passed over.
    pub fn answered(
        &self,
        mut answers: BTreeMap<String, Vec<u8>>,
        now_ms: u64,
        room: usize,
        limits: &Limits,
    ) -> Answered {
        let State::InputRequired { work, open } = &self.state else {
            return Answered::Nothing;
        };
        let mut recorded = work.recorded.clone();
        let mut left = Vec::new();
        for question in open.iter() {
            match answers.remove(&*question.key) {
                Some(answer) => drop(recorded.answers.insert(question.key.to_string(), answer)),
                None => left.push(question.clone()),
            }
        }
        if left.len() == open.len() {
            return Answered::Nothing;
        }
        let work = Arc::new(Work {
            order: Arc::clone(&work.order),
            recorded,
        });
        let state = if left.is_empty() {
            State::Working(work)
        } else {
            State::InputRequired {
                work,
                open: left.into(),
            }
        };
        let next = self.next(state, now_ms);
        let grown = next.kept_bytes().saturating_sub(self.kept_bytes());
        if grown > room || next.kept_bytes() > kept_bytes_max(limits) {
            return Answered::TooLarge;
        }
        Answered::Next(next)
    }

    fn asked(&self, asked: Asked, room: usize, limits: &Limits) -> State {
        let Asked { requests, recorded } = asked;
        let (State::Working(work) | State::InputRequired { work, .. }) = &self.state else {
            return self.state.clone();
        };
        let open = match questions(&requests) {
            Ok(open) if open.is_empty() => {
                return failure(
                    code::INTERNAL_ERROR,
                    "the tool stopped to ask and asked nothing; this is a defect of margay",
                );
            }
            Ok(open) => open,
            Err(error) => {
                let text = format!(
                    "the tool's questions are not JSON: {error}; this is a defect of margay"
                );
                return failure(code::INTERNAL_ERROR, &text);
            }
        };
        let work = Work {
            order: Arc::clone(&work.order),
            recorded,
        };
        let kept = work.kept_bytes() + open.iter().map(Question::kept_bytes).sum::<usize>();
        if kept > kept_bytes_max(limits) || kept > room.saturating_add(self.kept_bytes()) {
            return full(
                kept,
                kept_bytes_max(limits),
                "limits.body_bytes_max",
                limits,
            );
        }
        State::InputRequired {
            work: Arc::new(work),
            open: open.into(),
        }
    }

    fn next(&self, state: State, now_ms: u64) -> Self {
        Self {
            // Greater also where two changes fall into one millisecond or the clock was set back: who polls sees that it moved.
            updated_ms: now_ms.max(self.updated_ms + 1),
            state,
            ..self.clone()
        }
    }
}

impl Work {
    fn kept_bytes(&self) -> usize {
        let order = &self.order;
        let texts = [&order.client_info, &order.meta, &order.who];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
        let names = order.component.len() + order.principal.as_ref().map_or(0, |name| name.len());
        let answers = &self.recorded.answers;
        let answers: usize = answers
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let state = self.recorded.state.as_ref().map_or(0, Vec::len);
        order.arguments.len() + texts + names + answers + state
    }
}

impl Question {
    fn kept_bytes(&self) -> usize {
        self.key.len() + self.request.len()
    }
}

/// What one task may keep before it has a result: what one message may bring, and as much again for what it learns and asks.
fn kept_bytes_max(limits: &Limits) -> usize {
    limits.body_bytes_max.saturating_mul(2)
}

/// The failure that takes a result's place where it is too large.
fn too_large(bytes: usize, room: usize, limits: &Limits) -> Option<State> {
    let most = limits.task_result_bytes_max;
    let limit = "limits.task_result_bytes_max";
    (bytes > most.min(room)).then(|| full(bytes, most, limit, limits))
}

/// The failure of a task that has grown beyond what it may keep, or beyond what all may.
fn full(bytes: usize, most: usize, limit: &str, limits: &Limits) -> State {
    let text = if bytes > most {
        format!(
            "the task would keep {bytes} bytes, and {limit} lets it keep {most}: ask for less, or have the operator raise the limit"
        )
    } else {
        format!(
            "there is no room for the {bytes} bytes of the task: all tasks together may keep {} (limits.task_bytes_max); try again later, or have the operator raise the limit",
            limits.task_bytes_max
        )
    };
    failure(code::INTERNAL_ERROR, &text)
}

fn failure(code: i32, message: &str) -> State {
    let mut members = b"\"code\":".to_vec();
    json::write_i64(&mut members, i64::from(code));
    members.extend_from_slice(b",\"message\":");
    json::write_str(&mut members, message);
    State::Failed {
        members: members.into(),
    }
}

/// What a call that ran into its deadline answers: as outside a task, that the tool failed.
fn deadline_members(limits: &Limits) -> Vec<u8> {
    let mut members = br#""content":[{"type":"text","text":"#.to_vec();
    let text = format!(
        "the tool was stopped at its deadline (limits.task_deadline, {:?}): ask it for less at a time, or raise the limit",
        limits.task_deadline
    );
    json::write_str(&mut members, &text);
    members.extend_from_slice(br#"}],"isError":true"#);
    members
}

/// The questions of an object `key: {method, params}`, in its order.
pub(super) fn questions(object: &[u8]) -> Result<Vec<Question>, JsonError> {
    let mut found = Vec::new();
    let mut reader = Reader::new(object, DEPTH_CAP);
    reader.begin_object()?;
    while let Some(key) = reader.key()? {
        if reader.peek()? != Kind::Object {
            return Err(JsonError::WrongKind {
                at: reader.position(),
            });
        }
        found.push(Question {
            key: key.to_cow().into(),
            request: reader.skip()?.into(),
        });
    }
    reader.end()?;
    Ok(found)
}
