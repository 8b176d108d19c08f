//! What strict readers of another make say, for the targets that compare: what we accept, they accept too.
//!
//! The promises are `check` functions beside the code; here are only those that need such a reader, or no more than
//! the public interface.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod sim_ring;

use serde::de::IgnoredAny;

/// More than any head that the targets let through has fields.
const FIELD_COUNT_MAX: usize = 64;

/// Whether httparse takes all of `head` as one request head.
pub fn http_head(head: &[u8]) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_COUNT_MAX];
    let status = httparse::Request::new(&mut fields).parse(head);
    status == Ok(httparse::Status::Complete(head.len()))
}

/// Whether httparse takes all of `head` as one response head.
pub fn http_response(head: &[u8]) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_COUNT_MAX];
    let status = httparse::Response::new(&mut fields).parse(head);
    status == Ok(httparse::Status::Complete(head.len()))
}

/// The length and the value of the chunk-size line that `text` starts with, as httparse reads it.
pub fn chunk_size(text: &[u8]) -> Option<(usize, u64)> {
    match httparse::parse_chunk_size(text) {
        Ok(httparse::Status::Complete(found)) => Some(found),
        _ => None,
    }
}

/// Whether serde_json takes `text`.
pub fn json(text: &[u8]) -> bool {
    match serde_json::from_slice::<serde_json::Value>(text) {
        Ok(_) => true,
        // It wants numbers to fit 64 bits, which RFC 8259 does not; then their form alone decides.
        Err(error) if error.to_string().starts_with("number out of range") => {
            serde_json::from_slice::<IgnoredAny>(text).is_ok()
        }
        Err(_) => false,
    }
}
