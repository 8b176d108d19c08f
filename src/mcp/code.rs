//! JSON-RPC error codes, and nothing else.
//!
//! Source: JSON-RPC 2.0 section 5.1; MCP 2026-07-28 basic/index, "Error Codes".

/// The body is not JSON.
pub const PARSE_ERROR: i32 = -32700;
/// The body is JSON and not a JSON-RPC message that may stand here.
pub const INVALID_REQUEST: i32 = -32600;
/// The method does not exist, or not in this revision.
pub const METHOD_NOT_FOUND: i32 = -32601;
/// A parameter is missing or wrong; also an unknown tool, and a modern request without its `_meta` keys.
pub const INVALID_PARAMS: i32 = -32602;
/// A defect of ours.
pub const INTERNAL_ERROR: i32 = -32603;
/// A resource that does not exist, for legacy clients; the modern era says [`INVALID_PARAMS`] and must not use it.
pub const RESOURCE_NOT_FOUND: i32 = -32002;
/// A header is missing, malformed or differs from the body.
pub const HEADER_MISMATCH: i32 = -32020;
/// The request needs a client capability that it does not declare.
pub const MISSING_CLIENT_CAPABILITY: i32 = -32021;
/// The protocol version is not one that we speak.
pub const UNSUPPORTED_PROTOCOL_VERSION: i32 = -32022;
/// The caller has not shown who it is, or not so that it is believed.
pub const UNAUTHENTICATED: i32 = -31401;
/// The caller may not do this.
pub const FORBIDDEN: i32 = -31403;
/// The caller does this too often.
pub const RATE_LIMITED: i32 = -31429;
/// Too much is going on: try again later. Outside the range that JSON-RPC and MCP keep for themselves.
pub const OVERLOADED: i32 = -31503;
