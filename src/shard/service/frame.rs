//! The frame of an answer: everything about it but its body, which is one JSON object or one event.

use crate::mcp::Respond;
use crate::wire::http1::response::{self, Body, ReservedHead};
use crate::wire::sse;

use super::request::Request;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Fields of a frame at most: one of its own, and three for browsers.
const FIELD_COUNT_MAX: usize = 4;

/// The frame of one answer.
#[derive(Clone, Copy)]
pub(in super::super) struct Frame<'a> {
    pub(in super::super) status: u16,
    pub(in super::super) respond: Respond,
    pub(in super::super) keep_alive: bool,
    /// The caller's origin, when a browser calls; it was allowed before.
    pub(in super::super) origin: Option<&'a [u8]>,
    /// One more field.
    pub(in super::super) extra: Option<(&'a str, &'a str)>,
}

/// A frame whose body is being written.
#[must_use = "an answer is whole once it is closed"]
pub(super) struct Opened {
    start: usize,
    /// The head is there, but for its length.
    reserved: Option<ReservedHead>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(request: &Request<'a, '_>, status: u16) -> Self {
        Self {
            status,
            respond: Respond::Json,
            keep_alive: request.keep_alive,
            origin: request.head.origin,
            extra: None,
        }
    }

    /// Of a stream for a caller of this origin.
    pub(in super::super) fn of_stream(origin: Option<&'a [u8]>) -> Self {
        Self {
            status: 200,
            respond: Respond::Events,
            keep_alive: false,
            origin,
            extra: None,
        }
    }

    /// Begins an answer whose body is appended next.
    pub(super) fn open(&self, out: &mut Vec<u8>) -> Opened {
        let start = out.len();
        // What nearly every answer is: one constant head whose length is filled in afterwards.
        let is_usual = self.status == 200
            && self.respond == Respond::Json
            && self.origin.is_none()
            && self.extra.is_none();
        let reserved = is_usual.then(|| response::reserve_json_head(out, self.keep_alive));
        Opened { start, reserved }
    }

    /// Ends it, with the status that its body turned out to have.
    pub(super) fn close(&self, opened: Opened, status: u16, out: &mut Vec<u8>) {
        if status == 200
            && let Some(reserved) = opened.reserved
        {
            return reserved.finish(out);
        }
        let body = self.take_body(opened, out);
        // An error that HTTP knows too is told as one, whatever the client would take.
        let respond = match status {
            200 => self.respond,
            _ => Respond::Json,
        };
        let frame = Self {
            status,
            respond,
            ..*self
        };
        frame.write_body(&body, out);
    }

    /// Takes back what was begun; the body that it has.
    pub(super) fn take_body(&self, opened: Opened, out: &mut Vec<u8>) -> Vec<u8> {
        let start = match &opened.reserved {
            Some(reserved) => out.len() - reserved.body_len(out),
            None => opened.start,
        };
        let body = out.split_off(start);
        out.truncate(opened.start);
        body
    }

    /// Appends head and body; `write` appends the body.
    pub(in super::super) fn write(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let opened = self.open(out);
        write(out);
        self.close(opened, self.status, out);
    }

    fn write_body(&self, body: &[u8], out: &mut Vec<u8>) {
        match self.respond {
            Respond::Json => {
                self.write_head(out, Body::Length(body.len()));
                out.extend_from_slice(body);
            }
            Respond::Events => {
                let mut event = Vec::with_capacity(body.len() + 32);
                sse::write_event(&mut event, None, Some("message"), body);
                self.write_head(out, Body::Length(event.len()));
                out.extend_from_slice(&event);
            }
        }
    }

    pub(in super::super) fn write_head(&self, out: &mut Vec<u8>, body: Body) {
        let mut fields: [(&str, &str); FIELD_COUNT_MAX] = [("", ""); FIELD_COUNT_MAX];
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
        let content_type = match (body, self.respond) {
            (Body::Empty, _) => None,
            (_, Respond::Json) => Some(JSON),
            (_, Respond::Events) => Some(EVENTS),
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

    /// Appends an answer whose body are these events, which are all there already.
    pub(super) fn write_events(&self, events: &[u8], out: &mut Vec<u8>) {
        let frame = Self {
            respond: Respond::Events,
            ..*self
        };
        frame.write_head(out, Body::Length(events.len()));
        out.extend_from_slice(events);
    }

    /// Appends the head of a stream that ends with its connection.
    pub(in super::super) fn write_stream_head(&self, out: &mut Vec<u8>) {
        let frame = Self {
            status: 200,
            respond: Respond::Events,
            keep_alive: false,
            // For proxies that would hold events back until they have a buffer full of them.
            extra: Some(("X-Accel-Buffering", "no")),
            origin: self.origin,
        };
        frame.write_head(out, Body::Stream);
    }
}
