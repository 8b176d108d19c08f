//! One POST to the endpoint: scan, route, and the answer to its one message.

use crate::audit::Kind;
use crate::mcp::headers::{Accept, check_params};
use crate::mcp::route::{self, ClientResponse};
use crate::mcp::{
    Era, InlineId, Invocation, NewSession, Notice, Operation, Principal, Reason, Refusal, Revision,
    Route, SessionId, scan,
};
use crate::metrics::{Counter, Phase};
use crate::wire::http1::response::Body;

use super::super::access::Answer;
use super::super::dispatch::{Made, answer_question};
use super::super::exchange::Exchange;
use super::super::trail::Trail;
use super::frame::Frame;
use super::request::{Request, is_encoded};
use super::{Circumstances, Place, Served, Service, target_of};

impl Service {
    pub(super) fn post(
        &mut self,
        request: &Request<'_, '_>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Served {
        if is_encoded(request.head) {
            let reason = "the body has a Content-Encoding, and none is read here; send it plain";
            return self.plain(request, 415, reason, out);
        }
        let facts = request.facts();
        let accept = match route::admit_post(&facts) {
            Ok(accept) => accept,
            Err(refusal) => return self.refuse(request, &refusal, out),
        };
        let began = self.clock();
        let message = match scan(body, self.shared.limits.json_depth_max) {
            Ok(message) => message,
            Err(refusal) if matches!(refusal.reason, Reason::Batch) => {
                return self.post_batch(request, body, &facts, accept, out);
            }
            Err(refusal) => return self.refuse(request, &refusal, out),
        };
        let scanned = self.clock();
        self.metrics.record(
            Phase::Parse,
            request.arrival.head_ns + self.nanos_between(began, scanned),
        );
        let route = route::post(
            &facts,
            accept,
            &message,
            &self.shared.sessions,
            request.principal(),
            request.arrival.now_ms,
        );
        self.metrics.record(Phase::Session, self.since(scanned));
        match route {
            Err(refusal) => self.refuse(request, &refusal, out),
            Ok(Route::Invoke(invocation)) => self.invoke(request, &invocation, accept, out),
            Ok(Route::Notice(notice)) => {
                self.notice(&notice);
                self.accepted(request, "notification", out)
            }
            Ok(Route::Response(response)) => {
                self.response(request.principal(), &response);
                self.accepted(request, "response", out)
            }
        }
    }

    /// 202 without a body: taken, and there is nothing to say.
    pub(super) fn accepted(
        &mut self,
        request: &Request<'_, '_>,
        what: &'static str,
        out: &mut Vec<u8>,
    ) -> Served {
        let began = out.len();
        Frame::new(request, 202).write_head(out, Body::Empty);
        let answer = Answer {
            method: what,
            target: "",
            status: 202,
            outcome: "ok",
            bytes: out.len() - began,
        };
        self.answered(request, &answer)
    }

    /// Acts on a notification.
    pub(super) fn notice(&mut self, notice: &Notice<'_>) {
        self.metrics.add(Counter::OperationNotice, 1);
        if let Notice::Cancelled {
            session: Some(session),
            request,
        } = notice
        {
            self.cancel_everywhere(*session, InlineId::new(request).as_bytes());
        }
    }

    /// Brings an answer to the call that asked. One that comes too late, or that nobody asked for, is passed over.
    pub(super) fn response(&mut self, principal: Principal, response: &ClientResponse<'_>) {
        self.metrics.add(Counter::OperationResponse, 1);
        let taken = answer_question(&self.shared, principal, response);
        let counter = match taken {
            true => Counter::QuestionsAnswered,
            false => Counter::AnswersUnasked,
        };
        self.metrics.add(counter, 1);
    }

    /// Answers one request.
    fn invoke(
        &mut self,
        request: &Request<'_, '_>,
        invocation: &Invocation<'_>,
        accept: Accept,
        out: &mut Vec<u8>,
    ) -> Served {
        self.count_operation(invocation);
        let trail = match self.authorize(request.caller, invocation) {
            Ok(trail) => trail,
            Err(denied) => {
                let refusal = Refusal::new(denied.reason, Some(invocation.id));
                let field = denied
                    .field
                    .as_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                return self.write_refusal(request, &refusal, field, out);
            }
        };
        if let Operation::Initialize { negotiated, .. } = invocation.operation {
            return self.initialize(request, invocation, negotiated, accept, out);
        }
        if let Some(served) = self.check_param_headers(request, invocation, out) {
            return served;
        }
        let frame = Frame {
            respond: invocation.respond,
            ..Frame::new(request, 200)
        };
        self.answer(request, invocation, accept, &frame, trail, out)
    }

    fn initialize(
        &mut self,
        request: &Request<'_, '_>,
        invocation: &Invocation<'_>,
        negotiated: Revision,
        accept: Accept,
        out: &mut Vec<u8>,
    ) -> Served {
        let session = match self.open_session(request, invocation, negotiated) {
            Ok(session) => session,
            Err(reason) => {
                let refusal = Refusal::new(reason, Some(invocation.id));
                return self.refuse(request, &refusal, out);
            }
        };
        let text = session.text();
        let text = std::str::from_utf8(&text).unwrap_or_default();
        let frame = Frame {
            respond: invocation.respond,
            extra: Some(("Mcp-Session-Id", text)),
            ..Frame::new(request, 200)
        };
        self.answer(request, invocation, accept, &frame, None, out)
    }

    fn open_session(
        &mut self,
        request: &Request<'_, '_>,
        invocation: &Invocation<'_>,
        negotiated: Revision,
    ) -> Result<SessionId, Reason<'static>> {
        let new = NewSession {
            random: Self::session_random().ok_or(Reason::Internal)?,
            principal: request.principal(),
            revision: negotiated,
            capabilities: invocation.capabilities,
            client_info: invocation.client_info(),
            now_ms: request.arrival.now_ms,
        };
        let full = Reason::Overloaded {
            limit: "limits.session_count_max",
            value: self.shared.limits.session_count_max,
        };
        let session = self.shared.sessions.create(new).map_err(|_| full)?;
        self.metrics.add(Counter::SessionsOpened, 1);
        self.tell_session(request.caller, Kind::SessionCreated);
        Ok(session)
    }

    /// Compares the arguments that a tool wants repeated in headers; the refusal, if they differ.
    fn check_param_headers(
        &mut self,
        request: &Request<'_, '_>,
        invocation: &Invocation<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Served> {
        let Operation::CallTool {
            name, arguments, ..
        } = invocation.operation
        else {
            return None;
        };
        if invocation.era() == Era::Legacy || !self.has_param_headers {
            return None;
        }
        let snapshot = std::sync::Arc::clone(self.dispatcher.snapshot.load());
        let tool = snapshot.catalog.tool(&name.to_cow())?;
        let bindings = &tool.header_bindings;
        let depth_max = self.shared.limits.json_depth_max;
        let reason = check_params(bindings, arguments, request.head.fields, depth_max).err()?;
        let refusal = Refusal::new(reason, Some(invocation.id));
        Some(self.refuse(request, &refusal, out))
    }

    /// Has the request served, and writes what can be written of its answer.
    fn answer(
        &mut self,
        request: &Request<'_, '_>,
        invocation: &Invocation<'_>,
        accept: Accept,
        frame: &Frame<'_>,
        trail: Option<Box<Trail>>,
        out: &mut Vec<u8>,
    ) -> Served {
        let began = out.len();
        let opened = frame.open(out);
        let circumstances = Circumstances {
            caller: request.caller,
            place: Place::Exchange(request.arrival.socket),
            hears: hears(accept),
            started: request.arrival.started,
            request_bytes: request.body_bytes,
        };
        match self.dispatch(invocation, circumstances, out) {
            Ok(Made::Body { status, call, said }) if said.is_empty() => {
                frame.close(opened, status, out);
                let outcome = call.map_or("ok", |report| report.outcome.as_str());
                let target = target_of(&invocation.operation);
                self.tell_answered(
                    trail.as_deref(),
                    invocation.method().name(),
                    &target,
                    outcome,
                );
                let answer = Answer {
                    method: invocation.method().name(),
                    target: &target,
                    status,
                    outcome,
                    bytes: out.len() - began,
                };
                self.answered(request, &answer)
            }
            Ok(Made::Body { call, said, .. }) => {
                let body = frame.take_body(opened, out);
                let outcome = call.map_or("ok", |report| report.outcome.as_str());
                let target = target_of(&invocation.operation);
                self.tell_answered(
                    trail.as_deref(),
                    invocation.method().name(),
                    &target,
                    outcome,
                );
                self.answer_after(request, invocation, frame, said, &body, outcome, out)
            }
            Ok(Made::Later(ticket)) => {
                out.truncate(began);
                self.keep_trail(ticket, trail);
                let exchange = Exchange::new(ticket, invocation, request);
                Served::Pending(Box::new(exchange))
            }
            Ok(Made::Listen(filter)) => {
                out.truncate(began);
                self.listen(request, invocation.id, &filter, out)
            }
            Err(reason) => {
                out.truncate(began);
                let refusal = Refusal::new(reason, Some(invocation.id));
                self.refuse(request, &refusal, out)
            }
        }
    }
}

/// Whether a client that accepts this can hear a call before its answer.
pub(super) fn hears(accept: Accept) -> Result<(), &'static str> {
    if accept.events {
        Ok(())
    } else {
        Err("the client does not accept an event stream")
    }
}
