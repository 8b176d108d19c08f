//! From bytes to a [`ResponseHead`], resumable.

use super::super::bytes::{is_name, is_token, is_value, trim};
use super::super::head::{Fields, Method, Version};
use super::super::line::{Fault, FieldLine, field_line};
use super::super::parse::HeadLimits;
use super::error::ResponseError;
use super::framing::{self, ResponseFraming};
use super::head::ResponseHead;

/// What the bytes so far are.
// A head is handed on by reference at once; boxing it would allocate for each response.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParsedResponse<'b> {
    /// The beginning of a head; more bytes are needed.
    Partial,
    /// A whole valid head.
    Head(ResponseHead<'b>),
}

/// How far the bytes of one connection were judged, so that a head that trickles in costs linear time.
///
/// Shape: one for each head, made anew once the head's bytes were consumed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseScan {
    /// Where the first line that is not complete starts.
    line_start: usize,
    /// Bytes in which every line feed was seen.
    scanned: usize,
    /// Complete field lines.
    field_count: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Facts<'b> {
    content_length: Option<&'b [u8]>,
    transfer_encoding: Option<&'b [u8]>,
    close: bool,
    keep_alive: bool,
}

/// Parses the response head at the start of `bytes`; `request` is the method that it answers.
///
/// Errors: the first line, in order, that breaks the grammar or a limit; else what lines together do wrong. Either is
/// final: more bytes cannot change it.
pub fn parse_response<'b>(
    bytes: &'b [u8],
    request: Method,
    limits: &HeadLimits,
) -> Result<ParsedResponse<'b>, ResponseError> {
    parse_response_from(&mut ResponseScan::default(), bytes, request, limits)
}

/// Parses the response head at the start of `bytes`, which were given to the same `scan` before and have grown since.
///
/// Shape: the verdict is that of [`parse_response`] on the same bytes.
pub fn parse_response_from<'b>(
    scan: &mut ResponseScan,
    bytes: &'b [u8],
    request: Method,
    limits: &HeadLimits,
) -> Result<ParsedResponse<'b>, ResponseError> {
    let window = &bytes[..bytes.len().min(limits.bytes_max)];
    if scan.scanned > window.len() {
        *scan = ResponseScan::default();
    }
    // Such bytes (a TLS alert, for one) need no line feed to be judged.
    if window.first().is_some_and(|first| *first != b'H') {
        return Err(ResponseError::BadStatusLine);
    }
    while let Some(offset) = memchr::memchr(b'\n', &window[scan.scanned..]) {
        let line_end = scan.scanned + offset + 1;
        if scan.line_start == 0 {
            status_line(&window[..line_end])?;
            scan.line_start = line_end;
        } else {
            match field_line(&window[..line_end], scan.line_start) {
                Ok(FieldLine::End { next }) => {
                    return assemble(&window[..next], request).map(ParsedResponse::Head);
                }
                Ok(FieldLine::Field { next, .. }) => {
                    scan.field_count += 1;
                    if scan.field_count > limits.count_max {
                        return Err(ResponseError::TooManyFields);
                    }
                    scan.line_start = next;
                }
                Err(fault) => return Err(ResponseError::Field(fault.refusal())),
            }
        }
        scan.scanned = line_end;
    }
    scan.scanned = window.len();
    if window.len() < limits.bytes_max {
        Ok(ParsedResponse::Partial)
    } else {
        Err(ResponseError::HeadTooLarge)
    }
}

/// Reads a status line, line feed included.
fn status_line(line: &[u8]) -> Result<(Version, u16), ResponseError> {
    let text = line
        .strip_suffix(b"\r\n")
        .ok_or(ResponseError::BadStatusLine)?;
    let (version, rest) = text
        .split_at_checked(b"HTTP/1.1 ".len())
        .ok_or(ResponseError::BadStatusLine)?;
    let version = match version {
        b"HTTP/1.1 " => Version::H11,
        b"HTTP/1.0 " => Version::H10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' ']
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(ResponseError::UnsupportedVersion);
        }
        _ => return Err(ResponseError::BadStatusLine),
    };
    // The space before an empty phrase is left out by some, which leaves nothing in doubt.
    let (digits, phrase) = match rest {
        [a, b, c] => ([*a, *b, *c], &b""[..]),
        [a, b, c, b' ', phrase @ ..] => ([*a, *b, *c], phrase),
        _ => return Err(ResponseError::BadStatusLine),
    };
    if !digits.iter().all(u8::is_ascii_digit) || !phrase.iter().all(|byte| is_value(*byte)) {
        return Err(ResponseError::BadStatusLine);
    }
    let status = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match status {
        101 => Err(ResponseError::UnaskedUpgrade),
        100..=599 => Ok((version, status)),
        _ => Err(ResponseError::BadStatus),
    }
}

/// Decides what valid lines mean together: the whole head, empty line included.
fn assemble(text: &[u8], request: Method) -> Result<ResponseHead<'_>, ResponseError> {
    let line_end = memchr::memchr(b'\n', text).map_or(0, |at| at + 1);
    let (version, status) = status_line(&text[..line_end])?;
    let mut head = ResponseHead {
        status,
        version,
        framing: ResponseFraming::None,
        keep_alive: false,
        keep_alive_timeout_s: None,
        content_type: None,
        content_encoding: None,
        mcp_session_id: None,
        location: None,
        retry_after: None,
        www_authenticate: None,
        fields: Fields::new(&text[line_end..text.len() - 2]),
        len: text.len(),
    };
    let mut facts = Facts::default();
    let mut at = line_end;
    loop {
        match field_line(text, at) {
            Ok(FieldLine::Field { name, value, next }) => {
                file(&mut head, &mut facts, name, value)?;
                at = next;
            }
            Ok(FieldLine::End { .. }) => break,
            // Not reached: every line was taken before.
            Err(Fault::Refused(error)) => return Err(ResponseError::Field(error)),
            Err(Fault::Incomplete) => return Err(ResponseError::BadStatusLine),
        }
    }
    head.framing = framing::decide(
        request,
        status,
        version,
        facts.transfer_encoding,
        facts.content_length,
    )?;
    head.keep_alive = !facts.close
        && (version == Version::H11 || facts.keep_alive)
        && head.framing != ResponseFraming::Close;
    Ok(head)
}

/// Files one field under its name.
fn file<'b>(
    head: &mut ResponseHead<'b>,
    facts: &mut Facts<'b>,
    name: &[u8],
    value: &'b [u8],
) -> Result<(), ResponseError> {
    let member = match name.len() {
        8 if is_name(name, b"location") => &mut head.location,
        10 if is_name(name, b"connection") => return connection(facts, value),
        10 if is_name(name, b"keep-alive") => {
            head.keep_alive_timeout_s = keep_alive_timeout(value);
            return Ok(());
        }
        11 if is_name(name, b"retry-after") => &mut head.retry_after,
        12 if is_name(name, b"content-type") => &mut head.content_type,
        14 if is_name(name, b"content-length") => &mut facts.content_length,
        14 if is_name(name, b"mcp-session-id") => &mut head.mcp_session_id,
        16 if is_name(name, b"content-encoding") => &mut head.content_encoding,
        16 if is_name(name, b"www-authenticate") => {
            head.www_authenticate = head.www_authenticate.or(Some(value));
            return Ok(());
        }
        17 if is_name(name, b"transfer-encoding") => &mut facts.transfer_encoding,
        _ => return Ok(()),
    };
    if member.is_some() {
        return Err(ResponseError::DuplicateField);
    }
    *member = Some(value);
    Ok(())
}

fn connection(facts: &mut Facts<'_>, value: &[u8]) -> Result<(), ResponseError> {
    for option in value.split(|byte| *byte == b',').map(trim) {
        if !option.iter().all(|byte| is_token(*byte)) {
            return Err(ResponseError::BadConnection);
        }
        facts.close |= option.eq_ignore_ascii_case(b"close");
        facts.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
    }
    Ok(())
}

/// Reads `timeout=5, max=100`; what is not understood says nothing.
fn keep_alive_timeout(value: &[u8]) -> Option<u32> {
    value
        .split(|byte| *byte == b',')
        .map(trim)
        .find_map(|part| {
            let (name, number) = part.split_at_checked(b"timeout=".len())?;
            name.eq_ignore_ascii_case(b"timeout=")
                .then(|| std::str::from_utf8(number).ok()?.parse().ok())?
        })
}
