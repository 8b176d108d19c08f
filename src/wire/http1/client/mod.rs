//! HTTP/1.1 as a client speaks it: writing request heads, parsing response heads strictly, framing their bodies.
//!
//! Invariants: as on the server's side a head is judged line by line, so the verdict is the same however the bytes
//! arrive; field lines have the very same rules. After a [`ResponseError`] nothing more of that connection can be
//! believed: it is closed, and never used for another request. What is written cannot break out of its line: a value
//! that could is refused, and nothing of the head is written. An upstream is no more trusted than a client.
//!
//! Source: RFC 9110, RFC 9112.

mod check;
mod error;
mod framing;
mod head;
mod parse;
mod request;

#[cfg(test)]
mod tests;

pub use check::check;
pub use error::ResponseError;
pub use framing::ResponseFraming;
pub use head::ResponseHead;
pub use parse::{ParsedResponse, ResponseScan, parse_response, parse_response_from};
pub use request::{FieldRefused, RequestBody, RequestTemplate, write_request};
