//! HTTP requests: which resource and method, host and origin, and the framing of every kind of answer.

use crate::mcp::reply::{self, Honoured};
use crate::mcp::route::{self, HttpFacts};
use crate::mcp::{InlineId, RawId, Reason, Refusal, StreamClaim, headers};
use crate::metrics::{Counter, Phase};
use crate::wire::http1::response::{self, Body};
use crate::wire::http1::{Head, Method};

use super::super::access::Entry;
use super::super::endpoint::{self, ALLOW, Early, Resource};
use super::super::stream::{Origin, Stream};
use super::{Caller, Served, Service};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// The answer's frame: everything about it but its body.
pub(super) struct Frame<'a> {
    pub(super) status: u16,
    pub(super) content_type: &'a str,
    pub(super) keep_alive: bool,
    /// The caller's origin, when a browser calls; it was allowed before.
    pub(super) origin: Option<&'a [u8]>,
    /// One more field.
    pub(super) extra: Option<(&'a str, &'a str)>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(head: &Head<'a>, status: u16) -> Self {
        Self {
            status,
            content_type: JSON,
            keep_alive: head.keep_alive,
            origin: head.origin,
            extra: None,
        }
    }

    /// Appends head and body; `write` appends the body.
    pub(super) fn write(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self.status == 200
            && self.content_type == JSON
            && self.origin.is_none()
            && self.extra.is_none()
        {
            // What nearly every answer is: one constant head whose length is filled in afterwards.
            let reserved = response::reserve_json_head(out, self.keep_alive);
            write(out);
            reserved.finish(out);
            return;
        }
        let mut body = Vec::new();
        write(&mut body);
        self.write_head(out, Body::Length(body.len()));
        out.extend_from_slice(&body);
    }

    pub(super) fn write_head(&self, out: &mut Vec<u8>, body: Body) {
        let mut fields: [(&str, &str); 4] = [("", ""); 4];
        let mut count = 0;
        let mut push = |name, value| {
            fields[count] = (name, value);
            count += 1;
        };
        if let Some((name, value)) = self.extra {
            push(name, value);
        }
        if let Some(origin) = self
            .origin
            .and_then(|origin| std::str::from_utf8(origin).ok())
        {
            push("Access-Control-Allow-Origin", origin);
            push(
                "Access-Control-Expose-Headers",
                "Mcp-Session-Id, WWW-Authenticate",
            );
            push("Vary", "Origin");
        }
        let content_type = match body {
            Body::Empty => None,
            _ => Some(self.content_type),
        };
        response::write_head(
            out,
            self.status,
            content_type,
            body,
            self.keep_alive,
            &fields[..count],
        );
    }
}

impl Service {
    /// Answers one whole request.
    pub(in super::super) fn serve(
        &mut self,
        head: &Head<'_>,
        body: &[u8],
        caller: Caller,
        out: &mut Vec<u8>,
    ) -> Served {
        let head = &Head {
            keep_alive: head.keep_alive && !self.draining,
            ..*head
        };
        self.metrics.add(Counter::Requests, 1);
        let began = self.clock();
        let allowed = self.check_host(head);
        self.metrics.record(Phase::Auth, self.since(began));
        if let Err(reason) = allowed {
            self.metrics.add(Counter::RefusedHost, 1);
            return self.refuse(head, &Refusal::new(reason, None), caller, false, out);
        }
        match (Resource::of(head.target), head.method) {
            (Resource::Mcp, Method::Post) => self.post(head, body, caller, out),
            (Resource::Mcp, Method::Get) => self.get_stream(head, caller, out),
            (Resource::Mcp, Method::Delete) => self.delete(head, caller, out),
            (Resource::Mcp | Resource::Server, Method::Options) => self.options(head, caller, out),
            (Resource::Mcp, _) => self.plain(
                head,
                405,
                "the MCP endpoint takes POST, GET and DELETE",
                caller,
                out,
            ),
            (Resource::Root, Method::Get | Method::Head) => {
                endpoint::write_root(out, head, head.method == Method::Get);
                self.answered(head, 200, "root", caller, out.len())
            }
            (Resource::Root | Resource::Server, _) => {
                self.plain(head, 405, "only GET is answered here", caller, out)
            }
            (Resource::Unknown, _) => self.plain(
                head,
                404,
                "there is nothing at this path; the MCP endpoint is /mcp",
                caller,
                out,
            ),
        }
    }

    /// What the head alone decides, before the body is waited for.
    pub(in super::super) fn early(&mut self, head: &Head<'_>) -> Early {
        let admitted = self.check_host(head).is_ok()
            && Resource::of(head.target) == Resource::Mcp
            && (head.method != Method::Post
                || (!is_encoded(head) && route::admit_post(&facts(head)).is_ok()));
        if admitted {
            Early::Admit
        } else {
            Early::Refuse
        }
    }

    /// Writes the answer for a request that [`Service::early`] refused.
    pub(in super::super) fn refuse_early(
        &mut self,
        head: &Head<'_>,
        caller: Caller,
        out: &mut Vec<u8>,
    ) {
        let closing = Head {
            keep_alive: false,
            ..*head
        };
        let _ = self.serve(&closing, &[], caller, out);
    }

    fn check_host<'b>(&mut self, head: &Head<'b>) -> Result<(), Reason<'b>> {
        self.snapshot.load().hosts.check(head.host, head.origin)
    }

    fn get_stream(&mut self, head: &Head<'_>, caller: Caller, out: &mut Vec<u8>) -> Served {
        let principal = self.principal();
        let open = match route::get(
            &facts(head),
            &self.shared.sessions,
            principal,
            caller.now_ms,
        ) {
            Ok(open) => open,
            Err(refusal) => return self.refuse(head, &refusal, caller, head.keep_alive, out),
        };
        if !self.shared.streams.enter() {
            return self.refuse(head, &self.streams_full(None), caller, head.keep_alive, out);
        }
        let owner = self.next_stream_owner();
        let claim = self
            .shared
            .sessions
            .claim_stream(open.session, principal, owner);
        if claim != StreamClaim::Claimed {
            self.shared.streams.leave();
            let reason = if claim == StreamClaim::Taken {
                Reason::StreamTaken
            } else {
                Reason::UnknownSession
            };
            return self.refuse(
                head,
                &Refusal::new(reason, None),
                caller,
                head.keep_alive,
                out,
            );
        }
        self.begin_stream(head, out);
        self.count_answer(head, 200, "stream", caller, out.len());
        Served::Stream(Box::new(Stream {
            origin: Origin::Session {
                id: open.session,
                owner,
            },
            principal,
            written_ms: caller.now_ms,
        }))
    }

    /// Opens the stream of a `subscriptions/listen`.
    pub(super) fn listen(
        &mut self,
        head: &Head<'_>,
        id: RawId<'_>,
        tools: bool,
        caller: Caller,
        out: &mut Vec<u8>,
    ) -> Served {
        if !self.shared.streams.enter() {
            let refusal = self.streams_full(Some(id));
            return self.refuse(head, &refusal, caller, head.keep_alive, out);
        }
        self.begin_stream(head, out);
        let id = InlineId::new(&id);
        let mut message = Vec::new();
        let honoured = Honoured {
            tools,
            ..Honoured::default()
        };
        reply::acknowledged(&mut message, &id, &honoured);
        super::super::stream::write_event(out, &message);
        self.count_answer(head, 200, "stream", caller, out.len());
        Served::Stream(Box::new(Stream {
            origin: Origin::Listen { id, tools },
            principal: self.principal(),
            written_ms: caller.now_ms,
        }))
    }

    fn streams_full<'b>(&self, id: Option<RawId<'b>>) -> Refusal<'b> {
        let reason = Reason::Overloaded {
            limit: "limits.stream_count_max",
            value: self.shared.streams.limit(),
        };
        Refusal::new(reason, id)
    }

    fn begin_stream(&mut self, head: &Head<'_>, out: &mut Vec<u8>) {
        self.metrics.add(Counter::StreamsOpened, 1);
        let frame = Frame {
            content_type: EVENTS,
            keep_alive: false,
            extra: Some(("X-Accel-Buffering", "no")),
            ..Frame::new(head, 200)
        };
        frame.write_head(out, Body::Stream);
    }

    fn delete(&mut self, head: &Head<'_>, caller: Caller, out: &mut Vec<u8>) -> Served {
        let principal = self.principal();
        match route::delete(
            &facts(head),
            &self.shared.sessions,
            principal,
            caller.now_ms,
        ) {
            // The session's stream, wherever it is, ends at its shard's next look at it.
            Ok(_) => {
                Frame::new(head, 204).write_head(out, Body::Empty);
                self.answered(head, 204, "session-ended", caller, out.len())
            }
            Err(refusal) => self.refuse(head, &refusal, caller, head.keep_alive, out),
        }
    }

    fn options(&mut self, head: &Head<'_>, caller: Caller, out: &mut Vec<u8>) -> Served {
        let mut fields = vec![("Allow", ALLOW)];
        let origin = head
            .origin
            .and_then(|origin| std::str::from_utf8(origin).ok());
        let asked = head
            .access_control_request_headers
            .and_then(|value| std::str::from_utf8(value).ok());
        if let Some(origin) = origin {
            fields.push(("Access-Control-Allow-Origin", origin));
            fields.push(("Access-Control-Allow-Methods", "POST, GET, DELETE"));
            fields.push((
                "Access-Control-Allow-Headers",
                asked.unwrap_or("Content-Type, Accept, Authorization"),
            ));
            fields.push(("Access-Control-Max-Age", "600"));
            fields.push(("Vary", "Origin, Access-Control-Request-Headers"));
        }
        response::write_head(out, 204, None, Body::Empty, head.keep_alive, &fields);
        self.answered(head, 204, "options", caller, out.len())
    }

    /// Writes a refusal as HTTP and JSON-RPC error.
    pub(super) fn refuse(
        &mut self,
        head: &Head<'_>,
        refusal: &Refusal<'_>,
        caller: Caller,
        keep_alive: bool,
        out: &mut Vec<u8>,
    ) -> Served {
        let began = out.len();
        let extra = match refusal.http_status {
            405 => Some(("Allow", "POST")),
            503 => Some(("Retry-After", "1")),
            _ => None,
        };
        // An origin that was not allowed is not told that it was.
        let origin = if refusal.http_status == 403 {
            None
        } else {
            head.origin
        };
        let frame = Frame {
            keep_alive,
            extra,
            origin,
            ..Frame::new(head, refusal.http_status)
        };
        if head.method == Method::Head {
            frame.write_head(out, Body::Empty);
        } else {
            frame.write(out, |out| refusal.write(out));
        }
        self.metrics.add(refusal_counter(&refusal.reason), 1);
        self.count_answer(
            head,
            refusal.http_status,
            "refused",
            caller,
            out.len() - began,
        );
        Served::Answered { keep_alive }
    }

    pub(super) fn plain(
        &mut self,
        head: &Head<'_>,
        status: u16,
        reason: &str,
        caller: Caller,
        out: &mut Vec<u8>,
    ) -> Served {
        let began = out.len();
        let allow = [("Allow", ALLOW)];
        let extra: &[(&str, &str)] = if status == 405 { &allow } else { &[] };
        if head.method == Method::Head {
            response::write_head(out, status, None, Body::Empty, head.keep_alive, extra);
        } else {
            endpoint::write_json_error(out, status, reason, head.keep_alive, extra);
        }
        self.metrics.add(Counter::RefusedOther, 1);
        self.answered(head, status, "refused", caller, out.len() - began)
    }

    fn answered(
        &mut self,
        head: &Head<'_>,
        status: u16,
        outcome: &str,
        caller: Caller,
        bytes: usize,
    ) -> Served {
        self.count_answer(head, status, outcome, caller, bytes);
        Served::Answered {
            keep_alive: head.keep_alive,
        }
    }

    /// Counts and logs an answer that carries no MCP message.
    fn count_answer(
        &mut self,
        head: &Head<'_>,
        status: u16,
        outcome: &str,
        caller: Caller,
        bytes: usize,
    ) {
        self.count_status(status);
        let entry = Entry {
            method: head.method.as_str(),
            status,
            outcome,
            response_bytes: bytes,
            ..self.entry(caller)
        };
        self.log(&entry);
    }

    pub(super) fn entry(&self, caller: Caller) -> Entry<'static> {
        Entry {
            time_ms: self.unix_offset_ms + self.now_ms,
            shard: self.index,
            method: "",
            tool: "",
            status: 200,
            outcome: "ok",
            duration_us: self.since(caller.started) / 1_000,
            request_bytes: 0,
            response_bytes: 0,
        }
    }
}

/// Whether the body is not what it seems: a reader that decodes it and one that does not would see two messages.
pub(super) fn is_encoded(head: &Head<'_>) -> bool {
    head.content_encoding
        .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

/// The header fields that MCP reads.
pub(super) fn facts<'b>(head: &Head<'b>) -> HttpFacts<'b> {
    HttpFacts {
        content_type: head.content_type,
        accept: if head.accept_repeated {
            combined_accept(head)
        } else {
            head.accept
        },
        protocol_version: head.mcp_protocol_version,
        session_id: head.mcp_session_id,
        mcp_method: head.mcp_method,
        mcp_name: head.mcp_name,
        last_event_id: head.last_event_id,
    }
}

/// What several `Accept` lines say together (RFC 9110 section 5.3), as far as it matters here.
#[cold]
fn combined_accept<'b>(head: &Head<'b>) -> Option<&'b [u8]> {
    let accept = headers::accept_lines(head.values("accept"));
    match (accept.json, accept.events) {
        (true, true) => Some(b"application/json, text/event-stream"),
        (true, false) => Some(b"application/json"),
        (false, true) => Some(b"text/event-stream"),
        (false, false) => head.accept,
    }
}

fn refusal_counter(reason: &Reason<'_>) -> Counter {
    match reason {
        Reason::Json(_) => Counter::RefusedJson,
        Reason::Host { .. } | Reason::Origin { .. } => Counter::RefusedHost,
        Reason::UnknownSession | Reason::NoSession | Reason::StreamTaken => Counter::RefusedSession,
        Reason::Overloaded { .. } => Counter::RefusedOverload,
        Reason::TooLong { .. } => Counter::RefusedSize,
        Reason::Internal => Counter::RefusedOther,
        _ => Counter::RefusedProtocol,
    }
}
