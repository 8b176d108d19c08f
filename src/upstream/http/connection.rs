//! One HTTP/1.1 connection to an upstream, as bytes: requests are noted as they are sent, answers come out as events.
//!
//! ```text
//!   begin(method) ─▶ outstanding ─┐
//!   bytes ─▶ receive ─▶ Head ─▶ Body | Item… ─▶ End ──▶ the next request's Head
//! ```
//!
//! Answers come in the order of the requests; usually there is one request at a time, and a burst may be pipelined. An
//! answer that is JSON or anything else that ends is handed over whole; of what is neither JSON nor events only the
//! beginning, which is enough for a log. An event stream is handed over event by event, with the byte that ends each.
//!
//! An event borrows what the connection holds, so it is handed to a sink and not returned.
//!
//! Invariants: what comes out does not depend on how the bytes were split; memory is bounded by the limits; after an error
//! the connection is used for nothing more; bytes that no request asked for are an error.

use std::collections::VecDeque;

use super::answer::{AnswerHead, Media};
use super::error::ClientError;
use crate::wire::chunked::{ChunkDecoder, ChunkLimits};
use crate::wire::http1::client::{
    ParsedResponse, ResponseFraming, ResponseScan, parse_response_from,
};
use crate::wire::http1::{HeadLimits, Method};
use crate::wire::sse::{EventItem, EventLimits, EventReader};

/// `100 Continue` and `103 Early Hints` before one answer.
const INTERIM_COUNT_MAX: u32 = 8;
/// Bytes kept of a body that is neither JSON nor events.
const OTHER_BYTES_KEPT: usize = 4 << 10;
/// No bound: an event stream may go on for ever, and each of its events is bounded.
const ENDLESS: usize = 1 << 59;
/// Capacity kept between answers: what a large one needed is given back.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Bounds of one connection's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Of an answer's head.
    pub head: HeadLimits,
    /// Bytes of a body that is handed over whole, and of one event.
    pub body_bytes_max: usize,
    /// Bytes beside the data of a chunked body.
    pub chunk_overhead_bytes_max: usize,
}

/// Bounds of time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// From the request to the head of its answer.
    pub head_ms: u64,
    /// From the request to the end of an answer that is no event stream.
    pub body_ms: u64,
    /// Between two bytes of an event stream.
    pub silence_ms: u64,
}

/// What an upstream says.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientEvent<'a> {
    /// The answer to the oldest request begins.
    Head(&'a AnswerHead),
    /// Its whole body, not empty; see [`Media`] for how much of it.
    Body(&'a [u8]),
    /// One item of its event stream.
    Item(EventItem<'a>),
    /// It is over; the next answer belongs to the next request.
    End,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Length(u64),
    Chunked(Box<ChunkDecoder>),
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
}

/// One connection.
#[derive(Debug)]
pub struct ClientConnection {
    limits: ClientLimits,
    outstanding: VecDeque<Method>,
    stage: Stage,
    /// The beginning of a head that has not come whole.
    head: Vec<u8>,
    scan: ResponseScan,
    interim_count: u32,
    answer: AnswerHead,
    body: Body,
    /// Of the body now coming.
    body_bytes: u64,
    /// A body on its way, or the data of chunks that are events.
    kept: Vec<u8>,
    events: Option<Box<EventReader>>,
    /// Room for the data of one input's chunks.
    spare: Vec<u8>,
    keep_alive: bool,
    /// The other side will send no more.
    ended: bool,
    failed: Option<ClientError>,
    begun_ms: u64,
    heard_ms: u64,
}

impl ClientConnection {
    /// A connection on which nothing was asked yet.
    pub fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            outstanding: VecDeque::new(),
            stage: Stage::Head,
            head: Vec::new(),
            scan: ResponseScan::default(),
            interim_count: 0,
            answer: AnswerHead::default(),
            body: Body::None,
            body_bytes: 0,
            kept: Vec::new(),
            events: None,
            spare: Vec::new(),
            keep_alive: true,
            ended: false,
            failed: None,
            begun_ms: 0,
            heard_ms: 0,
        }
    }

    /// Notes that a request is being sent: its answer follows those of the requests before it.
    pub fn begin(&mut self, method: Method, now_ms: u64) {
        if self.outstanding.is_empty() {
            (self.begun_ms, self.heard_ms) = (now_ms, now_ms);
        }
        self.outstanding.push_back(method);
    }

    /// Requests whose answers are not over.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether another request may be sent on this connection.
    pub fn is_reusable(&self) -> bool {
        self.keep_alive && !self.ended && self.failed.is_none()
    }

    /// Whether any byte of the oldest request's answer has come.
    pub fn answer_begun(&self) -> bool {
        self.stage == Stage::Body || !self.head.is_empty() || self.interim_count > 0
    }

    /// The head of the answer that is coming, or came last.
    pub fn answer(&self) -> &AnswerHead {
        &self.answer
    }

    /// The id of the last event that ended, for resuming the stream.
    pub fn last_event_id(&self) -> &[u8] {
        self.events.as_ref().map_or(&[], |events| events.last_id())
    }

    /// When the oldest request is overdue; `None` while nothing is asked.
    pub fn due_ms(&self, timeouts: &ClientTimeouts) -> Option<u64> {
        self.outstanding.front()?;
        Some(match self.stage {
            Stage::Head => self.begun_ms.saturating_add(timeouts.head_ms),
            Stage::Body if self.answer.media == Media::Events => {
                self.heard_ms.saturating_add(timeouts.silence_ms)
            }
            Stage::Body => self.begun_ms.saturating_add(timeouts.body_ms),
        })
    }

    /// Takes in what arrived, and hands every event that it completes to `sink`.
    ///
    /// Errors: close the connection; an error is repeated by every later call.
    pub fn receive(
        &mut self,
        input: &[u8],
        now_ms: u64,
        sink: &mut dyn FnMut(ClientEvent<'_>),
    ) -> Result<(), ClientError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.heard_ms = now_ms;
        self.take(input, now_ms, sink)
            .inspect_err(|error| self.failed = Some(*error))
    }

    /// The other side will send no more. Ends an answer that ends with the connection.
    ///
    /// Errors: an answer was still to come, or is cut short.
    pub fn finish(&mut self, sink: &mut dyn FnMut(ClientEvent<'_>)) -> Result<(), ClientError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.ended = true;
        let error = match (&self.body, self.stage) {
            (_, Stage::Head) if self.answer_begun() => ClientError::Truncated,
            (_, Stage::Head) if self.outstanding.is_empty() => return Ok(()),
            (_, Stage::Head) => ClientError::NoAnswer,
            (Body::Close, Stage::Body) => {
                self.end_answer(self.heard_ms, sink);
                if self.outstanding.is_empty() {
                    return Ok(());
                }
                ClientError::NoAnswer
            }
            (_, Stage::Body) => ClientError::Truncated,
        };
        self.failed = Some(error);
        Err(error)
    }

    fn take(
        &mut self,
        mut input: &[u8],
        now_ms: u64,
        sink: &mut dyn FnMut(ClientEvent<'_>),
    ) -> Result<(), ClientError> {
        while !input.is_empty() {
            match self.stage {
                Stage::Head => {
                    let Some(&request) = self.outstanding.front() else {
                        return Err(ClientError::Unsolicited);
                    };
                    if !self.keep_alive {
                        // It said that it would close; what follows is nobody's answer.
                        return Err(ClientError::Unsolicited);
                    }
                    if self.take_head(request, &mut input)? {
                        sink(ClientEvent::Head(&self.answer));
                        if matches!(self.body, Body::None | Body::Length(0)) {
                            self.end_answer(now_ms, sink);
                        }
                    }
                }
                Stage::Body => {
                    if self.take_body(&mut input, sink)? {
                        self.end_answer(now_ms, sink);
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes what there is of a head; whether a final one is whole.
    fn take_head(&mut self, request: Method, input: &mut &[u8]) -> Result<bool, ClientError> {
        let before = self.head.len();
        let bytes = if before == 0 {
            *input
        } else {
            self.head.extend_from_slice(input);
            &self.head
        };
        let parsed = parse_response_from(&mut self.scan, bytes, request, &self.limits.head)
            .map_err(ClientError::Head)?;
        let ParsedResponse::Head(head) = parsed else {
            if before == 0 {
                self.head.extend_from_slice(input);
            }
            *input = &[];
            return Ok(false);
        };
        *input = &input[head.len - before..];
        if head.is_interim() {
            self.interim_count += 1;
            self.head.clear();
            self.scan = ResponseScan::default();
            if self.interim_count > INTERIM_COUNT_MAX {
                return Err(ClientError::TooManyInterim);
            }
            return Ok(false);
        }
        let framing = head.framing;
        self.answer = AnswerHead::of(&head);
        self.keep_alive = head.keep_alive;
        self.head.clear();
        self.scan = ResponseScan::default();
        self.begin_body(framing)?;
        Ok(true)
    }

    fn begin_body(&mut self, framing: ResponseFraming) -> Result<(), ClientError> {
        if self.answer.encoded {
            return Err(ClientError::Encoded);
        }
        let events = self.answer.media == Media::Events;
        self.body = match framing {
            ResponseFraming::None => Body::None,
            ResponseFraming::Close => Body::Close,
            ResponseFraming::Length(length) => {
                if !events && length > self.limits.body_bytes_max as u64 {
                    return Err(ClientError::BodyTooLarge);
                }
                Body::Length(length)
            }
            ResponseFraming::Chunked => Body::Chunked(Box::new(ChunkDecoder::new(ChunkLimits {
                data_bytes_max: if events {
                    ENDLESS
                } else {
                    self.limits.body_bytes_max
                },
                overhead_bytes_max: if events {
                    ENDLESS
                } else {
                    self.limits.chunk_overhead_bytes_max
                },
            }))),
        };
        self.stage = Stage::Body;
        self.body_bytes = 0;
        if events {
            self.events = Some(Box::new(EventReader::new(EventLimits {
                line_bytes_max: self.limits.body_bytes_max,
                event_bytes_max: self.limits.body_bytes_max,
            })));
        }
        Ok(())
    }

    /// Takes what there is of a body; whether it is over.
    fn take_body(
        &mut self,
        input: &mut &[u8],
        sink: &mut dyn FnMut(ClientEvent<'_>),
    ) -> Result<bool, ClientError> {
        match &mut self.body {
            Body::None => Ok(true),
            Body::Close => {
                let data = std::mem::take(input);
                self.take_data(data, sink)?;
                Ok(false)
            }
            Body::Length(left) => {
                let count = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                let (data, rest) = input.split_at(count);
                *input = rest;
                *left -= count as u64;
                let over = *left == 0;
                if over && self.kept.is_empty() && self.answer.media == Media::Json {
                    sink(ClientEvent::Body(data));
                } else {
                    self.take_data(data, sink)?;
                }
                Ok(over)
            }
            Body::Chunked(decoder) if self.answer.media == Media::Json => {
                let progress = decoder
                    .decode(input, &mut self.kept)
                    .map_err(ClientError::of_chunk)?;
                *input = &input[progress.consumed..];
                Ok(progress.done)
            }
            Body::Chunked(decoder) => {
                let mut data = std::mem::take(&mut self.spare);
                data.clear();
                let progress = decoder
                    .decode(input, &mut data)
                    .map_err(ClientError::of_chunk)?;
                *input = &input[progress.consumed..];
                let taken = self.take_data(&data, sink);
                self.spare = data;
                taken.map(|()| progress.done)
            }
        }
    }

    /// Takes data of a body, free of its framing.
    fn take_data(
        &mut self,
        mut data: &[u8],
        sink: &mut dyn FnMut(ClientEvent<'_>),
    ) -> Result<(), ClientError> {
        self.body_bytes += data.len() as u64;
        if let (Media::Events, Some(events)) = (self.answer.media, &mut self.events) {
            while let Some(item) = events.next_item(&mut data).map_err(ClientError::Events)? {
                sink(ClientEvent::Item(item));
            }
            return Ok(());
        }
        if self.body_bytes > self.limits.body_bytes_max as u64 {
            return Err(ClientError::BodyTooLarge);
        }
        let kept_max = match self.answer.media {
            Media::Json => self.limits.body_bytes_max,
            Media::Other | Media::Events => OTHER_BYTES_KEPT,
        };
        let room = kept_max.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&data[..data.len().min(room)]);
        Ok(())
    }

    fn end_answer(&mut self, now_ms: u64, sink: &mut dyn FnMut(ClientEvent<'_>)) {
        if !self.kept.is_empty() {
            sink(ClientEvent::Body(&self.kept));
        }
        self.kept.clear();
        self.kept.shrink_to(KEPT_BYTES_MAX);
        self.body = Body::None;
        self.stage = Stage::Head;
        self.interim_count = 0;
        self.outstanding.pop_front();
        // The time of a request that was pipelined behind this one starts now.
        self.begun_ms = now_ms;
        sink(ClientEvent::End);
    }
}

#[cfg(test)]
#[path = "connection/tests.rs"]
mod tests;
