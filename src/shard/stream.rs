//! Event streams that outlive a request: a legacy session's GET stream, and modern `subscriptions/listen`.
//!
//! A stream holds no queue: what it may have to say is that the tool list changed, and saying it once is enough however often it
//! happened. A reader too slow to take even that is closed by its write deadline.

use crate::mcp::{InlineId, List, Principal, SessionId, reply};
use crate::mem::PoolBuffer;
use crate::metrics::Counter;
use crate::ring::{Ring, SocketKey};
use crate::wire::sse;

use super::connection::Phase;
use super::{Shard, millis};

/// Whose stream it is. Streams are boxed, and there are few of them.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(super) enum Origin {
    /// A legacy session's stream.
    Session {
        /// The session.
        id: SessionId,
        /// The number under which this stream is the session's only one.
        owner: u64,
    },
    /// A `subscriptions/listen` request.
    Listen {
        /// Its id: the subscription's id.
        id: InlineId,
        /// Whether it asked for changes of the tool list.
        tools: bool,
    },
}

/// One open stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) origin: Origin,
    pub(super) principal: Principal,
    /// When something was last written, on the shard's clock.
    pub(super) written_ms: u64,
}

/// Appends one event with a message.
///
/// The body of a stream has no length and no chunks: it ends with the connection, which nothing else could follow anyway.
pub(super) fn write_event(out: &mut Vec<u8>, message: &[u8]) {
    sse::write_event(out, None, Some("message"), message);
}

impl Stream {
    /// Appends `notifications/tools/list_changed`, if this stream asked for it.
    fn write_tools_changed(&self, out: &mut Vec<u8>) -> bool {
        let mut message = Vec::new();
        match &self.origin {
            Origin::Session { .. } => {
                reply::list_changed::<InlineId>(&mut message, List::Tools, None)
            }
            Origin::Listen { id, tools: true } => {
                reply::list_changed(&mut message, List::Tools, Some(id))
            }
            Origin::Listen { tools: false, .. } => return false,
        }
        write_event(out, &message);
        true
    }

    /// Appends what ends the stream in good order.
    fn write_end(&self, out: &mut Vec<u8>) {
        if let Origin::Listen { id, .. } = &self.origin {
            let mut message = Vec::new();
            reply::listen_result(&mut message, id);
            write_event(out, &message);
        }
    }
}

impl<R: Ring> Shard<R> {
    /// Tells one stream that the tool list changed.
    pub(super) fn tell_stream(&mut self, socket: SocketKey, now_ms: u64) {
        self.write_stream(socket, now_ms, Stream::write_tools_changed);
    }

    /// Called by the sweep: ends a stream whose session is gone, and breaks a long silence.
    pub(super) fn keep_stream_alive(&mut self, socket: SocketKey, now_ms: u64) {
        let silence_ms = millis(self.service.shared.limits.stream_keep_alive);
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let Some(stream) = &connection.stream else {
            return;
        };
        let (principal, silent) = (stream.principal, now_ms >= stream.written_ms + silence_ms);
        if let Origin::Session { id, .. } = stream.origin
            && self.service.shared.sessions.get(id, principal).is_none()
        {
            self.finish_stream(socket, now_ms);
            return;
        }
        if silent {
            self.write_stream(socket, now_ms, |_, out| {
                sse::write_comment(out, "keep-alive");
                true
            });
        }
    }

    /// Ends a stream from our side.
    pub(super) fn finish_stream(&mut self, socket: SocketKey, now_ms: u64) {
        self.write_stream(socket, now_ms, |stream, out| {
            stream.write_end(out);
            true
        });
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if connection.phase != Phase::Streaming {
            return;
        }
        let stream = connection.stream.take();
        let sending = connection.sending_since.is_some();
        if let Some(stream) = stream {
            self.service.end_stream(&stream, socket);
        }
        self.end_reading(socket, now_ms);
        if !sending {
            self.close(socket);
        }
    }

    fn write_stream(
        &mut self,
        socket: SocketKey,
        now_ms: u64,
        write: impl FnOnce(&Stream, &mut Vec<u8>) -> bool,
    ) {
        let buffers = self.service.buffers.clone();
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let Some(stream) = &mut connection.stream else {
            return;
        };
        let Ok(mut out): Result<PoolBuffer, _> = buffers.take(512) else {
            // What is not said now is never said: a client whose stream ends asks anew, one that is told nothing does not.
            self.close(socket);
            return;
        };
        if !write(stream, &mut out) {
            return;
        }
        stream.written_ms = now_ms;
        self.service.metrics.add(Counter::StreamEvents, 1);
        self.transmit(socket, out, now_ms);
    }
}
