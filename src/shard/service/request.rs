//! One HTTP request on its way through the service, and what the counters and the log are told of its answer.

use std::net::IpAddr;

use crate::mcp::route::HttpFacts;
use crate::mcp::{Invocation, Principal, headers};
use crate::metrics::{Counter, Phase};
use crate::ring::SocketKey;
use crate::wire::http1::Head;

use super::super::access::{Answer, Entry};
use super::super::known::Caller;
use super::{Served, Service, target_of};

/// Who asks, and since when.
#[derive(Clone, Copy)]
pub(in super::super) struct Arrival<'a> {
    pub(in super::super) socket: SocketKey,
    /// The certificate, in DER, that its client has shown and TLS has verified.
    pub(in super::super) client_certificate: Option<&'a [u8]>,
    /// Where it comes from, if the connection still is one.
    pub(in super::super) address: Option<IpAddr>,
    /// When its first bytes were looked at, on the service's clock.
    pub(in super::super) started: u64,
    /// What reading its head took.
    pub(in super::super) head_ns: u64,
    pub(in super::super) now_ms: u64,
}

impl<'a> Arrival<'a> {
    /// Without a certificate, and with a head whose reading took no time.
    pub(in super::super) fn plain(
        socket: SocketKey,
        address: Option<IpAddr>,
        started: u64,
        now_ms: u64,
    ) -> Self {
        Self {
            socket,
            address,
            client_certificate: None,
            started,
            head_ns: 0,
            now_ms,
        }
    }
}

/// A whole request: its head as it was read, and what is known beside it.
#[derive(Clone, Copy)]
pub(in super::super) struct Request<'a, 'h> {
    pub(in super::super) head: &'a Head<'h>,
    pub(in super::super) arrival: Arrival<'a>,
    pub(in super::super) caller: &'a Caller,
    pub(super) body_bytes: usize,
    /// Whether another request may follow the answer on this connection.
    pub(in super::super) keep_alive: bool,
}

impl<'h> Request<'_, 'h> {
    /// The header fields that MCP reads.
    pub(super) fn facts(&self) -> HttpFacts<'h> {
        facts(self.head)
    }

    pub(in super::super) fn principal(&self) -> Principal {
        self.caller.principal()
    }
}

/// Whether the body is not what it seems: a reader that decodes it and one that does not would see two messages.
pub(super) fn is_encoded(head: &Head<'_>) -> bool {
    head.content_encoding
        .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"))
}

/// The header fields that MCP reads.
pub(super) fn facts<'h>(head: &Head<'h>) -> HttpFacts<'h> {
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
fn combined_accept<'h>(head: &Head<'h>) -> Option<&'h [u8]> {
    let accept = headers::accept_lines(head.values("accept"));
    match (accept.json, accept.events) {
        (true, true) => Some(b"application/json, text/event-stream"),
        (true, false) => Some(b"application/json"),
        (false, true) => Some(b"text/event-stream"),
        (false, false) => head.accept,
    }
}

impl Service {
    /// Counts and logs an answer that was just written.
    pub(super) fn answered(&mut self, request: &Request<'_, '_>, answer: &Answer<'_>) -> Served {
        let started = request.arrival.started;
        self.note(started, request.body_bytes, answer);
        if answer.status < 300 {
            self.metrics.record(Phase::Total, self.since(started));
        }
        Served::Answered {
            keep_alive: request.keep_alive,
        }
    }

    /// The same for one that carries no MCP message.
    pub(super) fn answered_plainly(
        &mut self,
        request: &Request<'_, '_>,
        status: u16,
        outcome: &str,
        bytes: usize,
    ) -> Served {
        let answer = Answer {
            method: request.head.method.as_str(),
            target: "",
            status,
            outcome,
            bytes,
        };
        self.answered(request, &answer)
    }

    /// Counts and logs an HTTP answer.
    ///
    /// Units: `started` is a reading of the service's clock.
    pub(in super::super) fn note(
        &mut self,
        started: u64,
        request_bytes: usize,
        answer: &Answer<'_>,
    ) {
        self.metrics.add(
            match answer.status {
                200..=299 => Counter::ResponsesOk,
                500.. => Counter::ResponsesServerError,
                _ => Counter::ResponsesClientError,
            },
            1,
        );
        self.log(started, request_bytes, answer);
    }

    /// Writes the access log's line, if there is a log. A line that does not fit the recorder's queue is counted.
    ///
    /// Units: `started` is a reading of the service's clock.
    pub(in super::super) fn log(
        &mut self,
        started: u64,
        request_bytes: usize,
        answer: &Answer<'_>,
    ) {
        let duration_us = self.since(started) / 1_000;
        let Some(log) = &mut self.log else { return };
        let entry = Entry {
            time_ms: self.unix_offset_ms + self.now_ms,
            shard: self.index,
            duration_us,
            request_bytes,
            answer: *answer,
        };
        self.line.clear();
        entry.write(&mut self.line);
        if !log.try_push(&self.line) {
            self.metrics.add(Counter::AccessLogDropped, 1);
        }
    }

    /// Logs an answer that is no HTTP answer of its own: one of a batch, or one on a session's stream.
    pub(super) fn log_made(
        &mut self,
        started: u64,
        invocation: &Invocation<'_>,
        outcome: &str,
        status: u16,
        bytes: usize,
    ) {
        let target = target_of(&invocation.operation);
        let answer = Answer {
            method: invocation.method().name(),
            target: &target,
            status,
            outcome,
            bytes,
        };
        self.log(started, 0, &answer);
    }
}
