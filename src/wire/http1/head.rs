//! A parsed request head.

use super::bytes::trim;
use super::framing::Framing;

/// The methods that are told apart; all others are refused as unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
}

impl Method {
    /// The method as it stands in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"POST" => Self::Post,
            b"GET" => Self::Get,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"HEAD" => Self::Head,
            b"PUT" => Self::Put,
            b"PATCH" => Self::Patch,
            _ => return None,
        })
    }
}

/// The versions served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0
    H10,
    /// HTTP/1.1
    H11,
}

/// A valid request head; all slices point into the bytes that were parsed.
///
/// Shape: values come without white space at their ends. A field with its own member stands at most once, but `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'b> {
    /// The method.
    pub method: Method,
    /// The request target as sent: a path with an optional query, `*`, or `http://host/path`.
    pub target: &'b [u8],
    /// The version.
    pub version: Version,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the connection stays open after the answer, as far as the client is concerned.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends its body.
    pub expect_continue: bool,
    /// `Host`: a valid host with an optional port; the same as in an absolute target.
    pub host: Option<&'b [u8]>,
    /// `Origin`
    pub origin: Option<&'b [u8]>,
    /// `Content-Type`
    pub content_type: Option<&'b [u8]>,
    /// `Content-Encoding`
    pub content_encoding: Option<&'b [u8]>,
    /// The first `Accept`.
    pub accept: Option<&'b [u8]>,
    /// Whether more `Accept` lines follow: [`Head::values`] has them all.
    pub accept_repeated: bool,
    /// `Authorization`
    pub authorization: Option<&'b [u8]>,
    /// `Mcp-Session-Id`
    pub mcp_session_id: Option<&'b [u8]>,
    /// `Mcp-Protocol-Version`
    pub mcp_protocol_version: Option<&'b [u8]>,
    /// `Mcp-Method`
    pub mcp_method: Option<&'b [u8]>,
    /// `Mcp-Name`
    pub mcp_name: Option<&'b [u8]>,
    /// `Last-Event-ID`
    pub last_event_id: Option<&'b [u8]>,
    /// `Access-Control-Request-Method`
    pub access_control_request_method: Option<&'b [u8]>,
    /// `Access-Control-Request-Headers`
    pub access_control_request_headers: Option<&'b [u8]>,
    /// All fields in order.
    pub fields: Fields<'b>,
    /// Bytes of the head, including the empty line at its end.
    pub len: usize,
}

impl<'b> Head<'b> {
    /// The values of every field with this name, in order.
    pub fn values<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
        self.fields.filter_map(move |(found, value)| {
            found.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
    }
}

/// Iterates over the fields of a valid head: name and value as sent, the value without white space at its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    /// `lines` are validated field lines, each with its CRLF, without the empty line.
    pub(super) fn new(lines: &'b [u8]) -> Self {
        Self { rest: lines }
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = (&'b [u8], &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr::memchr(b'\n', self.rest)?;
        let (line, rest) = self.rest.split_at(end + 1);
        let colon = memchr::memchr(b':', line)?;
        self.rest = rest;
        Some((&line[..colon], trim(&line[colon + 1..line.len() - 2])))
    }
}
