//! Questions to the client: as requests of ours in a legacy session, as `inputRequests` in the modern era.

use crate::mcp::capability::ClientCapabilities;
use crate::wire::json;

/// What a client can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// A form for the person: `elicitation/create`, mode `form`.
    ElicitForm,
    /// A page for the person to visit: `elicitation/create`, mode `url` (from 2025-11-25 on).
    ElicitUrl,
    /// A message from the client's model: `sampling/createMessage`.
    Sample,
    /// The folders that the person shares: `roots/list`.
    ListRoots,
}

impl Asked {
    /// The method that asks.
    pub const fn method(self) -> &'static str {
        match self {
            Self::ElicitForm | Self::ElicitUrl => "elicitation/create",
            Self::Sample => "sampling/createMessage",
            Self::ListRoots => "roots/list",
        }
    }

    /// What a client has to declare to be asked.
    pub const fn capability(self) -> ClientCapabilities {
        match self {
            Self::ElicitForm => ClientCapabilities::ELICITATION_FORM,
            Self::ElicitUrl => ClientCapabilities::ELICITATION_URL,
            Self::Sample => ClientCapabilities::SAMPLING,
            Self::ListRoots => ClientCapabilities::ROOTS,
        }
    }
}

/// Appends a request of ours.
///
/// Shape: `number` is its id, which no other open request of the session has; `params` is the text of an object.
pub fn request(out: &mut Vec<u8>, number: u64, asked: Asked, params: Option<&[u8]>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    json::write_u64(out, number);
    out.push(b',');
    write_question(out, asked, params);
    out.push(b'}');
}

/// Appends one member of an `inputRequests` object: its key and its question.
///
/// Shape: the braces around the members, and the commas between them, are the caller's.
pub fn input_request(out: &mut Vec<u8>, key: &str, asked: Asked, params: Option<&[u8]>) {
    json::write_str(out, key);
    out.extend_from_slice(b":{");
    write_question(out, asked, params);
    out.push(b'}');
}

fn write_question(out: &mut Vec<u8>, asked: Asked, params: Option<&[u8]>) {
    out.extend_from_slice(b"\"method\":\"");
    out.extend_from_slice(asked.method().as_bytes());
    out.push(b'"');
    if let Some(params) = params {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(params);
    }
}
