//! JSON-RPC messages around texts that are there already.

use crate::mcp::WriteId;
use crate::wire::json::write_str;

/// Room for what a message has beside its text.
const FRAME_BYTES: usize = 128;

/// A request with these parameters, which are the text of an object.
pub fn request(id: &impl WriteId, method: &str, params: Option<&[u8]>) -> Vec<u8> {
    let mut message = opened(id, params.map_or(0, <[u8]>::len));
    message.extend_from_slice(br#","method":"#);
    write_str(&mut message, method);
    if let Some(params) = params {
        message.extend_from_slice(br#","params":"#);
        message.extend_from_slice(params);
    }
    message.push(b'}');
    message
}

/// A response: its result, or its error object, as text.
pub(super) fn response(id: &impl WriteId, answer: Result<&[u8], &[u8]>) -> Vec<u8> {
    let (member, text) = match answer {
        Ok(result) => (&br#","result":"#[..], result),
        Err(error) => (&br#","error":"#[..], error),
    };
    let mut message = opened(id, text.len());
    message.extend_from_slice(member);
    message.extend_from_slice(text);
    message.push(b'}');
    message
}

fn opened(id: &impl WriteId, text_bytes: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(text_bytes + FRAME_BYTES);
    message.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    id.write_id(&mut message);
    message
}
