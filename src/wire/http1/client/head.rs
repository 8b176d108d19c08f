//! A parsed response head.

use super::super::head::{Fields, Version};
use super::framing::ResponseFraming;

/// A valid response head; all slices point into the bytes that were parsed.
///
/// Shape: values come without white space at their ends. A field with its own member stands at most once, but
/// `WWW-Authenticate`, of which this is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead<'b> {
    /// The status, from 100 to 599.
    pub status: u16,
    /// The version.
    pub version: Version,
    /// Where the body ends.
    pub framing: ResponseFraming,
    /// Whether another request may follow on this connection once the body has ended.
    pub keep_alive: bool,
    /// Seconds without a request after which the other side closes, where it says so (`Keep-Alive: timeout=5`).
    pub keep_alive_timeout_s: Option<u32>,
    /// `Content-Type`
    pub content_type: Option<&'b [u8]>,
    /// `Content-Encoding`
    pub content_encoding: Option<&'b [u8]>,
    /// `Mcp-Session-Id`
    pub mcp_session_id: Option<&'b [u8]>,
    /// `Location`
    pub location: Option<&'b [u8]>,
    /// `Retry-After`
    pub retry_after: Option<&'b [u8]>,
    /// The first `WWW-Authenticate`.
    pub www_authenticate: Option<&'b [u8]>,
    /// All fields in order.
    pub fields: Fields<'b>,
    /// Bytes of the head, including the empty line at its end.
    pub len: usize,
}

impl<'b> ResponseHead<'b> {
    /// Whether the real response still follows: `100 Continue`, `103 Early Hints`.
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// Whether the body is an event stream.
    pub fn is_event_stream(&self) -> bool {
        self.media_type_is(b"text/event-stream")
    }

    /// Whether the body is JSON.
    pub fn is_json(&self) -> bool {
        self.media_type_is(b"application/json")
    }

    /// The values of every field with this name, in order.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
        self.fields.filter_map(move |(found, value)| {
            found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
    }

    /// Whether the media type, parameters aside, is this one.
    fn media_type_is(&self, wanted: &[u8]) -> bool {
        let Some(value) = self.content_type else {
            return false;
        };
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        value[..end].trim_ascii().eq_ignore_ascii_case(wanted)
    }
}
