//! What a refusal says: the thing, its value, the rule and the remedy.

use std::fmt::{self, Write};

use super::{ParamFault, Reason, Requested, StateFault};
use crate::limits::ID_BYTES_MAX;

/// Bytes of a caller's value that a refusal quotes.
pub const EXCERPT_BYTES_MAX: usize = 64;

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "the body is not JSON: {error}"),
            Self::Batch => f.write_str("the body is a batch; send one message at a time"),
            Self::BatchEmpty => f.write_str("the batch is empty; send at least one message"),
            Self::BatchTooLong { count_max } => write!(
                f,
                "the batch has more messages than limits.batch_count_max, which is {count_max}; send fewer, or have the operator raise it"
            ),
            Self::BatchNested => {
                f.write_str("a batch stands in a batch; send its messages one by one or in one batch")
            }
            Self::BatchInitialize => f.write_str("initialize stands in a batch; send it alone and first"),
            Self::NotAnObject => f.write_str("the body is not a JSON object; send one JSON-RPC message"),
            Self::Doubled { member } => {
                write!(f, "member {member} stands more than once; send it once")
            }
            Self::Variant { member } => write!(
                f,
                "a member differs from {member} in upper and lower case only, so that some would read it as that; leave it out"
            ),
            Self::WrongType { member, expected } | Self::Param { member, expected } => {
                write!(f, "{member} must be {expected}")
            }
            Self::JsonRpcVersion => f.write_str("member jsonrpc must be the string \"2.0\""),
            Self::IdType => f.write_str("id must be a string or an integer"),
            Self::IdTooLong { bytes } => {
                write!(f, "id takes {bytes} bytes; the limit is {ID_BYTES_MAX}")
            }
            Self::NoShape => f.write_str(
                "the message must have either a method, or a result or an error; send a request, a notification or a response",
            ),
            Self::UnexpectedResponse => f.write_str(
                "a response, and no request of this server is open to you; send requests and notifications only",
            ),
            Self::NoEra => f.write_str(
                "the request belongs to no protocol version: send initialize first and then its Mcp-Session-Id, \
                 or send header MCP-Protocol-Version and params._meta[\"io.modelcontextprotocol/protocolVersion\"]",
            ),
            Self::NoSession => {
                f.write_str("header Mcp-Session-Id is missing; send the one that initialize answered with")
            }
            Self::NoSseSession => f.write_str(
                "parameter sessionId is missing; post to the address that the endpoint event gave",
            ),
            Self::UnknownSession => {
                f.write_str(
                    "no such session: it has ended or expired; send initialize without Mcp-Session-Id, \
                     or open the HTTP+SSE stream again",
                )
            }
            Self::AlreadyInitialized => {
                f.write_str("initialize in a session that is initialized already; leave out Mcp-Session-Id to start another")
            }
            Self::NotInitialized => f.write_str(
                "not initialized: send initialize first, or send \
                 params._meta[\"io.modelcontextprotocol/protocolVersion\"] with each request",
            ),
            Self::StreamTaken => {
                f.write_str("the session has an event stream already; close it before opening another")
            }
            Self::Unauthenticated { fault, .. } => f.write_str(fault),
            Self::Forbidden { method, rule } => {
                let method = method.name();
                match rule {
                    Some(rule) => write!(f, "{method} is denied here by the rule `{}`", rule.as_str()),
                    None => write!(f, "{method} is denied here: no rule allows it"),
                }?;
                f.write_str("; have the operator change the rules, or ask for something else")
            }
            Self::NeedsScopes { rule } => write!(
                f,
                "the token lacks scopes that the rule `{}` wants; get one with the scopes of the WWW-Authenticate header",
                rule.as_str()
            ),
            Self::RateLimited {
                limit,
                retry_after_ms,
            } => write!(
                f,
                "too many requests: the limit {} is reached; try again in {retry_after_ms} ms, or have the operator raise it",
                limit.as_str()
            ),
            Self::ToolChanged { name } => {
                f.write_str("the tool `")?;
                write!(f, "{}", Excerpt(name.raw().as_bytes()))?;
                f.write_str("` is blocked, because what it says of itself has changed since it was approved; have the operator look with `margay tool diff` and approve it")
            }
            Self::Overloaded { limit, value } => write!(
                f,
                "overloaded: {limit} is {value}, and it is reached; try again later, or have the operator raise it"
            ),
            Self::TooLong { limit, value } => write!(
                f,
                "the message is longer than {limit}, which is {value} bytes; send less, or have the operator raise it"
            ),
            Self::ListIncomplete { upstream } => write!(
                f,
                "the list is not served without upstream {}, which is down (upstreams.{}.fail is closed); try again later, or have the operator look at it",
                upstream.as_str(),
                upstream.as_str()
            ),
            Self::Internal => f.write_str("internal error"),
            other => other.fmt_headers(f),
        }
    }
}

impl Reason<'_> {
    /// The texts that quote a header.
    fn fmt_headers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentType { value: None } => {
                f.write_str("header Content-Type is missing; send application/json")
            }
            Self::ContentType { value: Some(value) } => {
                write!(
                    f,
                    "Content-Type `{}` is not served; send application/json",
                    Excerpt(value)
                )
            }
            Self::NotAcceptable { value, needs } => {
                write!(
                    f,
                    "Accept `{}` leaves nothing to answer with; add {needs}",
                    Excerpt(value)
                )
            }
            Self::HttpMethod { why } => f.write_str(why),
            Self::Host { value: None } => f.write_str("header Host is missing"),
            Self::Host { value: Some(value) } => write!(
                f,
                "Host `{}` is not a name of this server; use one that it is configured with",
                Excerpt(value)
            ),
            Self::Origin { value } => write!(
                f,
                "Origin `{}` may not call this server; use one that it is configured with",
                Excerpt(value)
            ),
            Self::HeaderMissing { header, member } => {
                write!(f, "header {header} is missing; it has to repeat {member}")
            }
            Self::HeaderMalformed { header, value } => write!(
                f,
                "header {header} `{}` cannot be read; send visible ASCII, or =?base64?…?= of UTF-8",
                Excerpt(value)
            ),
            Self::HeaderDiffers {
                header,
                value,
                member,
                body,
            } => {
                write!(
                    f,
                    "header {header} `{}` differs from {member}",
                    Excerpt(value)
                )?;
                match body {
                    Some(body) => write!(
                        f,
                        " `{}`; send the same in both",
                        Excerpt(body.raw().as_bytes())
                    ),
                    None => f.write_str(", which is missing; send the same in both"),
                }
            }
            other => other.fmt_body(f),
        }
    }

    /// The texts that quote a member of the body.
    fn fmt_body(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ParamHeader {
                fault,
                argument,
                value,
            } => fmt_param(f, *fault, argument, value),
            Self::Meta { key, expected } => {
                write!(f, "params._meta[\"{key}\"] must be there and be {expected}")
            }
            Self::Version { requested } => {
                let bytes = match requested {
                    Requested::Header(bytes) => bytes,
                    Requested::Body(text) => text.raw().as_bytes(),
                };
                write!(
                    f,
                    "protocol version `{}` is not supported here; error.data.supported lists those that are",
                    Excerpt(bytes)
                )
            }
            Self::Method { method, revision } => write!(
                f,
                "method `{}` is not served in protocol version {}",
                Excerpt(method.raw().as_bytes()),
                revision.as_str()
            ),
            Self::NotOffered { method, .. } => write!(
                f,
                "method `{}` is not offered by this server; the capabilities that it declares say what is",
                method.name()
            ),
            Self::UnknownTool { name } => write!(
                f,
                "tool `{}` does not exist; tools/list names those that do",
                Excerpt(name.raw().as_bytes())
            ),
            Self::UnknownPrompt { name } => write!(
                f,
                "prompt `{}` does not exist; prompts/list names those that do",
                Excerpt(name.raw().as_bytes())
            ),
            Self::UnknownResource { uri, .. } => write!(
                f,
                "resource `{}` does not exist; resources/list and resources/templates/list name those that do",
                Excerpt(uri.raw().as_bytes())
            ),
            Self::UnknownTemplate { template } => write!(
                f,
                "resource template `{}` does not exist; resources/templates/list names those that do",
                Excerpt(template.raw().as_bytes())
            ),
            Self::UnknownLevel { level } => write!(
                f,
                "log level `{}` does not exist; send debug, info, notice, warning, error, critical, alert or emergency",
                Excerpt(level.raw().as_bytes())
            ),
            Self::UnknownCursor { cursor } => write!(
                f,
                "cursor `{}` is not one of this server; start again without",
                Excerpt(cursor.raw().as_bytes())
            ),
            Self::Capability { required } => {
                write!(
                    f,
                    "the request needs client capabilities that it does not declare: {required}"
                )
            }
            other => other.fmt_kept(f),
        }
    }

    /// The texts about what the server keeps for a client: tasks, states, events.
    fn fmt_kept(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTask { task } => write!(
                f,
                "task `{}` does not exist; it may have been kept for its ttl and be gone",
                Excerpt(task.raw().as_bytes())
            ),
            Self::TaskEnded { status } => {
                write!(f, "the task cannot be cancelled: it is {status} already")
            }
            Self::TaskSupport { name, required } => {
                let name = Excerpt(name.raw().as_bytes());
                if *required {
                    write!(f, "tool `{name}` runs only as a task; send params.task")
                } else {
                    write!(f, "tool `{name}` never runs as a task; leave params.task out")
                }
            }
            Self::State { fault } => f.write_str(match fault {
                StateFault::Forged => {
                    "params.requestState was not made by this server for this caller, or it was changed; \
                     send it back exactly as it came, or start again without"
                }
                StateFault::Expired => "params.requestState has expired; start again without",
                StateFault::OtherRequest => {
                    "params.requestState belongs to a request with another method or other parameters; \
                     send it with those that it was given for, or start again without"
                }
            }),
            Self::EventId { value } => write!(
                f,
                "Last-Event-ID `{}` is not an event id of this server; send one that it sent, or none",
                Excerpt(value)
            ),
            Self::EventsGone { value } => write!(
                f,
                "the stream of Last-Event-ID `{}` is not kept any longer: its events were delivered or are older than \
                 limits.session_event_deadline; open a stream without Last-Event-ID, and send the request again if its answer is missing",
                Excerpt(value)
            ),
            // Written by those above before it comes here.
            _ => Ok(()),
        }
    }
}

fn fmt_param(
    f: &mut fmt::Formatter<'_>,
    fault: ParamFault,
    argument: &str,
    value: &[u8],
) -> fmt::Result {
    let value = Excerpt(value);
    match fault {
        ParamFault::Missing => write!(
            f,
            "header Mcp-Param-{argument} is missing; it has to repeat the argument"
        ),
        ParamFault::Unasked => {
            write!(
                f,
                "header Mcp-Param-{argument} `{value}` repeats an argument that is missing; send both or neither"
            )
        }
        ParamFault::Doubled => write!(
            f,
            "header Mcp-Param-{argument} stands more than once; send it once"
        ),
        ParamFault::Malformed => write!(
            f,
            "header Mcp-Param-{argument} `{value}` cannot be read; send visible ASCII, or =?base64?…?= of UTF-8"
        ),
        ParamFault::Differs => {
            write!(
                f,
                "header Mcp-Param-{argument} `{value}` differs from the argument; send the same in both"
            )
        }
    }
}

/// At most [`EXCERPT_BYTES_MAX`] bytes of a caller's value, with control, formatting and broken characters replaced.
#[derive(Clone, Copy, Debug)]
pub struct Excerpt<'a>(pub &'a [u8]);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(EXCERPT_BYTES_MAX)];
        for chunk in shown.utf8_chunks() {
            for character in chunk.valid().chars() {
                // Control and formatting characters could make a log or a terminal lie.
                if character.is_control()
                    || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                {
                    f.write_char('\u{fffd}')?;
                } else {
                    f.write_char(character)?;
                }
            }
            if !chunk.invalid().is_empty() {
                f.write_char('\u{fffd}')?;
            }
        }
        if shown.len() < self.0.len() {
            f.write_char('…')?;
        }
        Ok(())
    }
}
