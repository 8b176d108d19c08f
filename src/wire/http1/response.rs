//! Response heads.

/// Places reserved for a length that is known only after the body was written. Unused ones stay spaces, which are
/// optional white space before the value (RFC 9110 section 5.5).
const LENGTH_DIGITS: usize = 10;

const JSON_KEEP: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:          0\r\n\r\n";
const JSON_CLOSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length:          0\r\n\r\n";

/// What follows a response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(usize),
    /// Bytes until the connection closes.
    Stream,
    /// Nothing: `204`, or an empty body.
    Empty,
}

/// A head in a buffer whose length is still to be filled in.
#[must_use = "without `finish` the head says a length of 0"]
#[derive(Debug)]
pub struct ReservedHead {
    /// Where the body starts in the buffer.
    body_start: usize,
}

/// Appends a response head.
///
/// Shape: [`Body::Stream`] is delimited by the end of the connection, so it always closes. A status that has no body
/// (1xx, 204, 304) gets no length. A field in `extra` whose name or value would break the head is left out.
pub fn write_head(
    out: &mut Vec<u8>,
    status: u16,
    content_type: Option<&str>,
    body: Body,
    keep_alive: bool,
    extra: &[(&str, &str)],
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(out, usize::from(status));
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(content_type) = content_type {
        write_field(out, "Content-Type", content_type);
    }
    for (name, value) in extra {
        write_field(out, name, value);
    }
    if !keep_alive || body == Body::Stream {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    let bodiless = matches!(status, 100..=199 | 204 | 304);
    let length = match body {
        Body::Length(length) => Some(length),
        Body::Empty => Some(0),
        Body::Stream => None,
    };
    if let Some(length) = length
        && !bodiless
    {
        out.extend_from_slice(b"Content-Length: ");
        write_number(out, length);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of `200 OK` with a JSON body, whose length [`ReservedHead::finish`] fills in.
///
/// Shape: head, body, finish: one buffer, one pass.
#[inline]
pub fn reserve_json_head(out: &mut Vec<u8>, keep_alive: bool) -> ReservedHead {
    out.extend_from_slice(if keep_alive { JSON_KEEP } else { JSON_CLOSE });
    ReservedHead {
        body_start: out.len(),
    }
}

impl ReservedHead {
    /// Bytes of body so far.
    pub fn body_len(&self, out: &[u8]) -> usize {
        out.len().saturating_sub(self.body_start)
    }

    /// Fills in the length of all that was appended since.
    ///
    /// Shape: `out` is the buffer of the reservation, and nothing before the body was removed. Bodies above 9.9 GB do not
    /// exist here (`limits.output_bytes_max`).
    #[inline]
    pub fn finish(self, out: &mut [u8]) {
        let mut length = self.body_len(out);
        let end = self.body_start - b"\r\n\r\n".len();
        if let Some(digits) = out.get_mut(end - LENGTH_DIGITS..end) {
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + (length % 10) as u8;
                length /= 10;
                if length == 0 {
                    break;
                }
            }
        }
        debug_assert_eq!(length, 0, "the length does not fit its digits");
    }
}

fn write_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends one field, unless it would break out of its line.
fn write_field(out: &mut Vec<u8>, name: &str, value: &str) {
    let name_is_token =
        super::bytes::token_end(name.as_bytes(), 0) == name.len() && !name.is_empty();
    let value_is_text = super::bytes::value_end(value.as_bytes(), 0) == value.len();
    debug_assert!(name_is_token, "{name:?} is no field name");
    if !name_is_token || !value_is_text {
        return;
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The customary phrase of a status.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
