//! Reading events as they come.

mod check;

use std::fmt;

pub use check::check_reader;

/// Capacity kept between events: what a large one needed is given back.
const KEPT_BYTES_MAX: usize = 64 << 10;
const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];
/// The longest field name with a meaning.
const NAME_BYTES_MAX: usize = 5;

/// Bounds of one stream's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimits {
    /// Bytes of one line, whatever it is.
    pub line_bytes_max: usize,
    /// Bytes of one event: its data, its name and its id together.
    pub event_bytes_max: usize,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The last id of the stream so far, also if an earlier event gave it; empty if there is none.
    pub id: &'a [u8],
    /// The name; `message` where the stream gives none.
    pub name: &'a [u8],
    /// The data, its lines joined by line feeds.
    pub data: &'a [u8],
}

/// What a stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventItem<'a> {
    /// An event is complete.
    Event(Event<'a>),
    /// Milliseconds to wait before connecting again; in force at once.
    Retry(u64),
    /// A comment: a sign of life.
    Comment,
}

/// Why a stream is refused. The error is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventError {
    /// A line goes on beyond its limit.
    LineTooLong,
    /// An event goes on beyond its limit.
    EventTooLarge,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineTooLong => "a line of the event stream is longer than limits.body_bytes_max",
            Self::EventTooLarge => "an event of the stream is larger than limits.body_bytes_max",
        })
    }
}

impl std::error::Error for EventError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Id,
    Retry,
    /// Without a meaning here.
    Other,
    Comment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So many bytes of a byte order mark.
    Bom(u8),
    /// The field's name, of which so many bytes are in `name_read`; one more than the longest: it has no meaning.
    Name(u8),
    /// One space may follow the colon.
    Space(Field),
    Value(Field),
}

/// What a line ended.
enum Ended {
    Event,
    Retry(u64),
    Comment,
}

/// Reads one stream.
#[derive(Debug)]
pub struct EventReader {
    limits: EventLimits,
    state: State,
    name_read: [u8; NAME_BYTES_MAX],
    /// The line before ended in a carriage return: a line feed belongs to it.
    after_return: bool,
    line_bytes: usize,
    /// The digits of a `retry` line so far; `None` where there is none or something else, too.
    retry_ms: Option<u64>,
    retry_void: bool,
    /// The value of an `id` line so far.
    id_read: Vec<u8>,
    /// The id that comes into force when its event ends.
    id_next: Option<Vec<u8>>,
    id: Vec<u8>,
    name: Vec<u8>,
    /// Each data line with a line feed.
    data: Vec<u8>,
    /// What was handed out by the last call is to be forgotten.
    handed_out: bool,
    failed: Option<EventError>,
}

impl EventReader {
    /// A reader at the start of a stream.
    pub fn new(limits: EventLimits) -> Self {
        Self {
            limits,
            state: State::Bom(0),
            name_read: [0; NAME_BYTES_MAX],
            after_return: false,
            line_bytes: 0,
            retry_ms: None,
            retry_void: false,
            id_read: Vec::new(),
            id_next: None,
            id: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            handed_out: false,
            failed: None,
        }
    }

    /// The id of the last event that ended: where to go on after a reconnect. Empty if there is none.
    pub fn last_id(&self) -> &[u8] {
        &self.id
    }

    /// Whether nothing of an event has been read that did not end: if the stream ends here, nothing is lost.
    pub fn is_between_events(&self) -> bool {
        let at_line = matches!(self.state, State::Bom(0) | State::Name(0));
        let clean = self.data.is_empty() && self.name.is_empty() && self.id_next.is_none();
        at_line && (self.handed_out || clean)
    }

    /// Takes the next item out of `input`, which is advanced; `None` once all of it was taken.
    ///
    /// Shape: call until `None`, then read more. What the stream has not ended when it ends is no event.
    /// Errors: an error is repeated by every later call.
    pub fn next_item<'a>(
        &'a mut self,
        input: &mut &[u8],
    ) -> Result<Option<EventItem<'a>>, EventError> {
        if std::mem::take(&mut self.handed_out) {
            self.data.clear();
            self.data.shrink_to(KEPT_BYTES_MAX);
            self.name.clear();
        }
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.advance(input) {
            Ok(None) => Ok(None),
            Ok(Some(Ended::Comment)) => Ok(Some(EventItem::Comment)),
            Ok(Some(Ended::Retry(retry_ms))) => Ok(Some(EventItem::Retry(retry_ms))),
            Ok(Some(Ended::Event)) => {
                self.handed_out = true;
                let name = if self.name.is_empty() {
                    b"message"
                } else {
                    self.name.as_slice()
                };
                let data = self.data.strip_suffix(b"\n").unwrap_or(&self.data);
                let id = &self.id;
                Ok(Some(EventItem::Event(Event { id, name, data })))
            }
            Err(error) => {
                self.failed = Some(error);
                self.data = Vec::new();
                Err(error)
            }
        }
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Ended>, EventError> {
        while let Some((&byte, rest)) = input.split_first() {
            match self.state {
                State::Bom(seen) if byte == BOM[usize::from(seen)] => {
                    *input = rest;
                    self.state = match seen {
                        2 => State::Name(0),
                        seen => State::Bom(seen + 1),
                    };
                }
                State::Bom(seen) => {
                    // No mark after all: what was taken for one begins the first line.
                    self.state = State::Name(0);
                    for &byte in &BOM[..usize::from(seen)] {
                        self.name_byte(byte)?;
                    }
                }
                _ if byte == b'\n' && self.after_return => {
                    self.after_return = false;
                    *input = rest;
                }
                _ if matches!(byte, b'\n' | b'\r') => {
                    self.after_return = byte == b'\r';
                    *input = rest;
                    if let Some(ended) = self.end_line()? {
                        return Ok(Some(ended));
                    }
                }
                State::Name(_) => {
                    *input = rest;
                    self.name_byte(byte)?;
                }
                State::Space(field) => {
                    self.state = State::Value(field);
                    if byte == b' ' {
                        *input = rest;
                        self.count(Field::Comment, 1)?;
                    }
                }
                State::Value(field) => {
                    let end = memchr::memchr2(b'\n', b'\r', input).unwrap_or(input.len());
                    let (part, rest) = input.split_at(end);
                    *input = rest;
                    self.count(field, part.len())?;
                    self.value(field, part);
                }
            }
        }
        Ok(None)
    }

    /// Holds a part of a line against the limits; which of two is broken is the one that its bytes meet first.
    fn count(&mut self, field: Field, bytes: usize) -> Result<(), EventError> {
        let line_left = self.limits.line_bytes_max - self.line_bytes;
        let event_left = match field {
            Field::Data | Field::Event | Field::Id => self
                .limits
                .event_bytes_max
                .saturating_sub(self.event_bytes()),
            Field::Retry | Field::Other | Field::Comment => usize::MAX,
        };
        if bytes > line_left.min(event_left) {
            return Err(if line_left <= event_left {
                EventError::LineTooLong
            } else {
                EventError::EventTooLarge
            });
        }
        self.line_bytes += bytes;
        Ok(())
    }

    fn event_bytes(&self) -> usize {
        let id_bytes = self.id_next.as_ref().map_or(0, Vec::len);
        self.data.len() + self.name.len() + self.id_read.len() + id_bytes
    }

    /// Takes one byte of a field's name, or the colon that ends it.
    fn name_byte(&mut self, byte: u8) -> Result<(), EventError> {
        self.after_return = false;
        self.count(Field::Comment, 1)?;
        match self.state {
            State::Name(read) if byte == b':' => {
                let field = self.begin_value(read);
                self.state = State::Space(field);
            }
            State::Name(read) => match self.name_read.get_mut(usize::from(read)) {
                Some(place) => {
                    *place = byte;
                    self.state = State::Name(read + 1);
                }
                None => self.state = State::Value(Field::Other),
            },
            _ => {}
        }
        Ok(())
    }

    /// The field whose name was read, ready for its value.
    fn begin_value(&mut self, read: u8) -> Field {
        match &self.name_read[..usize::from(read)] {
            b"" => Field::Comment,
            b"data" => Field::Data,
            b"event" => {
                self.name.clear();
                Field::Event
            }
            b"id" => {
                self.id_read.clear();
                Field::Id
            }
            b"retry" => {
                (self.retry_ms, self.retry_void) = (None, false);
                Field::Retry
            }
            _ => Field::Other,
        }
    }

    /// Takes a part of a field's value.
    fn value(&mut self, field: Field, part: &[u8]) {
        match field {
            Field::Data => self.data.extend_from_slice(part),
            Field::Event => self.name.extend_from_slice(part),
            Field::Id => self.id_read.extend_from_slice(part),
            Field::Retry => {
                for &byte in part {
                    let digit = u64::from(byte.wrapping_sub(b'0'));
                    self.retry_void |= digit > 9;
                    let before = self.retry_ms.unwrap_or(0);
                    self.retry_ms = Some(before.saturating_mul(10).saturating_add(digit));
                }
            }
            Field::Other | Field::Comment => {}
        }
    }

    fn end_line(&mut self) -> Result<Option<Ended>, EventError> {
        self.line_bytes = 0;
        let field = match std::mem::replace(&mut self.state, State::Name(0)) {
            State::Bom(_) | State::Name(0) => return Ok(self.end_event()),
            // A name without a colon has an empty value.
            State::Name(read) => self.begin_value(read),
            State::Space(field) | State::Value(field) => field,
        };
        match field {
            Field::Data => {
                if self.event_bytes() >= self.limits.event_bytes_max {
                    return Err(EventError::EventTooLarge);
                }
                self.data.push(b'\n');
            }
            Field::Id => {
                let id = std::mem::take(&mut self.id_read);
                if memchr::memchr(0, &id).is_none() {
                    self.id_next = Some(id);
                }
            }
            Field::Retry if !self.retry_void => return Ok(self.retry_ms.map(Ended::Retry)),
            Field::Comment => return Ok(Some(Ended::Comment)),
            Field::Event | Field::Retry | Field::Other => {}
        }
        Ok(None)
    }

    /// An empty line: the id comes into force, and there is an event if there is data.
    fn end_event(&mut self) -> Option<Ended> {
        if let Some(id) = self.id_next.take() {
            self.id = id;
        }
        if self.data.is_empty() {
            self.name.clear();
            return None;
        }
        Some(Ended::Event)
    }
}

#[cfg(test)]
mod tests;
