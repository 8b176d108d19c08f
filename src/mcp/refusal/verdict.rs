//! What a refusal is on the wire: its HTTP status, its JSON-RPC code, and its data.

use std::fmt::Write as _;
use std::io::Write as _;

use super::{Escaped, Excerpt, Reason, Requested};
use crate::limits::ID_BYTES_MAX;
use crate::mcp::code;
use crate::mcp::revision::{Era, SUPPORTED_JSON};
use crate::wire::json::Str;

/// Bytes of an unknown resource's URI that go back whole.
const URI_QUOTE_BYTES_MAX: usize = 1024;

impl<'b> Reason<'b> {
    /// HTTP status and JSON-RPC code.
    ///
    /// Source: 2026-07-28 basic/transports/streamable-http and basic/index; 2025-11-25 basic/transports.
    pub(super) fn verdict(&self) -> (u16, i32) {
        match self {
            Self::Json(_) => (400, code::PARSE_ERROR),
            Self::Batch
            | Self::BatchEmpty
            | Self::BatchTooLong { .. }
            | Self::BatchNested
            | Self::BatchInitialize
            | Self::NotAnObject
            | Self::Doubled { .. }
            | Self::Variant { .. }
            | Self::WrongType { .. }
            | Self::JsonRpcVersion
            | Self::IdType
            | Self::IdTooLong { .. }
            | Self::NoShape
            | Self::UnexpectedResponse
            | Self::NoEra
            | Self::NoSession
            | Self::NoSseSession
            | Self::NotInitialized
            | Self::AlreadyInitialized => (400, code::INVALID_REQUEST),
            Self::ContentType { .. } => (415, code::INVALID_REQUEST),
            Self::NotAcceptable { .. } => (406, code::INVALID_REQUEST),
            Self::HttpMethod { .. } => (405, code::INVALID_REQUEST),
            Self::Host { .. } | Self::Origin { .. } => (403, code::INVALID_REQUEST),
            Self::HeaderMissing { .. }
            | Self::HeaderMalformed { .. }
            | Self::HeaderDiffers { .. }
            | Self::ParamHeader { .. } => (400, code::HEADER_MISMATCH),
            Self::Meta { .. } => (400, code::INVALID_PARAMS),
            Self::Version { .. } => (400, code::UNSUPPORTED_PROTOCOL_VERSION),
            Self::Method { revision, .. } | Self::NotOffered { revision, .. } => {
                let status = match revision.era() {
                    Era::Modern => 404,
                    Era::Legacy => 200,
                };
                (status, code::METHOD_NOT_FOUND)
            }
            Self::Param { .. }
            | Self::UnknownTool { .. }
            | Self::UnknownPrompt { .. }
            | Self::UnknownTemplate { .. }
            | Self::UnknownTask { .. }
            | Self::UnknownLevel { .. }
            | Self::UnknownCursor { .. }
            | Self::TaskEnded { .. }
            | Self::State { .. } => (200, code::INVALID_PARAMS),
            Self::UnknownResource { era, .. } => match era {
                Era::Modern => (200, code::INVALID_PARAMS),
                Era::Legacy => (200, code::RESOURCE_NOT_FOUND),
            },
            Self::TaskSupport { .. } => (200, code::METHOD_NOT_FOUND),
            Self::EventId { .. } => (400, code::INVALID_REQUEST),
            Self::EventsGone { .. } => (410, code::INVALID_REQUEST),
            Self::Capability { .. } => (400, code::MISSING_CLIENT_CAPABILITY),
            Self::UnknownSession => (404, code::INVALID_REQUEST),
            Self::StreamTaken => (409, code::INVALID_REQUEST),
            Self::Unauthenticated { status, .. } => (*status, code::UNAUTHENTICATED),
            Self::Forbidden { .. } | Self::NeedsScopes { .. } => (403, code::FORBIDDEN),
            Self::RateLimited { .. } => (429, code::RATE_LIMITED),
            Self::ToolChanged { .. } => (200, code::FORBIDDEN),
            Self::Overloaded { .. } => (503, code::OVERLOADED),
            Self::ListIncomplete { .. } => (200, code::INTERNAL_ERROR),
            Self::TooLong { .. } => (413, code::INVALID_REQUEST),
            Self::Internal => (500, code::INTERNAL_ERROR),
        }
    }

    /// Appends `,"data":…` where the protocol asks for data.
    pub(super) fn write_data(&self, out: &mut Vec<u8>) {
        match self {
            Self::Version { requested } => {
                out.extend_from_slice(b",\"data\":{\"supported\":");
                out.extend_from_slice(SUPPORTED_JSON.as_bytes());
                out.extend_from_slice(b",\"requested\":\"");
                match requested {
                    Requested::Header(bytes) => {
                        let _ = write!(Escaped(out), "{}", Excerpt(bytes));
                    }
                    Requested::Body(text) => quote(out, *text, ID_BYTES_MAX),
                }
                out.extend_from_slice(b"\"}");
            }
            Self::RateLimited { retry_after_ms, .. } => {
                let _ = write!(out, ",\"data\":{{\"retryAfterMs\":{retry_after_ms}}}");
            }
            Self::Capability { required } => {
                // Names of ours alone: nothing in it has to be escaped. Writing to a `Vec` cannot fail.
                let _ = write!(out, ",\"data\":{{\"requiredCapabilities\":{required}}}");
            }
            Self::UnknownResource { uri, .. } => {
                out.extend_from_slice(b",\"data\":{\"uri\":\"");
                quote(out, *uri, URI_QUOTE_BYTES_MAX);
                out.extend_from_slice(b"\"}");
            }
            _ => {}
        }
    }
}

/// Appends a string of the body as the inside of a JSON string: whole, since unlike a header's its bytes are valid JSON and
/// go back as they are; beyond the bound an excerpt.
fn quote(out: &mut Vec<u8>, text: Str<'_>, bytes_max: usize) {
    let raw = text.raw().as_bytes();
    if raw.len() <= bytes_max {
        out.extend_from_slice(raw);
    } else {
        let _ = write!(Escaped(out), "{}", Excerpt(raw));
    }
}
