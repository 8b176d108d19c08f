//! What of an answer's head is of use once its bytes are gone.

use crate::wire::http1::client::ResponseHead;

/// Bytes of a session id that an upstream may give: more is refused by treating it as none.
const SESSION_ID_BYTES_MAX: usize = 1024;
/// Bytes kept of a challenge.
const CHALLENGE_BYTES_MAX: usize = 4 << 10;

/// How an answer's body is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// `application/json`: handed over whole.
    Json,
    /// `text/event-stream`: handed over item by item.
    Events,
    /// Anything else, or nothing: only its beginning is kept.
    #[default]
    Other,
}

/// The head of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerHead {
    /// The status, from 200 to 599.
    pub status: u16,
    /// How the body is read.
    pub media: Media,
    /// Whether the body is compressed, which was not offered.
    pub(super) encoded: bool,
    /// `Mcp-Session-Id`, if it is one: visible ASCII.
    pub session_id: Option<Box<[u8]>>,
    /// Seconds of `Retry-After`.
    pub retry_after_s: Option<u64>,
    /// `WWW-Authenticate`.
    pub challenge: Option<Box<[u8]>>,
    /// Seconds after which the other side closes an idle connection, where it says so.
    pub keep_alive_timeout_s: Option<u32>,
}

impl AnswerHead {
    pub(super) fn of(head: &ResponseHead<'_>) -> Self {
        let media = if head.is_json() {
            Media::Json
        } else if head.is_event_stream() {
            Media::Events
        } else {
            Media::Other
        };
        let coding = head.content_encoding.unwrap_or_default();
        Self {
            status: head.status,
            media,
            encoded: !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"),
            session_id: head.mcp_session_id.filter(is_session_id).map(Box::from),
            retry_after_s: head
                .retry_after
                .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()),
            challenge: challenge(head).map(Box::from),
            keep_alive_timeout_s: head.keep_alive_timeout_s,
        }
    }

    /// Whether the status says that the request was taken.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// The challenge that we can answer, or the first where there is none such.
fn challenge<'b>(head: &ResponseHead<'b>) -> Option<&'b [u8]> {
    let is_bearer = |value: &&[u8]| {
        let scheme = value.get(..6).unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"bearer")
    };
    head.www_authenticate
        .and_then(|first| {
            head.values("WWW-Authenticate")
                .find(is_bearer)
                .or(Some(first))
        })
        .filter(|value| value.len() <= CHALLENGE_BYTES_MAX)
}

/// Source: 2025-11-25 basic/transports: a session id is visible ASCII.
fn is_session_id(value: &&[u8]) -> bool {
    let length = 1..=SESSION_ID_BYTES_MAX;
    length.contains(&value.len()) && value.iter().all(|byte| (0x21..=0x7e).contains(byte))
}
