//! From bytes to a [`Head`], in one pass, resumable.

use super::bytes::{is_token, token_end};
use super::error::HeadError;
use super::field::{self, Facts};
use super::framing::{self, Framing};
use super::head::{Fields, Head, Method, Version};
use super::line::{Fault, FieldLine, field_line};
use super::target;

/// Bounds of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes from the first of the request line to the end of the empty line.
    pub bytes_max: usize,
    /// Field lines.
    pub count_max: usize,
}

/// What the bytes so far are.
// A head is handed on by reference at once; boxing it would allocate for each request.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'b> {
    /// The beginning of a head; more bytes are needed.
    Partial,
    /// A whole valid head.
    Head(Head<'b>),
}

/// How far the bytes of one connection were judged, so that a head that trickles in costs linear time.
///
/// Shape: one for each head, made anew once the head's bytes were consumed.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    /// Where the first line that is not complete starts.
    line_start: usize,
    /// Bytes in which every line feed was seen.
    scanned: usize,
    /// Complete field lines.
    field_count: usize,
    stage: Stage,
}

/// Which line comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The request line, or one empty line before it.
    #[default]
    Start,
    /// The request line.
    RequestLine,
    Fields,
}

struct RequestLine<'b> {
    method: Method,
    target: &'b [u8],
    authority: Option<&'b [u8]>,
    version: Version,
    next: usize,
}

/// Parses the head at the start of `bytes`.
///
/// Errors: the first line, in order, that breaks the grammar or a limit; else what lines together do wrong. Either is
/// final: more bytes cannot change it.
pub fn parse_head<'b>(bytes: &'b [u8], limits: &HeadLimits) -> Result<Parsed<'b>, HeadError> {
    parse_head_from(&mut HeadScan::default(), bytes, limits)
}

/// Parses the head at the start of `bytes`, which were given to the same `scan` before and have grown since.
///
/// Shape: the verdict is that of [`parse_head`] on the same bytes.
pub fn parse_head_from<'b>(
    scan: &mut HeadScan,
    bytes: &'b [u8],
    limits: &HeadLimits,
) -> Result<Parsed<'b>, HeadError> {
    let window = &bytes[..bytes.len().min(limits.bytes_max)];
    if scan.scanned > window.len() {
        *scan = HeadScan::default();
    }
    if scan.scanned == 0 {
        // Such bytes (a TLS hello, for one) need no line feed to be judged.
        if let Some(&first) = window.first()
            && !is_token(first)
            && first != b'\r'
        {
            return Err(HeadError::BadMethod);
        }
    } else if scan_lines(scan, window, limits)? {
        *scan = HeadScan::default();
    } else {
        return more_needed(scan, window, limits);
    }
    match parse_whole(scan, window, limits) {
        Ok(Parsed::Partial) => {
            scan.scanned = window.len();
            more_needed(scan, window, limits)
        }
        verdict => verdict,
    }
}

/// There is no whole head yet: waits, unless it cannot come within the limit.
#[cold]
fn more_needed<'b>(
    scan: &HeadScan,
    window: &[u8],
    limits: &HeadLimits,
) -> Result<Parsed<'b>, HeadError> {
    if window.len() < limits.bytes_max {
        return Ok(Parsed::Partial);
    }
    Err(match scan.stage {
        Stage::Fields => HeadError::HeadTooLarge,
        Stage::Start | Stage::RequestLine => HeadError::TargetTooLong,
    })
}

/// Judges the lines that became complete since the last time. True: the head is complete.
fn scan_lines(scan: &mut HeadScan, window: &[u8], limits: &HeadLimits) -> Result<bool, HeadError> {
    while let Some(offset) = memchr::memchr(b'\n', &window[scan.scanned..]) {
        scan.scanned += offset + 1;
        let line = &window[..scan.scanned];
        let next = match scan.stage {
            Stage::Start | Stage::RequestLine => match step_request_line(scan, line) {
                Ok(Some(line)) => line.next,
                Ok(None) => continue,
                Err(fault) => return Err(fault.refusal()),
            },
            Stage::Fields => match field_line(line, scan.line_start) {
                Ok(FieldLine::End { .. }) => return Ok(true),
                Ok(FieldLine::Field { next, .. }) => {
                    scan.count_field(limits)?;
                    next
                }
                Err(fault) => return Err(fault.refusal()),
            },
        };
        scan.line_start = next;
    }
    scan.scanned = window.len();
    Ok(false)
}

/// Parses from the first byte. Partial: the window ends before the head does; `scan` says at which line.
#[inline]
fn parse_whole<'b>(
    scan: &mut HeadScan,
    window: &'b [u8],
    limits: &HeadLimits,
) -> Result<Parsed<'b>, HeadError> {
    let line = loop {
        match step_request_line(scan, window) {
            Ok(Some(line)) => break line,
            Ok(None) => {}
            Err(fault) => return verdict(fault.in_window(window, scan.line_start)),
        }
    };
    scan.line_start = line.next;
    let mut head = Head::new(&line);
    let mut facts = Facts::default();
    // What is wrong with lines together waits until the head is whole, so that a line's own error comes first
    // however the bytes were split.
    let mut deferred = None;
    loop {
        match field_line(window, scan.line_start) {
            Ok(FieldLine::Field { name, value, next }) => {
                scan.count_field(limits)?;
                if let Err(error) = field::file(&mut head, &mut facts, name, value) {
                    deferred = deferred.or(Some(error));
                }
                scan.line_start = next;
            }
            Ok(FieldLine::End { next }) => {
                head.fields = Fields::new(&window[line.next..next - 2]);
                head.len = next;
                break;
            }
            Err(fault) => return verdict(fault.in_window(window, scan.line_start)),
        }
    }
    match deferred {
        Some(error) => Err(error),
        None => finish(&mut head, &facts, line.authority).map(|()| Parsed::Head(head)),
    }
}

/// Decides what the fields mean together.
fn finish<'b>(
    head: &mut Head<'b>,
    facts: &Facts<'b>,
    authority: Option<&[u8]>,
) -> Result<(), HeadError> {
    match head.host {
        Some(host) => {
            let agrees = authority.is_none_or(|authority| authority.eq_ignore_ascii_case(host));
            if !agrees || !target::is_host_and_port(host) {
                return Err(HeadError::BadHost);
            }
        }
        None if head.version == Version::H11 => return Err(HeadError::MissingHost),
        None => {}
    }
    head.framing = framing::decide(head.version, facts.transfer_encoding, facts.content_length)?;
    head.keep_alive = !facts.close && (head.version == Version::H11 || facts.keep_alive);
    if let Some(expectation) = facts.expect
        && head.version == Version::H11
    {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(HeadError::UnknownExpectation);
        }
        head.expect_continue = !matches!(head.framing, Framing::None | Framing::Length(0));
    }
    Ok(())
}

/// The verdict on a head whose last line is not taken: none yet, where that is not refused.
#[cold]
fn verdict<'b>(refused: Option<HeadError>) -> Result<Parsed<'b>, HeadError> {
    refused.map_or(Ok(Parsed::Partial), Err)
}

/// Takes the request line, or (`None`) one empty line before it, which some clients send after a body.
#[inline]
fn step_request_line<'b>(
    scan: &mut HeadScan,
    window: &'b [u8],
) -> Result<Option<RequestLine<'b>>, Fault> {
    if scan.stage == Stage::Start && window.starts_with(b"\r\n") {
        scan.stage = Stage::RequestLine;
        scan.line_start = 2;
        return Ok(None);
    }
    let line = request_line(window, scan.line_start)?;
    scan.stage = Stage::Fields;
    Ok(Some(line))
}

#[inline]
fn request_line(window: &[u8], start: usize) -> Result<RequestLine<'_>, Fault> {
    let method_end = token_end(window, start);
    match window.get(method_end) {
        None => return Err(Fault::Incomplete),
        Some(b' ') if method_end > start => {}
        Some(_) => return Err(Fault::Refused(HeadError::BadMethod)),
    }
    let target_start = method_end + 1;
    let Some(length) = window[target_start..].iter().position(|byte| *byte <= b' ') else {
        return Err(Fault::Incomplete);
    };
    let target_end = target_start + length;
    let target = &window[target_start..target_end];
    if window[target_end] != b' ' || target.is_empty() {
        return Err(Fault::Refused(HeadError::BadRequestLine));
    }
    let rest = &window[target_end + 1..];
    let version = if rest.starts_with(b"HTTP/1.1\r\n") {
        Version::H11
    } else {
        uncommon_version(rest)?
    };
    let method = Method::parse(&window[start..method_end])
        .ok_or(Fault::Refused(HeadError::UnknownMethod))?;
    let authority = target::check(target, method).map_err(Fault::Refused)?;
    Ok(RequestLine {
        method,
        target,
        authority,
        version,
        next: target_end + 11,
    })
}

#[cold]
fn uncommon_version(rest: &[u8]) -> Result<Version, Fault> {
    let Some(end) = memchr::memchr(b'\n', rest) else {
        return Err(Fault::Incomplete);
    };
    Err(Fault::Refused(match &rest[..end] {
        b"HTTP/1.0\r" => return Ok(Version::H10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r']
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            HeadError::UnsupportedVersion
        }
        b"HTTP/1.1" | b"HTTP/1.0" => HeadError::BareLineFeed,
        _ => HeadError::BadRequestLine,
    }))
}

impl HeadScan {
    /// Bytes that will not be looked at again until the head is whole.
    #[cfg(test)]
    pub(super) fn seen_bytes(&self) -> usize {
        self.scanned
    }

    #[inline]
    fn count_field(&mut self, limits: &HeadLimits) -> Result<(), HeadError> {
        self.field_count += 1;
        if self.field_count > limits.count_max {
            return Err(HeadError::TooManyFields);
        }
        Ok(())
    }
}

impl<'b> Head<'b> {
    #[inline]
    fn new(line: &RequestLine<'b>) -> Self {
        Self {
            method: line.method,
            target: line.target,
            version: line.version,
            framing: Framing::None,
            keep_alive: false,
            expect_continue: false,
            host: None,
            origin: None,
            content_type: None,
            content_encoding: None,
            accept: None,
            accept_repeated: false,
            authorization: None,
            mcp_session_id: None,
            mcp_protocol_version: None,
            mcp_method: None,
            mcp_name: None,
            last_event_id: None,
            access_control_request_method: None,
            access_control_request_headers: None,
            fields: Fields::new(&[]),
            len: 0,
        }
    }
}
