//! The fields that are read: which they are, and what they may say.

use super::bytes::{is_name, is_token, trim};
use super::error::HeadError;
use super::head::Head;

/// What the fields say beside what [`Head`] keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts<'b> {
    pub(super) content_length: Option<&'b [u8]>,
    pub(super) transfer_encoding: Option<&'b [u8]>,
    pub(super) expect: Option<&'b [u8]>,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
}

/// Files one field under its name.
///
/// Errors: a field twice, a `Connection` that is no list.
#[inline]
pub(super) fn file<'b>(
    head: &mut Head<'b>,
    facts: &mut Facts<'b>,
    name: &[u8],
    value: &'b [u8],
) -> Result<(), HeadError> {
    // The length decides nearly always alone, so one comparison follows at most two times.
    let member = match name.len() {
        4 if is_name(name, b"host") => &mut head.host,
        6 if is_name(name, b"accept") => {
            if head.accept.is_some() {
                head.accept_repeated = true;
                return Ok(());
            }
            &mut head.accept
        }
        6 if is_name(name, b"origin") => &mut head.origin,
        6 if is_name(name, b"expect") => &mut facts.expect,
        8 if is_name(name, b"mcp-name") => &mut head.mcp_name,
        10 if is_name(name, b"connection") => return connection(facts, value),
        10 if is_name(name, b"mcp-method") => &mut head.mcp_method,
        12 if is_name(name, b"content-type") => &mut head.content_type,
        13 if is_name(name, b"authorization") => &mut head.authorization,
        13 if is_name(name, b"last-event-id") => &mut head.last_event_id,
        14 if is_name(name, b"content-length") => &mut facts.content_length,
        14 if is_name(name, b"mcp-session-id") => &mut head.mcp_session_id,
        16 if is_name(name, b"content-encoding") => &mut head.content_encoding,
        17 if is_name(name, b"transfer-encoding") => &mut facts.transfer_encoding,
        20 if is_name(name, b"mcp-protocol-version") => &mut head.mcp_protocol_version,
        29 if is_name(name, b"access-control-request-method") => {
            &mut head.access_control_request_method
        }
        30 if is_name(name, b"access-control-request-headers") => {
            &mut head.access_control_request_headers
        }
        _ => return Ok(()),
    };
    if member.is_some() {
        return Err(HeadError::DuplicateField);
    }
    *member = Some(value);
    Ok(())
}

/// Reads a list of connection options; it may stand on several lines, and have empty elements (RFC 9110 section 5.6.1).
fn connection(facts: &mut Facts<'_>, value: &[u8]) -> Result<(), HeadError> {
    // What nearly every client sends.
    if value.eq_ignore_ascii_case(b"keep-alive") {
        facts.keep_alive = true;
        return Ok(());
    }
    for option in value.split(|byte| *byte == b',').map(trim) {
        if !option.iter().all(|byte| is_token(*byte)) {
            return Err(HeadError::BadConnection);
        }
        facts.close |= option.eq_ignore_ascii_case(b"close");
        facts.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
    }
    Ok(())
}
