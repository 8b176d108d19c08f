//! One POST: scan, route, and the answers that need no component.

use crate::mcp::reply::{self, CacheScope, Hints, Page};
use crate::mcp::route::{self, ListenFilter};
use crate::mcp::{
    Era, InlineId, Invocation, List, NewSession, Notice, Operation, Reason, Refusal, Respond,
    Revision, Route, SessionId, scan,
};
use crate::metrics::{Counter, Phase};
use crate::wire::http1::Head;
use crate::wire::http1::response::Body;
use crate::wire::json::Str;
use crate::wire::sse;

use super::super::access::Entry;
use super::http::{Frame, facts, is_encoded};
use super::{Caller, Served, Service};

/// How long a modern client may keep `tools/list` and `server/discover`. Short, because tools come and go while serving; a client that
/// wants to know at once listens.
pub(in super::super) const LIST_HINTS: Hints = Hints {
    ttl_ms: 5_000,
    scope: CacheScope::Public,
};

/// What is declared, the same in every revision: tools. It is what [`Offer::TOOLS`](crate::mcp::Offer::TOOLS) writes.
pub(in super::super) const CAPABILITIES: &[u8] = b"{\"tools\":{\"listChanged\":true}}";

pub(in super::super) const INSTRUCTIONS: &str =
    "Each tool runs a WebAssembly component in a fresh sandbox: nothing is kept between calls.";

impl Service {
    pub(super) fn post(
        &mut self,
        head: &Head<'_>,
        body: &[u8],
        caller: Caller,
        out: &mut Vec<u8>,
    ) -> Served {
        if is_encoded(head) {
            let reason = "the body has a Content-Encoding, and none is read here; send it plain";
            return self.plain(head, 415, reason, caller, out);
        }
        let facts = facts(head);
        let accept = match route::admit_post(&facts) {
            Ok(accept) => accept,
            Err(refusal) => return self.refuse(head, &refusal, caller, head.keep_alive, out),
        };
        let began = self.clock();
        let message = match scan(body, self.shared.limits.json_depth_max) {
            Ok(message) => message,
            Err(refusal) => return self.refuse(head, &refusal, caller, head.keep_alive, out),
        };
        let scanned = self.clock();
        self.metrics.record(
            Phase::Parse,
            caller.head_ns + self.nanos_between(began, scanned),
        );
        let principal = self.principal();
        let route = route::post(
            &facts,
            accept,
            &message,
            &self.shared.sessions,
            principal,
            caller.now_ms,
        );
        self.metrics.record(Phase::Session, self.since(scanned));
        match route {
            Err(refusal) => self.refuse(head, &refusal, caller, head.keep_alive, out),
            Ok(Route::Invoke(invocation)) => {
                self.invoke(head, &invocation, body.len(), caller, out)
            }
            Ok(Route::Notice(notice)) => {
                self.metrics.add(Counter::OperationNotice, 1);
                if let Notice::Cancelled {
                    session: Some(session),
                    request,
                } = notice
                {
                    self.cancel_everywhere(session, InlineId::new(&request).as_bytes());
                }
                self.accepted(head, "notification", caller, out)
            }
            Ok(Route::Response(_)) => {
                self.metrics.add(Counter::OperationResponse, 1);
                self.accepted(head, "response", caller, out)
            }
        }
    }

    /// 202 without a body: taken, and there is nothing to say.
    fn accepted(
        &mut self,
        head: &Head<'_>,
        what: &'static str,
        caller: Caller,
        out: &mut Vec<u8>,
    ) -> Served {
        let began = out.len();
        Frame::new(head, 202).write_head(out, Body::Empty);
        self.count_status(202);
        let entry = Entry {
            method: what,
            status: 202,
            response_bytes: out.len() - began,
            ..self.entry(caller)
        };
        self.log(&entry);
        Served::Answered {
            keep_alive: head.keep_alive,
        }
    }

    fn invoke(
        &mut self,
        head: &Head<'_>,
        invocation: &Invocation<'_>,
        body_bytes: usize,
        caller: Caller,
        out: &mut Vec<u8>,
    ) -> Served {
        let era = invocation.era();
        self.metrics.add(
            if era == Era::Modern {
                Counter::MessagesModern
            } else {
                Counter::MessagesLegacy
            },
            1,
        );
        let (counter, method) = match invocation.operation {
            Operation::CallTool {
                name, arguments, ..
            } => {
                self.metrics.add(Counter::OperationCallTool, 1);
                return self.call_tool(head, invocation, name, arguments, body_bytes, caller, out);
            }
            Operation::Listen {
                filter: ListenFilter { tools, .. },
            } => {
                self.metrics.add(Counter::OperationListen, 1);
                return self.listen(head, invocation.id, tools, caller, out);
            }
            Operation::Initialize { .. } => (Counter::OperationInitialize, "initialize"),
            Operation::Ping => (Counter::OperationPing, "ping"),
            Operation::Discover => (Counter::OperationDiscover, "server/discover"),
            Operation::ListTools { .. } => (Counter::OperationListTools, "tools/list"),
            _ => return self.not_offered(head, invocation, caller, out),
        };
        self.metrics.add(counter, 1);
        let began = out.len();
        let id = &invocation.id;
        match invocation.operation {
            Operation::Initialize { negotiated, .. } => {
                return self.initialize(head, invocation, negotiated, caller, out);
            }
            Operation::ListTools {
                cursor: Some(cursor),
            } => {
                return self.unknown_cursor(head, invocation, cursor, caller, out);
            }
            Operation::ListTools { cursor: None } => {
                let listing = &*self.snapshot.load().catalog.listing();
                out.reserve(listing.len() + 1024);
                answer(head, invocation.respond, out, |out| {
                    let page = Page {
                        list: List::Tools,
                        entries: listing,
                        next_cursor: None,
                    };
                    reply::list_result(out, id, era, &page, LIST_HINTS);
                });
            }
            Operation::Discover => answer(head, invocation.respond, out, |out| {
                reply::discover_result(out, id, CAPABILITIES, Some(INSTRUCTIONS), LIST_HINTS);
            }),
            _ => answer(head, invocation.respond, out, |out| {
                reply::empty_result(out, id, era)
            }),
        }
        self.finish_answer(method, caller, body_bytes, out.len() - began);
        Served::Answered {
            keep_alive: head.keep_alive,
        }
    }

    fn initialize(
        &mut self,
        head: &Head<'_>,
        invocation: &Invocation<'_>,
        negotiated: Revision,
        caller: Caller,
        out: &mut Vec<u8>,
    ) -> Served {
        let began = out.len();
        let created = Self::session_random()
            .ok_or(Reason::Internal)
            .and_then(|random| {
                let new = NewSession {
                    random,
                    principal: self.principal(),
                    revision: negotiated,
                    capabilities: invocation.capabilities,
                    client_info: invocation.client_info(),
                    now_ms: caller.now_ms,
                };
                let full = Reason::Overloaded {
                    limit: "limits.session_count_max",
                    value: self.shared.limits.session_count_max,
                };
                self.shared.sessions.create(new).map_err(|_| full)
            });
        let session: SessionId = match created {
            Ok(session) => session,
            Err(reason) => {
                let refusal = Refusal::new(reason, Some(invocation.id));
                return self.refuse(head, &refusal, caller, head.keep_alive, out);
            }
        };
        self.metrics.add(Counter::SessionsOpened, 1);
        let text = session.text();
        let text = std::str::from_utf8(&text).unwrap_or_default();
        let frame = Frame {
            extra: Some(("Mcp-Session-Id", text)),
            ..Frame::new(head, 200)
        };
        framed(&frame, invocation.respond, out, |out| {
            reply::initialize_result(
                out,
                &invocation.id,
                negotiated,
                CAPABILITIES,
                Some(INSTRUCTIONS),
            );
        });
        self.finish_answer("initialize", caller, 0, out.len() - began);
        Served::Answered {
            keep_alive: head.keep_alive,
        }
    }

    /// What is not advertised is not there.
    fn not_offered(
        &mut self,
        head: &Head<'_>,
        invocation: &Invocation<'_>,
        caller: Caller,
        out: &mut Vec<u8>,
    ) -> Served {
        let reason = Reason::NotOffered {
            method: invocation.method(),
            revision: invocation.revision,
        };
        let refusal = Refusal::new(reason, Some(invocation.id));
        self.refuse(head, &refusal, caller, head.keep_alive, out)
    }

    /// The list is one page, so no cursor was ever handed out.
    fn unknown_cursor(
        &mut self,
        head: &Head<'_>,
        invocation: &Invocation<'_>,
        cursor: Str<'_>,
        caller: Caller,
        out: &mut Vec<u8>,
    ) -> Served {
        let refusal = Refusal::new(Reason::UnknownCursor { cursor }, Some(invocation.id));
        self.refuse(head, &refusal, caller, head.keep_alive, out)
    }

    pub(super) fn finish_answer(
        &mut self,
        method: &'static str,
        caller: Caller,
        request_bytes: usize,
        bytes: usize,
    ) {
        self.count_status(200);
        self.metrics
            .record(Phase::Total, self.since(caller.started));
        let entry = Entry {
            method,
            request_bytes,
            response_bytes: bytes,
            ..self.entry(caller)
        };
        self.log(&entry);
    }
}

/// Appends a successful answer in the form that the client takes.
pub(super) fn answer(
    head: &Head<'_>,
    respond: Respond,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) {
    framed(&Frame::new(head, 200), respond, out, write);
}

/// The same with a frame of its own.
pub(super) fn framed(
    frame: &Frame<'_>,
    respond: Respond,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) {
    match respond {
        Respond::Json => frame.write(out, write),
        Respond::Events => {
            let mut message = Vec::new();
            write(&mut message);
            let frame = Frame {
                content_type: "text/event-stream",
                ..*frame
            };
            frame.write(out, |out| {
                sse::write_event(out, None, Some("message"), &message)
            });
        }
    }
}
