//! Streams of lines: what a child says and is told, one message a line.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use super::connection::HeldEnd;
use super::map::NumberMap;
use super::table::{Entry, Transport};
use super::{QueueFull, Sink, StreamKey, TransportEvent};
use crate::mem::{BufferPool, Output, PoolBuffer};
use crate::ring::{Ring, SocketKey};
use crate::wire::stdio::{Line, LineSplitter};

/// One stream.
pub(super) struct LineStream {
    key: StreamKey,
    splitter: LineSplitter,
    /// Lines that leave together at the end of the turn.
    queue: Option<PoolBuffer>,
    /// How many those are, and how many may be.
    line_count: usize,
    line_count_max: usize,
    /// Those before them, each to be written by itself.
    earlier: VecDeque<PoolBuffer>,
    /// Bytes that the ring is sending.
    sending_bytes: usize,
    /// It is among those with something to do at the end of the turn.
    is_due: bool,
    is_paused: bool,
    held: Vec<u8>,
    held_end: Option<HeldEnd>,
    /// Nothing more is written after what is queued.
    is_ending: bool,
    has_ended: bool,
}

/// A line is longer than it may be.
pub(super) struct TooLong;

impl LineStream {
    fn new(key: StreamKey, line_bytes_max: usize) -> Self {
        Self {
            key,
            splitter: LineSplitter::new(line_bytes_max),
            queue: None,
            line_count: 0,
            line_count_max: usize::MAX,
            earlier: VecDeque::new(),
            sending_bytes: 0,
            is_due: false,
            is_paused: false,
            held: Vec::new(),
            held_end: None,
            is_ending: false,
            has_ended: false,
        }
    }

    /// Whether what comes now has to wait, for the listener or for what waits already.
    pub fn is_holding(&self) -> bool {
        self.is_paused || !self.held.is_empty() || self.held_end.is_some()
    }

    pub fn hold_end(&mut self, end: HeldEnd) {
        self.held_end = Some(end);
    }

    /// The ring has sent what it had.
    pub fn sent(&mut self) {
        self.sending_bytes = 0;
    }

    /// Whether there is something to do at the end of the turn that is not noted yet.
    pub fn note_due(&mut self) -> bool {
        let wants = self.has_queued() || (self.is_ending && !self.has_ended);
        wants && self.sending_bytes == 0 && !std::mem::replace(&mut self.is_due, true)
    }

    fn has_queued(&self) -> bool {
        self.queue.is_some() || !self.earlier.is_empty()
    }

    /// Takes in bytes, or holds them, and tells the lines that they end.
    pub fn take(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), TooLong> {
        if self.is_holding() {
            self.held.extend_from_slice(bytes);
            return Ok(());
        }
        self.split(bytes, sink)
    }

    fn split(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), TooLong> {
        let stream = self.key;
        while let Some(line) = self.splitter.next_line(&mut bytes) {
            match line {
                Line::Complete(text) => sink(TransportEvent::Line { stream, text }),
                Line::TooLong => return Err(TooLong),
            }
        }
        Ok(())
    }

    /// Appends a line to what leaves at the end of the turn.
    fn push(
        &mut self,
        line: &[u8],
        bytes_max: usize,
        buffers: &BufferPool,
    ) -> Result<(), QueueFull> {
        let full = QueueFull { bytes_max };
        let queued = self.earlier.iter().chain(&self.queue);
        let waiting = queued.map(|lines| lines.len()).sum::<usize>() + self.sending_bytes;
        let bytes = line.len() + 1;
        if waiting > 0 && waiting + bytes > bytes_max {
            return Err(full);
        }
        if self.line_count >= self.line_count_max {
            self.line_count = 0;
            self.earlier.extend(self.queue.take());
        }
        let mut queue = match self.queue.take() {
            Some(queue) => queue,
            None => buffers.take(bytes).map_err(|_| full)?,
        };
        let fits = queue.try_reserve(bytes).is_ok();
        if fits {
            queue.extend_from_slice(line);
            queue.push(b'\n');
            self.line_count += 1;
        }
        if !queue.is_empty() {
            self.queue = Some(queue);
        }
        fits.then_some(()).ok_or(full)
    }

    /// Sends what is queued; how many bytes that is.
    fn flush<R: Ring>(&mut self, ring: &mut R, socket: SocketKey) -> usize {
        self.is_due = false;
        if self.sending_bytes > 0 {
            return 0;
        }
        let next = self.earlier.pop_front().or_else(|| {
            self.line_count = 0;
            self.queue.take()
        });
        if let Some(queue) = next {
            self.sending_bytes = queue.len();
            ring.send(socket, Output::from(queue));
        }
        // The ring keeps the order: what it sends goes first.
        let is_last = self.is_ending && !self.has_queued();
        if is_last && !std::mem::replace(&mut self.has_ended, true) {
            ring.shutdown(socket);
        }
        self.sending_bytes
    }
}

impl Transport {
    /// Takes over a stream of lines: a child's standard input and output.
    ///
    /// Errors: the ring has no room, or it is no stream socket.
    pub fn adopt(
        &mut self,
        ring: &mut impl Ring,
        stream: StreamKey,
        fd: OwnedFd,
    ) -> io::Result<()> {
        if self.streams.contains_key(&stream) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let socket = ring.adopt(fd)?;
        ring.receive(socket);
        self.streams.insert(stream, socket);
        let lines = LineStream::new(stream, self.options.line_bytes_max);
        self.sockets.insert(socket, Entry::Lines(Box::new(lines)));
        Ok(())
    }

    /// From now on at most so many lines of a stream leave in one write; at least 1.
    pub fn set_burst(&mut self, stream: StreamKey, line_count_max: usize) {
        if let Some((_, lines)) = lines_of(&self.streams, &mut self.sockets, stream) {
            lines.line_count_max = line_count_max.max(1);
        }
    }

    /// Queues a line, without its end; it leaves at the next [`Transport::flush`]. A stream that is gone takes it, too: its
    /// end is told.
    ///
    /// Errors: as much waits as may; the line was not taken.
    pub fn write_line(&mut self, stream: StreamKey, line: &[u8]) -> Result<(), QueueFull> {
        debug_assert!(
            memchr::memchr(b'\n', line).is_none(),
            "a message has no line end"
        );
        let Some((socket, lines)) = lines_of(&self.streams, &mut self.sockets, stream) else {
            return Ok(());
        };
        let bytes_max = self.options.stream_queue_bytes_max;
        lines.push(line, bytes_max, &self.options.buffers)?;
        if lines.note_due() {
            self.due.push(socket);
        }
        Ok(())
    }

    /// Receives nothing more of a stream until [`Transport::resume_stream`].
    pub fn pause_stream(&mut self, ring: &mut impl Ring, stream: StreamKey) {
        if let Some((socket, lines)) = lines_of(&self.streams, &mut self.sockets, stream) {
            lines.is_paused = true;
            ring.pause(socket);
        }
    }

    /// Goes on with a stream; what was received in the meantime is told at the next [`Transport::flush`].
    pub fn resume_stream(&mut self, _ring: &mut impl Ring, stream: StreamKey) {
        if let Some((socket, lines)) = lines_of(&self.streams, &mut self.sockets, stream)
            && std::mem::take(&mut lines.is_paused)
        {
            self.due.push(socket);
        }
    }

    /// Says "no more from us" after what is queued. What the other side says until its own end is still told.
    pub fn shutdown_stream(&mut self, _ring: &mut impl Ring, stream: StreamKey) {
        if let Some((socket, lines)) = lines_of(&self.streams, &mut self.sockets, stream) {
            lines.is_ending = true;
            if lines.note_due() {
                self.due.push(socket);
            }
        }
    }

    /// Closes a stream at once; nothing more is told of it.
    pub fn close_stream(&mut self, ring: &mut impl Ring, stream: StreamKey) {
        if let Some(socket) = self.streams.remove(&stream) {
            self.close(ring, socket);
        }
    }

    /// The other side of a stream ended or broke it.
    pub(super) fn end_stream(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        end: HeldEnd,
        sink: &mut Sink<'_>,
    ) {
        let Some(Entry::Lines(lines)) = self.sockets.get_mut(&socket) else {
            return;
        };
        let stream = lines.key;
        let why = match end {
            HeldEnd::EndOfStream => {
                if let Some(Line::Complete(text)) = lines.splitter.finish() {
                    sink(TransportEvent::Line { stream, text });
                }
                "its output ended".to_owned()
            }
            HeldEnd::Failed(error) => error.to_string(),
        };
        self.drop_stream(ring, socket, stream, &why, sink);
    }

    /// Does what comes of a stream's bytes.
    pub(super) fn settle_stream(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        taken: Result<(), TooLong>,
        sink: &mut Sink<'_>,
    ) {
        let Err(TooLong) = taken else {
            return;
        };
        let Some(Entry::Lines(lines)) = self.sockets.get(&socket) else {
            return;
        };
        let stream = lines.key;
        let why = format!(
            "it sent a line of more than {} bytes, which is limits.body_bytes_max",
            self.options.line_bytes_max
        );
        self.drop_stream(ring, socket, stream, &why, sink);
    }

    fn drop_stream(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        stream: StreamKey,
        why: &str,
        sink: &mut Sink<'_>,
    ) {
        self.streams.remove(&stream);
        self.close(ring, socket);
        sink(TransportEvent::StreamEnded { stream, why });
    }

    /// The end of a turn for one stream: what was held is told, what is queued is sent.
    pub(super) fn flush_stream(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        sink: &mut Sink<'_>,
    ) {
        let Some(Entry::Lines(lines)) = self.sockets.get_mut(&socket) else {
            return;
        };
        self.stats.bytes_sent += lines.flush(ring, socket) as u64;
        if lines.is_paused {
            return;
        }
        let held = std::mem::take(&mut lines.held);
        let held_end = lines.held_end.take();
        let taken = lines.split(&held, sink);
        let is_whole = taken.is_ok();
        ring.receive(socket);
        self.settle_stream(ring, socket, taken, sink);
        if let Some(end) = held_end
            && is_whole
        {
            self.end_stream(ring, socket, end, sink);
        }
    }
}

/// A stream that is open. Not a method: the caller goes on using the rest of the table.
fn lines_of<'t>(
    streams: &NumberMap<StreamKey, SocketKey>,
    sockets: &'t mut NumberMap<SocketKey, Entry>,
    stream: StreamKey,
) -> Option<(SocketKey, &'t mut LineStream)> {
    let socket = *streams.get(&stream)?;
    match sockets.get_mut(&socket) {
        Some(Entry::Lines(lines)) => Some((socket, lines)),
        _ => None,
    }
}
