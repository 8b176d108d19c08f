//! Batches: several messages in one body, as an array. Only 2025-03-26 has them, so only its sessions may send one.
//!
//! The array is taken apart here; each message is then routed like one that came alone, and what is wrong with one of them
//! is that one's refusal. What is wrong with the array as a whole refuses the whole.
//!
//! Source: MCP 2025-03-26 basic and basic/transports; JSON-RPC 2.0 section 6.

use super::http::{HttpFacts, find};
use super::members::DEPTH_MAX;
use crate::mcp::headers;
use crate::mcp::message::{Message, Shape, scan};
use crate::mcp::method::Method;
use crate::mcp::refusal::{Reason, Refusal, Requested};
use crate::mcp::revision::{Era, Revision};
use crate::mcp::sessions::{Principal, SessionId, Sessions};
use crate::wire::json::{JsonError, Kind, Reader};

/// Whether a body starts like an array: whoever may send batches is then asked for with [`batch_session`].
pub fn is_batch(body: &[u8]) -> bool {
    body.iter()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        == Some(&b'[')
}

/// The session of a POST whose body is a batch, if it may send one.
pub fn batch_session<'b>(
    facts: &HttpFacts<'b>,
    sessions: &Sessions,
    principal: Principal,
    now_ms: u64,
) -> Result<SessionId, Refusal<'b>> {
    let decide = || {
        if let Some(value) = facts.protocol_version.map(headers::trim) {
            match Revision::parse(value) {
                Some(revision) if revision.era() == Era::Modern => return Err(Reason::Batch),
                Some(revision) if revision.over_http() => {}
                _ => {
                    return Err(Reason::Version {
                        requested: Requested::Header(value),
                    });
                }
            }
        }
        match find(facts.session_id, sessions, principal, now_ms)? {
            Some((id, found)) if found.revision.has_batches() => Ok(id),
            _ => Err(Reason::Batch),
        }
    };
    decide().map_err(|reason| Refusal::new(reason, None))
}

/// The messages of one body, at least one.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'b> {
    text: &'b [u8],
    count: usize,
    depth_max: usize,
}

impl<'b> Batch<'b> {
    /// Takes a body apart that is an array.
    ///
    /// Errors: it is no JSON, no array, empty, or longer than `count_max`, which is `limits.batch_count_max`.
    pub fn read(body: &'b [u8], depth_max: usize, count_max: usize) -> Result<Self, Refusal<'b>> {
        let refuse = |reason| Err(Refusal::new(reason, None));
        match Self::count(body, depth_max, count_max) {
            Err(error) => refuse(Reason::Json(error)),
            Ok(0) => refuse(Reason::BatchEmpty),
            Ok(count) if count > count_max => refuse(Reason::BatchTooLong { count_max }),
            Ok(count) => Ok(Self {
                text: body,
                count,
                depth_max,
            }),
        }
    }

    /// Elements of the array, or one more than allowed: then the rest is not looked at.
    fn count(body: &[u8], depth_max: usize, count_max: usize) -> Result<usize, JsonError> {
        let mut reader = Reader::new(body, depth_max);
        let mut count = 0;
        reader.begin_array()?;
        while reader.element()? {
            count += 1;
            if count > count_max {
                return Ok(count);
            }
            reader.skip()?;
        }
        reader.end()?;
        Ok(count)
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Each message in its place, scanned, or what is wrong with it.
    pub fn messages(&self) -> impl Iterator<Item = Result<Message<'b>, Refusal<'b>>> + use<'b> {
        let depth_max = self.depth_max;
        let mut reader = Reader::new(self.text, DEPTH_MAX);
        let begun = reader.begin_array().is_ok();
        std::iter::from_fn(move || {
            let more = begun && reader.element().unwrap_or(false);
            more.then(|| reader.skip().ok()).flatten()
        })
        .map(move |text| message(text, depth_max))
    }
}

fn message(text: &[u8], depth_max: usize) -> Result<Message<'_>, Refusal<'_>> {
    if Reader::new(text, depth_max).peek() == Ok(Kind::Array) {
        return Err(Refusal::new(Reason::BatchNested, None));
    }
    let message = scan(text, depth_max)?;
    let method = message.method.and_then(Method::parse);
    if message.shape == Shape::Request && method == Some(Method::Initialize) {
        return Err(Refusal::new(Reason::BatchInitialize, message.id));
    }
    Ok(message)
}
