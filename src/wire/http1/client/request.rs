//! Request heads: nothing that is put into one can break out of its place.

use std::fmt;

use super::super::bytes::{is_token, value_end};
use super::super::head::Method;
use super::super::target;

/// Fields that the writer itself writes: a second one would let two readers disagree.
const OWN_FIELDS: [&str; 6] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "expect",
];

/// What follows a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// Nothing.
    None,
    /// So many bytes.
    Length(usize),
}

/// A head that is not written, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldRefused {
    /// The target is no path, or has a character that must be percent-encoded.
    Target,
    /// The host is no host with an optional port.
    Host,
    /// A field name is no token, or one that the writer itself writes.
    Name(String),
    /// A field's value has a control character or white space at an end.
    Value(String),
}

impl fmt::Display for FieldRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target => {
                f.write_str("the path of the URL has a character that must be percent-encoded")
            }
            Self::Host => f.write_str("the host of the URL is no host with an optional port"),
            Self::Name(name) => write!(f, "{name:?} cannot be sent as a header name"),
            Self::Value(name) => {
                write!(
                    f,
                    "the value of {name} has a control character or white space at an end"
                )
            }
        }
    }
}

impl std::error::Error for FieldRefused {}

/// Appends a request head.
///
/// Errors: something would break out of its place; nothing is appended then.
pub fn write_request<'f>(
    out: &mut Vec<u8>,
    method: Method,
    target: &[u8],
    host: &[u8],
    fields: impl IntoIterator<Item = (&'f str, &'f [u8])>,
    body: RequestBody,
) -> Result<(), FieldRefused> {
    RequestTemplate::new(method, target, host, [])?.write(out, fields, body)
}

/// The part of a request head that is the same for every request: written and checked once.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    bytes: Vec<u8>,
}

impl RequestTemplate {
    /// Request line, `Host`, and these fields.
    ///
    /// Errors: something would break out of its place.
    pub fn new<'f>(
        method: Method,
        target: &[u8],
        host: &[u8],
        fields: impl IntoIterator<Item = (&'f str, &'f [u8])>,
    ) -> Result<Self, FieldRefused> {
        if !target.starts_with(b"/") || target::check(target, method).is_err() {
            return Err(FieldRefused::Target);
        }
        if !target::is_host_and_port(host) {
            return Err(FieldRefused::Host);
        }
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(method.as_str().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(target);
        bytes.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        bytes.extend_from_slice(host);
        bytes.extend_from_slice(b"\r\n");
        write_fields(&mut bytes, fields)?;
        Ok(Self { bytes })
    }

    /// Appends the whole head of one request.
    ///
    /// Errors: one of `fields` would break out of its line; nothing is appended then.
    pub fn write<'f>(
        &self,
        out: &mut Vec<u8>,
        fields: impl IntoIterator<Item = (&'f str, &'f [u8])>,
        body: RequestBody,
    ) -> Result<(), FieldRefused> {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        if let Err(refused) = write_fields(out, fields) {
            out.truncate(start);
            return Err(refused);
        }
        if let RequestBody::Length(length) = body {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

fn write_fields<'f>(
    out: &mut Vec<u8>,
    fields: impl IntoIterator<Item = (&'f str, &'f [u8])>,
) -> Result<(), FieldRefused> {
    for (name, value) in fields {
        let own = OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name));
        if own || name.is_empty() || !name.bytes().all(is_token) {
            return Err(FieldRefused::Name(name.to_owned()));
        }
        let padded = value.first().is_some_and(|byte| *byte <= b' ')
            || value.last().is_some_and(|byte| *byte <= b' ');
        if padded || value_end(value, 0) != value.len() {
            return Err(FieldRefused::Value(name.to_owned()));
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}
